"""What to minimise, how, and until when."""

from __future__ import annotations

from dataclasses import dataclass

from leanbrain.checks import UserError, check_fraction, check_int
from leanbrain.nmf.inputs import check_penalty
from leanbrain.nmf.losses import Loss
from leanbrain.nmf.solvers import AUTO_ENCODE, find_loss, find_solver
from leanbrain.nmf.solvers.base import Solver

__all__ = ["Problem", "check_l1"]


def check_l1(loss: Loss, value: float) -> float:
    """Checks the weight of sum(H): 0 where it does nothing but rescale.

    Arguments
    ---------
    loss : Loss
        What is minimised.
    value : float
        The weight.

    Returns
    -------
    float

    Raises
    ------
    UserError
        If the weight is no finite number >= 0, or not 0 with a loss whose
        activations it only rescales.

    Example
    -------
    >>> from leanbrain.nmf.losses import FROBENIUS
    >>> check_l1(FROBENIUS, 1)
    1.0
    """
    value = check_penalty("l1", value)
    if value and loss.l1_rescales:
        raise UserError(
            f"`l1` must be 0 with loss {loss.name!r}, where it only rescales "
            f"the activations of atoms that sum to one, got {value!r}."
        )
    return value


@dataclass(frozen=True)
class Problem:
    """What users choose about an NMF, checked.

    Arguments
    ---------
    loss : Loss
        What is minimised.
    solver : Solver
        How.
    max_iter : int
        Most iterations.
    tol : float
        Relative gain of `CHECK_EVERY` iterations that ends it; 0 never does.
    l1, l2 : float
        Weights of sum(H), see `check_l1`, and of sum(H ** 2) / 2.
    """

    loss: Loss
    solver: Solver
    max_iter: int
    tol: float
    l1: float = 0.0
    l2: float = 0.0

    @classmethod
    def checked(
        cls,
        loss: str,
        solver: str | Solver,
        max_iter: int,
        tol: float,
        l1: float,
        l2: float,
        auto: dict[str, Solver] = AUTO_ENCODE,
    ) -> Problem:
        """Checks what a user gave."""
        found = find_loss(loss)
        l2 = check_penalty("l2", l2)
        if l2 and found.degree == 0:
            raise UserError(
                f"`l2` must be 0 with loss {loss!r}, for which no safe step "
                f"with it is known, got {l2!r}."
            )
        return cls(
            found,
            find_solver(solver, loss, auto),
            check_int("max_iter", max_iter, low=1),
            check_fraction("tol", tol, high_open=True),
            check_l1(found, l1),
            l2,
        )
