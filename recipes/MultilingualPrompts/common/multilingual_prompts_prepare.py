"""Data preparation: manifests of the recipe from a folder of manifests.

The folder holds train.csv, valid.csv and test.csv with the columns ID,
duration, wav, lang, spk_id, wrd: real speech, or the synthetic corpus of
``leanbrain.dataio.synthesis``.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError, check_known, check_names
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


def prepare_multilingual_prompts(
    data_folder: str | os.PathLike[str],
    save_folder: str | os.PathLike[str],
    languages: Sequence[str] | None = None,
    skip_prep: bool = False,
    subset: bool = False,
    sample_rate: int = 8000,
    frame_s: float | None = 0.04,
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
    languages : Sequence[str]
        Keep only these; None keeps all.
    skip_prep : bool
        Use what an earlier run prepared, without a look at the data.
    subset : bool
        Whether `languages` may leave out some that the manifests hold.
    sample_rate : int
        Of the recogniser, in Hz: other audio is resampled when it is read.
    frame_s : float or None
        Seconds from one output frame of a recogniser that learns characters
        by CTC to the next; None: it learns otherwise.

    Returns
    -------
    dict
        "languages" (sorted), "data_root", and per split "counts" (utterances)
        and "minutes", both by language.

    Raises
    ------
    UserError
        When a manifest or an audio file is missing or wrong, the two do not
        agree, a language is not in the training data, or there is nothing to
        skip to.

    Example
    -------
    >>> prepare_multilingual_prompts("missing", "save")
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: The file missing/train.csv does not exist.
    """
    target = Path(save_folder)
    if skip_prep:
        return earlier_summary(target)
    source = Path(data_folder)
    root = find_data_root(source / "train.csv")
    checked = check_splits(
        _keep(source, languages, subset), root, target, sample_rate, frame_s
    )
    kept = checked.splits
    if was_prepared(target, checked.fingerprint):
        logger.info("The manifests in %s are up to date", target)
        return earlier_summary(target)
    for split, rows in kept.items():
        write_manifest(target / f"{split}.csv", rows)
    summary = {
        "languages": sorted({row["lang"] for row in kept["train"]}),
        "data_root": str(root),
        "counts": {
            split: count_by_language(rows) for split, rows in kept.items()
        },
        "minutes": {split: _minutes(rows) for split, rows in kept.items()},
    }
    note_prepared(target, checked.fingerprint, summary)  # last
    logger.info("Prepared %s: utterances %s", target, summary["counts"])
    return summary


def _keep(
    source: Path, languages: Sequence[str] | None, subset: bool
) -> dict[str, list[Row]]:
    """Reads the manifests; returns the rows of some languages, by ID."""
    found = {split: read_manifest(source / f"{split}.csv") for split in SPLITS}
    present = sorted(
        {row["lang"] for rows in found.values() for row in rows.values()}
    )
    wanted = _check_languages(languages, present)
    other = [name for name in present if name not in wanted]
    if other and not subset:
        raise UserError(
            "`languages` must name every language of the manifests, each has "
            f"a pathway (or set `subset` to True), got {', '.join(other)} in "
            f"{source} beside {', '.join(wanted)}."
        )
    kept = {
        split: [row for _, row in sorted(rows.items()) if row["lang"] in wanted]
        for split, rows in found.items()
    }
    for language in wanted:
        for split, rows in kept.items():
            if all(row["lang"] != language for row in rows):
                raise UserError(
                    f"every language must be in each of {', '.join(SPLITS)}, "
                    f"got no {language!r} in {source / split}.csv."
                )
    return kept


def _check_languages(
    languages: Sequence[str] | None, present: list[str]
) -> list[str]:
    """Returns the languages to keep."""
    if languages is None:
        return present
    names = check_names("languages", languages)
    return [check_known("languages", name, present) for name in names]


def _minutes(rows: list[Row]) -> dict[str, float]:
    """Adds up durations by language."""
    total: dict[str, float] = dict.fromkeys(count_by_language(rows), 0.0)
    for row in rows:
        total[row["lang"]] += row["duration"] / 60
    return {language: round(value, 2) for language, value in total.items()}
