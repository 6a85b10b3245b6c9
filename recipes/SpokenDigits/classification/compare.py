#!/usr/bin/env python3
"""Runs several front ends and seeds one after the other and compares them.

To run this recipe, do the following:
> python compare.py --data_folder <folder of manifests>
> python compare.py --front_ends fbank nmf --seeds 1 2 --train_shares 0.05 1.0

Without --data_folder, digits are synthesised on the spot. Finished runs are
used again; an interrupted one continues where it was.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

from readme_tables import FRONT_ENDS, RESULTS, gather, keep, read_results

from leanbrain._host import user_errors
from leanbrain.checks import check_fraction, check_known
from leanbrain.dataio.digest import data_digest
from leanbrain.dataio.digits import synthesise_digits
from leanbrain.dataio.manifests import SPLITS
from leanbrain.digests import yaml_digest
from leanbrain.experiments.processes import check_alone
from leanbrain.files import make_folder, read_json
from leanbrain.hyperyaml import as_override

FOLDER = Path(__file__).resolve().parent


def parse(arguments):
    """The command line; unknown options go to train.py."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--results_folder", default="results/compare", help="where all goes"
    )
    parser.add_argument(
        "--data_folder",
        default="",
        help="folder of train.csv, valid.csv, test.csv; "
        "default: digits synthesised on the spot",
    )
    parser.add_argument("--front_ends", nargs="+", default=list(FRONT_ENDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--train_shares", nargs="+", type=float, default=[1.0])
    options, rest = parser.parse_known_args(arguments)
    for name in options.front_ends:
        check_known("front_ends", name, FRONT_ENDS)
    for share in options.train_shares:
        check_fraction("train_shares", share, low_open=True)
    return options, rest


def run_folder(results, name, settings, rest):
    """A folder per run: other settings, YAML or data never mix with it."""
    said = yaml_digest([FOLDER / f"hparams/{name}.yaml"])
    data = data_digest(settings["data_folder"], [f"{x}.csv" for x in SPLITS])
    text = json.dumps([settings, rest, said, data], sort_keys=True)
    digest = hashlib.sha256(text.encode())
    label = f"{name}-{settings['train_share']:g}-{settings['seed']}"
    return results / "runs" / f"{label}-{digest.hexdigest()[:8]}"


def plan(options, rest, data):
    """All runs: (front end, settings, folder), the first seed first."""
    results = Path(options.results_folder).resolve()
    runs = []
    for seed in options.seeds:
        for share in options.train_shares:
            for name in options.front_ends:
                settings = {
                    "data_folder": str(Path(data).resolve()),
                    "seed": seed,
                    "train_share": share,
                }
                folder = run_folder(results, name, settings, rest)
                runs.append((name, settings, folder))
    return runs


class Clock:
    """Guesses seconds of runs that are still to do, from those that are done.

    Before the first run of a front end is done here, its mean in the kept
    results is taken, which may come from another machine.
    """

    def __init__(self):
        self.seen = {}
        self.kept = {}
        if (RESULTS / "real.csv").is_file():
            for row in read_results("real"):
                seconds = float(row["seconds"])
                self.kept.setdefault(row["front_end"], []).append(seconds)

    def note(self, name, seconds):
        """Notes the seconds of a finished run."""
        self.seen.setdefault(name, []).append(seconds)

    def left(self, names):
        """Minutes that runs of these front ends take; None if unknown."""
        known = {**self.kept, **self.seen}
        if any(name not in known for name in names):
            return None
        means = [sum(known[name]) / len(known[name]) for name in names]
        return sum(means) / 60


def in_words(minutes):
    """The time left as a phrase."""
    if minutes is None:
        return "time left unknown until each front end has run once"
    return f"about {minutes:.0f} minutes left"


def train(name, settings, folder, rest):
    """Runs train.py."""
    command = [sys.executable, str(FOLDER / "train.py")]
    command += [str(FOLDER / "hparams" / f"{name}.yaml")]
    for key, value in {**settings, "output_folder": str(folder)}.items():
        command.append(as_override(key, value))
    status = subprocess.run([*command, *rest]).returncode
    if status:
        raise SystemExit(status)


def seconds_of(folder):
    """What a finished run took."""
    return sum(read_json(folder / "result.json")["seconds"].values())


def main(arguments):
    """Synthesises if needed, trains what is missing, writes CSV and PNG."""
    check_alone("compare.py")
    options, rest = parse(arguments)
    results = make_folder(Path(options.results_folder).resolve())
    started = time.monotonic()
    data = options.data_folder or synthesise_digits(results / "speech")
    runs = plan(options, rest, data)
    clock = Clock()
    todo = []
    for name, settings, folder in runs:
        if (folder / "result.json").exists():
            clock.note(name, seconds_of(folder))
        else:
            todo.append((name, settings, folder))
    print(
        f"{len(runs) - len(todo)} of {len(runs)} runs finished before, "
        f"{in_words(clock.left([name for name, *_ in todo]))}",
        flush=True,
    )
    for number, (name, settings, folder) in enumerate(todo):
        left = clock.left([name for name, *_ in todo[number:]])
        print(
            f"[{number + 1}/{len(todo)}] {name}, share "
            f"{settings['train_share']:g}, seed {settings['seed']}: "
            f"{in_words(left)}",
            flush=True,
        )
        train(name, settings, folder, rest)
        clock.note(name, seconds_of(folder))
    rows = gather([folder / "result.json" for *_, folder in runs])
    keep(rows, results / "compare")
    print(f"{(time.monotonic() - started) / 60:.1f} minutes")
    print(f"results: {results / 'compare.csv'}, {results / 'compare.png'}")


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
