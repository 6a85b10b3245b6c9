"""A training script that knows nothing of LeanBrain.

python train.py train.yaml --output_folder <folder>
"""

import sys

import speechbrain as sb
import torch
from hyperpyyaml import load_hyperpyyaml


class Classifier(sb.Brain):
    """Which of two languages a sequence of frames is of."""

    def compute_forward(self, batch, stage):
        frames, _ = batch.to(self.device).frames
        states, _ = self.modules.encoder(frames)
        return self.modules.classifier(states[:, -1])

    def compute_objectives(self, predictions, batch, stage):
        return torch.nn.functional.cross_entropy(predictions, batch.label)

    def on_stage_start(self, stage, epoch=None):
        if stage == sb.Stage.TRAIN and epoch == self.hparams.fail_in_epoch:
            raise RuntimeError("the power failed")

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == sb.Stage.VALID:
            self.checkpointer.save_and_keep_only(
                meta={"loss": stage_loss}, min_keys=["loss"]
            )


def dataio_prepare(hparams):
    """Sixteen sequences, by turns of each language or four at a time."""
    turn = 1 if hparams["mixed_batches"] else hparams["batch_size"]
    data = {str(i): {"label": i // turn % 2} for i in range(16)}
    dataset = sb.dataio.dataset.DynamicItemDataset(data)

    @sb.utils.data_pipeline.takes("id", "label")
    @sb.utils.data_pipeline.provides("frames", "lang")
    def pipeline(name, label):
        noise = torch.Generator().manual_seed(int(name))
        shape = 10, hparams["features"]
        yield torch.randn(shape, generator=noise) + label
        yield ("en", "fr")[label]

    dataset.add_dynamic_item(pipeline)
    dataset.set_output_keys(["id", "frames", "label", "lang"])
    return dataset


if __name__ == "__main__":
    hparams_file, run_opts, overrides = sb.parse_arguments(sys.argv[1:])
    sb.utils.distributed.ddp_init_group(run_opts)
    with open(hparams_file, encoding="utf-8") as file:
        hparams = load_hyperpyyaml(file, overrides)
    data = dataio_prepare(hparams)
    brain = Classifier(
        hparams["modules"],
        hparams["opt_class"],
        hparams,
        run_opts,
        hparams["checkpointer"],
    )
    loading = {"batch_size": hparams["batch_size"]}
    brain.fit(
        hparams["epoch_counter"],
        data,
        data,
        train_loader_kwargs=loading,
        valid_loader_kwargs=loading,
    )
    brain.evaluate(data, min_key="loss", test_loader_kwargs=loading)
