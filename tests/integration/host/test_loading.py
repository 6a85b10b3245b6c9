"""Checkpoints on SpeechBrain's ways: averaged, mid-epoch, pretrained."""

import subprocess
import sys

import pytest
import speechbrain as sb
import torch
from speechbrain.inference.ASR import EncoderASR
from speechbrain.utils.checkpoints import average_checkpoints
from speechbrain.utils.parameter_transfer import Pretrainer

from leanbrain.hyperyaml import load_yaml
from leanbrain.pruning.host.checkpoints import newest_checkpoint


def union_of(pruner, name):
    """Where at least one pathway has a weight."""
    masks = [pruner.masks.get(p, name) for p in pruner.pathways]
    return torch.stack(masks).any(0)


@pytest.mark.parametrize("restarted", [False, True])
def test_averaging_before_evaluation(toy, tmp_path, restarted, brain_of):
    """Each language is tested with the mean of its own weights, no others."""
    seen, rested = [], []

    class Averaging(toy.Brain):
        def on_evaluate_start(self, max_key=None, min_key=None):
            super().on_evaluate_start()
            found = self.checkpointer.find_checkpoints()
            assert len(found) == 2
            self.mean = average_checkpoints(found, recoverable_name="model")
            self.modules.model.load_state_dict(self.mean, strict=True)

        def on_stage_start(self, stage, epoch=None):
            if stage == sb.Stage.TEST:
                rested.append(self.modules.model.raw.detach().clone())

        def compute_forward(self, batch, stage):
            if stage == sb.Stage.TEST:
                raw = self.modules.model.raw.detach().clone()
                seen.append((batch.lang[0], raw))
            return super().compute_forward(batch, stage)

    pruner = toy.make_pruner()
    brain = brain_of(Averaging, pruner, tmp_path)
    brain.fit(brain.counter, toy.loader(), toy.loader(2))
    if restarted:
        pruner = toy.make_pruner()
        brain = brain_of(Averaging, pruner, tmp_path)
    brain.evaluate(toy.loader(2))
    assert [lang for lang, _ in seen] == list(toy.LANGUAGES)
    mean, union = brain.mean["raw"], union_of(pruner, "model.raw")
    assert (mean[~union] != 0).any()  # the average alone is not sparse
    assert torch.equal(rested[0], torch.where(union, mean, 0.0))
    for lang, raw in seen:
        mask = pruner.masks.get(lang, "model.raw")
        assert torch.equal(raw, torch.where(mask, mean, 0.0))


def test_checkpoints_within_an_epoch(toy, tmp_path, brain_of):
    """Each is the sparse model of its own masks, between micro-batches too."""
    pruner = toy.make_pruner(total_steps=10)
    brain = brain_of(
        toy.Brain,
        pruner,
        tmp_path,
        ckpt_interval_steps=3,
        grad_accumulation_factor=2,
    )
    brain.checkpointer.delete_checkpoints = lambda **_: None  # keep them all
    brain.fit(brain.counter, toy.loader(), None)
    found = brain.checkpointer.list_checkpoints()
    assert len(found) == 6
    digests = set()
    for checkpoint in found:
        other = toy.make_pruner(total_steps=10)
        reader = brain_of(toy.Brain, other, tmp_path)
        reader.checkpointer.load_checkpoint(checkpoint)
        saved = torch.load(checkpoint.paramfiles["model"], weights_only=True)
        digests.add(other.masks.digest())
        for target in other.targets:
            name = target.name.removeprefix("model.")
            assert torch.equal(saved[name] != 0, union_of(other, target.name))
    assert len(digests) > 2


def test_a_pretrainer_may_load_after_the_pruner_is_attached(toy, tmp_path):
    """It writes to parameters that the pruner holds, as `fit` finds them."""
    dense = toy.make_brain(tmp_path / "dense", epochs=1)
    dense.fit(dense.counter, toy.loader(), toy.loader(2))
    file = newest_checkpoint(tmp_path / "dense") / "model.ckpt"
    pruner = toy.make_pruner()
    brain = toy.make_brain(pruner=pruner, seed=7)
    pretrainer = Pretrainer(
        collect_in=tmp_path / "collected",
        loadables={"model": brain.modules.model},
        paths={"model": str(file)},
    )
    pretrainer.collect_files()
    pretrainer.load_collected()
    brain.fit(range(1), toy.loader(0), None)
    trained = dict(dense.modules.named_parameters())
    for target in pruner.targets:
        theta = pruner.switch.dense(target.name)
        assert torch.equal(theta, trained[target.name])
        assert (target.parameter == 0).any()


