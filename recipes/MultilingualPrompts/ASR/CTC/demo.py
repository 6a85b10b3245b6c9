#!/usr/bin/env python3
"""Trains dense, adaptive and fixed models and reports on them side by side.

The pruned models start from the dense one and train on; as a control so does
`dense_trained_on`, without pruning: same start, steps, batches, learning rate.

To run this recipe, do the following:
> python demo.py --results_folder results/demo
> python demo.py --results_folder results/demo --data_folder <manifests>

Finished parts are used again; an interrupted one continues where it was.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from leanbrain._host import user_errors
from leanbrain.checks import UserError
from leanbrain.dataio.digest import data_digest
from leanbrain.dataio.manifests import SPLITS, read_manifest
from leanbrain.dataio.synthesis import Settings, synthesise_corpus
from leanbrain.digests import yaml_digest
from leanbrain.experiments.processes import check_alone
from leanbrain.files import make_folder, read_json
from leanbrain.hyperyaml import as_override, load_yaml
from leanbrain.pruning.report.report import (
    collect,
    markdown_table,
    write_report,
)
from leanbrain.shipped import find_yaml

FOLDER = Path(__file__).resolve().parent
DEBUG_SPEECH = Settings(train=12, valid=2, test=2)
RUNS = {
    "dense": "dense.yaml",
    "dense_trained_on": "pruned.yaml",
    "adaptive": "pathways.yaml",
    "fixed": "pruned.yaml",
}


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--results_folder", default="results/demo", help="where all goes"
    )
    parser.add_argument(
        "--data_folder",
        default="",
        help="folder of train.csv, valid.csv, test.csv; "
        "default: speech synthesised on the spot",
    )
    parser.add_argument("--seed", type=int, help="default: as in demo.yaml")
    parser.add_argument(
        "--debug",
        action="store_true",
        help="a few steps of small models on little speech: whether it runs",
    )
    return parser.parse_args(arguments)


def budgets(data_folder, debug=False):
    """What each run overrides, and the seed."""
    with open(FOLDER / "hparams" / "demo.yaml", encoding="utf-8") as stream:
        demo = load_yaml(stream)
    dense, pruned = demo["dense"], demo["pruned"]
    if debug:
        dense = pruned = demo["debug"]
    elif data_folder:
        dense, pruned = {}, {}
    return demo["seed"], {
        "dense": dense,
        "dense_trained_on": {**pruned, "method": "none"},
        "adaptive": pruned,
        "fixed": {**pruned, "method": "one_shot"},
    }


def run_folder(results, name, settings):
    """A folder per run: other settings, YAML or data never mix with it."""
    sources = [FOLDER / "hparams" / RUNS[name]]
    if "method" in settings:
        sources.append(find_yaml("pruning", settings["method"]))
    data = data_digest(settings["data_folder"], [f"{x}.csv" for x in SPLITS])
    text = json.dumps([settings, yaml_digest(sources), data], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:8]
    return results / "runs" / f"{name}-{key}"


def steps_of(name, settings):
    """Optimizer steps of a run: its own settings, else the entry file's."""
    keys = ("number_of_epochs", "batches_per_epoch")
    text = (FOLDER / "hparams" / RUNS[name]).read_text(encoding="utf-8")
    own = [re.search(rf"^{k}: (\d+)", text, re.M).group(1) for k in keys]
    epochs, batches = (
        int(settings.get(k, v)) for k, v in zip(keys, own, strict=False)
    )
    return epochs * batches


def train(name, folder, settings, seconds_per_step):
    """Runs train.py, unless its result is there; returns seconds per step."""
    result = folder / "result.json"
    steps = steps_of(name, settings)
    if result.exists():
        print(f"[{name}] finished before, used again", flush=True)
        return read_json(result)["seconds"] / steps
    guess = ""
    if seconds_per_step:
        guess = f", about {steps * seconds_per_step / 60:.1f} minutes"
    print(f"[{name}] training, {steps} steps{guess}", flush=True)
    command = [sys.executable, str(FOLDER / "train.py")]
    command += [str(FOLDER / "hparams" / RUNS[name])]
    for key, value in {**settings, "output_folder": str(folder)}.items():
        command.append(as_override(key, value))
    status = subprocess.run(command).returncode
    if status:
        raise SystemExit(status)
    return read_json(result)["seconds"] / steps


def main(arguments):
    """Synthesises if needed, trains the models, writes the report."""
    check_alone("demo.py")
    options = parse(arguments)
    results = make_folder(Path(options.results_folder).resolve())
    seed, overrides = budgets(options.data_folder, options.debug)
    seed = seed if options.seed is None else options.seed
    started = time.monotonic()
    speech = DEBUG_SPEECH if options.debug else Settings()
    data = options.data_folder or synthesise_corpus(results / "speech", speech)
    rows = read_manifest(Path(data) / "train.csv").values()
    languages = sorted({row["lang"] for row in rows})
    if len(languages) < 2:
        raise UserError(
            "The demo must have at least two languages, got "
            f"{', '.join(languages)} in {data}."
        )
    common = {
        "data_folder": str(Path(data).resolve()),
        "languages": languages,
        "seed": seed,
    }
    folders, pace = {}, 0.0
    for name in RUNS:
        settings = {**common, **overrides[name]}
        if name != "dense":
            settings["dense_checkpoint"] = str(folders["dense"] / "save")
        folders[name] = run_folder(results, name, settings)
        pace = train(name, folders[name], settings, pace)
    page = write_report(folders, results)
    print(f"\n{markdown_table(collect(folders))}\n")
    print(f"{(time.monotonic() - started) / 60:.1f} minutes")
    print(f"report: {page}")


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
