"""Time of a batch of four languages through mask-aware layers.

A Conformer-CTC answers 16 utterances of four languages in one batch. Measured
in turns, so that all see the same machine: the stock model, dense; the
converted model, each utterance through the pathway of its language; and, as
one would do without such layers, four batches of one language with the
pathway written into the weights before each. Run it on an idle machine:

    python tests/benchmarks/bench_mixed.py --threads 1 --json result.json
"""

import argparse
import copy
import json
import statistics
import sys
import time

import torch
from bench_switch import spread
from smoke import read_options
from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR

from leanbrain.masking import (
    MaskSet,
    PathwayRouter,
    PathwaySwitch,
    convert,
    select_targets,
)
from leanbrain.provenance import commit, host_facts, versions

TARGET_RATIO = 1.3
TARGET_DIFFERENCE = 1e-5
LANGUAGES = ("en", "es", "ru", "uk")


class ConformerCTC(torch.nn.Module):
    """SpeechBrain's small Conformer of LibriSpeech, with a CTC layer."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.CNN = ConvolutionFrontEnd(
            input_shape=(8, 10, 80),
            num_blocks=2,
            num_layers_per_block=1,
            out_channels=(64, 32),
            kernel_sizes=(3, 3),
            strides=(2, 2),
            residuals=(False, False),
        )
        self.Transformer = TransformerASR(
            input_size=640,
            tgt_vocab=1,
            d_model=width,
            nhead=4,
            num_encoder_layers=layers,
            num_decoder_layers=0,
            d_ffn=4 * width,
            encoder_module="conformer",
            attention_type="RelPosMHAXL",
            normalize_before=True,
            causal=False,
        )
        self.ctc_lin = torch.nn.Linear(width, 100)

    def forward(self, feats: torch.Tensor, lens: torch.Tensor) -> torch.Tensor:
        """Features [B, T, 80] -> log-probabilities [B, T / 4, 100]."""
        hidden = self.Transformer.encode(self.CNN(feats), lens)
        return self.ctc_lin(hidden).log_softmax(-1)


def random_masks(model: torch.nn.Module, args: argparse.Namespace) -> MaskSet:
    """Independent masks: no two languages share a layer."""
    generator = torch.Generator().manual_seed(args.seed)
    targets = select_targets(model)
    masks = MaskSet.from_targets(targets, LANGUAGES)
    for language in LANGUAGES:
        for target in targets:
            drawn = torch.rand(target.parameter.shape, generator=generator)
            masks.set(language, target.name, drawn >= args.sparsity)
    return masks


def make_tasks(args: argparse.Namespace) -> tuple[dict, list[str], dict]:
    """What is timed, the language of each utterance, and sizes."""
    torch.manual_seed(args.seed)
    stock = ConformerCTC(args.width, args.layers).eval()
    aware = copy.deepcopy(stock)
    convert(aware)
    masks = random_masks(stock, args)
    router = PathwayRouter(aware, masks)
    switch = PathwaySwitch(select_targets(stock), masks.clone())
    rows = [LANGUAGES[i % 4] for i in range(args.utterances)]
    feats = torch.randn(args.utterances, 100 * args.seconds, 80)
    lens = torch.linspace(0.5, 1.0, args.utterances)

    def dense() -> torch.Tensor:
        return stock(feats, lens)

    def mixed() -> torch.Tensor:
        with router.through(rows):
            return aware(feats, lens)

    def apart() -> torch.Tensor:
        out: dict[int, torch.Tensor] = {}
        for language in LANGUAGES:
            mine = [i for i, x in enumerate(rows) if x == language]
            with switch.pathway(language):
                found = stock(feats[mine], lens[mine])
            out.update(zip(mine, found, strict=True))
        return torch.stack([out[i] for i in range(len(rows))])

    sizes = {
        "weights": sum(p.numel() for p in stock.parameters()),
        "masked": masks.numel(),
    }
    return {"dense": dense, "mixed": mixed, "apart": apart}, rows, sizes


@torch.no_grad()
def measure(args: argparse.Namespace) -> dict:
    """Runs all tasks in turns, and compares their results."""
    torch.set_num_threads(args.threads)
    tasks, rows, sizes = make_tasks(args)
    first = {name: task() for name, task in tasks.items()}
    difference = (first["mixed"] - first["apart"]).abs().max()
    scale = first["apart"].abs().max()
    masked = (first["mixed"] - first["dense"]).abs().max()
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(args.repeats):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            seconds[name].append(time.perf_counter() - start)
    ratios = {
        name: [
            a / b for a, b in zip(seconds[name], seconds["dense"], strict=True)
        ]
        for name in ("mixed", "apart")
    }
    worst = float(difference / scale)
    ratio = statistics.median(ratios["mixed"])
    return {
        **sizes,
        "utterances": len(rows),
        "languages": len(LANGUAGES),
        "seconds_per_utterance": args.seconds,
        "sparsity": args.sparsity,
        "threads": args.threads,
        "seed": args.seed,
        "ms": {n: spread([1e3 * s for s in v], 2) for n, v in seconds.items()},
        "ratio_to_dense": {n: spread(v, 3) for n, v in ratios.items()},
        "target_ratio": TARGET_RATIO,
        "largest_difference_over_largest_output": worst,
        "target_difference": TARGET_DIFFERENCE,
        "what_masks_change_over_largest_output": float(masked / scale),
        "reached": ratio <= TARGET_RATIO and worst <= TARGET_DIFFERENCE,
        "commit": commit(__file__),
        "versions": versions(),
        "host": host_facts(),
    }


def main() -> int:
    """Prints and writes the figures; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=144)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--utterances", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--sparsity", type=float, default=0.8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", help="where to write the figures")
    args = read_options(
        parser, width=16, layers=1, utterances=4, seconds=1, repeats=2
    )
    figures = measure(args)
    text = json.dumps(figures, indent=2)
    print(text)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    return 0 if figures["reached"] or args.smoke else 1


if __name__ == "__main__":
    sys.exit(main())
