"""What a recipe's script says when its YAML and command line do not fit."""

from __future__ import annotations

import errno
import re

from leanbrain.recipes.tree import no_such_key

__all__ = ["what_script_lacks"]

# What the system says to who may not write there, or not any more.
_REFUSED = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.ENOSPC,
        errno.EDQUOT,
    }
)
# As HyperPyYAML says it.
_NO_KEY = re.compile(r"Override '(.+?)' not found in: \[(.*)\]", re.S)
_OPEN = re.compile(r"'(.+?)' is a !PLACEHOLDER and must be replaced")


def what_script_lacks(error: Exception, recipe: str) -> str | None:
    """Tells the errors that the user of a recipe makes from all others.

    Arguments
    ---------
    error : Exception
        What a script ended with.
    recipe : str
        Its YAML.

    Returns
    -------
    str or None
        A sentence; None if the error is of another kind.

    Example
    -------
    >>> what_script_lacks(KeyError("opt_class"), "train.yaml")
    'The recipe train.yaml must have the key `opt_class`, the optimizer of \
its training, got none.'
    >>> error = KeyError("Override 'batchsize' not found in: ['batch_size']")
    >>> what_script_lacks(error, "train.yaml")
    "The recipe has no key 'batchsize' (nearest: batch_size)."
    >>> what_script_lacks(KeyError("batch_size"), "train.yaml") is None
    True
    """
    if isinstance(error, OSError):
        if error.filename is None or error.errno not in _REFUSED:
            return None
        return f"The recipe was refused {error.filename} ({error.strerror})."
    first = error.args[0] if error.args else None
    # Scripts read the YAML as a dict or as attributes of `hparams`.
    key = first if isinstance(error, KeyError) else getattr(error, "name", None)
    if isinstance(key, str) and key.endswith("opt_class"):
        return (
            f"The recipe {recipe} must have the key `{key}`, the optimizer "
            "of its training, got none."
        )
    if missing := _NO_KEY.fullmatch(str(first)):
        return no_such_key(missing[1], re.findall(r"'(.+?)'", missing[2]))
    if given := _OPEN.match(str(first)):
        return (
            f"The recipe {recipe} must be given a value for `{given[1]}`, "
            f"got none (--{given[1]}=..)."
        )
    return None
