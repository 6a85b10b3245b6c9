"""Kept results of a comparison that never ran: small, complete, repeatable."""

from dataclasses import replace

import numpy as np

from leanbrain.pruning.comparison.rows import Kept, key, parts

LANGUAGES = ("en", "es", "ru", "uk", "de")
SEEDS = (1, 2, 3)
SPARSITIES = (0.7, 0.8, 0.9)
UTTERANCES = 20
TARGETS = ("model.CNN.w", "model.RNN.weight_ih_l0", "model.RNN.weight_hh_l0")
# Method -> error rate at 70, 80 and 90 %, its runs, how much languages share.
METHODS = {
    "adaptive": ((0.30, 0.33, 0.40), 1, 0.6),
    "fixed_pathways": ((0.33, 0.38, 0.46), 8, 0.7),
    "lap": ((0.335, 0.37, 0.45), 2, None),
    "imp": ((None, 0.331, None), 5, None),
}
DENSE = 0.32
SUITE = """name: fake
seeds: [1, 2, 3]
steps: {epochs: 2, batches_per_epoch: 630}
methods:
    - {name: imp}
    - {name: fixed_pathways, masks_from: {method: imp, sparsity: same}}
"""
COMMIT = "0123456789abcdef"
HOST = {"cpu": "Example CPU", "cores": 2}


def make(methods=None, languages=LANGUAGES, seeds=SEEDS, name="fake"):
    """Results of the methods and of a dense model with as many steps."""
    methods = METHODS if methods is None else methods
    rng = np.random.default_rng(0)
    rates = np.linspace(0.8, 1.2, len(languages))
    hard = dict(zip(languages, rates, strict=True))
    characters = {x: _lengths(rng) for x in languages}
    runs = [("dense", 0.0, DENSE, 1, None)]
    for method, (rates, count, share) in methods.items():
        pairs = zip(SPARSITIES, rates, strict=True)
        runs += [
            (method, s, r, count, share) for s, r in pairs if r is not None
        ]
    rows, edits, overlap, density = [], {}, {}, {}
    for seed in seeds:
        # Harder seeds and harder utterances are so for every method.
        luck = {x: rng.normal(1.0, 0.1, UTTERANCES) for x in languages}
        for method, sparsity, rate, count, share in runs:
            name_of_row = key(method, sparsity, seed)
            edits[name_of_row] = {
                x: _edits(rng, characters[x], rate * hard[x] * luck[x])
                for x in languages
            }
            mine = edits[name_of_row]
            rows.append(_row(name_of_row, mine, characters, count))
            overlap[name_of_row] = _overlap(languages, share, seed)
            density[name_of_row] = _density(languages, sparsity, share)
    ids = {x: [f"{x}{i}" for i in range(UTTERANCES)] for x in languages}
    return Kept(
        name=name,
        rows=rows,
        suite=SUITE,
        languages=list(languages),
        utterances={"ids": ids, "characters": characters, "edits": edits},
        density=density,
        overlap=overlap,
        host=HOST,
        commit=COMMIT,
        versions={"torch": "2.11.0", "speechbrain": "1.1.2"},
    )


def rows_of(kept, method, sparsity):
    """The rows of a method at a sparsity."""
    return [
        x
        for x in kept.rows
        if x["method"] == method and x["sparsity"] == sparsity
    ]


def cells(table, method, sparsity):
    """The cells of a table's row, by heading."""
    (row,) = [x for x in table if x[:2] == [method, sparsity]]
    return dict(zip(table[0], row, strict=True))


def without(kept, drop):
    """The same results without some rows."""
    return replace(kept, rows=[x for x in kept.rows if not drop(x)])


def _lengths(rng):
    return [int(x) for x in rng.integers(15, 40, UTTERANCES)]


def _edits(rng, characters, rates):
    rates = np.clip(rates, 0.0, 1.0)
    return [int(x) for x in rng.binomial(characters, rates)]


def _row(name, edits, characters, count):
    method, sparsity, seed = parts(name)
    cer = {k: 100 * sum(x) / sum(characters[k]) for k, x in edits.items()}
    mean = sum(cer.values()) / len(cer)
    return {
        "method": method,
        "sparsity": sparsity,
        "seed": seed,
        "steps": 1260,
        "total_steps": 1260 * count,
        "mean_cer": mean,
        **{f"cer_{k}": x for k, x in cer.items()},
        "mean_wer": 2 * mean,
        **{f"wer_{k}": 2 * x for k, x in cer.items()},
        "flops": 3.0e14 * count * (1 - 0.5 * sparsity),
        "union_density": 1 - sparsity,
        "minutes": 9.5 * count,
        "commit": COMMIT,
        "cpu": "Example CPU",
        "cores": 2,
        "torch": "2.11.0",
        "speechbrain": "1.1.2",
    }


def _overlap(languages, share, seed):
    if share is None:
        return {"pathways": ["all"], "matrix": [[1.0]]}

    def one(a, b):
        if a == b:
            return 1.0
        near = {a, b} == {"ru", "uk"}
        return share + 0.2 * near + 0.01 * seed

    return {
        "pathways": list(languages),
        "matrix": [[one(a, b) for b in languages] for a in languages],
    }


def _density(languages, sparsity, share):
    tilt = 0.0 if share is None else 0.3 * sparsity * (1 - sparsity)
    kept = [1 - sparsity + tilt * x for x in (1.0, 0.5, -1.0)]
    names = ["all"] if share is None else languages
    return {x: dict(zip(TARGETS, kept, strict=True)) for x in names}
