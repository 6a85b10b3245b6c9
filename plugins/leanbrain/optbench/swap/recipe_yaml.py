"""Where things stand in the text of a recipe's YAML.

Recipes are edited as text, at the places that the YAML parser names, so that
comments, anchors and the layout survive.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pydoc import ErrorDuringImport, locate
from typing import Any

import torch
import yaml

from leanbrain.checks import UserError

__all__ = ["Entry", "Recipe"]

# Only these are imported to see what they are: a recipe's other classes may
# be slow to import or not installed.
_PACKAGES = "torch.optim|leanbrain.optbench|schedulefree|pytorch_optimizer"
_OPTIMIZER = re.compile(rf"!(name|new|apply):((?:{_PACKAGES})\.[\w.]+)")
_REFERENCE = re.compile(r"<([\w.\[\]]+)>")


@dataclass(frozen=True)
class Entry:
    """A value in a YAML text.

    Arguments
    ---------
    path : str
        Its key, with the keys around it: "optimizers.sgd".
    node : yaml.Node
        As parsed.
    start : int
        Where its text starts: at its tag or anchor.
    end : int
        Where its text ends, comments after it not included.
    column : int
        Of its key.
    flow : bool
        Whether it stands inside brackets or braces.
    """

    path: str
    node: yaml.Node
    start: int
    end: int
    column: int
    flow: bool

    @property
    def kind(self) -> str:
        """How it is made: "name", "new" or "apply"."""
        return self.node.tag[1:].partition(":")[0]

    @property
    def target(self) -> str:
        """The dotted name in its tag."""
        return self.node.tag.partition(":")[2]


class Recipe:
    """The text of a YAML and the places in it.

    Arguments
    ---------
    text : str
        The YAML; it is not built, only parsed.

    Raises
    ------
    UserError
        If it is no YAML, or its top level is no mapping.

    Example
    -------
    >>> recipe = Recipe("a: 1 # one\\nopt: !name:torch.optim.SGD\\n  lr: 1\\n")
    >>> [entry.path for entry in recipe.optimizers()]
    ['opt']
    >>> recipe.text_of(recipe.entry("a"))
    '1'
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._ends = [
                (token.start_mark.index, token.end_mark.index)
                for token in yaml.scan(text)
                if token.end_mark.index > token.start_mark.index
            ]
            root = yaml.compose(text)
        except yaml.YAMLError as error:
            line = " ".join(str(error).split())
            raise UserError(f"The recipe is not YAML ({line}).") from error
        if not isinstance(root, yaml.MappingNode):
            raise UserError("The recipe must hold `key: value` lines.")
        self.entries = list(self._walk(root, "", False, set()))

    def entry(self, path: str) -> Entry | None:
        """Finds a value by its path; None if there is none."""
        return next((e for e in self.entries if e.path == path), None)

    def text_of(self, entry: Entry) -> str:
        """Returns the text of a value."""
        return self.text[entry.start : entry.end]

    def text_of_pair(self, key: str) -> str:
        """Returns a top-level key with its value."""
        entry = self.entry(key)
        return f"{key}: {self.text_of(entry)}" if entry else ""

    def optimizers(self) -> list[Entry]:
        """Lists the values that name or build an optimizer class."""
        return [e for e in self.entries if _is_optimizer(e.node.tag)]

    def reference(self, entry: Entry) -> str | None:
        """The path that a `!ref` is; None of other values and calculations."""
        if entry.node.tag != "!ref":
            return None
        match = _REFERENCE.fullmatch(str(entry.node.value).strip())
        return match[1].replace("[", ".").replace("]", "") if match else None

    def _walk(
        self, node: yaml.Node, prefix: str, flow: bool, seen: set[int]
    ) -> Iterator[Entry]:
        """Lists all values below a node, aliases once."""
        flow = flow or bool(getattr(node, "flow_style", False))
        for name, value, column in _children(node):
            if id(value) in seen:
                continue
            seen.add(id(value))
            path = f"{prefix}.{name}" if prefix else name
            start = value.start_mark.index
            yield Entry(path, value, start, self._end(value), column, flow)
            yield from self._walk(value, path, flow, seen)

    def _end(self, node: yaml.Node) -> int:
        """Where a node's own text ends."""
        # The parser lets a block end where the next thing starts, behind
        # comments and blank lines; its last token knows better.
        last = bisect_left(self._ends, (node.end_mark.index, 0)) - 1
        if last < 0:
            return node.end_mark.index
        return max(node.start_mark.index, self._ends[last][1])


def _children(node: yaml.Node) -> Iterator[tuple[str, yaml.Node, int]]:
    """Lists name, value and column of what a node holds."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield str(key.value), value, key.start_mark.column
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            # The dash stands two columns before what it introduces.
            yield str(index), value, max(0, value.start_mark.column - 2)


def _is_optimizer(tag: str) -> bool:
    """Says whether a tag names a class of optimizers."""
    match = _OPTIMIZER.fullmatch(tag)
    if match is None:
        return False
    try:
        found: Any = locate(match[2])
    except (ImportError, ErrorDuringImport):
        return True
    if found is None:  # of another version of torch, or a package not here
        return ".lr_scheduler." not in tag
    return isinstance(found, type) and issubclass(found, torch.optim.Optimizer)
