"""What a method has reached: computed in float64, off the clock."""

import numpy as np
from scipy.special import xlogy

# Below any value that a model of scaled speech needs; keeps log finite.
TINY = 1e-30


def kl(V, W, H):
    """Kullback-Leibler divergence of W @ H from V."""
    V, model = V.astype(np.float64), _model(W, H)
    return float((xlogy(V, V / model) - V + model).sum())


def frobenius(V, W, H):
    """Half the squared distance."""
    difference = V.astype(np.float64)
    difference -= W.astype(np.float64) @ H.astype(np.float64)
    return 0.5 * float(np.vdot(difference, difference))


LOSSES = {"kl": kl, "frobenius": frobenius}


def kl_lower_bound(V, W, H):
    """A number that no H can go below for this V and W: the dual function.

    min over H >= 0 of KL(V | WH) is the maximum of sum(V log(theta)) over
    theta >= 0 with W' theta <= W' 1. At the optimum theta = V / WH; any H
    gives a feasible one once each frame is divided by its largest violation.
    """
    V, W = V.astype(np.float64), W.astype(np.float64)
    ratio = V / _model(W, H)
    violation = ((W.T @ ratio) / np.maximum(W.sum(0), TINY)[:, None]).max(0)
    theta = ratio / np.maximum(violation, TINY)
    return float(xlogy(V, np.where(V > 0, theta, 1.0)).sum())


def _model(W, H):
    """W @ H in float64, kept above zero."""
    return np.maximum(W.astype(np.float64) @ H.astype(np.float64), TINY)
