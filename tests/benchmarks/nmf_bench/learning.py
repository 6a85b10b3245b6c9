"""Learning W and H: CPU time to 1 % of the best loss that is known."""

from functools import partial

from nmf_bench.clock import cpu_seconds, in_turns
from nmf_bench.data import start
from nmf_bench.methods import Problem, ours, scikit_learn, torch_nmf
from nmf_bench.protocol import Trace, first_within, grid, reached

GAP = 0.01
CAP = 1000
SOLVERS = ["fastmu", "musom", "bmme"]
# CPU seconds at which `auto` and plain MU are compared.
BUDGETS_S = [0.1, 0.3, 1.0]
# The peer that a goal names, by loss.
PEERS = {"kl": "sklearn MU", "frobenius": "sklearn CD"}


def methods(loss, every):
    """Who takes part; without `every`, only whom the goals name."""
    found = {"auto": ours("auto"), "mu": ours("mu")}
    found["sklearn MU"] = scikit_learn("mu")
    if loss == "frobenius":
        found["sklearn CD"] = scikit_learn("cd")
    if not every:
        return {name: found[name] for name in ("auto", "mu", PEERS[loss])}
    names = SOLVERS + (["hals"] if loss == "frobenius" else [])
    found.update({name: ours(name) for name in names})
    found["torchnmf"] = torch_nmf(trainable_W=True)
    return found


def measure(V, rank, loss, seed, options):
    """One seed: counts, seconds and final gaps of every method."""
    problem = Problem(V, *start(V, rank, seed), loss)
    every = seed < options.every
    traces, most, speed, skipped = {}, {}, {}, {}
    for name, method in methods(loss, every).items():
        try:
            traces[name] = Trace(problem, method)
            speed[name] = _per_iteration(traces[name])
        except ValueError as error:
            traces.pop(name, None)
            skipped[name] = str(error)
            continue
        most[name] = max(20, min(CAP, int(options.long_s / speed[name])))
    final = {}
    for name, trace in traces.items():
        final[name] = _final(trace, most[name])
    best = min(final.values())
    record = _to_target(traces, most, (1 + GAP) * best, options)
    for name, kept in record.items():
        kept["final_gap"] = final[name] / best - 1
        kept["final_iterations"] = most[name]
        kept["ms_per_iteration"] = 1e3 * speed[name]
    return {
        "seed": seed,
        "best_loss": best,
        "methods": record,
        "skipped": skipped,
        "equal_loss": _pair(PEERS[loss], traces, most, final, options),
        "equal_time": _equal_time(traces, speed, options),
    }


def curves(V, rank, loss, seed, options):
    """Loss against CPU seconds, for the plot."""
    problem = Problem(V, *start(V, rank, seed), loss)
    found = {}
    for name, method in methods(loss, options.every > 0).items():
        trace = Trace(problem, method)
        run = trace.run
        try:
            run(2)
        except ValueError:
            continue
        points, last = [], 0.0
        for n in grid(CAP)[::10]:
            if last > options.long_s:
                break
            last, result = cpu_seconds(lambda run=run, n=n: run(n))
            points.append((n, last, reached(problem, method, result)))
        found[name] = points
    return found


def _per_iteration(trace):
    """CPU seconds of an early iteration, the call's own cost taken out."""
    seconds = in_turns({n: partial(trace.run, n) for n in (2, 22)}, 2)
    return max((seconds[22] - seconds[2]) / 20, seconds[22] / 44)


def _final(trace, most):
    """Loss at the end; what resumes leaves its losses on the way."""
    if trace.method.resumes:
        for n in grid(most)[::3]:
            trace(n)
    return trace(most)


def _to_target(traces, most, target, options):
    """Iterations and CPU seconds to a loss; None where it is not reached."""
    counts = {
        name: first_within(trace, target, most[name])
        for name, trace in traces.items()
    }
    seconds = in_turns(
        {
            name: partial(traces[name].run, n)
            for name, n in counts.items()
            if n is not None
        },
        options.rounds,
    )
    return {
        name: {
            "iterations": n,
            "seconds": seconds.get(name),
            "loss": None if n is None else traces[name](n),
        }
        for name, n in counts.items()
    }


def _pair(peer, traces, most, final, options):
    """`auto` against a peer where both arrive, whatever the basin.

    The target is 1 % above the worse of the two final losses.
    """
    pair = {name: traces[name] for name in ("auto", peer)}
    target = (1 + GAP) * max(final[name] for name in pair)
    return _to_target(pair, most, target, options)


def _equal_time(traces, speed, options):
    """Loss of `auto` over that of `mu` after equal CPU time, minus 1.

    By budget: that figure, and the CPU seconds that both really took.
    """
    found = {}
    runs = {name: traces[name].run for name in ("auto", "mu")}
    for budget in BUDGETS_S:
        if budget > options.long_s:
            break
        counts = {name: budget / speed[name] for name in runs}
        # Iterations are not alike: corrected by what the first guess took.
        for _ in range(2):
            tasks = {
                name: partial(runs[name], max(1, round(n)))
                for name, n in counts.items()
            }
            seconds = in_turns(tasks, 1)
            before = counts
            counts = {n: counts[n] * budget / seconds[n] for n in runs}
        loss = {n: traces[n](max(1, round(before[n]))) for n in runs}
        found[str(budget)] = {
            "difference": loss["auto"] / loss["mu"] - 1,
            "seconds": seconds,
        }
    return found
