"""Finds what is wrong with a suite before anything of it is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError, check_known
from leanbrain.dataio.manifests import read_manifest
from leanbrain.digests.yaml_files import keys_of
from leanbrain.pruning.comparison.cells import Site
from leanbrain.pruning.comparison.method import Method
from leanbrain.pruning.comparison.suite import Suite
from leanbrain.pruning.methods import load_method
from leanbrain.shipped import find_yaml

__all__ = ["check_plan"]

_SPARSITY = 0.5  # of methods that only give masks to others


def check_plan(suite: Suite, site: Site) -> list[str]:
    """Compares a suite with the data, the recipe and the methods' files.

    Arguments
    ---------
    suite : Suite
        What is to be compared.
    site : Site
        Where everything lies.

    Returns
    -------
    list
        The languages of the data.

    Raises
    ------
    UserError
        If the data lack a language, if the recipe or a method has no such
        key, if a method cannot be built, or if it cannot begin with the masks
        that it is given.
    """
    rows = read_manifest(site.data / "train.csv").values()
    spoken = sorted({str(row["lang"]) for row in rows})
    for language in suite.languages:
        check_known("languages", language, spoken)
    dense = site.recipe / "hparams" / "dense.yaml"
    _check_keys("start", suite.start, dense)
    _check_keys("zero_shot", suite.zero_shot or {}, dense)
    entry = site.recipe / "hparams" / "pruned.yaml"
    _check_keys("overrides", suite.overrides, entry)
    for method in suite.methods:
        _check_keys(f"overrides of {method.name}", method.overrides, entry)
        _check_method(suite, site, method)
    return spoken


def _check_keys(name: str, options: Mapping[str, Any], file: Path) -> None:
    """Looks for options that an entry file has not."""
    known = keys_of(file) if options else []
    for key in options:
        check_known(name, key, known)


def _check_method(suite: Suite, site: Site, method: Method) -> None:
    """Builds a method as its runs will; at each sparsity if that matters."""
    source = method.masks_from
    sparsities = list(method.sparsities) or [_SPARSITY]
    for sparsity in sparsities if source else sparsities[:1]:
        pruner = _built(suite, site, method, sparsity)
        if source is None or pruner is None:
            continue
        given = sparsity if source.sparsity is None else source.sparsity
        wanted = float(pruner.plan.schedule(0.0))
        if abs(given - wanted) > 1e-9:
            raise UserError(
                f"`masks_from.sparsity` of {method.name} must be {wanted:g}, "
                f"with which it begins at a sparsity of {sparsity:g}, got "
                f"{given:g}."
            )


def _built(suite: Suite, site: Site, method: Method, sparsity: float) -> Any:
    """The pruner of a run; masks are not looked at yet."""
    languages = list(suite.languages)
    if method.per_language:
        languages = languages[:1]
    given: dict[str, Any] = {
        "total_steps": suite.steps.scaled(method.budget).total,
        "pathways": languages,
        "sparsity": sparsity,
    }
    if method.masks_from is not None:
        given["initial_masks"] = dict.fromkeys(languages, "masks.pt")
    try:
        file = find_yaml("pruning", method.file, site.methods)
        return load_method(file, **{**given, **method.settings})["pruner"]
    except UserError as error:
        raise UserError(f"{error} (the suite's method {method.name})") from None
    # What a value of a wrong kind breaks.
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        if not method.settings:
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"`settings` of {method.name} must be such that {file.name} can be "
            f"built, got {dict(method.settings)} ({reason})."
        ) from error
