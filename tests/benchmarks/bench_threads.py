"""NMF and training beside busy neighbours: as torch does it, and as we do.

Each task runs in a process of its own, with as many threads as torch takes by
itself: once with OpenMP's own waiting and no limit on threads, once as
LeanBrain does (`leanbrain.threads`), in turns, beside none, one and two
processes that compute all the time. Of each the median over the rounds is
told, with the smallest and the largest. What else the machine does counts as
further neighbours: `load` is what it said before each round.

Run: python tests/benchmarks/bench_threads.py --json out.json
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager

from smoke import read_options

from leanbrain.provenance import commit, host_facts, versions

# Frames, bins and atoms; iterations of one measurement.
NMF = {
    "nmf 129 x 1200, rank 16": ((129, 1200), 16, 100),
    "nmf 513 x 2000, rank 40": ((513, 2000), 40, 15),
}
TRAINING = "training step, recogniser of the demo"
TASKS = (*NMF, TRAINING)
WAYS = ("torch alone", "leanbrain")
# Of libgomp, which neither variable of ours may have changed before.
WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")


def main():
    """Measures all and keeps the figures; or one task, in a child process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--neighbours", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--share", type=float, default=1.0, help="of the work")
    parser.add_argument("--json")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = read_options(
        parser, rounds=1, neighbours=[1], tasks=TASKS[:1], share=0.05
    )
    if options.child:
        print(json.dumps(child(*options.child, options.share)))
        return
    result = measure(options)
    print(table(result["rows"]))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            file.write(json.dumps(result, indent=1) + "\n")


def measure(options):
    """All tasks in both ways, in turns."""
    found, loads = {}, []
    for _ in range(options.rounds):
        loads.append(os.getloadavg()[0])
        for count in options.neighbours:
            with busy(count):
                for task in options.tasks:
                    for way in WAYS:
                        key = (task, count, way)
                        one = run(task, way, options.share)
                        found.setdefault(key, []).append(one)
                        print(*key, one, file=sys.stderr, flush=True)
    rows = [
        {
            "task": task,
            "neighbours": count,
            "way": way,
            **{k: spread([x[k] for x in runs]) for k in ("wall_ms", "cpu_ms")},
        }
        for (task, count, way), runs in found.items()
    ]
    return {
        "benchmark": "threads",
        "rows": rows,
        "rounds": options.rounds,
        "load": loads,
        "host": host_facts(),
        "versions": versions(),
        "commit": commit(__file__),
    }


def run(task, way, share):
    """A task in a process of its own; milliseconds of a step."""
    env = {k: v for k, v in os.environ.items() if k not in WAITING}
    command = [sys.executable, __file__, "--child", task, way]
    done = subprocess.run(
        [*command, "--share", str(share)],
        env=env,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(done.stdout)


@contextmanager
def busy(count):
    """Processes that compute all the time."""
    code = "while True: pass"
    others = [
        subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)
    ]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def child(task, way, share):
    """Wall and CPU time of a step of a task, milliseconds."""
    if way == "torch alone":
        as_before()
    step, steps = nmf_step(*NMF[task]) if task in NMF else training_step()
    steps = max(1, round(share * steps))
    step(1)
    wall, cpu = time.perf_counter(), time.process_time()
    step(steps)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall_ms": 1e3 * wall / steps, "cpu_ms": 1e3 * cpu / steps}


def as_before():
    """Undoes what LeanBrain does about threads, before torch is loaded."""
    from leanbrain.threads import Threads

    os.environ.pop("GOMP_SPINCOUNT", None)
    Threads.look = lambda self: None


def nmf_step(shape, rank, iterations):
    """Iterations of NMF, and how many."""
    import torch

    from leanbrain.nmf import nmf

    V = torch.rand(shape, generator=torch.Generator().manual_seed(0)) ** 3
    return lambda count: nmf(V, rank, max_iter=count, tol=0), iterations


def training_step():
    """Steps on 30 s of speech of a model of the demo's shapes."""
    import torch

    class Recogniser(torch.nn.Module):
        """Two strided convolutions, three bidirectional LSTM layers."""

        def __init__(self):
            super().__init__()
            self.one = torch.nn.Conv2d(1, 64, 3, 2, 1)
            self.two = torch.nn.Conv2d(64, 32, 3, 2, 1)
            self.lstm = torch.nn.LSTM(320, 192, 3, True, True, 0.0, True)
            self.out = torch.nn.Linear(384, 96)

        def forward(self, feats):
            """Log-probabilities [T, B, tokens]."""
            hidden = self.two(self.one(feats.unsqueeze(1)).relu()).relu()
            hidden = hidden.permute(0, 2, 1, 3).flatten(2)
            scores = self.out(self.lstm(hidden)[0])
            return scores.log_softmax(2).transpose(0, 1)

    torch.manual_seed(0)
    model = Recogniser()
    optimizer = torch.optim.AdamW(model.parameters())
    feats = torch.randn(15, 200, 40)
    tokens = torch.randint(1, 96, (15, 20))
    lengths = torch.full((15,), 50), torch.full((15,), 20)

    def steps(count):
        for _ in range(count):
            optimizer.zero_grad()
            loss = torch.nn.functional.ctc_loss(model(feats), tokens, *lengths)
            loss.backward()
            optimizer.step()

    return steps, 3


def spread(values):
    """Median, smallest and largest."""
    found = (statistics.median(values), min(values), max(values))
    return [round(x, 2) for x in found]


def table(rows):
    """Markdown."""
    lines = [
        "| task | neighbours | way | wall ms a step | CPU ms a step |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["task"], str(row["neighbours"]), row["way"]]
        for name in ("wall_ms", "cpu_ms"):
            middle, low, high = row[name]
            cells.append(f"{middle:.1f} ({low:.1f} to {high:.1f})")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
