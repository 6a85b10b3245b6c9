"""Data preparation: manifests of the recipe from a folder of manifests.

The folder holds train.csv, valid.csv and test.csv with the columns ID,
duration, wav, lang, spk_id, wrd: real speech, or the synthetic corpus of
``leanbrain.dataio.synthesis``.
"""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError, check_known
from leanbrain.dataio.manifests import (
    SPLITS,
    check_audio,
    find_data_root,
    read_manifest,
    write_manifest,
)
from leanbrain.files import read_json, write_json

logger = logging.getLogger(__name__)

SUMMARY = "prepare.json"
Row = dict[str, Any]


def prepare_multilingual_prompts(
    data_folder: str | os.PathLike[str],
    save_folder: str | os.PathLike[str],
    languages: Sequence[str] | None = None,
    skip_prep: bool = False,
    subset: bool = False,
) -> dict[str, Any]:
    """Checks the data and writes train.csv, valid.csv and test.csv.

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

    Returns
    -------
    dict
        "languages" (sorted), "data_root", and per split "counts" (utterances)
        and "minutes", both by language.

    Raises
    ------
    UserError
        When a manifest or an audio file is missing or wrong, a language is
        not in the training data, or there is nothing to skip to.

    Example
    -------
    >>> prepare_multilingual_prompts("missing", "save")
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: The manifest missing/train.csv does not exist.
    """
    target = Path(save_folder)
    if skip_prep:
        return _prepared(target)["summary"]
    source = Path(data_folder)
    root = find_data_root(source / "train.csv")
    kept = _keep(source, languages, subset)
    check_audio(_resolved(kept, root))
    fingerprint = _fingerprint(kept, root)
    if _is_prepared(target, fingerprint):
        logger.info("The manifests in %s are up to date", target)
        return _prepared(target)["summary"]
    for split, rows in kept.items():
        write_manifest(target / f"{split}.csv", rows)
    summary = {
        "languages": sorted({row["lang"] for row in kept["train"]}),
        "data_root": str(root),
        "counts": {split: _count(rows) for split, rows in kept.items()},
        "minutes": {split: _minutes(rows) for split, rows in kept.items()},
    }
    # Last: its presence says that the manifests are complete.
    write_json(
        target / SUMMARY, {"fingerprint": fingerprint, "summary": summary}
    )
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
    if isinstance(languages, str) or not languages:
        raise UserError(
            "`languages` must be a list of at least one name (or null for "
            f"all), got {languages!r}."
        )
    return [check_known("languages", name, present) for name in languages]


def _resolved(kept: dict[str, list[Row]], root: Path) -> dict[str, Row]:
    """Returns the rows of all splits with absolute audio paths."""
    return {
        f"{split}/{row['ID']}": {
            **row,
            "wav": row["wav"].replace("{data_root}", str(root)),
        }
        for split, rows in kept.items()
        for row in rows
    }


def _fingerprint(kept: dict[str, list[Row]], root: Path) -> str:
    """Returns a hash of all that the prepared manifests depend on."""
    text = json.dumps([str(root), kept], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_prepared(target: Path, fingerprint: str) -> bool:
    """Tells whether an earlier run left the same manifests."""
    files = [f"{split}.csv" for split in SPLITS] + [SUMMARY]
    if not all((target / name).is_file() for name in files):
        return False
    return read_json(target / SUMMARY)["fingerprint"] == fingerprint


def _prepared(target: Path) -> dict[str, Any]:
    """Returns what an earlier run noted down."""
    if not (target / SUMMARY).is_file():
        raise UserError(
            "`skip_prep` must be False at the first run, "
            f"got no {target / SUMMARY}."
        )
    return read_json(target / SUMMARY)


def _count(rows: list[Row]) -> dict[str, int]:
    """Counts utterances by language."""
    return dict(sorted(Counter(row["lang"] for row in rows).items()))


def _minutes(rows: list[Row]) -> dict[str, float]:
    """Adds up durations by language."""
    total: dict[str, float] = dict.fromkeys(_count(rows), 0.0)
    for row in rows:
        total[row["lang"]] += row["duration"] / 60
    return {language: round(value, 2) for language, value in total.items()}
