"""Why a module of a recipe could not be built, in a few words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pydoc import ErrorDuringImport
from typing import Any

from leanbrain.recipes.isolation import NoNetwork
from leanbrain.recipes.tree import needed

__all__ = ["NOT_GIVEN", "looks_like_path", "missing_package", "why_not"]

# What stands in for a path that was not given: key + this.
NOT_GIVEN = "_is_not_given"

_PATH = re.compile(
    r"folder|path|dir|file|root|csv|json|manifest|annotation|cache", re.I
)
_DUMMY = re.compile(rf"(\w+){NOT_GIVEN}")
# As the hub's libraries say it; their classes differ between versions.
_OFFLINE = re.compile(r"offline|connect to|LocalEntryNotFound", re.I)
# As HyperPyYAML says it, whether the package lacks the name or is missing.
_NO_SUCH = re.compile(r"no such \w+ as (\w+)\.")
# What Hugging Face's and SpeechBrain's models call where they are fetched.
_SOURCES = ("source", "pretrained_model_name_or_path")
_LONGEST = 150


def looks_like_path(key: str) -> bool:
    """Whether a key of a recipe names a place on the disk.

    Example
    -------
    >>> looks_like_path("data_folder"), looks_like_path("output_neurons")
    (True, False)
    """
    return _PATH.search(key) is not None


def why_not(error: BaseException, tree: Any, key: str) -> str:
    """Says why something could not be built.

    Arguments
    ---------
    error : BaseException
        What came of trying.
    tree : CommentedMap
        What was to be loaded.
    key : str
        The key of the tree that was wanted.

    Returns
    -------
    str
        "needs .." where that is known, otherwise what the error says; without
        a full stop.

    Example
    -------
    >>> why_not(ModuleNotFoundError("No module named 'k2'", name="k2"), {}, "")
    'needs the package k2'
    """
    chain = list(_chain(error))
    offline = any(
        isinstance(e, NoNetwork)
        or _OFFLINE.search(f"{type(e).__name__} {str(e)[:_LONGEST]}")
        for e in chain
    )
    sources = _sources(tree, key) if offline else []
    said = " ".join([*map(str, chain), *sources])
    if dummy := _DUMMY.search(said):
        return f"needs a value for `{dummy[1]}` (--{dummy[1]}=..)"
    if offline:
        return f"needs a download: {', '.join(sources) or 'source unknown'}"
    if package := missing_package(error):
        return f"needs the package {package}"
    for cause in chain:
        if isinstance(cause, FileNotFoundError) and cause.filename:
            return f"needs the file {cause.filename}"
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return text[:_LONGEST].rstrip(". ")


def missing_package(error: BaseException) -> str | None:
    """Names the package that is not installed, if that is what is wrong.

    Arguments
    ---------
    error : BaseException
        What came of loading something.

    Returns
    -------
    str or None

    Example
    -------
    >>> missing_package(ImportError("There is no such class as k3.Graph"))
    'k3'
    >>> missing_package(ImportError("There is no such class as torch.Graph"))
    """
    for cause in _chain(error):
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            return cause.name
        named = _NO_SUCH.search(str(cause))
        if named and find_spec(named[1]) is None:
            return named[1]
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and what led to it."""
    while error is not None:
        yield error
        if isinstance(error, ErrorDuringImport):  # keeps it for itself
            error = error.value
        else:
            error = error.__cause__ or error.__context__


def _sources(tree: Any, key: str) -> list[str]:
    """Lists where models are fetched from: keys of that meaning, anywhere."""
    import hyperpyyaml

    resolve = hyperpyyaml.core.recursive_resolve
    found = []
    for name in needed(tree, key):
        for node in _named_sources(tree[name]):
            text = getattr(node, "value", node)
            found.append(str(resolve(text, [], tree)))
    return list(dict.fromkeys(found))


def _named_sources(node: Any) -> Iterator[Any]:
    """Yields what is given as a source below a node."""
    if isinstance(node, list):
        tag = getattr(getattr(node, "tag", None), "value", None) or ""
        if tag.endswith("from_pretrained"):
            yield from node[:1]
        for value in node:
            yield from _named_sources(value)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            if key in _SOURCES:
                yield value
            else:
                yield from _named_sources(value)
