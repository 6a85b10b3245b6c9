"""Equal quality first, time second.

How many iterations a method needs for a loss is found off the clock; what
is timed then is one call of exactly that many.
"""

import numpy as np

from nmf_bench.losses import LOSSES
from nmf_bench.methods import Problem


def grid(most):
    """Iteration counts to look at: all up to 20, then steps of about 4 %."""
    counts, n = [], 1
    while n < most:
        counts.append(n)
        n = max(n + 1, round(n * 1.04))
    return [*counts, most]


def reached(problem, method, result):
    """Loss of a result, in float64; infinite if it is not finite."""
    W, H = method.unpack(result)
    value = LOSSES[problem.loss](problem.V, problem.W if W is None else W, H)
    return value if np.isfinite(value) else float("inf")


def first_within(loss_after, target, most):
    """The first count of the grid whose loss is at most `target`, or None.

    Bisection: a method that fell below and rose again within `most` may be
    taken later than it was, one that is above at the end counts as never.
    """
    counts = grid(most)
    low, high = 0, len(counts) - 1
    if loss_after(most) > target:
        return None
    while low < high:
        middle = (low + high) // 2
        if loss_after(counts[middle]) <= target:
            high = middle
        else:
            low = middle + 1
    return counts[high]


class Trace:
    """Loss after n iterations, each n computed once.

    Arguments
    ---------
    problem : Problem
        The task.
    method : Method
        One that resumes goes on from the nearest state before n.
    """

    def __init__(self, problem, method):
        self.problem, self.method = problem, method
        self.losses = {}
        self.states = {0: (problem.W, problem.H)}
        self.run = method.prepare(problem)

    def __call__(self, n):
        """Loss after n iterations from the start."""
        if n not in self.losses:
            self.losses[n] = self._compute(n)
        return self.losses[n]

    def _compute(self, n):
        if not self.method.resumes:
            return reached(self.problem, self.method, self.run(n))
        before = max(k for k in self.states if k <= n)
        W, H = (np.ascontiguousarray(x) for x in self.states[before])
        problem = Problem(self.problem.V, W, H, self.problem.loss)
        result = self.method.prepare(problem)(n - before)
        state = tuple(x.copy() for x in self.method.unpack(result))
        self.states[n] = state
        return reached(self.problem, self.method, result)
