"""What LeanBrain needs of the machine, said in one sentence if it is missing.

torch and torchaudio must be of the same minor version and the same kind of
build, which packaging metadata cannot express. When they are not, torchaudio
dies on import with a message about CUDA or a missing library. The versions are
therefore compared before anything imports torchaudio.
"""

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from types import ModuleType, TracebackType

from leanbrain.checks import UserError

__all__ = ["HostError", "check_host", "import_speechbrain", "user_errors"]

# The minor versions that setup.py allows; torchaudio ends with the second.
_OLDEST_MINOR, _NEWEST_MINOR = (2, 7), (2, 11)
# 2.11.1 asks for torch 2.11, but uses a symbol that torch 2.11.0 lacks.
_NEWEST_TORCHAUDIO = (2, 11, 0)
_SAME_BUILD = "must be of the same build"
# As the loader of libraries and torchaudio itself say it.
_OTHER_BUILD = re.compile(
    r"lib(torch|c10|cu|nv)[\w.-]*\.(so|dll|dylib)|undefined symbol|"
    r"symbol not found|procedure could not be found|CUDA version",
    re.I,
)


class HostError(ImportError):
    """torch and torchaudio, as they are installed, do not fit each other."""


def check_host() -> None:
    """Compares the versions of torch and torchaudio without importing them.

    Raises
    ------
    HostError
        If one is missing, the minor versions differ, torchaudio is newer than
        2.11.0, or the builds cannot work together (another CUDA version;
        torch for CPU only beside a torchaudio for CUDA). The sentence names
        both versions and the fix.

    Example
    -------
    >>> check_host()
    """
    torch, torchaudio = _version("torch"), _version("torchaudio")
    if torch is None or torchaudio is None:
        raise HostError(_sentence("must both be installed", torch, torchaudio))
    if _minor(torch) != _minor(torchaudio):
        raise HostError(
            _sentence("must have the same minor version", torch, torchaudio)
        )
    if _release(torchaudio) > _NEWEST_TORCHAUDIO:
        newest = ".".join(str(x) for x in _NEWEST_TORCHAUDIO)
        rule = f"must fit, torchaudio must be at most {newest}"
        raise HostError(_sentence(rule, torch, torchaudio))
    if not _builds_fit(_build(torch), _build(torchaudio)):
        raise HostError(_sentence(_SAME_BUILD, torch, torchaudio))


def import_speechbrain() -> ModuleType:
    """Imports SpeechBrain, after making sure that torchaudio can be loaded.

    Equal version numbers do not suffice: a torch for CPU only beside a
    torchaudio linked to CUDA shows only when torchaudio is loaded.

    Returns
    -------
    module
        The module `speechbrain`. The first import takes about 4 s.

    Raises
    ------
    HostError
        If torchaudio cannot be loaded beside the installed torch.
    """
    check_host()
    try:
        importlib.import_module("torchaudio")
    except ModuleNotFoundError:
        # Some other package is missing, and the message names it.
        raise
    except (ImportError, OSError, RuntimeError) as error:
        if _OTHER_BUILD.search(str(error)) is None:
            raise  # something else, which the message names
        detail = str(error).strip().splitlines()[0]
        raise HostError(
            _sentence(
                _SAME_BUILD,
                _version("torch"),
                _version("torchaudio"),
                detail=detail.rstrip("."),
            )
        ) from error
    return importlib.import_module("speechbrain")


@contextmanager
def user_errors() -> Iterator[None]:
    """Ends a script with one sentence, where the user can mend the error.

    Inside the block `UserError` and `HostError` print `error: <sentence>` to
    stderr and exit with code 2; Ctrl-C says how to continue and exits with
    130. Every other error keeps its traceback: it is ours to mend.

    Yields
    ------
    None

    Raises
    ------
    SystemExit
        With code 2 or 130.

    Example
    -------
    >>> with user_errors():
    ...     raise UserError("`amount` must be in [0, 1), got 1.2.")
    Traceback (most recent call last):
    ...
    SystemExit: 2
    """
    try:
        yield
    except (UserError, HostError) as error:
        print(f"error: {_last_sentence(error)}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt as error:
        print(
            "interrupted; run the same command again to continue",
            file=sys.stderr,
        )
        raise SystemExit(130) from error


def _shorten_traceback() -> None:
    """Makes an uncaught `HostError` end the process with its sentence only.

    A script that imports leanbrain on a host that does not fit has no chance
    to catch the error before it knows the class.
    """
    previous = sys.excepthook

    def hook(
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType | None,
    ) -> None:
        """Prints a `HostError`; leaves others to the hook before."""
        if isinstance(error, HostError):
            print(f"error: {error}", file=sys.stderr)
        else:
            previous(kind, error, trace)

    sys.excepthook = hook


def _last_sentence(error: BaseException) -> str:
    """Drops the traceback that a DataLoader worker writes into the message."""
    text = str(error).strip()
    if "Original Traceback (most recent call last)" not in text:
        return text
    return re.sub(r"^[\w.]+Error: ", "", text.splitlines()[-1])


def _version(package: str) -> str | None:
    """Returns the version of an installed package, None if it is missing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _release(version: str) -> tuple[int, ...]:
    """Returns (2, 11, 0) for "2.11.0+cu130" and for "2.11.0a0"."""
    return tuple(int(x) for x in re.findall(r"\d+", version)[:3])


def _minor(version: str) -> tuple[int, ...]:
    """Returns (2, 11) for "2.11.0+cu130" and for "2.11.0a0"."""
    return _release(version)[:2]


def _build(version: str) -> str:
    """Returns "cu130" for "2.11.0+cu130", "" where there is no such tag."""
    return version.partition("+")[2]


def _builds_fit(torch: str, torchaudio: str) -> bool:
    """Says whether two build tags can work together.

    Untagged wheels (from PyPI) are for CUDA on Linux and for the CPU on
    macOS: with them only loading torchaudio can tell. A torchaudio for the
    CPU has nothing that could clash with another torch.
    """
    if not torch or not torchaudio or torchaudio == "cpu":
        return True
    return torch == torchaudio


def _sentence(
    rule: str, torch: str | None, torchaudio: str | None, detail: str = ""
) -> str:
    """Builds the sentence: rule, both versions, what to type."""
    known = [_minor(x) for x in (torch, torchaudio) if x]
    minor = max(_OLDEST_MINOR, min([*known, _NEWEST_MINOR]))
    patch = "*" if minor < _NEWEST_MINOR else str(_NEWEST_TORCHAUDIO[2])
    start = f"{minor[0]}.{minor[1]}"
    wanted = f'"torch=={start}.*" "torchaudio=={start}.{patch}"'
    heard = f" (torchaudio says: {detail})" if detail else ""
    # pip takes another build of the same version for the same.
    force = "--force-reinstall " if rule == _SAME_BUILD else ""
    return (
        f"torch and torchaudio {rule}, got torch {torch or 'missing'} and "
        f"torchaudio {torchaudio or 'missing'}{heard}; mend it with: "
        f"pip install {force}{wanted}"
    )
