"""MaskSet: the masks of several pathways, and what is computed from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import reduce

import torch

from leanbrain.checks import UserError, check_known
from leanbrain.masking._storage import MaskStorage, Names
from leanbrain.masking.packing import count_bits
from leanbrain.masking.targets import Target

__all__ = ["MaskSet"]

Operation = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class MaskSet(MaskStorage):
    """Masks of several pathways through the same parameters.

    Takes one bit per weight and pathway (each parameter rounded up to whole
    bytes). All weights are kept at first. Storing, moving and saving masks
    (`get`, `set`, `packed`, `to`, `clone`, `save`, `load`) is `MaskStorage`.

    Arguments
    ---------
    shapes : Mapping[str, Sequence[int]]
        Shape of each parameter, by name.
    pathways : Sequence[str]
        Names of the pathways, in the order used for pictures and tables.
    device : torch.device | str
        Where the bits are kept; `PathwaySwitch` moves them to the weights.

    Raises
    ------
    UserError
        If there is no pathway, no parameter, a name twice or an empty tensor.

    Example
    -------
    >>> masks = MaskSet({"w": [2, 3]}, ["en", "fr"])
    >>> masks.set("fr", "w", torch.eye(2, 3).bool())
    >>> masks.count("en"), masks.count("fr"), masks.density("fr")
    (6, 2, 0.3333333333333333)
    >>> masks.overlap("en", "fr")
    0.3333333333333333
    """

    @classmethod
    def from_targets(
        cls, targets: Iterable[Target], pathways: Sequence[str]
    ) -> MaskSet:
        """Builds masks for selected parameters, all weights kept.

        Arguments
        ---------
        targets : Iterable[Target]
            As `select_targets` returns them.
        pathways : Sequence[str]
            Names of the pathways.

        Returns
        -------
        MaskSet
            On the device of the first parameter.
        """
        found = list(targets)
        device = found[0].parameter.device if found else "cpu"
        shapes = {t.name: t.parameter.shape for t in found}
        return cls(shapes, pathways, device)

    # -- sets of weights ----------------------------------------------------

    def union(
        self, pathways: Iterable[str] | None = None
    ) -> dict[str, torch.Tensor]:
        """Returns the weights that at least one pathway keeps.

        Arguments
        ---------
        pathways : Iterable[str] | None
            Which pathways; None for all. No pathway keeps no weight.

        Returns
        -------
        dict
            Parameter -> packed bits, uint8 [ceil(n / 8)]; read only.
        """
        return self._combine(torch.bitwise_or, pathways)

    def intersection(
        self, pathways: Iterable[str] | None = None
    ) -> dict[str, torch.Tensor]:
        """Returns the weights that every pathway keeps.

        Arguments
        ---------
        pathways : Iterable[str] | None
            Which pathways; None for all.

        Returns
        -------
        dict
            Parameter -> packed bits, uint8 [ceil(n / 8)]; read only.

        Raises
        ------
        UserError
            If no pathway is given.
        """
        chosen = self._pathways(pathways)
        if not chosen:
            raise UserError("`pathways` must name at least one, got none.")
        return self._combine(torch.bitwise_and, chosen)

    def _combine(
        self, operation: Operation, pathways: Iterable[str] | None
    ) -> dict[str, torch.Tensor]:
        """Combines the masks of pathways; of one pathway, its own bits."""
        chosen = self._pathways(pathways)
        result = {}
        for name in self.shapes:
            masks = [self._bits[pathway][name] for pathway in chosen]
            # Masks that are the same object need not be combined.
            different = list({id(mask): mask for mask in masks}.values())
            if different:
                result[name] = reduce(operation, different)
            else:
                any_bits = self._bits[self.pathways[0]][name]
                result[name] = torch.zeros_like(any_bits)
        return result

    # -- numbers ------------------------------------------------------------

    def numel(self, names: Names = None) -> int:
        """Returns how many weights there are.

        Arguments
        ---------
        names : str | Iterable[str] | None
            Which parameters; None for all. So in all methods below.

        Returns
        -------
        int
            Number of weights, kept or not.
        """
        return sum(self.shapes[name].numel() for name in self._names(names))

    def count(self, pathway: str, names: Names = None) -> int:
        """Returns how many weights a pathway keeps, exactly."""
        chosen = self._names(names)
        return sum(count_bits(self.packed(pathway, n)) for n in chosen)

    def density(self, pathway: str, names: Names = None) -> float:
        """Returns the share of weights that a pathway keeps, in [0, 1]."""
        return self.count(pathway, names) / self._total(names)

    def union_density(self, names: Names = None) -> float:
        """Returns the share of weights kept by any pathway, in [0, 1]."""
        union = self.union()
        kept = sum(count_bits(union[name]) for name in self._names(names))
        return kept / self._total(names)

    def overlap(self, a: str, b: str, names: Names = None) -> float:
        """Returns intersection over union of two pathways, in [0, 1].

        Arguments
        ---------
        a : str
            Name of a pathway.
        b : str
            Name of a pathway.
        names : str | Iterable[str] | None
            Which parameters; None for all.

        Returns
        -------
        float
            1 if the masks are equal, also if both keep nothing.
        """
        both = either = 0
        for name in self._names(names):
            first, second = self.packed(a, name), self.packed(b, name)
            both += count_bits(first & second)
            either += count_bits(first | second)
        return both / either if either else 1.0

    def overlap_matrix(self, names: Names = None) -> torch.Tensor:
        """Returns the overlap of every two pathways.

        Arguments
        ---------
        names : str | Iterable[str] | None
            Which parameters; None for all.

        Returns
        -------
        torch.Tensor
            float64 [L, L] in the order of `pathways`, on the CPU.
        """
        size = len(self.pathways)
        matrix = torch.ones(size, size, dtype=torch.float64)
        for i, a in enumerate(self.pathways):
            for j, b in enumerate(self.pathways[:i]):
                matrix[i, j] = matrix[j, i] = self.overlap(a, b, names)
        return matrix

    def churn(
        self, before: MaskSet, pathway: str, names: Names = None
    ) -> float:
        """Returns the share of a pathway's mask bits that differ, in [0, 1].

        Arguments
        ---------
        before : MaskSet
            The masks to compare with, such as a `clone` made earlier.
        pathway : str
            Name of the pathway, in both.
        names : str | Iterable[str] | None
            Which parameters; None for all.

        Returns
        -------
        float
            Changed bits over weights.
        """
        changed = 0
        for name in self._names(names):
            now = self.packed(pathway, name)
            changed += count_bits(
                now ^ before.packed(pathway, name).to(now.device)
            )
        return changed / self._total(names)

    def digest(self) -> str:
        """Returns a hash of pathways, names, shapes and all bits.

        Returns
        -------
        str
            64 hexadecimal digits (SHA-256); equal on ranks with equal masks.
        """
        shapes = [[name, *shape] for name, shape in self.shapes.items()]
        header = json.dumps([self.pathways, shapes])
        digest = hashlib.sha256(header.encode())
        for pathway in self.pathways:
            for name in self.shapes:
                bits = self._bits[pathway][name].cpu().numpy()
                digest.update(bits.tobytes())
        return digest.hexdigest()

    def _pathways(self, pathways: Iterable[str] | None) -> list[str]:
        """Returns the chosen pathways; None stands for all."""
        if pathways is None:
            return list(self.pathways)
        if isinstance(pathways, str):
            raise UserError(
                f"`pathways` must be a list of names, got {pathways!r}."
            )
        return [check_known("pathway", p, self.pathways) for p in pathways]

    def _total(self, names: Names) -> int:
        """Returns the number of weights to divide by."""
        total = self.numel(names)
        if not total:
            raise UserError("`names` must name at least one, got none.")
        return total
