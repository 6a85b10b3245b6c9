"""15 utterances: one padded batch of ours, one by one for the peers."""

from functools import partial

import numpy as np
import torch

from leanbrain.nmf import encode
from nmf_bench.clock import in_turns
from nmf_bench.data import flat
from nmf_bench.encoding import CAP, GAP, dictionary, optimum
from nmf_bench.losses import kl
from nmf_bench.methods import Problem, scikit_learn_transform, torch_nmf
from nmf_bench.protocol import first_within


def measure(speech, seed, options):
    """One seed: the same total gap over all utterances for everyone."""
    W = dictionary(speech.train, seed)
    problems = [Problem(V, W, flat(V, W), "kl") for V in speech.utterances]
    whole = np.concatenate(speech.utterances, 1)
    best, certificate = optimum(
        Problem(whole, W, flat(whole, W), "kl"), options.optimum
    )
    run = {
        "auto": padded(problems, "auto"),
        "mu": padded(problems, "mu"),
        "sklearn": one_by_one(problems, scikit_learn_transform()),
        "torchnmf": one_by_one(problems, torch_nmf(False)),
    }
    counts = {}
    for name, task in run.items():
        counts[name] = first_within(
            lambda n, task=task: kl(whole, W, task(n)), (1 + GAP) * best, CAP
        )
    seconds = in_turns(
        {
            name: partial(run[name], n)
            for name, n in counts.items()
            if n is not None
        },
        options.rounds + 2,
    )
    longest = max(V.shape[1] for V in speech.utterances)
    return {
        "seed": seed,
        "frames": whole.shape[1],
        "padding": 1 - whole.shape[1] / longest / len(problems),
        "certificate": certificate,
        "methods": {
            name: {
                "iterations": n,
                "seconds": seconds.get(name),
                "gap": kl(whole, W, run[name](n or CAP)) / best - 1,
            }
            for name, n in counts.items()
        },
    }


def padded(problems, solver):
    """Ours: [B, T, F] with lengths; returns all real frames' H [K, N]."""
    frames = [problem.V.shape[1] for problem in problems]
    parts = [torch.from_numpy(problem.V.T.copy()) for problem in problems]
    V = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)
    starts = [torch.from_numpy(problem.H.T.copy()) for problem in problems]
    H0 = torch.nn.utils.rnn.pad_sequence(starts, batch_first=True)
    W = torch.from_numpy(problems[0].W)
    lengths = torch.tensor(frames) / max(frames)
    settings = {"solver": solver, "tol": 0.0, "init": H0, "lengths": lengths}

    def run(n):
        H = encode(V, W, max_iter=n, **settings)[0].numpy()
        return np.concatenate(
            [h[:t].T for h, t in zip(H, frames, strict=True)], 1
        )

    return run


def one_by_one(problems, method):
    """A peer: one call for each utterance."""
    runs = [method.prepare(problem) for problem in problems]

    def run(n):
        return np.concatenate([method.unpack(go(n))[1] for go in runs], 1)

    return run
