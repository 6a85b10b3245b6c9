"""What samplers must know of a dataset, read without loading its audio."""

from __future__ import annotations

from typing import Any

from leanbrain.checks import UserError

__all__ = ["durations_and_languages"]


def durations_and_languages(dataset: Any) -> tuple[list[float], list[str]]:
    """Reads the columns `duration` and `lang` of a dataset's manifest.

    Arguments
    ---------
    dataset : DynamicItemDataset
        In its present order, filtered and sorted as it is.

    Returns
    -------
    tuple
        Seconds and language of each utterance, as `LanguageBatchSampler` and
        `evaluation_batches` take them.

    Raises
    ------
    UserError
        If an utterance lacks one of the columns, or its duration is no number.

    Example
    -------
    >>> from speechbrain.dataio.dataset import DynamicItemDataset
    >>> rows = {"u1": {"duration": 1.5, "lang": "en", "wav": "1.wav"}}
    >>> durations_and_languages(DynamicItemDataset(rows))
    ([1.5], ['en'])
    """
    durations, languages = [], []
    for name in dataset.data_ids:
        row = dataset.data[name]
        for column in ("duration", "lang"):
            if row.get(column) in (None, ""):
                raise UserError(
                    "Every utterance must have `duration` and `lang` in the "
                    f"manifest, got {name!r} without `{column}`."
                )
        try:
            durations.append(float(row["duration"]))
        except ValueError:
            raise UserError(
                f"`duration` must be seconds, got {row['duration']!r} of "
                f"{name!r}."
            ) from None
        languages.append(str(row["lang"]))
    return durations, languages
