"""Solvers of NMF, a file each; the table says what a name means.

To add one, write its file and its line here; ``solver=`` of ``nmf`` and
``encode`` also takes a ``Solver`` object, as YAML's ``!new:`` makes it.
"""

from __future__ import annotations

from leanbrain.checks import UserError, check_known
from leanbrain.nmf.losses import LOSSES, Loss
from leanbrain.nmf.solvers.accelerated import Accelerated
from leanbrain.nmf.solvers.base import EPS, Solver
from leanbrain.nmf.solvers.bmme import BMMe
from leanbrain.nmf.solvers.fastmu import FastMU
from leanbrain.nmf.solvers.hals import HALS, AcceleratedHALS
from leanbrain.nmf.solvers.mu import MU
from leanbrain.nmf.solvers.musom import MUSOM

__all__ = [
    "EPS",
    "MU",
    "MUSOM",
    "SOLVERS",
    "Accelerated",
    "AcceleratedHALS",
    "BMMe",
    "FastMU",
    "HALS",
    "Solver",
    "find_loss",
    "find_solver",
]

SOLVERS: dict[str, Solver] = {
    "mu": MU(),
    "fastmu": FastMU(),
    "musom": MUSOM(),
    "bmme": BMMe(),
    "hals": HALS(),
}
# What "auto" stands for, by loss: as measured on speech, not as hoped.
AUTO_ENCODE: dict[str, Solver] = {
    "kl": Accelerated(),
    "frobenius": HALS(),
    "is": MU(),
}
AUTO_LEARN: dict[str, Solver] = {
    "kl": Accelerated(relaxation=1.3, growing=30),
    "frobenius": AcceleratedHALS(),
    "is": MU(),
}


def find_loss(loss: str) -> Loss:
    """The loss of a name.

    Raises
    ------
    UserError
        If there is none.
    """
    return LOSSES[check_known("loss", loss, LOSSES)]


def find_solver(
    solver: str | Solver, loss: str, auto: dict[str, Solver]
) -> Solver:
    """The solver of a name, or the object that was given.

    Arguments
    ---------
    solver : str | Solver
        A name of `SOLVERS`, "auto", or an object.
    loss : str
        The loss that it is to minimise.
    auto : dict
        What "auto" stands for, by loss.

    Returns
    -------
    Solver
        The solver.

    Raises
    ------
    UserError
        If the name is unknown or the solver cannot minimise this loss.

    Example
    -------
    >>> find_solver("hals", "kl", AUTO_LEARN)
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: `solver` 'hals' must be used with loss frobenius, got 'kl'.
    """  # noqa: E501
    found = solver
    if not isinstance(found, Solver):
        name = check_known("solver", solver, ["auto", *SOLVERS])
        found = auto[loss] if name == "auto" else SOLVERS[name]
    if loss not in found.losses:
        allowed = " or ".join(found.losses)
        raise UserError(
            f"`solver` {solver!r} must be used with loss {allowed}, "
            f"got {loss!r}."
        )
    return found
