"""Builds the modules of a recipe's YAML, and nothing else of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from leanbrain.checks import UserError
from leanbrain.hyperyaml import load_yaml, write_tagged
from leanbrain.recipes.isolation import no_network, uninitialised
from leanbrain.recipes.reasons import NOT_GIVEN, looks_like_path, why_not
from leanbrain.recipes.saved import unsaved_modules
from leanbrain.recipes.tree import (
    needed,
    open_keys,
    override,
    read_tree,
)

__all__ = ["BuiltModules", "build_modules"]

MODULES = "modules"


@dataclass(frozen=True)
class BuiltModules:
    """What became of the modules of a recipe.

    Arguments
    ---------
    modules : dict
        Name -> module, on the CPU, weights without meaning.
    failed : dict
        Name -> why it could not be built, in a few words.
    unsaved : frozenset
        Names of those that no checkpoint would hold.
    """

    modules: dict[str, nn.Module]
    failed: dict[str, str]
    unsaved: frozenset[str] = frozenset()

    def is_unsaved(self, parameter: nn.Parameter) -> bool:
        """Whether no module that is saved has a parameter."""
        return not any(
            parameter is own
            for name, module in self.modules.items()
            if name not in self.unsaved
            for own in module.parameters()
        )


def build_modules(
    yaml_file: str | os.PathLike[str],
    overrides: Mapping[str, Any] | None = None,
) -> BuiltModules:
    """Builds what a Brain of the recipe would get as its modules.

    Of the file, only `modules` and what it refers to is loaded: no folder, no
    logger, no dataset and no checkpointer is made. Weights are not drawn, and
    nothing is downloaded; models that lie on the disk are loaded.

    Arguments
    ---------
    yaml_file : path
        A recipe's YAML.
    overrides : mapping, optional
        Key of the file -> value, as on the command line of the recipe.

    Returns
    -------
    BuiltModules
        In the order of the file. Modules that share something still do.

    Raises
    ------
    UserError
        If the file is no recipe, has no such key, or has placeholders that
        the modules need; those that look like paths may stay.

    Example
    -------
    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> file = Path(folder.name) / "recipe.yaml"
    >>> written = file.write_text(
    ...     "data: !PLACEHOLDER\\nsize: 3\\nmodules:\\n"
    ...     "    enc: !new:torch.nn.Linear [4, !ref <size>]\\n"
    ... )
    >>> build_modules(file, {"size": 2}).modules
    {'enc': Linear(in_features=4, out_features=2, bias=True)}
    >>> folder.cleanup()
    """
    tree = read_tree(yaml_file)
    override(tree, overrides or {})
    if MODULES not in tree:
        raise UserError(
            f"The recipe {yaml_file} must have the key `{MODULES}`: what its "
            "Brain trains."
        )
    _close(tree, yaml_file)
    with _surroundings(Path(yaml_file)):
        try:
            built = _sorted_out(_load(tree, yaml_file), {})
        except Exception as error:
            built = _build_parts(tree, yaml_file, error)
    return replace(built, unsaved=unsaved_modules(tree, MODULES))


def _close(tree: Any, file: str | os.PathLike[str]) -> None:
    """Puts something in for placeholders that are paths; asks for others."""
    keys = open_keys(tree, needed(tree, MODULES))
    missing = [key for key in keys if not looks_like_path(key)]
    if missing:
        named = ", ".join(f"`{key}`" for key in missing)
        advice = " ".join(f"--{key}=.." for key in missing)
        raise UserError(
            f"The modules of {file} need a value for {named}, got none; give "
            f"{advice}"
        )
    for key in keys:
        tree[key] = f"{key}{NOT_GIVEN}"


def _build_parts(
    tree: Any, file: str | os.PathLike[str], error: Exception
) -> BuiltModules:
    """Builds what can be built of modules that cannot be built together."""
    names = list(tree[MODULES]) if isinstance(tree[MODULES], Mapping) else []
    failed: dict[str, str] = {}
    for name in names:
        part = _part(tree, [name])
        try:
            _load(part, file)
        except Exception as own:
            failed[name] = why_not(own, part, MODULES)
    if not failed:
        reason = why_not(error, tree, MODULES)
        raise UserError(
            f"The modules of {file} cannot be built: {reason}."
        ) from error
    # Together: what is shared is to be built once.
    rest = [name for name in names if name not in failed]
    found = _load(_part(tree, rest), file) if rest else {}
    return _sorted_out(found, failed)


def _part(tree: Any, names: Sequence[str]) -> Any:
    """Returns a tree with some of the modules."""
    from ruamel.yaml.comments import CommentedMap

    part = CommentedMap(tree)
    part[MODULES] = CommentedMap((name, tree[MODULES][name]) for name in names)
    return part


def _load(tree: Any, file: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Loads the modules of a tree."""
    from ruamel.yaml.comments import CommentedMap

    keys = needed(tree, MODULES)
    pruned = CommentedMap((key, tree[key]) for key in keys)
    with uninitialised():
        found = load_yaml(write_tagged(pruned, file))[MODULES]
    if isinstance(found, nn.ModuleDict):
        return dict(found.items())
    if not isinstance(found, Mapping):
        raise UserError(
            f"`{MODULES}` must be modules by name, got {type(found).__name__}"
        )
    return found


def _sorted_out(
    found: Mapping[str, Any], failed: Mapping[str, str]
) -> BuiltModules:
    """Tells modules from whatever else stands among them."""
    # A Brain takes null for a module that is not there.
    found = {n: value for n, value in found.items() if value is not None}
    strange = {
        name: f"is no module but {type(value).__name__}"
        for name, value in found.items()
        if not isinstance(value, nn.Module)
    }
    modules = {n: m for n, m in found.items() if n not in strange}
    return BuiltModules(modules, {**failed, **strange})


@contextmanager
def _surroundings(file: Path) -> Iterator[None]:
    """As if the recipe's script ran, but without network and output."""
    before = list(sys.path)
    folder = file.resolve().parent
    # The script stands beside the YAML or above its folder.
    sys.path[:0] = [str(folder.parent), str(folder)]
    try:
        with no_network(), redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path[:] = before
