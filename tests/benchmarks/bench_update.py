"""Time of one mask update of all pathways: drop-and-grow on 30 M weights.

Saliency is magnitude, computed anew for every pathway; growth is given; the
keep-counts are per layer. Run it on an idle machine:

    python tests/benchmarks/bench_update.py --json result.json
"""

import argparse
import json
import platform
import statistics
import sys
import time

import torch

from leanbrain.pruning.allocation import per_layer
from leanbrain.pruning.scores import magnitude
from leanbrain.pruning.updates import drop_and_grow, top_mask

TARGET_S = 1.0
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


def update_pathway(model: dict, masks: dict, growth: dict, args) -> dict:
    """One mask update of one pathway."""
    saliency = {name: magnitude(weight) for name, weight in model.items()}
    counts = per_layer(saliency, args.sparsity)
    return {
        name: drop_and_grow(
            masks[name], saliency[name], growth[name], counts[name], 0.5
        )
        for name in model
    }


def measure(args: argparse.Namespace) -> dict:
    """Repeats the update of all pathways and times each repetition."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(args.seed)
    model = make_model(args.weights, generator)
    growth = {
        name: torch.rand(weight.shape, generator=generator).pow_(4)
        for name, weight in model.items()
    }
    counts = per_layer(model, args.sparsity - 0.02)
    masks = {
        name: top_mask(
            torch.rand(weight.shape, generator=generator), counts[name]
        )
        for name, weight in model.items()
    }
    seconds = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        for _ in range(args.pathways):
            new = update_pathway(model, masks, growth, args)
        seconds.append(time.perf_counter() - start)
    kept = sum(int(mask.sum()) for mask in new.values())
    total = sum(weight.numel() for weight in model.values())
    return {
        "weights": total,
        "pathways": args.pathways,
        "tensors": len(model),
        "sparsity": 1.0 - kept / total,
        "seconds_median": statistics.median(seconds),
        "seconds_min": min(seconds),
        "seconds_max": max(seconds),
        "target_s": TARGET_S,
        "reached": statistics.median(seconds) <= TARGET_S,
        "torch": torch.__version__,
        "host": platform.processor() or platform.machine(),
    }


def main() -> int:
    """Prints the figures and writes them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=int, default=30_000_000)
    parser.add_argument("--pathways", type=int, default=5)
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
