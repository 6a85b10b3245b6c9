"""What the machine costs and gives: denormals, and the rate of SGEMM."""

from functools import partial

import numpy as np
import torch

from nmf_bench.clock import in_turns
from nmf_bench.data import start
from nmf_bench.methods import Problem, ours, scikit_learn, torch_nmf

# Where along a run an iteration is timed, and in calls of how many.
POINTS = [10, 100, 200, 400, 1000]
CALL = 30
# The peers are followed less far: they slow down.
PEERS_TO = 400


def flatness(V, rank, seed, options):
    """ms per iteration of calls that go on from iteration 10 ... 1000.

    What makes late iterations slow is the state, not the count: float32
    values that sink below the normal range. So each call starts from the
    state that the method itself has reached by then.
    """
    W, H = start(V, rank, seed)
    methods = {
        "auto": (ours("auto"), max(POINTS)),
        "mu": (ours("mu"), max(POINTS)),
        "sklearn MU": (scikit_learn("mu"), PEERS_TO),
        "torchnmf": (torch_nmf(trainable_W=True), PEERS_TO),
    }
    points = [n for n in POINTS if n <= options.flat]
    tasks = {}
    for name, (method, most) in methods.items():
        at, state = 0, (W, H)
        for n in [n for n in points if n <= most]:
            run = method.prepare(Problem(V, *state, "kl"))
            state = [
                np.ascontiguousarray(x).copy()
                for x in method.unpack(run(n - at))
            ]
            at = n
            here = method.prepare(Problem(V, *state, "kl"))
            tasks[name, n] = partial(here, CALL)
    seconds = in_turns(tasks, options.rounds + 2)
    found = {}
    for (name, n), value in seconds.items():
        found.setdefault(name, {})[str(n)] = 1e3 * value / CALL
    return {"seed": seed, "ms_per_iteration": found}


def gemm(V, rank, seed, options):
    """Share of the SGEMM rate that a KL learning iteration of MU attains.

    Both at the same shapes in turns: the four products that an iteration
    consists of, 8 F K T floating-point operations, alone and with the rest.
    """
    W, H = start(V, rank, seed)
    iterations = 50
    problem = Problem(V, W, H, "kl")
    tasks = {
        "products": partial(_products(V, W, H), iterations),
        "mu": partial(ours("mu").prepare(problem), iterations),
        "auto": partial(ours("auto").prepare(problem), iterations),
        "sklearn MU": partial(scikit_learn("mu").prepare(problem), iterations),
        "torchnmf": partial(torch_nmf(True).prepare(problem), iterations),
    }
    seconds = in_turns(tasks, options.rounds + 2)
    flop = 8 * V.shape[0] * rank * V.shape[1] * iterations
    return {
        "seed": seed,
        "sgemm_gflops": 1e-9 * flop / seconds["products"],
        "share": {
            name: seconds["products"] / value
            for name, value in seconds.items()
            if name != "products"
        },
    }


def _products(V, W, H):
    """The four products of an iteration, into memory that is there."""
    V, W, H = (torch.from_numpy(x) for x in (V, W, H))
    model, step_w, step_h = (torch.empty_like(x) for x in (V, W, H))

    def run(n):
        for _ in range(n):
            torch.mm(W, H, out=model)
            torch.mm(V, H.T, out=step_w)
            torch.mm(W, H, out=model)
            torch.mm(W.T, V, out=step_h)

    return run
