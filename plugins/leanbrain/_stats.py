"""Statistics as loggers take them: nested mappings of nearly anything."""

import numbers
from collections.abc import Iterator, Mapping
from typing import Any

import torch

__all__ = ["as_number", "flatten"]


def flatten(
    values: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Walks through nested mappings; entries that are None are left out.

    Arguments
    ---------
    values : Mapping
        Names -> values or mappings again.
    prefix : str
        What every tag begins with.

    Yields
    ------
    tuple
        Tag, keys joined by slashes; value.

    Example
    -------
    >>> dict(flatten({"cer": {"en": 7.5}, "lr": None}, "valid"))
    {'valid/cer/en': 7.5}
    """
    for key, value in values.items():
        tag = f"{prefix}/{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            yield from flatten(value, tag)
        elif value is not None:
            yield tag, value


def as_number(value: Any) -> float | None:
    """Reads a value as a number.

    Arguments
    ---------
    value : Any
        A number, a tensor of one element, or a list of these.

    Returns
    -------
    float | None
        The number, the mean of a list; None if it is neither.

    Example
    -------
    >>> as_number([1.0, torch.tensor(2.0)])
    1.5
    >>> as_number("Adam") is None
    True
    """
    if isinstance(value, torch.Tensor):
        return float(value) if value.numel() == 1 else None
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, list | tuple) and value:
        parts = [as_number(x) for x in value]
        known = [x for x in parts if x is not None]
        return sum(known) / len(known) if len(known) == len(parts) else None
    return None
