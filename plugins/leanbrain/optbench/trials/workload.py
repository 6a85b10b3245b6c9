"""A workload: a YAML file of a recipe, loaded under overrides."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from leanbrain.checks import UserError, check_known, nearest
from leanbrain.hyperyaml import load_yaml, read_tagged

if TYPE_CHECKING:
    import speechbrain as sb

__all__ = ["Workload", "load_workload", "read_workload", "recipe_modules"]

REQUIRED = ("make_brain", "modules", "data", "metric", "max_grad_norm")
"""Keys that every workload has; the Brain takes `max_grad_norm` by itself."""


@dataclass(frozen=True)
class Workload:
    """A model, its data and the Brain that trains it.

    Arguments
    ---------
    hparams : dict
        The keys of the YAML file, objects built.
    """

    hparams: dict[str, Any]

    @property
    def data(self) -> Any:
        """Gives the loaders and the order that the batches must have."""
        return self.hparams["data"]

    def build_brain(self, opt_class: Any, device: str) -> sb.Brain:
        """Builds the Brain.

        Arguments
        ---------
        opt_class : Callable
            Gets the parameters, returns the optimizer.
        device : str
            Where to train.

        Returns
        -------
        sb.Brain
            Not fitted.

        Raises
        ------
        UserError
            If it cannot say what an evaluation found.
        """
        brain = self.hparams["make_brain"](
            modules=self.hparams["modules"],
            opt_class=opt_class,
            hparams=self.hparams,
            run_opts={
                "device": device,
                "noprogressbar": True,
                # Of processes, where there are several.
                "distributed_backend": "gloo" if device == "cpu" else "nccl",
            },
        )
        if not callable(getattr(brain, "stage_metrics", None)):
            raise UserError(
                "The Brain of a workload must have a method `stage_metrics`, "
                f"got {type(brain).__name__} without."
            )
        return brain

    def train_batches(self) -> Any:
        """Returns the loader of the training data.

        Raises
        ------
        UserError
            If SpeechBrain would wrap it into another loader, whose order of
            batches nobody audits.
        """
        from speechbrain.dataio.dataloader import LoopedLoader
        from torch.utils.data import DataLoader

        loader = self.data.train_loader()
        if not isinstance(loader, DataLoader | LoopedLoader):
            raise UserError(
                "`train_loader` of a workload's data must return a DataLoader, "
                f"got a {type(loader).__name__}."
            )
        return loader


def load_workload(
    folder: str | Path,
    name: str,
    *,
    seed: int,
    data_folder: str | None = None,
    variant: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Workload:
    """Builds what a workload's YAML describes.

    Arguments
    ---------
    folder : path
        Of the recipe; its Python modules can be named in the YAML.
    name : str
        The YAML file, relative to `folder`.
    seed : int
        Of weights, data order and augmentation.
    data_folder : str | None
        None: the data that are embedded in the workload.
    variant : str | None
        The held-out variant; None: the workload itself.
    overrides : Mapping | None
        Overrides of keys, which win over those of the variant.

    Returns
    -------
    Workload
        Built under `seed`.

    Raises
    ------
    UserError
        If the file, a key or the variant does not exist.
    """
    path = Path(folder).resolve() / name
    known = read_workload(path)
    merged: dict[str, Any] = {"seed": seed, "data_folder": data_folder}
    if variant is not None:
        variants = known.get("variants") or {}
        merged |= variants[check_known("variant", variant, variants)]
    merged |= dict(overrides or {})
    _check_keys(merged, known, path.name)
    with recipe_modules(folder), open(path, encoding="utf-8") as stream:
        hparams = load_yaml(stream, merged)
    for key in REQUIRED:
        if hparams.get(key) is None:
            raise UserError(f"The workload {path.name} must have `{key}`.")
    return Workload(hparams)


def read_workload(path: Path) -> dict[str, Any]:
    """Reads the keys of a workload's YAML, with nothing built.

    Arguments
    ---------
    path : Path
        The file.

    Returns
    -------
    dict
        Its keys.

    Raises
    ------
    UserError
        If it is no file, or no mapping.
    """
    if not path.is_file():
        raise UserError(f"The workload {path} does not exist.")
    keys = read_tagged(path.read_text(encoding="utf-8"))
    if not isinstance(keys, dict):
        raise UserError(f"The workload {path} must be a mapping of keys.")
    return keys


@contextmanager
def recipe_modules(folder: str | Path) -> Iterator[None]:
    """Lets Python find the modules of a recipe's folder, those first.

    Arguments
    ---------
    folder : path
        Of the recipe.

    Yields
    ------
    None

    Raises
    ------
    UserError
        If a module of that name was loaded from elsewhere: classes would be
        taken from there without a word.
    """
    place = Path(folder).resolve()
    for file in sorted(place.glob("*.py")):
        module = sys.modules.get(file.stem)
        if isinstance(module, ModuleType) and not _is_from(module, file):
            raise UserError(
                f"The module {file.stem} of the recipe must be the only one "
                "of its name in a process, got another one that was loaded "
                f"before ({getattr(module, '__file__', 'built in')})."
            )
    sys.path.insert(0, str(place))
    try:
        yield
    finally:
        sys.path.remove(str(place))


def _is_from(module: ModuleType, file: Path) -> bool:
    """Whether a module was loaded from a file."""
    found = getattr(module, "__file__", None)
    return found is not None and Path(found).resolve() == file.resolve()


def _check_keys(
    overrides: Mapping[str, Any], known: Mapping[str, Any], where: str
) -> None:
    """Refuses overrides of keys that do not exist, at every depth."""
    for key, value in overrides.items():
        if key not in known:
            close = nearest(str(key), known)
            hint = f" (nearest: {', '.join(close)})" if close else ""
            raise UserError(
                f"An override must name a key of {where}, got {key!r}{hint}."
            )
        below = known[key]
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            _check_keys(value, below, f"`{key}` in {where}")
