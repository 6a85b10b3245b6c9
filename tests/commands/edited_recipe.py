"""Changes a small stock recipe as docs/prune_your_recipe/crdnn.md says."""

import re
import sys
from pathlib import Path

PAGES = Path(__file__).resolve().parents[2] / "docs" / "prune_your_recipe"
DIFF = re.compile(r"^```diff\n.*?^@@.*?\n(.*?)^```", re.M | re.S)
# What the small recipe has where the page's has its optimizer.
OPTIMIZER = re.compile(r"^opt_class: .*\n(?: +.*\n)+", re.M)
STEPS = "* 462", "* 4"


def changed(text: str, page: Path = PAGES / "crdnn.md") -> str:
    """A YAML with the optimizer of a page's diff."""
    found = DIFF.search(page.read_text("utf-8"))
    assert found
    lines = found[1].splitlines(keepends=True)
    places = [i for i, line in enumerate(lines) if line[0] in "+-"]
    part = lines[places[0] : places[-1] + 1]
    new = "".join(line[1:] for line in part if line[0] != "-")
    assert STEPS[0] in new
    return with_optimizer(text, new.replace(*STEPS))


def with_optimizer(text: str, new: str) -> str:
    """A YAML with other lines in place of its optimizer's."""
    (old,) = OPTIMIZER.findall(text)
    return text.replace(old, new)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(changed(file.read_text("utf-8")), "utf-8")
