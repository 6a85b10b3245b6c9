"""Time and memory of fine-tuning Whisper base with five pathways.

Brains with the same batches take turns step by step: a dense one, one pruned
by `lap` (one mask) and one by the adaptive method. Seconds are CPU seconds of
one thread, so that other work on the machine changes them little. Ratios are
of windows of some steps; those of the pruning phase, in which masks change, and
of the healing after it are given apart, and together as in a run whose half is
healing. Languages come in random order: masks are updated when all of them
were seen. Peak memory is that of a process that trains with one method and
saves a checkpoint.

Weights are random: their values cost nothing else. Run it as
python tests/benchmarks/bench_whisper_step.py --json out.json
"""

import argparse
import gc
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import speechbrain as sb
import torch
from bench_step import Batch
from smoke import read_options

from leanbrain.checkpointing import SafeCheckpointer
from leanbrain.provenance import commit, host_facts, versions
from leanbrain.pruning.methods import load_method

LANGUAGES = ["de", "en", "es", "ru", "uk"]
DENSE, LAP = "dense", "lap"
GOALS = {"ratio": 1.15, "memory_gb": 4.5}
FRAMES = 50  # of the encoder a second; two of its input each
BINS = 80
SKIPPED = 77  # for whoever runs all benchmarks


class ASR(sb.Brain):
    """Whisper, batches of one language."""

    def compute_forward(self, batch, stage):
        """Logits [B, L, tokens] of features [B, bins, T]."""
        return self.modules.whisper(
            input_features=batch.sig, decoder_input_ids=batch.tokens
        ).logits

    def compute_objectives(self, predictions, batch, stage):
        """Mean cross-entropy of the tokens."""
        return torch.nn.functional.cross_entropy(
            predictions.flatten(0, 1), batch.tokens.flatten()
        )


