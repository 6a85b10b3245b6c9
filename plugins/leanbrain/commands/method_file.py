"""Which file `--pruning` means."""

from __future__ import annotations

from pathlib import Path

import leanbrain

__all__ = ["HELP", "find_method"]

HELP = (
    "a pruning method: a YAML file, or the name of one of LeanBrain's "
    "hparams/pruning, such as lap"
)

# Of a checkout; a package alone has no `hparams`.
_ROOT = Path(leanbrain.__file__).resolve().parents[2]


def find_method(given: str, root: Path = _ROOT) -> Path:
    """Finds a method's file, also from the folder of somebody's recipe.

    Arguments
    ---------
    given : str
        The path of a file, which may be relative to LeanBrain's own folder,
        or a name such as "lap".
    root : Path
        LeanBrain's own folder.

    Returns
    -------
    Path
        The file. A path that leads nowhere is returned as it is.

    Raises
    ------
    UserError
        If it is a name that no method has.
    """
    methods = root / "hparams" / "pruning"
    if Path(given).is_file() or not methods.is_dir():
        return Path(given)
    from leanbrain.pruning.host.starting import method_file

    is_name = not Path(given).suffix and Path(given).name == given
    file = method_file(given, methods) if is_name else Path(given)
    own = root / file
    return own if own.is_file() else file
