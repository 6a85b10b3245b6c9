"""Encoding with W fixed, to a relative gap of 1e-4 from the optimum."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch

from leanbrain.nmf import encode, nmf
from nmf_bench.clock import in_turns
from nmf_bench.data import flat, start
from nmf_bench.losses import TINY, kl, kl_lower_bound
from nmf_bench.methods import (
    Problem,
    ours_encode,
    scikit_learn_transform,
    torch_nmf,
)
from nmf_bench.protocol import Trace, first_within, reached

GAP = 1e-4
RANK = 40
CAP = 400
SOLVERS = ["auto", "mu", "fastmu", "musom", "bmme"]


def dictionary(V, seed):
    """W of 200 iterations of plain MU, its columns of sum 1."""
    W, H = (torch.from_numpy(x) for x in start(V, RANK, seed))
    settings = {"solver": "mu", "max_iter": 200, "tol": 0.0}
    W = nmf(torch.from_numpy(V), RANK, init=(W, H), **settings)[0]
    return (W / W.sum(0)).numpy()


def optimum(problem, iterations):
    """The divergence after long float64 runs, and how sure that is.

    `auto` goes ahead; plain multiplicative updates without any floor follow,
    for a floor of 1e-8 is visible in the lower bound. Returns the lowest
    divergence and its relative distance to that bound, which holds whoever
    ran.
    """
    arrays = (problem.V, problem.W, problem.H)
    wide = Problem(*(x.astype(np.float64) for x in arrays), "kl")
    method = ours_encode("auto")
    result = method.prepare(wide)(300)
    best = reached(wide, method, result)
    V, W, H = wide.V, wide.W, method.unpack(result)[1]
    sums = W.sum(0)[:, None]
    for _ in range(iterations):
        H = H * (W.T @ (V / np.maximum(W @ H, TINY))) / sums
    best, bound = min(best, kl(V, W, H)), kl_lower_bound(V, W, H)
    return best, best / bound - 1


def frames(speech, seed, options):
    """1000 held-out frames as one matrix: every solver and peer."""
    W = dictionary(speech.train, seed)
    V = speech.held_out
    problem = Problem(V, W, flat(V, W), "kl")
    methods = {name: ours_encode(name) for name in SOLVERS}
    methods["sklearn"] = scikit_learn_transform()
    methods["torchnmf"] = replace(torch_nmf(False), resumes=False)
    best, certificate = optimum(problem, options.optimum)
    traces = {name: Trace(problem, m) for name, m in methods.items()}
    counts, skipped = {}, {}
    for name, trace in traces.items():
        try:
            counts[name] = first_within(trace, (1 + GAP) * best, CAP)
        except ValueError as error:
            skipped[name] = str(error)
    tasks = {
        name: partial(traces[name].run, n)
        for name, n in counts.items()
        if n is not None
    }
    tensors = [torch.from_numpy(x) for x in (V, W)]
    tasks["default"] = lambda: encode(*tensors)
    seconds = in_turns(tasks, options.rounds + 2)
    H, info = encode(*tensors)
    return {
        "seed": seed,
        "certificate": certificate,
        "skipped": skipped,
        "methods": {
            name: {
                "iterations": n,
                "seconds": seconds.get(name),
                "gap": traces[name](n or CAP) / best - 1,
            }
            for name, n in counts.items()
        },
        "default": {
            "iterations": info.iterations,
            "seconds": seconds["default"],
            "gap": kl(V, W, H.numpy()) / best - 1,
        },
    }
