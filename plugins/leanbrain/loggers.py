"""Loggers for SpeechBrain recipes."""

from collections.abc import Iterable, Mapping
from typing import Any

from leanbrain._stats import flatten
from leanbrain.board import TensorBoardLogger
from leanbrain.checks import UserError

__all__ = ["FanOutLogger", "TensorBoardLogger"]


class FanOutLogger:
    """Passes statistics on to several loggers.

    Arguments
    ---------
    loggers : Iterable
        Objects with SpeechBrain's `log_stats`, called in this order.

    Example
    -------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from speechbrain.utils.train_logger import FileTrainLogger
    >>> folder = TemporaryDirectory()
    >>> text = FileTrainLogger(folder.name + "/train_log.txt")
    >>> FanOutLogger([text]).log_stats({"step": 1}, {"cer": {"en": 7.5}})
    >>> Path(folder.name, "train_log.txt").read_text()
    'step: 1 - train cer/en: 7.50\\n'
    >>> folder.cleanup()
    """

    def __init__(self, loggers: Iterable[Any]) -> None:
        self.loggers = list(loggers)
        if not self.loggers:
            raise UserError("`loggers` must hold at least one logger, got [].")
        for one in self.loggers:
            if not callable(getattr(one, "log_stats", None)):
                raise UserError(
                    "`loggers` must hold objects with a method log_stats, got "
                    f"{one!r}."
                )

    def log_stats(
        self,
        stats_meta: Mapping[str, Any],
        train_stats: Mapping[str, Any] | None = None,
        valid_stats: Mapping[str, Any] | None = None,
        test_stats: Mapping[str, Any] | None = None,
        verbose: bool | None = None,
    ) -> None:
        """Calls every logger; nested statistics are flattened for them.

        Arguments
        ---------
        stats_meta, train_stats, valid_stats, test_stats : Mapping | None
            As for SpeechBrain's loggers; {"cer": {"en": 7.5}} is passed on
            as {"cer/en": 7.5}.
        verbose : bool | None
            None leaves each logger its own default.
        """
        stats = [
            None if x is None else dict(flatten(x))
            for x in (stats_meta, train_stats, valid_stats, test_stats)
        ]
        options = {} if verbose is None else {"verbose": verbose}
        for one in self.loggers:
            one.log_stats(*stats, **options)
