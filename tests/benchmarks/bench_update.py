"""Time of one mask update of all pathways on 30 M weights.

Everything that the pruner of hparams/pruning/adaptive.yaml does then is timed:
scores, selection, packing of masks, revived weights, the weights at rest; not
the monitor, which writes to the disk. Between the repetitions the matrix
products of a training step are timed (each matrix used once per frame, forward
and backward, nothing else): a real step takes longer, so the share of the
training time that updates take is an upper bound. So is that of looking at the
gradients, which is measured as well. Both are of the part before masks freeze,
60 % of a run. The longer a run, the longer its intervals, so that shares are
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
from smoke import read_options

from leanbrain.provenance import commit, host_facts, versions
from leanbrain.pruning.adapting import update_masks
from leanbrain.pruning.methods import load_method

TARGET_S = 1.0
TARGET_SHARE = 0.01
ROOT = Path(__file__).resolve().parents[2]
# The matrices of Conformer-like blocks: attention, feed-forward, convolution.
BLOCK = [(1536, 512), (512, 512), (2048, 512), (512, 2048), (1024, 512)]


def make_model(weights: int) -> torch.nn.Module:
    """Matrices of as many blocks as it takes to reach a number of weights."""
    layers: list[torch.nn.Module] = []
    while weights > 0:
        rows, columns = BLOCK[len(layers) % len(BLOCK)]
        layers.append(torch.nn.Linear(columns, rows, bias=False))
        torch.nn.init.normal_(layers[-1].weight, std=0.04)
        weights -= rows * columns
    return torch.nn.Sequential(*layers)


def default_pruner(pathways: list[str], steps: int, **keys: float):
    """The pruner of hparams/pruning/adaptive.yaml, not attached."""
    method = load_method(
        "adaptive", total_steps=steps, pathways=pathways, **keys
    )
    return method["pruner"]


def observe(pathways: list[str], pruner) -> float:
    """Shows each pathway a gradient; returns the seconds of the last."""
    for pathway in pathways:
        gradients = {
            target.name: torch.randn(target.parameter.shape)
            for target in pruner.targets
        }
        start = time.perf_counter()
        for name, gradient in gradients.items():
            pruner.observe(pathway, name, gradient)
        seconds = time.perf_counter() - start
    return seconds


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


def step_seconds(shapes: list[torch.Size], frames: int) -> float:
    """Matrix products of one training step, forward and backward."""
    inputs = {
        columns: torch.ones(frames, columns, requires_grad=True)
        for columns in {columns for _, columns in shapes}
    }
    matrices = [torch.ones(shape, requires_grad=True) for shape in shapes]
    start = time.perf_counter()
    for matrix in matrices:
        (inputs[matrix.shape[1]] @ matrix.T).sum().backward()
        matrix.grad = None
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
    torch.manual_seed(args.seed)
    pathways = [f"p{i}" for i in range(args.pathways)]
    pruner = default_pruner(pathways, args.steps[0], sparsity=args.sparsity)
    pruner.manage(make_model(args.weights))
    pruner.start()
    shapes = [target.parameter.shape for target in pruner.targets]
    times = []
    for _ in range(args.repeats):
        step = step_seconds(shapes, args.frames)
        look = observe(pathways, pruner)
        start = time.perf_counter()
        update_masks(pruner, pathways)
        times.append((time.perf_counter() - start, step, look))
    seconds = [update for update, _, _ in times]
    total = pruner.masks.numel()
    return {
        "weights": total,
        "pathways": args.pathways,
        "tensors": len(shapes),
        "sparsity": 1.0 - pruner.masks.density(pathways[-1]),
        "overlap": pruner.masks.overlap(*pathways[:2]),
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
    args = read_options(
        parser, weights=1_000_000, pathways=2, steps=[1260], repeats=1
    )
    result = measure(args)
    text = json.dumps(result, indent=2)
    print(text)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
