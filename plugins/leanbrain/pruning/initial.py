"""First masks that were found elsewhere, and the check that they fit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import torch

from leanbrain.checks import UserError, check_known, nearest
from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.targets import Target
from leanbrain.pruning.allocation.shares import keep_total

__all__ = ["MasksFromFiles", "check_masks"]

StrPath = str | os.PathLike[str]

ANY = "all"  # what methods with a single mask call their pathway


class MasksFromFiles:
    """First masks from files of earlier runs, written by `MaskSet.save`.

    Fixed pathways train with them as they are; adaptive ones begin with them.

    Arguments
    ---------
    files : path, or mapping of pathway to path
        A file holds the mask of the pathway's name, or one mask named "all",
        alone, which serves any pathway: a language-agnostic mask. Files are
        read when the first masks are set.

    Example
    -------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> file = Path(folder.name) / "masks.pt"
    >>> MaskSet({"w": [2, 2]}, ["all"]).save(file)
    >>> weight = torch.nn.Parameter(torch.ones(2, 2))
    >>> masks = MasksFromFiles(file)("en", [Target("w", weight, "", ())])
    >>> int(masks["w"].sum())
    4
    >>> folder.cleanup()
    """

    def __init__(self, files: StrPath | Mapping[str, StrPath]) -> None:
        if not files or not isinstance(files, str | os.PathLike | Mapping):
            raise UserError(
                "`initial_masks` must be a file of masks, or one for each "
                f"pathway, got {files!r}."
            )
        self.files = files

    def __call__(
        self, pathway: str, targets: Sequence[Target]
    ) -> dict[str, torch.Tensor]:
        """Reads the masks of a pathway.

        Arguments
        ---------
        pathway : str
            Whose first masks are wanted.
        targets : sequence of Target
            The parameters; their device is where the masks are put.

        Returns
        -------
        dict
            Parameter -> bool mask.

        Raises
        ------
        UserError
            If there is no file for the pathway or it is not in the file.
        """
        path = self._file_of(pathway)
        masks = MaskSet.load(path)
        name = pathway if pathway in masks.pathways else ANY
        if name == ANY and masks.pathways != (ANY,):
            raise UserError(
                f"The masks in {path} must be of {pathway!r}, or of {ANY!r} "
                f"alone, got those of {', '.join(masks.pathways)}."
            )
        device = targets[0].parameter.device
        return {n: masks.get(name, n).to(device) for n in masks.shapes}

    def _file_of(self, pathway: str) -> StrPath:
        """The file that holds the masks of a pathway."""
        if not isinstance(self.files, Mapping):
            return self.files
        check_known("pathway of `initial_masks`", pathway, self.files)
        return self.files[pathway]


def check_masks(
    pathway: str,
    masks: Mapping[str, torch.Tensor],
    targets: Sequence[Target],
    sparsity: float,
) -> None:
    """Refuses masks of another model or of another sparsity.

    Arguments
    ---------
    pathway : str
        Whose masks they are.
    masks : mapping
        Parameter -> bool mask.
    targets : sequence of Target
        The parameters that the masks are for.
    sparsity : float
        The share that must be removed, exactly: the schedule's first value.

    Raises
    ------
    UserError
        If a name, a shape or the number of kept weights differs.

    Example
    -------
    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> target = Target("w", weight, "", ())
    >>> check_masks("en", {"w": torch.tensor([True, False])}, [target], 0.0)
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: The initial masks of 'en' must remove the share 0 of the weights, as the schedule begins, got 0.5 (1 of 2 weights are kept instead of 2).
    """  # noqa: E501
    whose = f"The initial masks of {pathway!r} must"
    _check_names(whose, masks, [target.name for target in targets])
    for target in targets:
        mask, shape = masks[target.name], target.parameter.shape
        if mask.shape != shape or mask.dtype != torch.bool:
            raise UserError(
                f"{whose} be bool {list(shape)} for {target.name!r}, got "
                f"{mask.dtype} {list(mask.shape)}."
            )
    total = sum(target.parameter.numel() for target in targets)
    kept = sum(int(mask.sum()) for mask in masks.values())
    wanted = keep_total(total, sparsity)
    if kept != wanted:
        raise UserError(
            f"{whose} remove the share {sparsity:g} of the weights, as the "
            f"schedule begins, got {1 - kept / total:g} ({kept} of {total} "
            f"weights are kept instead of {wanted})."
        )


def _check_names(
    whose: str, masks: Mapping[str, torch.Tensor], wanted: Sequence[str]
) -> None:
    """Compares the names of parameters, whatever their order."""
    missing = [name for name in wanted if name not in masks]
    unknown = [name for name in masks if name not in wanted]
    if missing:
        close = nearest(missing[0], unknown)
        hint = f" (nearest: {', '.join(close)})" if close else ""
        raise UserError(
            f"{whose} hold the parameter {missing[0]!r}, got none of that "
            f"name{hint}."
        )
    if unknown:
        raise UserError(
            f"{whose} be of the pruned parameters only, got {unknown[0]!r} "
            "as well (look at `exclude`)."
        )
