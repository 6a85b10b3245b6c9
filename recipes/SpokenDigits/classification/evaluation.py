"""Error rates per condition, and the result file that tables are made of."""

import time
from contextlib import contextmanager
from pathlib import Path

from speechbrain.utils.distributed import if_main_process

from leanbrain.files import read_json, write_json
from leanbrain.provenance import commit, host_facts, versions


class Errors:
    """Counts classification errors of batches, per language and in all."""

    def __init__(self):
        self.counts = {}

    def append(self, batch, classes):
        """Adds a batch.

        Arguments
        ---------
        batch : PaddedBatch
            With digit and lang.
        classes : torch.Tensor
            Recognised digits [B].
        """
        for lang, digit, got in zip(
            batch.lang, batch.digit, classes.tolist(), strict=True
        ):
            wrong, count = self.counts.get(lang, (0, 0))
            self.counts[lang] = (wrong + int(got != digit), count + 1)

    def percent(self):
        """Share of all utterances that were not recognised, in percent."""
        wrong, count = map(sum, zip(*self.counts.values(), strict=True))
        return 100.0 * wrong / count

    def percent_by_language(self):
        """The same for each language."""
        return {
            lang: 100.0 * wrong / count
            for lang, (wrong, count) in sorted(self.counts.items())
        }


class Stopwatch:
    """Seconds of the parts of a run, summed over interruptions.

    Arguments
    ---------
    path : path
        Where the seconds of earlier starts are kept.
    """

    def __init__(self, path):
        self.path = Path(path)

    def seconds(self):
        """Part -> seconds so far."""
        return read_json(self.path) if self.path.exists() else {}

    @contextmanager
    def running(self, part):
        """Adds the time that the block takes, also where it is stopped."""
        started = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - started
            if if_main_process():
                known = self.seconds()
                known[part] = known.get(part, 0) + spent
                write_json(self.path, known)


def count_parameters(modules):
    """Numbers that are trained in some modules."""
    return sum(
        p.numel() for m in modules for p in m.parameters() if p.requires_grad
    )


def mean_by_level(errors):
    """Mean over the colours of noise: {"clean": x, "20": y} and so on."""
    levels = {}
    for condition, percent in errors.items():
        levels.setdefault(condition.rpartition("_")[2], []).append(percent)
    return {level: sum(x) / len(x) for level, x in levels.items()}


def write_result(hparams, facts):
    """Writes <output_folder>/result.json.

    Arguments
    ---------
    hparams : dict
        The loaded YAML.
    facts : dict
        What was measured.
    """
    if not if_main_process():
        return
    folder = Path(hparams["output_folder"])
    result = {
        **facts,
        "front_end": hparams["front_end"],
        "train_share": hparams["train_share"],
        "seed": hparams["seed"],
        "host": host_facts(),
        "versions": versions(),
        "commit": commit(__file__),
        "hparams": (folder / "hyperparams.yaml").read_text(encoding="utf-8"),
    }
    write_json(folder / "result.json", result)
