"""Muon for the matrices and AdamW for the rest, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from leanbrain.checks import UserError
from leanbrain.optbench.optimizers.closures import loss_of

__all__ = ["MuonAdamW", "bare_step"]

_SHARED = ("lr", "weight_decay")
_MUON = ("momentum", "nesterov", "ns_steps")
_ADAMW = ("betas", "eps")


def bare_step(kind: type[torch.optim.Optimizer]) -> Callable[..., Any]:
    """Finds the step of an optimizer class without torch's wrapper.

    torch wraps `step` of every class that was ever built, so that hooks fire.
    An optimizer that uses the step of another class inside its own would fire
    them once more.

    Arguments
    ---------
    kind : type
        The class.

    Returns
    -------
    callable
        Its `step`, to be called with an instance.
    """
    step: Any = kind.step
    while getattr(step, "hooked", False):
        step = step.__wrapped__
    return step


class MuonAdamW(torch.optim.Optimizer):
    """Orthogonalised momentum for 2-D parameters, AdamW for all others.

    The parameters stay in the groups they came in (one, as SpeechBrain gives
    them): clipping, which SpeechBrain does in the first group only, and
    schedules, which overwrite the rate of all groups, then meet both parts
    alike. Which part updates a parameter is decided by its shape. Muon's
    update is scaled to the size of AdamW's, so that both share one rate.

    Arguments
    ---------
    params : iterable
        Parameters or groups of them.
    lr : float
        Learning rate of both.
    momentum : float
        Of Muon.
    betas : tuple of two floats
        Of AdamW.
    eps : float
        Of AdamW.
    weight_decay : float
        Decoupled decay of both.
    nesterov : bool
        Whether Muon looks one step of momentum ahead.
    ns_steps : int
        Newton-Schulz iterations of Muon.

    Raises
    ------
    UserError
        If torch has no Muon (it came with 2.9).

    Reference
    ---------
    https://kellerjordan.github.io/posts/muon; arXiv 2502.16982, equation 4
    (the common scale); arXiv 1711.05101.

    Example
    -------
    >>> layer = torch.nn.Linear(3, 2)
    >>> optimizer = MuonAdamW(layer.parameters(), lr=1e-3)
    >>> layer(torch.ones(3)).sum().backward()
    >>> _ = optimizer.step()
    >>> [sorted(optimizer.state[p]) for p in layer.parameters()]
    [['momentum_buffer'], ['exp_avg', 'exp_avg_sq', 'step']]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        nesterov: bool = True,
        ns_steps: int = 5,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "ns_steps": ns_steps,
        }
        # Both check their settings; neither is kept.
        _muon([torch.zeros(1, 1)], defaults)
        _adamw([torch.zeros(1)], defaults)
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Takes one step with both; hooks fire once.

        Arguments
        ---------
        closure : callable | None
            Computes loss and gradients anew; not needed.

        Returns
        -------
        float | None
            The loss, if there is a closure.
        """
        loss = loss_of(closure)
        for group in self.param_groups:
            matrices = [p for p in group["params"] if p.ndim == 2]
            others = [p for p in group["params"] if p.ndim != 2]
            if matrices:
                self._delegate(_muon(matrices, group))
            if others:
                self._delegate(_adamw(others, group))
        return loss

    def _delegate(self, part: torch.optim.Optimizer) -> None:
        """Lets a part step on this optimizer's state."""
        part.state = self.state
        bare_step(type(part))(part)


def _muon(
    params: list[torch.Tensor], group: dict[str, Any]
) -> torch.optim.Optimizer:
    """Builds the part for the matrices; it keeps no state of its own."""
    kind = getattr(torch.optim, "Muon", None)
    if kind is None:
        raise UserError(
            "muon_adamw must have torch.optim.Muon (torch >= 2.9), got torch "
            f"{torch.__version__}."
        )
    settings = {key: group[key] for key in _SHARED + _MUON}
    return kind(params, adjust_lr_fn="match_rms_adamw", **settings)


def _adamw(
    params: list[torch.Tensor], group: dict[str, Any]
) -> torch.optim.Optimizer:
    """Builds the part for the rest; it keeps no state of its own."""
    settings = {key: group[key] for key in _SHARED + _ADAMW}
    return torch.optim.AdamW(params, foreach=True, **settings)
