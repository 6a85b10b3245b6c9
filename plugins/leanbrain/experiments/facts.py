"""Where a row comes from: host, versions, commit."""

import sys
from functools import cache
from typing import Any

from leanbrain import provenance

__all__ = ["facts"]


def facts() -> dict[str, Any]:
    """Describes what this process runs on and with.

    Returns
    -------
    dict
        "host", "versions" and "commit".

    Example
    -------
    >>> sorted(facts())
    ['commit', 'host', 'versions']
    """
    return {"host": _host(), **_unchanging()}


@cache
def _unchanging() -> dict[str, Any]:
    """Asks the package metadata and git, once."""
    return {
        "versions": provenance.versions(),
        "commit": provenance.commit(),
    }


def _host() -> dict[str, Any]:
    """Describes the machine; does not load torch for that alone."""
    if "torch" in sys.modules:
        return provenance.host_facts()
    return {
        "cpu": provenance._cpu_model(),
        "cores": provenance.count_cores(),
        "memory_gib": provenance._memory_gib(),
        "load": provenance._load(),
    }
