"""Cost of a step and bytes of state of every optimizer file.

Two models of about a million weights, a Transformer and an LSTM, each with
one copy per optimizer. All optimizers take turns in one process on the same
batches, in another order each round, so that a change of the machine's speed
meets them all. The cost is the median of the optimizer's step relative to the
median of forward and backward of all, in CPU seconds of the process on one
thread, which other work on the machine disturbs less than wall seconds. The
first rounds are left out. Means are kept as well: SOAP does its costliest work
in every tenth step, which a median does not see.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/bench_optimizers.py
     [--json tests/benchmarks/results/optimizers.json] [--only adamw lion]
"""

import argparse
import copy
import random
import statistics
import time
from pathlib import Path

import torch
from smoke import read_options

from leanbrain.checks import UserError
from leanbrain.files import write_json
from leanbrain.optbench.optimizers.specs import load_optimizer
from leanbrain.optbench.trials.kernels import (
    kernel_flavour,
    state_bytes_per_parameter,
)
from leanbrain.provenance import commit, host_facts, versions

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "hparams" / "optimizers").glob("*.yaml"))
FEATURES, CLASSES, BATCH, FRAMES = 40, 60, 16, 100


class Transformer(torch.nn.Module):
    """A convolution over time and encoder layers."""

    def __init__(self, width=144, layers=4):
        super().__init__()
        self.front = torch.nn.Conv1d(FEATURES, width, 5, padding=2)
        layer = torch.nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.0, batch_first=True
        )
        self.encoder = torch.nn.TransformerEncoder(layer, layers)
        self.out = torch.nn.Linear(width, CLASSES)

    def forward(self, x):
        x = self.front(x.transpose(1, 2)).transpose(1, 2)
        return self.out(self.encoder(x))


class Lstm(torch.nn.Module):
    """Bidirectional layers, as in DeepSpeech."""

    def __init__(self, width=152, layers=2):
        super().__init__()
        self.rnn = torch.nn.LSTM(
            FEATURES, width, layers, batch_first=True, bidirectional=True
        )
        self.norm = torch.nn.BatchNorm1d(2 * width)
        self.out = torch.nn.Linear(2 * width, CLASSES)

    def forward(self, x):
        x = self.rnn(x)[0]
        return self.out(self.norm(x.transpose(1, 2)).transpose(1, 2))


MODELS = {"transformer": Transformer, "lstm": Lstm}


def load_specs(only):
    """The optimizer files whose packages are installed."""
    specs = {}
    for file in FILES:
        if only and file.stem not in only:
            continue
        try:
            specs[file.stem] = load_optimizer(file)
        except UserError as error:
            print(f"left out: {error}")
    return specs


def timed_step(model, optimizer, batch):
    """CPU seconds of forward and backward, and of the step."""
    x, y = batch
    optimizer.zero_grad()
    start = time.process_time()
    scores = model(x).flatten(0, 1)
    torch.nn.functional.cross_entropy(scores, y.flatten()).backward()
    middle = time.process_time()
    optimizer.step()
    return middle - start, time.process_time() - middle


def measure(kind, specs, options):
    """Times of one model, round robin."""
    torch.manual_seed(0)
    rounds, warmup = options.rounds, options.warmup
    sizes = {"width": options.width} if options.width else {}
    base = MODELS[kind](**sizes)
    lanes = {}
    for name, spec in specs.items():
        model = copy.deepcopy(base)
        optimizer = spec.build(model.parameters())
        getattr(optimizer, "train", lambda: None)()
        lanes[name] = (model, optimizer)
    times = {name: [] for name in lanes}
    order = random.Random(0)
    for k in range(rounds + warmup):
        batch = (
            torch.randn(BATCH, FRAMES, FEATURES),
            torch.randint(CLASSES, (BATCH, FRAMES)),
        )
        names = list(lanes)
        order.shuffle(names)
        for name in names:
            pair = timed_step(*lanes[name], batch)
            if k >= warmup:
                times[name].append(pair)
    passes = [first for pairs in times.values() for first, _ in pairs]
    pass_s = statistics.median(passes)
    rows = {
        name: row(pairs, pass_s, lanes[name][1])
        for name, pairs in times.items()
    }
    return {
        "batch": [BATCH, FRAMES, FEATURES],
        "parameters": sum(p.numel() for p in base.parameters()),
        "forward_backward_s": pass_s,
        "optimizers": rows,
    }


def row(pairs, pass_s, optimizer):
    """What is kept of one optimizer."""
    steps = [step for _, step in pairs]
    low, median, high = statistics.quantiles(steps, n=4)
    # Before the kernels are watched, which takes a step of its own.
    state = state_bytes_per_parameter(optimizer)
    return {
        "step_s": median,
        "quartiles_s": [low, high],
        "mean_percent": 100 * statistics.mean(steps) / pass_s,
        "percent": 100 * median / pass_s,
        "percent_quartiles": [100 * low / pass_s, 100 * high / pass_s],
        "state_bytes_per_parameter": state,
        "kernel": kernel_flavour(optimizer),
        "n": len(steps),
    }


def show(kind, result):
    """Prints one model's table, the cheapest first."""
    print(
        f"{kind}: {result['parameters']} weights, forward and backward "
        f"{1e3 * result['forward_backward_s']:.1f} ms"
    )
    rows = result["optimizers"].items()
    for name, x in sorted(rows, key=lambda item: item[1]["percent"]):
        low, high = x["percent_quartiles"]
        print(
            f"  {name:13} {x['percent']:6.1f} % ({low:.1f} to {high:.1f})  "
            f"{x['state_bytes_per_parameter']:6.2f} bytes  {x['kernel']}"
        )


def main():
    """Prints the tables and keeps them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json")
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--width", type=int, help="of both models")
    options = read_options(parser, rounds=2, warmup=1, width=16)
    torch.set_num_threads(1)
    specs = load_specs(options.only)
    result = {"benchmark": "optimizers", "threads": 1, "models": {}}
    for kind in MODELS:
        found = measure(kind, specs, options)
        result["models"][kind] = found
        show(kind, found)
    result["host"] = host_facts()
    result["versions"] = versions()
    result["commit"] = commit(__file__)
    if options.json:
        write_json(options.json, result)


if __name__ == "__main__":
    main()