HYPERPARAMS = """
fbank: !new:speechbrain.lobes.features.Fbank
  n_mels: 20
model: !new:speechbrain.nnet.containers.Sequential
  input_shape: [null, null, 20]
  linear: !name:speechbrain.nnet.linear.Linear
    n_neurons: 16
  act: !new:torch.nn.LeakyReLU
  ctc_lin: !name:speechbrain.nnet.linear.Linear
    n_neurons: 4
encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
  fbank: !ref <fbank>
  model: !ref <model>
modules:
  encoder: !ref <encoder>
tokenizer: !new:speechbrain.dataio.encoder.CTCTextEncoder
decoding_function: !name:speechbrain.decoders.ctc_greedy_decode
  blank_id: 0
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
  loadables:
    model: !ref <model>
    tokenizer: !ref <tokenizer>
"""
STOCK = """
import sys
sys.modules["leanbrain"] = None
import torch
from speechbrain.inference.ASR import EncoderASR
asr = EncoderASR.from_hparams(source="served", savedir="cache")
saved = torch.load("io.pt")
words, tokens = asr.transcribe_batch(saved["wavs"], saved["lengths"])
torch.save(
    {
        "encoded": asr.encode_batch(saved["wavs"], saved["lengths"]),
        "weight": asr.mods.encoder.model.linear.w.weight,
        "words": words,
    },
    "found.pt",
)
"""


class Recogniser(sb.Brain):
    """Trains what `from_hparams` serves afterwards."""

    def compute_forward(self, batch, stage):
        return self.modules.encoder(*batch)

    def compute_objectives(self, predictions, batch, stage):
        return predictions.pow(2).mean()


def test_from_hparams_without_the_plugin(toy, tmp_path):
    """`EncoderASR` of a process that cannot import leanbrain."""
    hparams = load_yaml(HYPERPARAMS)
    pruner = toy.make_pruner(
        pathways=["all"], total_steps=4, interval=1, exclude=None
    )
    brain = Recogniser(
        modules=hparams["modules"],
        opt_class=torch.optim.Adam,
        run_opts={"noprogressbar": True},
    )
    pruner.attach(brain)
    generator = torch.Generator().manual_seed(0)
    wavs = torch.randn(2, 3200, generator=generator)
    lengths = torch.tensor([1.0, 0.5])
    data = [(wavs, lengths)] * 4
    loader = torch.utils.data.DataLoader(
        data, batch_size=None, collate_fn=toy.identity
    )
    brain.fit(range(1, 2), loader)
    assert [t.name for t in pruner.targets] == ["encoder.model.linear.w.weight"]
    served = tmp_path / "served"
    served.mkdir()
    (served / "hyperparams.yaml").write_text(HYPERPARAMS)
    torch.save(hparams["model"].state_dict(), served / "model.ckpt")
    hparams["tokenizer"].update_from_iterable("abc", sequence_input=False)
    hparams["tokenizer"].insert_blank(index=0)
    hparams["tokenizer"].save(served / "tokenizer.ckpt")
    torch.save({"wavs": wavs, "lengths": lengths}, tmp_path / "io.pt")
    done = subprocess.run(
        [sys.executable, "-c", STOCK],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = torch.load(tmp_path / "found.pt")
    weight = pruner.targets[0].parameter
    assert torch.equal(found["weight"], weight)
    assert int((found["weight"] == 0).sum()) == round(0.7 * weight.numel())
    brain.modules.eval()
    with torch.no_grad():
        expected = brain.modules.encoder(wavs, lengths)
    # Sums may differ in the last bit with the alignment of the memory.
    torch.testing.assert_close(found["encoded"], expected)
    asr = EncoderASR(hparams["modules"], hparams)
    assert found["words"] == asr.transcribe_batch(wavs, lengths)[0]
