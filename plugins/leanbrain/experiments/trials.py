"""What one run is: a function by name, and the configuration it is given.

A trial is known by the hash of its function and configuration. Whatever only
says how or where it is run (data folders, estimates, limits) is not hashed.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError, check_positive

__all__ = ["STATUSES", "Trial", "canonical", "hash_text", "plain"]

# What a trial can end as. Each is recorded; none is run again unasked.
STATUSES = ("done", "diverged", "failed", "timed_out", "crashed", "void")


@dataclass(frozen=True)
class Trial:
    """One independent run.

    Arguments
    ---------
    run : str
        "module:function"; called as `function(config, folder, **context)` in
        a worker, where `folder` is an empty folder of its own. It returns a
        dict of plain JSON, in which "status" ("done", "diverged", "void") and
        "reason" are optional.
    config : Mapping[str, Any]
        Plain JSON. Together with `run` it is the identity of the trial.
    context : Mapping[str, Any]
        Plain JSON, no part of the identity: where data and recipe lie on
        this machine.
    cost_s : float | None
        How long the trial will take, in seconds, as far as is known.
    timeout_s : float | None
        After how many seconds it is ended and recorded as "timed_out".

    Raises
    ------
    UserError
        If `run` is no such name, if a value is not plain JSON, or if a number
        of seconds is not positive.

    Example
    -------
    >>> a = Trial("math:fsum", {"lr": 0.1, "seed": 1}, cost_s=3.0)
    >>> b = Trial("math:fsum", {"seed": 1, "lr": 0.1})
    >>> a.digest == b.digest, len(a.digest)
    (True, 16)
    """

    run: str
    config: Mapping[str, Any]
    context: Mapping[str, Any] = field(default_factory=dict)
    cost_s: float | None = None
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        """Checks the values; takes copies, so that they cannot change."""
        module, colon, function = str(self.run).partition(":")
        if not (colon and module and function) or module == "__main__":
            raise UserError(
                "`run` must be 'module:function' with a module that can be "
                f"imported, got {self.run!r}."
            )
        for name in ("config", "context"):
            value = getattr(self, name)
            if not isinstance(value, Mapping):
                raise UserError(f"`{name}` must be a mapping, got {value!r}.")
            object.__setattr__(self, name, plain(name, value))
        for name in ("cost_s", "timeout_s"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))

    @cached_property
    def digest(self) -> str:
        """The name of the trial: 16 hexadecimal digits."""
        return hash_text(canonical({"run": self.run, "config": self.config}))

    def folder(self, root: Path) -> Path:
        """Where everything of this trial lies.

        Arguments
        ---------
        root : Path
            The folder of the experiment.

        Returns
        -------
        Path
            `<root>/trials/<digest>`.
        """
        return root / "trials" / self.digest


def canonical(value: Any) -> str:
    """Writes plain JSON in one way only: keys sorted, no spaces.

    Arguments
    ---------
    value : Any
        Plain JSON.

    Returns
    -------
    str
        One line of ASCII.

    Example
    -------
    >>> canonical({"b": 1, "a": [0.1]})
    '{"a":[0.1],"b":1}'
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False
    )


def hash_text(text: str) -> str:
    """Returns the first 16 hexadecimal digits of a text's SHA-256.

    Arguments
    ---------
    text : str
        Any text.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plain(name: str, value: Any) -> Any:
    """Copies a value that survives being written as JSON and read again.

    Arguments
    ---------
    name : str
        What the value is called in the message.
    value : Any
        Mappings with text as keys, lists, tuples (they become lists), text,
        finite numbers, booleans and None.

    Returns
    -------
    Any
        The copy.

    Raises
    ------
    UserError
        If there is anything else inside; the sentence names the place.

    Example
    -------
    >>> plain("config", {"sizes": (1, 2)})
    {'sizes': [1, 2]}
    >>> plain("config", {"best": float("inf")})
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: `config.best` must be plain JSON, got inf.
    """
    # By exact type: a number of NumPy's would be read back as another type.
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if type(key) is not str:
                raise UserError(
                    f"The keys of `{name}` must be text, got {key!r}."
                )
        return {key: plain(f"{name}.{key}", x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [plain(f"{name}[{i}]", x) for i, x in enumerate(value)]
    raise UserError(f"`{name}` must be plain JSON, got {value!r}.")
