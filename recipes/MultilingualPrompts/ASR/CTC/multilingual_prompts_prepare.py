"""Data preparation: manifests of the recipe from a folder of manifests.

The folder holds train.csv, valid.csv and test.csv with the columns ID,
duration, wav, lang, spk_id, wrd: real speech, or the synthetic corpus of
``leanbrain.dataio.synthesis``.
"""

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError, check_known
from leanbrain.dataio.manifests import (
    SPLITS,
    Rows,
    check_audio,
    find_data_root,
    read_manifest,
    write_manifest,
)
from leanbrain.files import read_json, write_json

logger = logging.getLogger(__name__)

SUMMARY = "prepare.json"


def prepare_multilingual_prompts(
    data_folder: str | os.PathLike[str],
    save_folder: str | os.PathLike[str],
    languages: Sequence[str] | None = None,
    skip_prep: bool = False,
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
    >>> summary = prepare_multilingual_prompts("prompts", "save")  # doctest: +SKIP
    >>> summary["counts"]["train"]  # doctest: +SKIP
    {'de': 414, 'en': 901, 'es': 244, 'ru': 240, 'uk': 297}
    """
    source, target = Path(data_folder), Path(save_folder)
    if skip_prep:
        _check_prepared(target)
        return read_json(target / SUMMARY)["summary"]
    root = find_data_root(source / "train.csv")
    data = {split: read_manifest(source / f"{split}.csv") for split in SPLITS}
    fingerprint = _fingerprint(source, root, languages)
    summary = _select(data, languages, root)
    for split in SPLITS:
        check_audio(read_manifest)
    return summary
