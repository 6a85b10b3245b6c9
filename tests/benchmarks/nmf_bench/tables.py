"""Goals against figures: from the JSON alone."""

from nmf_bench.figures import spread

# Stands for the time of who never arrives; not inf, which quartiles turn
# into NaN.
ENDLESS = 1e9


def goals(result):
    """One row for each goal, in the order of the issue."""
    return [row for part in PARTS for row in part(result)]


def markdown(result):
    """The table of goals; what was not measured says so.

    A side that never reached the loss counts as endlessly slow: where it is
    the peer, the ratio reads "never", where it is auto, 0.
    """
    lines = [
        "| Goal | Wanted | Median | Quartiles | Seeds | |",
        "|---|---|---|---|---|---|",
    ]
    for row in goals(result):
        sign = "≥" if row["at_least"] else "≤"
        wanted = f"{sign} {row['target']:g}"
        if row["median"] is None:
            cells = ["not measured", "", "0", ""]
        else:
            cells = [
                _number(row["median"]),
                " to ".join(map(_number, row["quartiles"])),
                str(len(row["values"])),
                "met" if row["met"] else "missed",
            ]
        lines.append("| " + " | ".join([row["goal"], wanted, *cells]) + " |")
    return "\n".join(lines) + "\n"


def counts(result):
    """The table behind it: iterations, CPU ms and gap of every method."""
    lines = [
        "| Task | Method | Reached | Iterations | CPU ms | ms/iteration "
        "| Final gap, % |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, records in _tasks(result).items():
        names = dict.fromkeys(n for r in records for n in r["methods"])
        for name in names:
            found = [
                r["methods"][name] for r in records if name in r["methods"]
            ]
            arrived = [x for x in found if x["iterations"] is not None]
            gaps = [100 * x.get("final_gap", x.get("gap")) for x in found]
            cells = [task, name, f"{len(arrived)} of {len(found)}"]
            if arrived:
                seconds = [x["seconds"] for x in arrived]
                each = [1e3 * x["seconds"] / x["iterations"] for x in arrived]
                cells += [
                    _middle([x["iterations"] for x in arrived]),
                    _middle([1e3 * s for s in seconds]),
                    _middle(each),
                ]
            else:
                cells += ["never", "", ""]
            cells.append(f"{min(gaps):.3g} to {max(gaps):.3g}")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _row(goal, target, values, at_least=True):
    """A goal and its figures; None among them are left out."""
    row = {"goal": goal, "target": target, "at_least": at_least}
    values = [value for value in values if value is not None]
    if not values:
        return {**row, "median": None, "met": None}
    row.update(spread(values))
    middle = row["median"]
    row["met"] = middle >= target if at_least else middle <= target
    return row


def _ratios(records, what, slow, fast="auto"):
    """Per seed: `slow` over `fast`; who never arrives took for ever."""
    found = []
    for record in records:
        methods = record["methods"]
        if slow not in methods or fast not in methods:
            continue
        high, low = methods[slow][what], methods[fast][what]
        if low is None:
            found.append(None if high is None else 0.0)
        else:
            found.append(ENDLESS if high is None else high / low)
    return found


def _encode(result):
    records, batch = result.get("encode", []), result.get("batch", [])
    yield _row(
        "KL encode, iterations of MU / auto",
        2,
        _ratios(records, "iterations", "mu"),
    )
    for peer, target in (("sklearn", 2.5), ("torchnmf", 4)):
        values = _ratios(records, "seconds", peer)
        yield _row(f"KL encode, CPU of {peer} / auto", target, values)
    yield _row(
        "KL encode, 15 utterances, CPU of sklearn one by one / padded batch",
        2.5,
        _ratios(batch, "seconds", "sklearn"),
    )


def _learn(result):
    wanted = [
        ("kl-20", "sklearn MU", 4),
        ("kl-40", "sklearn MU", 4),
        ("frobenius-20", "sklearn CD", 3),
        ("frobenius-40", "sklearn CD", 1.2),
    ]
    for task, peer, target in wanted:
        loss, rank = task.split("-")
        name = f"{loss} learning, rank {rank}, to 1 %, CPU of {peer} / auto"
        records = result.get("learn", {}).get(task, [])
        yield _row(name, target, _ratios(records, "seconds", peer))
        pairs = [{"methods": r["equal_loss"]} for r in records]
        yield _row(
            f"the same, to 1 % above the worse end of the two ({task})",
            target,
            _ratios(pairs, "seconds", peer),
        )
    for task, records in result.get("learn", {}).items():
        if task.startswith("kl"):
            worst = [
                max(x["difference"] for x in r["equal_time"].values())
                for r in records
            ]
            yield _row(
                f"{task}: loss of auto / MU - 1 at equal CPU time, worst time",
                0,
                worst,
                at_least=False,
            )


def _machine(result):
    flat = [r["ms_per_iteration"] for r in result.get("flatness", [])]
    for name in ("auto", "mu"):
        values = [
            r[name]["1000"] / r[name]["10"] if "1000" in r[name] else None
            for r in flat
        ]
        goal = f"ms/iteration at 1000 over that at 10, {name}"
        yield _row(goal, 1.1, values, at_least=False)
    for peer, target in (("sklearn MU", 3), ("torchnmf", 10)):
        values = [
            r[peer]["400"] / r["mu"]["400"] if "400" in r[peer] else None
            for r in flat
        ]
        yield _row(f"ms/iteration at 400, {peer} over mu", target, values)
    share = [r["share"]["mu"] for r in result.get("gemm", [])]
    yield _row("Share of the SGEMM rate, KL MU, rank 40", 0.55, share)


def _features(result):
    values = [record["nmf"] for record in result.get("features", [])]
    goal = "Real-time factor of NMFFeatures, digits training set"
    yield _row(goal, 0.005, values, at_least=False)


PARTS = [_encode, _learn, _machine, _features]


def _tasks(result):
    """Records by task, all that have methods."""
    found = {
        "encode": result.get("encode", []),
        "15 utterances": result.get("batch", []),
        **result.get("learn", {}),
    }
    return {task: records for task, records in found.items() if records}


def _middle(values):
    return _number(spread(values)["median"])


def _number(value):
    """Three digits; a time without end as what it means."""
    return "never" if value > ENDLESS / 1e3 else f"{value:.3g}"
