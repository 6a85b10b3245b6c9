"""Error rates per language and utterance, and the time that training took."""

from pathlib import Path

from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.metric_stats import ErrorRateStats

from leanbrain.files import read_json, write_json


class ErrorRates:
    """Character and word error rates of decoded batches, per language."""

    def __init__(self):
        self.stats = {"cer": {}, "wer": {}}
        self.loss = {}

    def append(self, batch, texts, wanted, loss):
        """Adds a batch of one language.

        Arguments
        ---------
        batch : PaddedBatch
            With id and lang.
        texts : list of str
            What was decoded of every utterance.
        wanted : list of str
            What was said.
        loss : float
            Mean loss of the batch.
        """
        lang = batch.lang[0]
        for name in self.stats:
            self.stats[name].setdefault(lang, ErrorRateStats())
        self.stats["cer"][lang].append(
            batch.id, [list(t) for t in texts], [list(t) for t in wanted]
        )
        self.stats["wer"][lang].append(
            batch.id, [t.split() for t in texts], [t.split() for t in wanted]
        )
        total, count = self.loss.get(lang, (0.0, 0))
        size = len(batch.id)
        self.loss[lang] = (total + loss * size, count + size)

    def summary(self):
        """Percentages: {"cer": {lang: x}}, also "wer" and "loss"."""
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

    def utterances(self):
        """{lang: {utterance: [character edits, reference characters]}}."""
        return {
            lang: {
                score["key"]: [score["num_edits"], score["num_ref_tokens"]]
                for score in stats.scores
            }
            for lang, stats in sorted(self.stats["cer"].items())
        }


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
        """Adds the seconds of this start; returns the sum.

        Only the main process knows those of earlier starts: another one might
        find this start among them already.
        """
        if not if_main_process():
            return seconds
        if self.path.exists():
            seconds += read_json(self.path)["seconds"]
        write_json(self.path, {"seconds": seconds})
        return seconds
