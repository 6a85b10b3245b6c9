"""Error rates per language, and the result file that reports are made of."""

from pathlib import Path

from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.metric_stats import ErrorRateStats

from leanbrain.files import read_json, write_json
from leanbrain.provenance import commit, host_facts, versions


class ErrorRates:
    """Character and word error rates of decoded batches, per language."""

    def __init__(self):
        self.stats = {"cer": {}, "wer": {}}
        self.loss = {}

    def append(self, batch, texts, loss):
        """Adds a batch of one language.

        Arguments
        ---------
        batch : PaddedBatch
            With id, wrd and lang.
        texts : list of list of str
            Decoded characters of every utterance.
        loss : float
            Mean loss of the batch.
        """
        lang = batch.lang[0]
        for name in self.stats:
            self.stats[name].setdefault(lang, ErrorRateStats())
        spoken = ["".join(t) for t in texts]
        self.stats["cer"][lang].append(
            batch.id, [list(t) for t in spoken], [list(t) for t in batch.wrd]
        )
        self.stats["wer"][lang].append(
            batch.id,
            [t.split() for t in spoken],
            [t.split() for t in batch.wrd],
        )
        total, count = self.loss.get(lang, (0.0, 0))
        size = len(batch.id)
        self.loss[lang] = (total + loss * size, count + size)

    def summary(self):
        """Percentages: {"cer": {lang: x}, "wer": ..., "loss": ...}."""
        rates = {
            name: {
                lang: float(stats.summarize("WER"))
                for lang, stats in sorted(per_lang.items())
            }
            for name, per_lang in self.stats.items()
        }
        rates["loss"] = {
            lang: total / count
            for lang, (total, count) in sorted(self.loss.items())
        }
        return rates

    def mean_cer(self):
        """Mean over languages of the character error rate, in percent."""
        values = self.summary()["cer"].values()
        return sum(values) / len(values)


class Stopwatch:
    """Training seconds of a run, summed over interruptions.

    Arguments
    ---------
    path : path
        Where the seconds of earlier starts are kept.
    """

    def __init__(self, path):
        self.path = Path(path)

    def add(self, seconds):
        """Adds the seconds of this start; returns the sum."""
        if self.path.exists():
            seconds += read_json(self.path)["seconds"]
        if if_main_process():
            write_json(self.path, {"seconds": seconds})
        return seconds


def sparsity_of(pruner):
    """Share of the target weights that no forward pass of a pathway uses."""
    if pruner is None:
        return 0.0
    masks = pruner.masks
    densities = [masks.density(name) for name in masks.pathways]
    return 1.0 - sum(densities) / len(densities)


def union_sparsity_of(pruner):
    """Share of the target weights that no pathway uses: the checkpoint's."""
    return 0.0 if pruner is None else 1.0 - pruner.masks.union_density()


def write_result(hparams, rates, steps, seconds):
    """Writes <output_folder>/result.json.

    Arguments
    ---------
    hparams : dict
        The loaded YAML.
    rates : dict
        As ``ErrorRates.summary`` returns them, of the test set.
    steps : int
        Optimizer steps done.
    seconds : float
        Training time, validation included.
    """
    if not if_main_process():
        return
    folder = Path(hparams["output_folder"])
    result = {
        "sparsity": sparsity_of(hparams["pruner"]),
        "union_sparsity": union_sparsity_of(hparams["pruner"]),
        "steps": steps,
        "seconds": seconds,
        "cer": rates["cer"],
        "wer": rates["wer"],
        "mean_cer": sum(rates["cer"].values()) / len(rates["cer"]),
        "seed": hparams["seed"],
        "host": host_facts(),
        "versions": versions(),
        "commit": commit(__file__),
        "hparams": (folder / "hyperparams.yaml").read_text(encoding="utf-8"),
    }
    write_json(folder / "result.json", result)
