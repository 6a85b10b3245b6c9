"""Which families of stock recipes can be pruned without editing them.

SPEECHBRAIN_REPO=<a clone of speechbrain> python tests/host/try_families.py
[family ...] [--json tests/host/results/families.json]
[--markdown docs/prune_your_recipe/README.md]

Runs each recipe's own train.py by `leanbrain run`, made small by overrides on
its command line, on the clone's sample recordings, without a network: models
that recipes download are replaced by random ones of the same class. Prints the
rows of a table; exits with 1 if a family failed. FAMILY_LOGS may name a folder
for what the recipes print.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent))

import tiny_models
from families import FAMILIES, Family
from kept_table import clone, keep, line, read_options

from leanbrain import user_errors

METHODS = Path(__file__).resolve().parents[2] / "hparams" / "pruning"
LIMIT_S = 600  # of a recipe; on free cores they take less than a minute
COLUMNS = (
    "family",
    "recipe",
    "targets",
    "weights",
    "lines changed",
    "steps",
    "sparsity",
    "result",
)
SUMMARY = re.compile(
    r"leanbrain: Step (?P<step>\d+) of (?P<total>\d+): removed of "
    r"(?P<weights>[\d,]+) weights in (?P<targets>\d+) targets: all "
    r"(?P<sparsity>[\d.]+%); masks are (?P<state>final|NOT final)\."
)


@dataclass
class Tried:
    """What came of a family: a row of the table."""

    family: Family
    output: str
    code: int
    seconds: float

    @property
    def ran(self) -> bool:
        """Whether the recipe trained and tested to its end, pruned."""
        return self.code == 0 and SUMMARY.search(self.output) is not None

    def row(self) -> dict[str, str]:
        """The row: title of a column -> cell."""
        found = SUMMARY.search(self.output)
        launcher = self.family.launcher
        through = f", through `{launcher}`" if launcher else ""
        if not self.ran or found is None:
            cells = ["-", "-", "0", "-", "-", f"failed: {self._why()}"]
        else:
            cells = [
                found["targets"],
                found["weights"],
                "0",
                f"{found['step']} of {found['total']}",
                f"{found['sparsity']}, {found['state']}",
                f"ran, {self.seconds:.0f} s{through}",
            ]
        names = [self.family.name, f"`{self.family.yaml}`"]
        return dict(zip(COLUMNS, [*names, *cells], strict=True))

    def _why(self) -> str:
        """The last line that says what went wrong."""
        lines = [x for x in self.output.splitlines() if x.strip()] or ["?"]
        named = [x for x in lines if re.match(r"[\w.]*(Error|error)\b", x)]
        return (named or lines)[-1].replace("|", "/")[:160]


def prepare(repo: Path, folder: Path) -> None:
    """Copies the samples and makes small models in the place of downloads."""
    samples = repo / "tests" / "samples"
    for name in ("ASR", "annotation", "noise", "RIRs"):
        shutil.copytree(samples / name, folder / "tests" / "samples" / name)
    tiny_models.make(folder)


def attempt(family: Family, repo: Path, folder: Path) -> Tried:
    """Runs one recipe, pruned."""
    own = [str(Path(__file__).parent / family.launcher)]
    command = [
        sys.executable,
        *(own if family.launcher else ["-m", "leanbrain"]),
        "run",
        str(repo / family.script),
        str(repo / family.yaml),
        *("--pruning", str(METHODS / "adaptive.yaml")),
        *("--set", "sparsity=0.5", "interval=1", "--"),
        *("--device=cpu", "--noprogressbar", "--number_of_epochs=3"),
        f"--output_folder={folder / 'out' / family.name.replace(' ', '_')}",
        *family.overrides,
    ]
    began = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | offline(),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        output, code = done.stdout + done.stderr, done.returncode
    except subprocess.TimeoutExpired:
        output, code = f"Error: not done after {LIMIT_S} s", 1
    return Tried(family, output, code, time.monotonic() - began)


def offline() -> dict[str, str]:
    """Environment of a run: no network, nothing written into the clone."""
    return {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def main(words: list[str] | None = None) -> int:
    """Tries all families, or those whose names contain a given word."""
    options = read_options(__doc__, words)
    repo = clone()
    tried = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        prepare(repo, folder)
        for family in FAMILIES:
            if chosen(family.name, options.names):
                tried.append(attempt(family, repo, folder))
                print(line(list(tried[-1].row().values())), flush=True)
                log(tried[-1])
    keep(options, "families", [one.row() for one in tried], repo)
    return int(not all(one.ran for one in tried))


def chosen(name: str, words: list[str]) -> bool:
    """Whether a name contains one of the words, if there are any."""
    return not words or any(word in name for word in words)


def log(tried: Tried) -> None:
    """Keeps what a recipe printed, if somebody wants it."""
    folder = os.environ.get("FAMILY_LOGS")
    if folder:
        file = Path(folder) / f"{tried.family.name.replace(' ', '_')}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(tried.output, encoding="utf-8")


if __name__ == "__main__":
    with user_errors():
        sys.exit(main())
