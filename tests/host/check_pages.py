"""Whether the diffs of docs/prune_your_recipe fit SpeechBrain and prune.

SPEECHBRAIN_REPO=<a clone of speechbrain> python tests/host/check_pages.py
[page ...] [--json tests/host/results/pages.json]
[--markdown docs/prune_your_recipe/README.md]

Applies each page's diff to a copy of the recipe's YAML, builds its modules,
small as in families.py, and its optimizer from the result, and steps until the
masks are final, on random gradients: no data, no download. Prints the rows of
a table; exits with 1 if a page failed.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from families import FAMILIES, WITHOUT_DATA
from kept_table import clone, keep, line, read_options
from try_families import chosen, prepare

from leanbrain import import_speechbrain, user_errors

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "prune_your_recipe"
LIMIT = 10  # changed lines
PRUNED = "pruned"
COLUMNS = (
    "page",
    "recipe",
    "lines changed",
    "targets",
    "weights",
    "sparsity",
    "result",
)
# Where a recipe gives an optimizer less than all of its modules.
OWNED = {"wav2vec_opt_class": ["wav2vec2"]}
# Small ones for this check, in place of the page's.
FEW_STEPS = {"pruning": {"total_steps": 20, "interval": 1}}
DIFF = re.compile(r"^```diff\n(--- a/.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Diff:
    """A change of one file.

    Arguments
    ---------
    path : str
        Of the file, from the root of its repository.
    hunks : tuple
        Pairs of the lines before and after, with their context.
    changed : int
        Lines that are taken out or put in.
    """

    path: str
    hunks: tuple[tuple[str, str], ...]
    changed: int

    def apply(self, text: str) -> str:
        """Changes a text; what is to be changed must stand there once."""
        for before, after in self.hunks:
            if text.count(before) != 1:
                raise ValueError(
                    f"{self.path} must hold these lines once, got "
                    f"{text.count(before)} times: {before.splitlines()[0]!r} .."
                )
            text = text.replace(before, after)
        return text


def read_diffs(page: str) -> list[Diff]:
    """Reads the unified diffs in the text of a page."""
    return [_read_diff(text) for text in DIFF.findall(page)]


def _read_diff(text: str) -> Diff:
    old, _, rest = text.partition("\n")
    new, _, body = rest.partition("\n")
    path = old.removeprefix("--- a/").strip()
    if new.strip() != f"+++ b/{path}":
        raise ValueError(f"A diff must be of one file, got {old} and {new}")
    hunks = []
    changed = 0
    for hunk in re.split(r"^@@.*@@.*\n", body, flags=re.M)[1:]:
        lines = hunk.splitlines(keepends=True)
        # Editors strip the blank that stands for an empty line of context.
        before = [x[1:] or "\n" for x in lines if x[0] in " \n-"]
        after = [x[1:] or "\n" for x in lines if x[0] in " \n+"]
        changed += sum(line[0] in "+-" for line in lines)
        hunks.append(("".join(before), "".join(after)))
    return Diff(path, tuple(hunks), changed)


def key_of(diff: Diff) -> str:
    """The key of the YAML that gets the pruned optimizer."""
    found = re.findall(r"^(\w+): !new:.*PrunedOptimizer$", _new(diff), re.M)
    if len(found) != 1:
        raise ValueError(f"A diff must have one PrunedOptimizer, got {found}")
    return str(found[0])


def _new(diff: Diff) -> str:
    return "".join(after for _, after in diff.hunks)


def prune_by(diff: Diff, repo: Path, folder: Path) -> list[str]:
    """Prunes small modules as a page says; the cells of its row."""
    import torch

    own = folder / diff.path
    # With what it may include.
    shutil.copytree((repo / diff.path).parent, own.parent, dirs_exist_ok=True)
    own.write_text(diff.apply((repo / diff.path).read_text()))
    shutil.copytree(
        ROOT / "hparams" / "pruning", own.parent / "pruning", dirs_exist_ok=True
    )
    key = key_of(diff)
    steps = _load(own, {}, ["pruning"])["pruning"]["total_steps"]
    if not (isinstance(steps, int) and steps > 0):
        raise ValueError(f"`total_steps` must be a count, got {steps!r}")
    loaded = _load(own, _small(diff, folder), [key, "modules"])
    pruned = loaded[key]
    names = OWNED.get(key, list(loaded["modules"]))
    modules = {name: loaded["modules"][name] for name in names}
    parameters = list(torch.nn.ModuleDict(modules).parameters())
    optimizer = pruned(parameters)
    _train(optimizer, parameters)
    return _outcome(pruned, loaded["checkpointer"])


def _train(optimizer: Any, parameters: list[Any]) -> None:
    """Steps on random gradients."""
    import torch

    for _ in range(FEW_STEPS["pruning"]["total_steps"]):
        for parameter in parameters:
            if parameter.requires_grad:
                parameter.grad = torch.randn_like(parameter)
        optimizer.step()
        optimizer.zero_grad()


def _outcome(pruned: Any, checkpointer: Any) -> list[str]:
    """Checks the final masks, in the weights and in a checkpoint."""
    pruner = pruned.pruner
    if not pruner.frozen:
        raise ValueError(f"Masks must be final, got step {pruner.step}")
    zeros = sum(int((t.parameter == 0).sum()) for t in pruner.targets)
    weights = sum(t.parameter.numel() for t in pruner.targets)
    sparsity = 1 - pruner.masks.density(pruner.pathways[0])
    if abs(zeros / weights - sparsity) > 1e-3 or sparsity < 0.5:
        raise ValueError(
            f"Weights must be zero where masks are, got {zeros / weights:.4f} "
            f"for {sparsity:.4f}"
        )
    saved = checkpointer.save_checkpoint()
    if not (saved.path / "pruner.ckpt").is_file():
        raise ValueError(f"Masks must be saved, got {list(saved.paramfiles)}")
    return [str(len(pruner.targets)), f"{weights:,}", f"{sparsity:.2%}"]


def _small(diff: Diff, folder: Path) -> dict[str, Any]:
    """What makes the recipe small: the overrides of its family."""
    from leanbrain.commands.settings import read_overrides

    families = (*FAMILIES, *WITHOUT_DATA)
    family = next(f for f in families if f.yaml == diff.path)
    return {
        **read_overrides(family.overrides),
        "output_folder": str(folder / "out" / Path(diff.path).stem),
        **FEW_STEPS,
    }


def _load(file: Path, overrides: dict[str, Any], keys: list[str]) -> Any:
    """Loads some keys of a YAML, with what they refer to."""
    from ruamel.yaml.comments import CommentedMap

    from leanbrain.hyperyaml import load_yaml, write_tagged
    from leanbrain.recipes.isolation import no_network
    from leanbrain.recipes.tree import (
        needed,
        override,
        read_tree,
    )

    tree = read_tree(file)
    override(tree, overrides)
    wanted = {name for key in keys for name in needed(tree, key)}
    part = CommentedMap((k, v) for k, v in tree.items() if k in wanted)
    with no_network():
        return load_yaml(write_tagged(part, file))


def row(page: Path, repo: Path, folder: Path) -> dict[str, str]:
    """Checks a page; its row of the table: title of a column -> cell."""
    named, changed = "-", "-"
    try:
        (diff,) = read_diffs(page.read_text(encoding="utf-8"))
        named, changed = f"`{diff.path}`", str(diff.changed)
        if diff.changed > LIMIT:
            raise ValueError(f"at most {LIMIT} lines may change")
        cells, result = prune_by(diff, repo, folder), PRUNED
    except Exception as error:
        said = " ".join(str(error).split()).replace("|", "/")[:160]
        cells, result = ["-"] * 3, f"failed: {type(error).__name__}: {said}"
    cells = [page.name, named, changed, *cells, result]
    return dict(zip(COLUMNS, cells, strict=True))


def main(words: list[str] | None = None) -> int:
    """Checks all pages, or those whose names contain a given word."""
    options = read_options(__doc__, words)
    repo = clone()
    import_speechbrain()
    rows = []
    before = Path.cwd()
    with TemporaryDirectory() as name:
        folder = Path(name)
        prepare(repo, folder)
        os.chdir(folder)  # where the small models are looked for
        try:
            for page in sorted(PAGES.glob("*.md")):
                if page.name != "README.md" and chosen(
                    page.name, options.names
                ):
                    rows.append(row(page, repo, folder))
                    print(line(list(rows[-1].values())), flush=True)
        finally:
            os.chdir(before)
    keep(options, "pages", rows, repo)
    return int(any(row["result"] != PRUNED for row in rows))


if __name__ == "__main__":
    with user_errors():
        sys.exit(main())
