"""What convert_recipes.py found, as a short table in Markdown.

Run: python tests/host/convert_table.py tests/host/results/convert.json <page>
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError
from leanbrain.files import read_json, write_text
from leanbrain.provenance import short_commit

__all__ = ["paste", "table"]

_HEAD = (
    "| recipes | YAML files | built without a download | no target lost "
    "| built with small models in the place of downloads | no target lost |\n"
    "|---|--:|--:|--:|--:|--:|"
)
_COUNTED = ("covered", "lost", "failed")


def table(result: dict[str, Any]) -> str:
    """Counts recipes by kind, such as CTC or transducer.

    Arguments
    ---------
    result : dict
        As convert_recipes.py keeps it.

    Returns
    -------
    str
        The table, what was lost or failed, and which versions were used.
    """
    kinds: dict[str, list[dict[str, Any]]] = {}
    for recipe in result["recipes"]:
        kinds.setdefault(_kind(recipe, result["family"]), []).append(recipe)
    lines = [_HEAD]
    lines += [_row(kind, kinds[kind]) for kind in sorted(kinds)]
    lines += [_row("all", result["recipes"]), ""]
    lines += _troubles(result["recipes"])
    versions = result["versions"]
    lines.append(
        f"SpeechBrain {versions['speechbrain']} (recipes of commit "
        f"{short_commit(result['speechbrain_commit'])}), LeanBrain "
        f"{versions['leanbrain']} (commit {short_commit(result['commit'])}), "
        f"PyTorch {versions['torch']}."
    )
    return "\n".join(lines)


def paste(page: Path, text: str, mark: str = "convert") -> None:
    """Puts text between the marks of a page."""
    pattern = rf"(<!-- {mark} -->\n).*?(<!-- end -->)"
    old = page.read_text(encoding="utf-8")
    new, found = re.subn(
        pattern, lambda m: f"{m[1]}{text}\n{m[2]}", old, flags=re.S
    )
    if found != 1:
        raise UserError(
            f"{page} must have `<!-- {mark} -->` once and `<!-- end -->` "
            f"behind it, got {found} of them."
        )
    write_text(page, new)


def _kind(recipe: dict[str, Any], family: str) -> str:
    """The folder of a recipe below that of its family."""
    parts = recipe["recipe"].split("/")
    below = parts[parts.index(family) + 1]
    return family if below == "hparams" else below


def _row(kind: str, recipes: list[dict[str, Any]]) -> str:
    """Counts of some recipes."""
    small = [x["small"] for x in recipes if "small" in x]
    cells = [kind, len(recipes)]
    for found in (recipes, small):
        cells += [
            sum(x["status"] in _COUNTED for x in found),
            sum(x["status"] == "covered" for x in found),
        ]
    return f"| {' | '.join(map(str, cells))} |"


def _troubles(recipes: list[dict[str, Any]]) -> list[str]:
    """A line for each recipe that is not covered in the end."""
    lines = []
    for recipe in recipes:
        found = recipe.get("small", recipe)
        why = {**found["not_built"], **found["lost"]}
        if not why:
            continue
        what = "not counted, " if found["status"] == "missing" else ""
        name, reason = next(iter(why.items()))
        more = f" (and {len(why) - 1} more)" if len(why) > 1 else ""
        lines.append(f"- `{recipe['recipe']}`: {what}`{name}`: {reason}{more}")
    return [*lines, ""] if lines else []


if __name__ == "__main__":
    paste(Path(sys.argv[2]), table(read_json(sys.argv[1])))
