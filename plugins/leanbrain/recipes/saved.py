"""Which modules of a recipe no checkpoint holds, read off its YAML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from leanbrain.recipes.tree import texts_of

__all__ = ["unsaved_modules"]

_REFERENCE = re.compile(r"<([^<>]+)>")


def unsaved_modules(tree: Any, modules: str = "modules") -> frozenset[str]:
    """Names modules of which nothing is in a recoverable.

    Arguments
    ---------
    tree : CommentedMap
        From `read_tree`.
    modules : str
        The key that holds them.

    Returns
    -------
    frozenset
        Of str; empty where the recipe has no checkpointer, which is to say
        that nothing is saved at all.

    Example
    -------
    >>> from leanbrain.hyperyaml import read_tagged
    >>> text = '''
    ... enc: !new:torch.nn.Linear [2, 2]
    ... lm: !new:torch.nn.Linear [2, 2]
    ... modules: {enc: !ref <enc>, lm: !ref <lm>}
    ... model: !new:torch.nn.ModuleList [[!ref <enc>]]
    ... keeps: !new:speechbrain.utils.checkpoints.Checkpointer
    ...     recoverables: {model: !ref <model>}
    ... '''
    >>> sorted(unsaved_modules(read_tagged(text)))
    ['lm']
    """
    held = [
        node["recoverables"]
        for node in tree.values()
        if _tag(node).endswith("Checkpointer")
        and isinstance(node, Mapping)
        and "recoverables" in node
    ]
    if not held or not isinstance(tree[modules], Mapping):
        return frozenset()
    saved = _reached(tree, held)
    if modules in saved:
        return frozenset()
    return frozenset(
        name
        for name, node in tree[modules].items()
        if f"{modules}[{name}]" not in saved
        and not any(
            reference in saved and _is_object(tree, reference)
            for reference in _reached(tree, [node])
        )
    )


def _reached(tree: Any, nodes: Iterable[Any]) -> set[str]:
    """All that nodes refer to, directly or not: `key` or `key[part]`."""
    found: set[str] = set()
    waiting = list(nodes)
    while waiting:
        for reference in _references(waiting.pop()):
            if reference in found:
                continue
            found.add(reference)
            # A part of an included file ends here: it is no key of this one.
            if reference in tree:
                waiting.append(tree[reference])
    return found


def _references(node: Any) -> Iterator[str]:
    for text in texts_of(node):
        yield from _REFERENCE.findall(text)


def _is_object(tree: Any, reference: str) -> bool:
    """Whether a reference is to what is built, not to a number or a name."""
    if reference not in tree:
        return "[" in reference
    return _tag(tree[reference]).startswith(("!new", "!apply", "!ref"))


def _tag(node: Any) -> str:
    return getattr(getattr(node, "tag", None), "value", None) or ""
