"""Time of one mask update of all pathways on 30 M weights.

Scores, rule and interval are those of hparams/pruning/adaptive.yaml; the
keep-counts are per layer. Between the repetitions the matrix products of a
training step are timed (each matrix used once per frame, forward and backward,
nothing else): a real step takes longer, so the share of the training time that
updates take is an upper bound. So is that of looking at the gradients, which
is measured as well. Both are of the part before masks freeze, 80 % of a run.
The longer a run, the longer its intervals, so that shares are
given for several lengths. Run it on an idle machine:

    python tests/benchmarks/bench_update.py --json result.json
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch

from leanbrain.provenance import commit, host_facts, versions
from leanbrain.pruning.allocation.shares import per_layer
from leanbrain.pruning.methods import load_method

TARGET_S = 1.0
TARGET_SHARE = 0.01
ROOT = Path(__file__).resolve().parents[2]
# The matrices of Conformer-like blocks: attention, feed-forward, convolution.
BLOCK = [(1536, 512), (512, 512), (2048, 512), (512, 2048), (1024, 512)]


def make_model(weights: int, generator: torch.Generator) -> dict:
    """Weights of as many blocks as it takes to reach a number."""
    model: dict[str, torch.Tensor] = {}
    while sum(weight.numel() for weight in model.values()) < weights:
        shape = BLOCK[len(model) % len(BLOCK)]
        weight = torch.randn(shape, generator=generator) * 0.04
        model[f"w{len(model)}"] = weight
    return model


def update_pathway(
    pathway: str, model: dict, masks: dict, pruner, sparsity: float
) -> dict:
    """One mask update of one pathway."""
    counts = per_layer(model, sparsity)
    return {
        name: pruner.update(
            masks[name],
            pruner.scores.saliency.value(pathway, name, weight),
            None,
            counts[name],
            0.5,
        )
        for name, weight in model.items()
    }


def observe(pathways: list[str], model: dict, score, generator) -> float:
    """Shows a gradient of each pathway; returns the seconds of the last."""
    gradients = {
        name: torch.randn(weight.shape, generator=generator)
        for name, weight in model.items()
    }
    for pathway in pathways:
        start = time.perf_counter()
        for name, weight in model.items():
            score.observe(pathway, name, weight, gradients[name])
    return time.perf_counter() - start


def default_pruner(pathways: list[str], steps: int):
    """The pruner of hparams/pruning/adaptive.yaml, not attached."""
    path = ROOT / "hparams/pruning/adaptive.yaml"
    return load_method(path, total_steps=steps, pathways=pathways)["pruner"]


def shares_of(steps: int, pathways: list[str], times: list[tuple]) -> dict:
    """What updates and looking take of the time, in a run of some length."""
    interval = default_pruner(pathways, steps).turns.interval
    whole = [update + interval * (step + look) for update, step, look in times]
    updates = [x[0] / y for x, y in zip(times, whole, strict=True)]
    looks = [interval * x[2] / y for x, y in zip(times, whole, strict=True)]
    return {
        "steps": steps,
        "interval_steps": interval,
        "share": spread(updates),
        "share_of_looking": spread(looks),
        "target_share": TARGET_SHARE,
        "share_reached": statistics.median(updates) <= TARGET_SHARE,
    }


def step_seconds(model: dict, frames: int) -> float:
    """Matrix products of one training step, forward and backward."""
    inputs = {
        width: torch.ones(frames, width, requires_grad=True)
        for width in {weight.shape[1] for weight in model.values()}
    }
    start = time.perf_counter()
    for weight in model.values():
        weight.requires_grad_(True)
        (inputs[weight.shape[1]] @ weight.T).sum().backward()
        weight.requires_grad_(False).grad = None
    return time.perf_counter() - start


def spread(values: list[float]) -> dict:
    """Median, least and largest."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
    }


def measure(args: argparse.Namespace) -> dict:
    """Repeats the update of all pathways and times each repetition."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(args.seed)
    model = make_model(args.weights, generator)
    pathways = [f"p{i}" for i in range(args.pathways)]
    pruner, masks = default_pruner(pathways, args.steps[0]), {}
    score = pruner.scores.saliency
    for name, weight in model.items():
        masks[name] = torch.ones(weight.shape, dtype=torch.bool)
    observe(pathways, model, score, generator)
    times = []
    for _ in range(args.repeats):
        step = step_seconds(model, args.frames)
        look = observe(pathways[:1], model, score, generator)
        start = time.perf_counter()
        for pathway in pathways:
            new = update_pathway(pathway, model, masks, pruner, args.sparsity)
        times.append((time.perf_counter() - start, step, look))
    seconds = [update for update, _, _ in times]
    kept = sum(int(mask.sum()) for mask in new.values())
    total = sum(weight.numel() for weight in model.values())
    return {
        "weights": total,
        "pathways": args.pathways,
        "tensors": len(model),
        "sparsity": 1.0 - kept / total,
        "seconds": spread(seconds),
        "target_s": TARGET_S,
        "reached": statistics.median(seconds) <= TARGET_S,
        "frames_per_step": args.frames,
        "step_seconds": spread([step for _, step, _ in times]),
        "runs": [shares_of(x, pathways, times) for x in args.steps],
        "seed": args.seed,
        "host": host_facts(),
        "versions": versions(),
        "commit": commit(__file__),
    }


def main() -> int:
    """Prints the figures and writes them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=int, default=30_000_000)
    parser.add_argument("--pathways", type=int, default=5)
    parser.add_argument(
        "--steps",
        type=int,
        nargs="+",
        default=[1260, 2700, 12000, 50000],
        help="lengths of runs",
    )
    parser.add_argument("--frames", type=int, default=750, help="of a batch")
    parser.add_argument("--sparsity", type=float, default=0.7)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", help="file to write the figures to")
    args = parser.parse_args()
    result = measure(args)
    text = json.dumps(result, indent=2)
    print(text)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
