"""Building models fast and alone: no random weights, no network."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

__all__ = ["NoNetwork", "no_network", "uninitialised"]

_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
_HUB = "huggingface_hub.constants"
_TRUE = ("1", "ON", "YES", "TRUE")


class NoNetwork(OSError):
    """Something tried to reach the network."""


class uninitialised(TorchFunctionMode):
    """Weights stay as the memory comes: drawing them is most of the time.

    Shapes, types, ties and what is frozen are as ever. Memory that nothing
    writes to is not even taken. Constants (`zeros_`, `ones_`) are written:
    they can be masks and counters.

    Example
    -------
    >>> with uninitialised():
    ...     layer = nn.Linear(3, 2)
    >>> layer.weight.shape
    torch.Size([2, 3])
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Leaves out what draws weights."""
        kwargs = kwargs or {}
        if func in _DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)

    def __enter__(self) -> Any:
        """Begins."""
        # It draws and then decomposes, past any hook: by far the slowest.
        self._orthogonal = nn.init.orthogonal_
        nn.init.orthogonal_ = _keep
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        """Ends."""
        nn.init.orthogonal_ = self._orthogonal
        super().__exit__(*error)


@contextmanager
def no_network() -> Iterator[None]:
    """Refuses connections, and tells Hugging Face's libraries beforehand.

    For the whole process: not for use beside threads that need the network.

    Yields
    ------
    None

    Example
    -------
    >>> with no_network():
    ...     socket.create_connection(("localhost", 80))
    Traceback (most recent call last):
    ...
    leanbrain.recipes.isolation.NoNetwork: no network while models are built
    """
    before = {name: os.environ.get(name) for name in _OFFLINE}
    was_offline = _hub_is_offline()
    connect, lookup = socket.socket.connect, socket.getaddrinfo
    os.environ.update(dict.fromkeys(_OFFLINE, "1"))
    socket.socket.connect = _refuse  # type: ignore[method-assign]
    socket.getaddrinfo = _refuse
    _tell_hub(True)
    try:
        yield
    finally:
        _tell_hub(was_offline)
        socket.socket.connect = connect  # type: ignore[method-assign]
        socket.getaddrinfo = lookup
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _hub_is_offline() -> bool:
    """Whether the hub's library is, or on its import will be, offline."""
    constants = sys.modules.get(_HUB)
    if constants is None:
        return os.environ.get(_OFFLINE[0], "").upper() in _TRUE
    return bool(constants.HF_HUB_OFFLINE)


def _tell_hub(offline: bool) -> None:
    """Sets what the hub's library has read from the environment."""
    constants = sys.modules.get(_HUB)
    if constants is not None:
        constants.HF_HUB_OFFLINE = offline  # type: ignore[attr-defined]


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise NoNetwork("no network while models are built")


def _keep(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return tensor


_DRAWS = {
    torch.Tensor.normal_,
    torch.Tensor.uniform_,
    nn.init.uniform_,
    nn.init.normal_,
    nn.init.trunc_normal_,
    nn.init.kaiming_uniform_,
    nn.init.kaiming_normal_,
    nn.init.xavier_uniform_,
    nn.init.xavier_normal_,
}
