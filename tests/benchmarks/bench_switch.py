"""Time and memory of switching pathways on 30 M weights.

Measured against copying those weights once, in turns, so that both see the
same machine: one pathway entered and left; an optimizer step's way through
the dense state; the memory of masks and switch. Run it on an idle machine:

    python tests/benchmarks/bench_switch.py --threads 1 --json result.json
"""

import argparse
import json
import platform
import statistics
import sys
import time

import torch
from smoke import read_options

from leanbrain.masking import MaskSet, PathwaySwitch, Target

TARGET_RATIO = 3.0
TARGET_MASK_BITS = 1.0
TARGET_EXTRA = 1.5
# The matrices of Conformer-like blocks: attention, feed-forward, convolution.
BLOCK = [(1536, 512), (512, 512), (2048, 512), (512, 2048), (1024, 512)]


def make_targets(weights: int, generator: torch.Generator) -> list[Target]:
    """Parameters of as many blocks as it takes to reach a number."""
    targets: list[Target] = []
    while sum(t.parameter.numel() for t in targets) < weights:
        shape = BLOCK[len(targets) % len(BLOCK)]
        weight = torch.randn(shape, generator=generator) * 0.04
        name = f"w{len(targets)}"
        targets.append(Target(name, torch.nn.Parameter(weight), "all", ()))
    return targets


def make_masks(
    targets: list[Target], args: argparse.Namespace, generator: torch.Generator
) -> MaskSet:
    """Independent random masks, the worst case for the branch predictor."""
    pathways = [f"p{i}" for i in range(args.pathways)]
    masks = MaskSet.from_targets(targets, pathways)
    for pathway in pathways:
        for target in targets:
            drawn = torch.rand(target.parameter.shape, generator=generator)
            masks.set(pathway, target.name, drawn >= args.sparsity)
    return masks


def make_tasks(
    targets: list[Target], switch: PathwaySwitch, copies: list[torch.Tensor]
) -> dict:
    """What is timed, by name."""
    first, second = switch.masks.pathways[:2]

    def copy() -> None:
        for target, held in zip(targets, copies, strict=True):
            held.copy_(target.parameter.detach())

    def enter_leave() -> None:
        switch.enter(first)
        switch.leave()

    def step() -> None:
        switch.expose()
        switch.commit([first, second])

    return {"copy": copy, "enter_leave": enter_leave, "expose_commit": step}


def time_tasks(tasks: dict, repeats: int) -> dict[str, list[float]]:
    """Seconds of every repetition, the tasks in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():  # allocates what is kept
        task()
    for _ in range(repeats):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def spread(values: list[float], digits: int) -> dict[str, float]:
    """Median, quartiles and extremes."""
    low, middle, high = statistics.quantiles(values, n=4)
    figures = {
        "median": middle,
        "quartile_low": low,
        "quartile_high": high,
        "min": min(values),
        "max": max(values),
    }
    return {name: round(value, digits) for name, value in figures.items()}


def resident() -> int:
    """Bytes of memory that this process holds now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def measure(args: argparse.Namespace) -> dict:
    """Builds everything, then measures memory and time."""
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(args.seed)
    targets = make_targets(args.weights, generator)
    weights = sum(t.parameter.numel() for t in targets)
    masks = make_masks(targets, args, generator)
    mask_bytes = sum(
        masks.packed(pathway, name).nbytes
        for pathway in masks.pathways
        for name in masks.shapes
    )
    copies = [torch.zeros_like(t.parameter.detach()) for t in targets]
    before = resident()
    switch = PathwaySwitch(targets, masks)
    tasks = make_tasks(targets, switch, copies)
    seconds = time_tasks(tasks, args.repeats)
    extra = resident() - before + mask_bytes
    ratios = {
        name: [a / b for a, b in zip(values, seconds["copy"], strict=True)]
        for name, values in seconds.items()
        if name != "copy"
    }
    bits = 8 * mask_bytes / weights / args.pathways
    ratio = statistics.median(ratios["enter_leave"])
    return {
        "weights": weights,
        "tensors": len(targets),
        "pathways": args.pathways,
        "sparsity": args.sparsity,
        "threads": args.threads,
        "ms": {n: spread([1e3 * s for s in v], 2) for n, v in seconds.items()},
        "ratio_to_copy": {n: spread(v, 3) for n, v in ratios.items()},
        "target_ratio": TARGET_RATIO,
        "mask_bits_per_weight_and_pathway": bits,
        "extra_memory_over_weights": round(extra / (4 * weights), 3),
        "target_extra": TARGET_EXTRA,
        "reached": ratio <= TARGET_RATIO
        and bits <= TARGET_MASK_BITS
        and extra <= TARGET_EXTRA * 4 * weights,
        "torch": torch.__version__,
        "host": platform.processor() or platform.machine(),
    }


def main() -> int:
    """Prints the figures and writes them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=int, default=30_000_000)
    parser.add_argument("--pathways", type=int, default=4)
    parser.add_argument("--sparsity", type=float, default=0.7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=31)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", help="file to write the figures to")
    args = read_options(parser, weights=1_000_000, repeats=2)
    result = measure(args)
    text = json.dumps(result, indent=2)
    print(text)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
