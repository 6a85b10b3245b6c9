"""Step time and memory of training with pathways, against a dense step.

Two Brains with the recipe's model and the same batches, one of them pruned
into four pathways, take turns step by step, so that a change of the machine's
speed meets both. Printed: the ratio of each pair, its median and quartiles,
and the bytes that the pruner holds beyond the model.

Run: python tests/benchmarks/bench_step.py --json out.json
"""

import argparse
import json
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import speechbrain as sb
import torch
from smoke import read_options

from leanbrain.hyperyaml import load_yaml
from leanbrain.provenance import commit, host_facts, versions

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "MultilingualPrompts" / "ASR" / "CTC"
LANGUAGES = ["en", "fr", "it", "nl"]


class Encoder:
    """Stands for the label encoder: the number of characters, the blank."""

    def __len__(self):
        return 60

    def get_blank_index(self):
        return 0


def load(pruned, options):
    """The recipe's own Brain, dense or with the adaptive pruner."""
    sys.path.insert(0, str(RECIPE))
    from train import ASR

    overrides = {
        "number_of_epochs": 1,
        "batches_per_epoch": options.steps,
        "lstm_neurons": options.neurons,
    }
    name = "pathways.yaml" if pruned else "dense.yaml"
    if pruned:
        overrides["dense_checkpoint"] = "none"
    with open(RECIPE / "hparams" / name, encoding="utf-8") as stream:
        hparams = load_yaml(stream, overrides)
    torch.manual_seed(0)
    brain = ASR(
        hparams["modules"],
        hparams["opt_class"],
        hparams,
        run_opts={"noprogressbar": True},
    )
    brain.label_encoder = Encoder()
    brain.nonfinite_count = 0
    hparams["monitor"] = brain.hparams.monitor = Silent()
    if pruned:
        hparams["pruner"].attach(brain)
    brain.init_optimizers()
    brain.modules.train()
    brain.on_stage_start(sb.Stage.TRAIN, 1)
    return brain, hparams["pruner"]


class Silent:
    """A monitor that records nothing: both sides are free of it."""

    def note_loss(self, *_):
        """Ignores a loss."""


def make_batch(language, generator, seconds, count=12):
    """Noise in place of speech, in the form of a PaddedBatch."""
    samples = int(seconds * 8000)
    wavs = 0.1 * torch.randn(count, samples, generator=generator)
    tokens = torch.randint(
        1, 60, (count, int(12 * seconds)), generator=generator
    )
    lens = torch.linspace(0.8, 1.0, count)
    return Batch(
        id=[str(i) for i in range(count)],
        sig=(wavs, lens),
        tokens=(tokens, torch.ones(count)),
        lang=[language] * count,
    )


class Batch:
    """Attributes and `to`, as the Brain wants them."""

    def __init__(self, **items):
        self.__dict__.update(items)

    def to(self, device):
        """Nothing to move."""
        return self


def one_step(brain, batch):
    """Wall seconds of one optimizer step."""
    start = time.perf_counter()
    brain.step += 1
    brain.fit_batch(batch)
    return time.perf_counter() - start


def tensors_of(thing, seen):
    """All tensors that an object holds, through plain containers."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if torch.is_tensor(thing):
        yield thing
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from tensors_of(value, seen)
    elif isinstance(thing, list | tuple | set):
        for value in thing:
            yield from tensors_of(value, seen)
    elif type(thing).__module__.startswith("leanbrain."):
        for value in vars(thing).values():
            yield from tensors_of(value, seen)
        for slot in getattr(type(thing), "__slots__", ()):
            yield from tensors_of(getattr(thing, slot, None), seen)


def extra_bytes(pruner):
    """Bytes that the pruner holds beyond the parameters themselves."""
    own = {t.parameter.untyped_storage().data_ptr() for t in pruner.targets}
    storages = {}
    for tensor in tensors_of(pruner, set()):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def measure(options):
    """Pairs of step times, and the largest extra memory."""
    steps = options.steps
    dense, _ = load(False, options)
    pruned, pruner = load(True, options)
    generator = torch.Generator().manual_seed(1)
    pairs, extra = [], 0
    for i in range(steps):
        batch = make_batch(LANGUAGES[i % 4], generator, options.batch_s)
        sides = [partial(one_step, dense), partial(one_step, pruned)]
        times = {}
        for k in (0, 1) if i % 2 else (1, 0):
            torch.manual_seed(i)
            times[k] = sides[k](batch)
        extra = max(extra, extra_bytes(pruner))
        if i >= 5:  # warm-up
            pairs.append((times[0], times[1]))
    return pairs, extra, pruner


def main():
    """Prints the figures and keeps them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--neurons", type=int, default=192, help="of the LSTM")
    parser.add_argument("--batch_s", type=float, default=2.5, help="of speech")
    parser.add_argument("--json")
    options = read_options(parser, steps=8, neurons=8, batch_s=0.5, threads=1)
    torch.set_num_threads(options.threads)
    pairs, extra, pruner = measure(options)
    ratios = sorted(p / d for d, p in pairs)
    weights = sum(t.parameter.numel() * 4 for t in pruner.targets)
    masks = sum(
        pruner.masks.packed(p, t.name).numel()
        for p in pruner.pathways
        for t in pruner.targets
    )
    quartiles = statistics.quantiles(ratios, n=4)
    result = {
        "benchmark": "step",
        "ratio_median": statistics.median(ratios),
        "ratio_quartiles": [quartiles[0], quartiles[2]],
        "dense_step_s": statistics.median(d for d, _ in pairs),
        "steps": len(pairs),
        "threads": options.threads,
        "pathways": len(pruner.pathways),
        "target_weights": weights // 4,
        "extra_memory_over_target_bytes": extra / weights,
        "mask_bits_per_weight_and_pathway": masks
        * 8
        / (weights // 4)
        / len(pruner.pathways),
        "goals": {"ratio_median": 1.05, "extra_memory": 1.5},
        "host": host_facts(),
        "versions": versions(),
        "commit": commit(__file__),
    }
    print(
        json.dumps(
            {k: v for k, v in result.items() if k != "versions"}, indent=1
        )
    )
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
