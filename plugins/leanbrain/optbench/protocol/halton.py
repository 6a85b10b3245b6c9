"""Quasi-random points, the same ones as AlgoPerf draws.

A Halton sequence gives each dimension a van der Corput sequence in a prime
base of its own: the digits of the point's number, mirrored at the point. As
in arXiv 1706.03200 the digits are permuted (0 stays 0, so that trailing zeros
add nothing) and every dimension is shifted by a constant, modulo 1. As in
AlgoPerf both come from a generator that is seeded by the base itself: the
points depend on their number and on how many dimensions there are, and on
nothing else.
"""

import numpy as np

from leanbrain.checks import check_int

__all__ = ["halton"]

SKIP = 100
"""Points that are left out at the start, where dimensions are correlated."""

BELOW = 1000
"""Bases are the largest primes below; the very largest is not used."""


def halton(n: int, d: int) -> np.ndarray:
    """Draws points from the unit cube.

    Arguments
    ---------
    n : int
        How many points.
    d : int
        How many dimensions. Another number of dimensions gives other points
        in all of them but keeps the columns, counted from the last one.

    Returns
    -------
    array [n, d]
        In [0, 1), in the order of the sequence: the first points of a longer
        draw are the points of a shorter one.

    Example
    -------
    >>> halton(2, 2).round(4).tolist()
    [[0.274, 0.2861], [0.9912, 0.83]]
    """
    n, d = check_int("n", n, low=0), check_int("d", d, low=1)
    numbers = np.arange(SKIP + 1, SKIP + n + 1)
    columns = [_van_der_corput(numbers, base) for base in _bases(d)]
    return np.stack(columns, axis=1)


def _van_der_corput(numbers: np.ndarray, base: int) -> np.ndarray:
    """Mirrors permuted digits of the numbers in a base; shifts the result."""
    # Not a Generator: only the older one gives AlgoPerf's numbers.
    random = np.random.RandomState(base)
    digits = np.arange(base)
    random.shuffle(digits[1:])
    shift = random.random_sample()
    values = np.zeros(len(numbers))
    scale = float(base)
    while np.any(numbers):
        values += digits[numbers % base] / scale
        numbers = numbers // base
        scale *= base
    return np.fmod(values + shift, 1.0)


def _bases(d: int) -> list[int]:
    """The d largest primes below a limit but for the largest, ascending."""
    limit = BELOW
    while len(primes := _odd_primes(limit)) <= d:
        limit += BELOW
    return primes[-d - 1 : -1]


def _odd_primes(limit: int) -> list[int]:
    """All primes p with 2 < p < limit."""
    sieve = np.ones(limit, dtype=bool)
    sieve[:3] = False
    sieve[4::2] = False
    for number in range(3, int(limit**0.5) + 1, 2):
        sieve[number * number :: number] = False
    return [int(x) for x in np.flatnonzero(sieve)]
