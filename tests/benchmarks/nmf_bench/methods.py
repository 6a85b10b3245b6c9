"""LeanBrain and its peers under one form, free of their own loss checks.

A method's `prepare` brings the data into the library's own layout, off the
clock, and returns a function: number of iterations -> result. `unpack` turns
a result into W [F, K] and H [K, T].
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from leanbrain.checks import UserError
from leanbrain.nmf import encode, nmf

try:
    import sklearn.decomposition._nmf as sklearn_nmf
    import torchnmf.nmf as torchnmf_nmf
except ImportError as error:
    raise UserError(
        "The benchmark needs scikit-learn and torchnmf: install the extra "
        f"`bench` (pip install -e '.[bench]'); {error.name} is missing."
    ) from error

BETA = {"kl": 1, "frobenius": 2}
NAMES = {"kl": "kullback-leibler", "frobenius": "frobenius"}


@dataclass(frozen=True)
class Problem:
    """One task: V [F, T] and the start W0 [F, K], H0 [K, T]."""

    V: np.ndarray
    W: np.ndarray
    H: np.ndarray
    loss: str


@dataclass(frozen=True)
class Method:
    """A library's solver.

    Arguments
    ---------
    prepare : callable
        Problem -> (iterations -> result).
    unpack : callable
        result -> (W or None if it was fixed, H).
    resumes : bool
        Whether n iterations, then m more from there, are n + m iterations.
    """

    prepare: Callable
    unpack: Callable
    resumes: bool


def silence_checks():
    """Takes the loss checks out of the peers, to their advantage.

    scikit-learn evaluates the loss once per call even with tol=0; torchnmf
    does at the start and every tenth iteration.
    """
    sklearn_nmf._beta_divergence = lambda *args, **kwargs: 1.0
    one = torch.ones(())
    torchnmf_nmf.beta_div = lambda *args, **kwargs: one


def ours(solver):
    """`leanbrain.nmf.nmf` with a solver, exactly as many iterations."""

    def prepare(problem):
        V, W, H = (
            torch.from_numpy(x) for x in (problem.V, problem.W, problem.H)
        )

        def run(n):
            settings = {"loss": problem.loss, "solver": solver, "tol": 0.0}
            return nmf(V, W.shape[1], max_iter=n, init=(W, H), **settings)

        return run

    return Method(prepare, lambda r: (r[0].numpy(), r[1].numpy()), False)


def ours_encode(solver):
    """`leanbrain.nmf.encode` with a solver, exactly as many iterations."""

    def prepare(problem):
        V, W, H = (
            torch.from_numpy(x) for x in (problem.V, problem.W, problem.H)
        )

        def run(n):
            settings = {"loss": problem.loss, "solver": solver, "tol": 0.0}
            return encode(V, W, max_iter=n, init=H, **settings)

        return run

    return Method(prepare, lambda r: (None, r[0].numpy()), False)


def scikit_learn(solver):
    """`sklearn.decomposition.non_negative_factorization`."""

    def prepare(problem):
        settings = {
            "n_components": problem.W.shape[1],
            "init": "custom",
            "solver": solver,
            "beta_loss": NAMES[problem.loss],
            # CD stops before max_iter at any tolerance >= 0 only when it
            # stands still.
            "tol": 0.0,
        }

        def run(n):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return sklearn_nmf.non_negative_factorization(
                    problem.V,
                    problem.W.copy(),
                    problem.H.copy(),
                    max_iter=n,
                    **settings,
                )

        return run

    return Method(prepare, lambda result: result[:2], True)


def scikit_learn_transform():
    """`NMF.transform` with the given W.

    It takes no start: it begins at one constant. From any start that is
    constant within each frame the first multiplicative update leads to the
    same H, so this is the common start all the same.
    """

    def prepare(problem):
        frames = np.ascontiguousarray(problem.V.T)
        rank = problem.W.shape[1]
        model = sklearn_nmf.NMF(
            rank,
            init="random",
            solver="mu",
            beta_loss=NAMES[problem.loss],
            max_iter=1,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(frames)
        model.components_ = np.ascontiguousarray(problem.W.T)

        def run(n):
            model.set_params(max_iter=n, tol=0.0)
            return model.transform(frames)

        return run

    return Method(prepare, lambda H: (None, H.T), False)


def torch_nmf(trainable_W):
    """`torchnmf.nmf.NMF`; it holds V as [T, F]."""

    def prepare(problem):
        V, H = (
            torch.from_numpy(np.ascontiguousarray(x.T))
            for x in (problem.V, problem.H)
        )
        W, beta = torch.from_numpy(problem.W), BETA[problem.loss]

        def run(n):
            model = torchnmf_nmf.NMF(W=W, H=H, trainable_W=trainable_W)
            # Constant losses, see silence_checks, are not to stop it.
            model.fit(V, beta=beta, tol=-1.0, max_iter=n)
            return model

        return run

    def unpack(model):
        return model.W.detach().numpy(), model.H.detach().numpy().T

    return Method(prepare, unpack, True)
