"""A ledger as a benchmark leaves it, made up without training anything.

Errors fall exponentially; optimizers differ in how fast, in what a step costs
and in how often they fail. Everything follows from the seed.
"""

import hashlib
import json

import numpy as np

# name: (speed of learning, seconds of the optimizer's own work per step)
OPTIMIZERS = {
    "adamw": (1.0, 0.0012),
    "muon_adamw": (1.35, 0.0048),
    "nadamw": (1.02, 0.0014),
    "radam": (0.8, 0.0015),
    "sf_adamw": (0.95, 0.0013),
    "sgd_nesterov": (0.55, 0.0006),
}
# name: (steps by which the error falls to 1/e, seconds, floor in percent)
WORKLOADS = {
    "lstm_ctc": (45.0, 0.016, 9.0),
    "conformer_ctc": (60.0, 0.024, 12.0),
    "digits_conv": (30.0, 0.009, 3.0),
}
VARIANTS = {
    "lstm_ctc": ("relu", "augmented"),
    "conformer_ctc": ("post_norm", "temperature"),
    "digits_conv": ("tanh", "no_norm"),
}
HORIZON, EVERY, FACTOR = 200, 4, 4 / 3
HOSTILE = "<script>alert('x')</script>|`=1+1`"
HOST = {
    "cpu": "Example CPU <b>9</b>",
    "cores": 2,
    "torch_threads": 1,
    "memory_gib": 8.0,
    "gpu": None,
    "platform": "Linux x86_64",
    "load": [1.9, 1.8, 1.7],
}


def fake_rows(
    optimizers=OPTIMIZERS, workloads=WORKLOADS, studies=3, trials=3, faults=True
):
    """Makes the rows: calibration, score trials, variants."""
    rows = []
    for workload in workloads:
        rows.append(_calibration(workload, optimizers))
        for study in range(studies):
            for trial in range(trials):
                for name, traits in optimizers.items():
                    place = (name, workload, None, study, trial)
                    rows.append(_trial(place, traits))
        for variant in VARIANTS[workload]:
            for name, traits in optimizers.items():
                rows.append(_trial((name, workload, variant, 0, 0), traits))
    if faults:
        _add_faults([x for x in rows if x["config"]["kind"] == "score"])
    return [_signed(row) for row in rows]


def find(rows, **wanted):
    """The rows whose configuration has these values."""
    return [
        row
        for row in rows
        if all(row["config"].get(k) == x for k, x in wanted.items())
    ]


def write_ledger(root, rows):
    """Writes the rows as the engine does."""
    from leanbrain.experiments.ledger import Ledger, sign

    root.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(sign(row)) + "\n" for row in rows]
    # One write: `append` waits for the disk with every row.
    Ledger(root).path.write_text("".join(lines))


def path_of(workload):
    return f"hparams/{workload}.yaml"


def target_of(workload, variant=None):
    return WORKLOADS[workload][2] + (6.0 if variant is None else 8.0)


def step_s(workload, traits):
    return WORKLOADS[workload][1] + traits[1]


def _common(workload):
    return {
        "rules": "cpu-1",
        "workload": path_of(workload),
        "workload_digest": "0123456789abcdef",
        "data": "synthetic",
        "threads": 1,
        "overrides": {},
    }


def _row(config, result, seconds):
    return {
        "run": "leanbrain.optbench.trials.trial:run",
        "config": config,
        "status": "done",
        "reason": "",
        "result": result,
        "seconds": seconds,
        "attempts": 1,
        "started": "2026-01-02T03:04:05+00:00",
        "host": HOST,
        "versions": {"python": "3.12.0", "torch": "2.11.0"},
        "commit": "c0ffee" + "0" * 34,
    }


def _signed(row):
    text = json.dumps(row["config"], sort_keys=True).encode()
    return {"digest": hashlib.sha256(text).hexdigest()[:16], **row}


def _calibration(workload, optimizers):
    base = WORKLOADS[workload][1]
    measured = {
        name: {
            "step_s": base + traits[1],
            "low_s": 0.95 * base + traits[1],
            "high_s": 1.1 * base + traits[1],
            "optimizer_s": traits[1],
            "state_bytes_per_parameter": 4.0 if "sgd" in name else 8.0,
            "kernel": "foreach",
        }
        for name, traits in optimizers.items()
    }
    config = {
        **_common(workload),
        "kind": "calibration",
        "optimizers": {name: f"name: {name}\n" for name in optimizers},
        "seed": 1,
        "steps": 30,
    }
    result = {
        "optimizers": measured,
        "forward_backward_s": base,
        "overhead_share": 0.011,
        "evaluation_s": 0.02,
        "steps": 30,
    }
    return _row(config, result, 30 * base * len(optimizers))


