"""Data preparation: manifests of spoken digits from a folder of manifests.

The folder holds train.csv, valid.csv and test.csv with the columns ID,
duration, wav, lang, spk_id, wrd, digit: real speech, or the synthetic digits
of ``leanbrain.dataio.digits``.
"""

import logging
import os
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError
from leanbrain.dataio.digits import DIGIT_COLUMNS, DIGITS
from leanbrain.dataio.manifests import (
    SPLITS,
    find_data_root,
    read_manifest,
    write_manifest,
)
from leanbrain.dataio.preparation import (
    Row,
    check_splits,
    count_by_language,
    earlier_summary,
    note_prepared,
    was_prepared,
)

logger = logging.getLogger(__name__)


def prepare_spoken_digits(
    data_folder: str | os.PathLike[str],
    save_folder: str | os.PathLike[str],
    sample_rate: int = 8000,
    skip_prep: bool = False,
) -> dict[str, Any]:
    """Checks the data and writes train.csv, valid.csv and test.csv.

    All audio is read once and compared with the manifests; what is found is
    in findings.csv beside the prepared manifests.

    Arguments
    ---------
    data_folder : path
        Holds train.csv, valid.csv and test.csv; `{data_root}` in them stands
        for this folder or the one above.
    save_folder : path
        Where the prepared manifests go, sorted by ID. `{data_root}` stays in
        them: replace it by the "data_root" that is returned.
    sample_rate : int
        Of the model, in Hz: other audio is resampled when it is read.
    skip_prep : bool
        Use what an earlier run prepared, without a look at the data.

    Returns
    -------
    dict
        "data_root", and per split "counts" (utterances by language), "minutes"
        and "speakers" (how many).

    Raises
    ------
    UserError
        When a manifest or an audio file is missing or wrong, the two do not
        agree, a digit is none or not in the training data, a speaker has no
        name or is in more than one split, or there is nothing to skip to.

    Example
    -------
    >>> prepare_spoken_digits("missing", "save")
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: The file missing/train.csv does not exist.
    """
    target = Path(save_folder)
    if skip_prep:
        return earlier_summary(target)
    source = Path(data_folder)
    found = {split: _read(source / f"{split}.csv") for split in SPLITS}
    _check_training_digits(found["train"], source / "train.csv")
    _check_speakers(found, source)
    root = find_data_root(source / "train.csv")
    checked = check_splits(found, root, target, sample_rate)
    found = checked.splits
    if was_prepared(target, checked.fingerprint):
        logger.info("The manifests in %s are up to date", target)
        return earlier_summary(target)
    for split, rows in found.items():
        write_manifest(target / f"{split}.csv", rows, DIGIT_COLUMNS)
    summary = {
        "data_root": str(root),
        "counts": {
            split: count_by_language(rows) for split, rows in found.items()
        },
        "minutes": {split: _minutes(rows) for split, rows in found.items()},
        "speakers": {split: len(_speakers(r)) for split, r in found.items()},
    }
    note_prepared(target, checked.fingerprint, summary)  # last
    logger.info("Prepared %s: utterances %s", target, summary["counts"])
    return summary


def _read(path: Path) -> list[Row]:
    """Reads a manifest; returns its rows by ID, the digit as a number."""
    rows = [row for _, row in sorted(read_manifest(path).items())]
    for row in rows:
        where = f"at ID {row['ID']!r} in {path}"
        if not row["spk_id"]:
            raise UserError(f"`spk_id` must not be empty, got {where}.")
        known = [str(number) for number in range(len(DIGITS))]
        if row.get("digit") not in known:
            raise UserError(
                "`digit` must be a number from 0 to 9, got "
                f"{row.get('digit')!r} {where}."
            )
    return [{**row, "digit": int(row["digit"])} for row in rows]


def _check_training_digits(rows: list[Row], path: Path) -> None:
    """Every class needs something to learn from."""
    absent = set(range(len(DIGITS))) - {row["digit"] for row in rows}
    if absent:
        raise UserError(
            f"every digit must be in the training data, got no {min(absent)} "
            f"in {path}."
        )


def _check_speakers(found: dict[str, list[Row]], source: Path) -> None:
    """No speaker may be in two splits: test must be of unheard voices."""
    for one, other in (
        ("train", "valid"),
        ("train", "test"),
        ("valid", "test"),
    ):
        both = sorted(_speakers(found[one]) & _speakers(found[other]))
        if both:
            raise UserError(
                f"the speakers of {one} and {other} must be disjoint, got "
                f"{', '.join(both[:3])} in both of {source}."
            )


def _speakers(rows: list[Row]) -> set[str]:
    """Names of the speakers."""
    return {row["spk_id"] for row in rows}


def _minutes(rows: list[Row]) -> float:
    """Adds up durations."""
    return round(sum(row["duration"] for row in rows) / 60, 2)