def build(method, options, folder=None):
    """A Brain in training and its pruner; None for the dense one."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(options.seed)
    config = WhisperConfig(
        d_model=options.width,
        encoder_layers=options.layers,
        decoder_layers=options.layers,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=4 * options.width,
        decoder_ffn_dim=4 * options.width,
        vocab_size=options.vocabulary,
        max_source_positions=round(FRAMES * options.window_s),
        **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 1),
        decoder_start_token_id=1,
    )
    model = WhisperForConditionalGeneration(config)
    checkpointer = None
    if folder is not None:
        checkpointer = SafeCheckpointer(folder, {"model": model})
    brain = ASR(
        {"whisper": model},
        lambda weights: torch.optim.AdamW(weights, lr=5e-5),
        run_opts={
            "precision": options.precision,
            "max_grad_norm": 1.0,
            "noprogressbar": True,
        },
        checkpointer=checkpointer,
    )
    pruner = None
    if method != DENSE:
        pruner = load_method(
            method,
            total_steps=2 * options.steps,
            pathways=LANGUAGES,
            sparsity=0.5,
            heal=0.5,
            interval=interval_of(method, options),
        )["pruner"]
        pruner.attach(brain)
    brain.init_optimizers()
    brain.modules.train()
    brain.on_stage_start(sb.Stage.TRAIN, 1)
    return brain, pruner


def interval_of(method, options):
    """Steps between updates that a method chooses for a run of the recipe."""
    found = load_method(
        method, total_steps=options.run_steps, pathways=LANGUAGES
    )
    return found["pruner"].turns.interval


def make_batch(i, options):
    """Noise in place of features, in a random language."""
    draw = torch.Generator().manual_seed(1000 * options.seed + i)
    language = LANGUAGES[int(torch.randint(len(LANGUAGES), (), generator=draw))]
    frames = 2 * round(FRAMES * options.window_s)
    tokens = (options.utterances, options.tokens)
    return Batch(
        sig=torch.randn(options.utterances, BINS, frames, generator=draw),
        tokens=torch.randint(options.vocabulary, tokens, generator=draw),
        lang=[language] * options.utterances,
    )


def one_step(brain, batch):
    """CPU seconds of one optimizer step."""
    torch.manual_seed(0)
    start = time.process_time()
    brain.step += 1
    brain.fit_batch(batch)
    return time.process_time() - start


def step_times(options):
    """Method -> CPU seconds of every step; whether masks could still change."""
    methods = (DENSE, LAP, options.method)
    brains = {method: build(method, options) for method in methods}
    seconds = {method: [] for method in methods}
    for i in range(2 * options.steps):
        batch = make_batch(i, options)
        for k in range(len(methods)):
            method = methods[(i + k) % len(methods)]
            seconds[method].append(one_step(brains[method][0], batch))
    for _, pruner in brains.values():
        if pruner is not None and not pruner.frozen:
            raise RuntimeError("The masks must be frozen at the end.")
    return seconds


def ratios(seconds, dense, window):
    """Mean ratio of two lists of seconds, and the quartiles over windows."""
    starts = range(0, len(seconds) - window + 1, window)
    each = [
        sum(seconds[i : i + window]) / sum(dense[i : i + window])
        for i in starts
    ]
    quartiles = statistics.quantiles(each, n=4) if len(each) > 1 else each * 3
    return {
        "mean": sum(seconds) / sum(dense),
        "quartiles": [quartiles[0], quartiles[2]],
        "windows": len(each),
    }


def phases(seconds, options):
    """Ratios of a method to the dense steps, phase by phase."""
    warm, end = options.warm_up, options.steps
    # Masks begin within the first steps, and are frozen by that of the middle.
    cuts = {
        "pruning": slice(warm, end),
        "healing": slice(end, None),
        "run": slice(warm, 2 * end - warm),
    }
    return {
        method: {
            name: ratios(taken[cut], seconds[DENSE][cut], options.window)
            for name, cut in cuts.items()
        }
        for method, taken in seconds.items()
        if method != DENSE
    }


def train_and_save(method, options):
    """Prints the most memory that a run with a checkpoint has taken, in GB."""
    with tempfile.TemporaryDirectory() as folder:
        brain, _ = build(method, options, folder)
        for i in range(options.memory_steps):
            one_step(brain, make_batch(i, options))
            if i == options.memory_steps // 2:
                brain.checkpointer.save_checkpoint()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            print(int(line.split()[1]) * 1024 / 1e9)


def memory(options):
    """Method -> the most memory of a process that trains with it, in GB."""
    found = {}
    for method in (DENSE, LAP, options.method):
        command = [sys.executable, __file__, *sys.argv[1:]]
        command += ["--memory_of", method]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        found[method] = float(done.stdout.split()[-1])
    return found


def read():
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="adaptive")
    parser.add_argument("--steps", type=int, default=40, help="of each phase")
    parser.add_argument("--warm_up", type=int, default=4, help="steps")
    parser.add_argument("--window", type=int, default=12, help="steps")
    parser.add_argument("--run_steps", type=int, default=265, help="of a run")
    parser.add_argument("--memory_steps", type=int, default=20)
    parser.add_argument("--memory_of", help="only this method's memory")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--vocabulary", type=int, default=51865)
    parser.add_argument("--window_s", type=float, default=3.5)
    parser.add_argument("--utterances", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=15)
    parser.add_argument("--json")
    return read_options(
        parser,
        steps=6,
        window=2,
        memory_steps=2,
        width=16,
        layers=1,
        vocabulary=50,
        window_s=0.2,
        utterances=2,
    )


def main():
    """Prints the figures and keeps them as JSON."""
    options = read()
    if importlib.util.find_spec("transformers") is None:
        print("skipped: the package transformers is not installed")
        raise SystemExit(SKIPPED)
    torch.set_num_threads(1)
    if options.memory_of is not None:
        train_and_save(options.memory_of, options)
        return
    seconds = step_times(options)
    gc.collect()
    result = {
        "benchmark": "whisper_step",
        "ratios": phases(seconds, options),
        "dense_step_s": statistics.median(seconds[DENSE]),
        "memory_gb": memory(options),
        "goals": GOALS,
        "method": options.method,
        "interval": interval_of(options.method, options),
        "window": options.window,
        "steps": 2 * options.steps,
        "seed": options.seed,
        "pathways": len(LANGUAGES),
        "precision": options.precision,
        "host": host_facts(),
        "versions": versions(),
        "commit": commit(__file__),
    }
    print(
        json.dumps(
            {k: v for k, v in result.items() if k != "versions"}, indent=1
        )
    )
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
