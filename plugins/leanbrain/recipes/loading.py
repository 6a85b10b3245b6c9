"""A recipe's YAML, loaded; what its user did wrong is one sentence."""

from __future__ import annotations

import os
from typing import Any

from leanbrain.checks import UserError
from leanbrain.hyperyaml import load_yaml
from leanbrain.recipes.script_errors import what_script_lacks
from leanbrain.recipes.tree import read_tree

__all__ = ["load_recipe"]


def load_recipe(
    file: str | os.PathLike[str], overrides: str = ""
) -> dict[str, Any]:
    """Loads a recipe's YAML with overrides, as `load_hyperpyyaml` does.

    Arguments
    ---------
    file : path
        The YAML.
    overrides : str
        YAML of the keys to change, as `speechbrain.parse_arguments` has it.

    Returns
    -------
    dict
        Key -> what it was built to.

    Raises
    ------
    UserError
        If the file cannot be read, it or the overrides are no YAML (also
        when an override is given twice), an override names no key, or a key
        that must be given is not.

    Example
    -------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "train.yaml")
    ...     with open(path, "w", encoding="utf-8") as stream:
    ...         _ = stream.write("lr: 1.0")
    ...     load_recipe(path, "lr: 0.5")
    {'lr': 0.5}
    """
    from ruamel.yaml.error import MarkedYAMLError

    read_tree(file)
    with open(file, encoding="utf-8") as stream:
        try:
            return load_yaml(stream, overrides)
        except (KeyError, ValueError, OSError) as error:
            sentence = what_script_lacks(error, os.fspath(file))
            if sentence is None:
                raise
            raise UserError(sentence) from error
        except MarkedYAMLError as error:
            raise UserError(
                f"The recipe {file} and its command line must be YAML, got: "
                f"{error.problem}."
            ) from error
