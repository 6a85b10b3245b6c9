"""Checks that a trial was what its row in the ledger says it was.

Each check returns its name, whether it passed, and what was found. One that
fails voids the trial: a number that compares something else is worse than
none.
"""

from __future__ import annotations

import hashlib
import json
import pydoc
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from leanbrain.optbench.trials.steering import Schedule

__all__ = [
    "Check",
    "OrderHash",
    "check_class",
    "check_clipping",
    "check_groups",
    "check_order",
    "check_schedule",
    "check_threads",
    "first_failure",
]

CLIPPING_TOLERANCE = 1e-4
"""Relative; torch divides by the norm + 1e-6 and sums in single precision."""

RATE_TOLERANCE = 1e-12
"""Relative: the rate is the same product of two doubles."""


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Arguments
    ---------
    name : str
        What was checked.
    passed : bool
        Whether it was as it must be.
    detail : str
        What was found.
    """

    name: str
    passed: bool
    detail: str

    def as_result(self) -> dict[str, Any]:
        """The outcome as plain JSON."""
        return asdict(self)


def first_failure(checks: Iterable[Check]) -> str | None:
    """Says why a trial is void.

    Arguments
    ---------
    checks : Iterable[Check]
        All of a trial's.

    Returns
    -------
    str | None
        One sentence on the first check that failed; None if all passed.

    Example
    -------
    >>> first_failure([Check("class", False, "got torch.optim.sgd.SGD")])
    'The audit of class failed: got torch.optim.sgd.SGD.'
    """
    for check in checks:
        if not check.passed:
            return f"The audit of {check.name} failed: {check.detail}."
    return None


def check_class(optimizer: Any, expected: str) -> Check:
    """The optimizer is of the class that its YAML file names.

    HyperPyYAML's overrides keep the class that was there before, silently.

    Arguments
    ---------
    optimizer : torch.optim.Optimizer
        The Brain's.
    expected : str
        Dotted name of the class; a name by which it can be imported.

    Returns
    -------
    Check
        Named "class".

    Example
    -------
    >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    >>> check_class(sgd, "torch.optim.SGD").passed
    True
    """
    kind = type(optimizer)
    found = f"{kind.__module__}.{kind.__qualname__}"
    passed = pydoc.locate(expected) is kind
    detail = expected if passed else f"expected {expected}, got {found}"
    return Check("class", passed, detail)


def check_groups(optimizer: Any, modules: torch.nn.Module) -> Check:
    """Every trainable parameter is in one group, once, and none besides.

    Arguments
    ---------
    optimizer : torch.optim.Optimizer
        The Brain's.
    modules : torch.nn.Module
        The Brain's.

    Returns
    -------
    Check
        Named "groups".
    """
    named = {
        id(p): name for name, p in modules.named_parameters() if p.requires_grad
    }
    held = Counter(
        id(p) for group in optimizer.param_groups for p in group["params"]
    )
    missing = [name for key, name in named.items() if held[key] == 0]
    twice = [name for key, name in named.items() if held[key] > 1]
    foreign = sum(1 for key in held if key not in named)
    problems = []
    if missing:
        problems.append(f"{len(missing)} in no group (first: {missing[0]})")
    if twice:
        problems.append(f"{len(twice)} held more than once (first: {twice[0]})")
    if foreign:
        problems.append(f"{foreign} held that the model does not train")
    total = f"{len(named)} parameters in {len(optimizer.param_groups)} groups"
    detail = f"{total}: {'; '.join(problems)}" if problems else total
    return Check("groups", not problems, detail)


def check_clipping(
    norms: Sequence[tuple[int, float]], max_grad_norm: float
) -> Check:
    """The gradients that reached the optimizer were clipped, all together.

    Arguments
    ---------
    norms : Sequence
        (step, norm over all of the model's gradients after clipping).
    max_grad_norm : float
        What it may be at most.

    Returns
    -------
    Check
        Named "clipping". Norms that are not finite pass: no clipping mends
        them, and the trial is diverged.
    """
    limit = max_grad_norm * (1 + CLIPPING_TOLERANCE)
    over = [(step, norm) for step, norm in norms if limit < norm < float("inf")]
    if over:
        step, norm = over[0]
        found = f"norm {norm:g} at step {step}, above {max_grad_norm:g}"
        return Check("clipping", False, found)
    found = f"{len(norms)} norms measured, none above {max_grad_norm:g}"
    return Check("clipping", True, found)


def check_schedule(
    trace: Sequence[tuple[int, Sequence[float]]],
    base_rates: Sequence[float],
    schedule: Schedule,
    total_steps: int,
) -> Check:
    """Every group's learning rate was its base rate times the multiplier.

    Arguments
    ---------
    trace : Sequence
        (steps made, rate of each group at the last of them).
    base_rates : Sequence
        Of each group.
    schedule : Schedule
        The multiplier.
    total_steps : int
        The horizon.

    Returns
    -------
    Check
        Named "schedule".
    """
    for steps, rates in trace:
        multiplier = float(schedule(min(1.0, (steps - 1) / total_steps)))
        wanted = [base * multiplier for base in base_rates]
        close = len(rates) == len(wanted) and all(
            abs(a - b) <= RATE_TOLERANCE * abs(b)
            for a, b in zip(rates, wanted, strict=True)
        )
        if not close:
            found = f"rates {list(rates)} at step {steps}, expected {wanted}"
            return Check("schedule", False, found)
    return Check("schedule", True, f"rates as planned at {len(trace)} points")


@dataclass
class OrderHash:
    """A hash of all batches so far; equal only if their order is, too.

    Example
    -------
    >>> one, two = OrderHash(), OrderHash()
    >>> for ids in (["a", "b"], ["c"]):
    ...     one.add(ids)
    >>> for ids in (["a"], ["b", "c"]):
    ...     two.add(ids)
    >>> one.hex() == two.hex()
    False
    """

    _pending: list[Sequence[Any]] = field(default_factory=list)
    _state: Any = field(default_factory=hashlib.sha256)

    def add(self, ids: Sequence[Any]) -> None:
        """Takes the ids of the next batch; hashes later."""
        self._pending.append(ids)

    def hex(self) -> str:
        """The hash so far, 16 hexadecimal digits."""
        for ids in self._pending:
            text = json.dumps([str(x) for x in ids])
            self._state.update(text.encode() + b"\n")
        self._pending.clear()
        return str(self._state.hexdigest()[:16])


def check_order(
    recorded: Sequence[tuple[int, str]], expected: Sequence[Sequence[Any]]
) -> Check:
    """The batches were those of the seed, in their order.

    Arguments
    ---------
    recorded : Sequence
        (steps made, `OrderHash` of their batches).
    expected : Sequence
        The ids of each batch that the seed demands, from the first on.

    Returns
    -------
    Check
        Named "data order".
    """
    order, done = OrderHash(), 0
    for steps, found in recorded:
        for ids in expected[done:steps]:
            order.add(ids)
        done = steps
        if len(expected) < steps or order.hex() != found:
            detail = f"other batches than expected in the first {steps} steps"
            return Check("data order", False, detail)
    return Check("data order", True, f"{done} batches as expected")


def check_threads(wanted: int) -> Check:
    """torch still computes with the threads that the trial asked for.

    Arguments
    ---------
    wanted : int
        Their number.

    Returns
    -------
    Check
        Named "threads".
    """
    found = torch.get_num_threads()
    passed = found == wanted
    detail = f"{found}" if passed else f"expected {wanted}, got {found}"
    return Check("threads", passed, detail)