def _trial(place, traits):
    name, workload, variant, study, trial = place
    seed = _number("pair", workload, variant, study, trial)
    rng = np.random.default_rng(_number(*place))
    config = {
        **_common(workload),
        "kind": "score" if variant is None else "variant",
        "variant": variant,
        "optimizer": name,
        "optimizer_yaml": f"name: {name}\n",
        "hyperparameters": {
            "lr": float(10 ** rng.uniform(-4, -2)),
            "beta1": float(rng.uniform(0.8, 0.98)),
        },
        "study": study,
        "trial": trial,
        "seed": seed,
        "total_steps": HORIZON,
        "budget_steps": int(np.ceil(FACTOR * HORIZON)),
        "eval_every_steps": EVERY,
        "target": target_of(workload, variant),
        "metric": "error_percent",
    }
    curve = _curve(workload, traits, rng, config)
    result = _result(config, curve, traits, seed)
    return _row(config, result, curve[-1]["wall_s"] + 1.5)


def _curve(workload, traits, rng, config):
    """Evaluations until the target is met or the budget is used."""
    scale, _, floor = WORKLOADS[workload]
    scale *= np.exp(rng.normal(0.0, 0.25)) / traits[0]
    cost = step_s(workload, traits)
    slow = float(np.exp(rng.normal(0.0, 0.1)))
    curve = []
    for step in range(EVERY, config["budget_steps"] + 1, EVERY):
        left = np.exp(-step / scale) * (1.0 + rng.normal(0.0, 0.03))
        error = float(floor + (100.0 - floor) * left)
        curve.append(
            {
                "step": step,
                "step_s": step * cost * slow,
                "cpu_s": step * cost * slow * 1.02,
                "wall_s": step * (cost * slow + 0.005),
                "train_loss": float(3.0 * left + 0.1),
                "valid": {"error_percent": error, "loss": 4.0 * float(left)},
            }
        )
        if error <= config["target"]:
            break
    return curve


def _result(config, curve, traits, seed):
    values = [x["valid"]["error_percent"] for x in curve]
    reached = values[-1] <= config["target"]
    last = curve[-1]
    clocks = {k: last[f"{k}_s"] for k in ("step", "cpu", "wall")}
    return {
        "reached": reached,
        "steps_to_target": last["step"] if reached else None,
        "seconds_to_target": clocks if reached else None,
        "best": min(values),
        "steps": last["step"],
        "curve": curve,
        "evaluation_s": 0.02 * len(curve),
        "class": f"torch.optim.{config['optimizer']}",
        "kernel": "foreach",
        "parameters": 58000,
        "state_bytes_per_parameter": 8.0,
        "init_hash": str(seed),
        "order_hash": [[i, f"{seed}-{i}"] for i in (1, 10)],
        "audit": [{"name": "class", "passed": True, "detail": ""}],
        "threads": 1,
        "load": [1.9, 1.8, 1.7],
    }


def _add_faults(rows):
    """One trial of each kind that ended otherwise, and a slow one."""
    ends = {
        "void": f"the audit failed: order of data | {HOSTILE}",
        "diverged": "the loss was nan at step 12",
        "crashed": '=HYPERLINK("https://example.org","click")',
        "timed_out": "ran longer than 600 s",
        "failed": "Muon needs matrices, got a vector.",
    }
    for k, (status, reason) in enumerate(ends.items()):
        row = rows[7 + 11 * k]
        row["status"], row["reason"] = status, reason
        if status not in ("void", "diverged"):
            row["result"] = None
    for row in rows:
        if row["status"] == "diverged":
            # Before the strict target, perhaps after the relaxed one.
            del row["result"]["curve"][-1]
            row["result"].update(reached=False, steps_to_target=None)
    slow = rows[3]
    for point in slow["result"]["curve"]:
        point["step_s"] *= 1.6


def _number(*names):
    text = "/".join(map(str, names)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") >> 1
