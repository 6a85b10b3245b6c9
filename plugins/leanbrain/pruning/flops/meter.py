"""What training costs: multiply-adds per layer, and FLOPs of a sparse run.

FLOPs are those of weights and their gradients; one multiply-add counts as
two. What no weight takes part in (attention scores, activations, norms, the
optimizer) is left out: it is the same for every method of pruning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leanbrain.checks import UserError, check_fraction, check_positive
from leanbrain.pruning.flops.macs import macs

__all__ = ["CostMeter", "macs"]

_VERSION = 1
_FLOPS_PER_MAC = 2.0


class CostMeter:
    """Sums up how sparse the steps of a run were, layer by layer.

    A step of a layer with m multiply-adds at density d costs m * d in the
    forward pass, m * d for the gradient of its inputs, and m * d for that of
    its weights: m if the gradient of the removed weights is computed too, and
    nothing if no weight learns.
    Parameters that no step named are dense.

    Reference
    ---------
    Evci et al., "Rigging the lottery", arXiv 1911.11134, appendix H.

    Example
    -------
    >>> meter = CostMeter()
    >>> meter.on_step({"w": 0.25}, dense_gradient=False)
    >>> meter.on_step({"w": 0.25}, dense_gradient=True)
    >>> meter.training_flops({"w": 100.0, "out": 10.0})
    570.0
    """

    def __init__(self) -> None:
        self.steps = 0
        # What was spared of a dense step, summed over steps: the removed
        # shares, and the shares of the weights without a gradient.
        self._removed: dict[str, float] = {}
        self._ungraded: dict[str, float] = {}

    def on_step(
        self,
        density: Mapping[str, float],
        dense_gradient: bool,
        learns: bool = True,
    ) -> None:
        """Counts one optimizer step.

        Arguments
        ---------
        density : Mapping[str, float]
            Name of a parameter -> share of its weights that took part; the
            mean if several sub-networks did.
        dense_gradient : bool
            Whether the gradient of removed weights was computed.
        learns : bool
            Whether these weights learn; if not, their gradient is needed
            where `dense_gradient` says so only.

        Raises
        ------
        UserError
            If a density is outside [0, 1].
        """
        for name, share in density.items():
            removed = 1.0 - check_fraction(f"density of {name}", share)
            self._removed[name] = self._removed.get(name, 0.0) + removed
            if not dense_gradient:
                spared = removed if learns else 1.0
                self._ungraded[name] = self._ungraded.get(name, 0.0) + spared
        self.steps += 1

    def training_flops(
        self, macs: Mapping[str, float], steps: float | None = None
    ) -> float:
        """Returns the FLOPs of training.

        Arguments
        ---------
        macs : Mapping[str, float]
            Name of a parameter -> multiply-adds of one step, see `macs`.
        steps : float | None
            How many times those multiply-adds were done: with a batch of
            several micro-batches or an unusual size, as many times as the
            call that was measured fits in. None takes the steps counted. The
            density is the mean of all steps; without any step it is 1.

        Returns
        -------
        float
            FLOPs of forward and backward passes, not of the optimizer.

        Raises
        ------
        UserError
            If a name that was pruned is not in `macs` or `steps` is negative.
        """
        missing = sorted(set(self._removed) - set(macs))
        if missing:
            raise UserError(
                "`macs` must name every pruned parameter, got none for "
                f"{', '.join(missing[:3])} ({len(missing)} in all)."
            )
        if steps is None:
            steps = self.steps
        elif steps != 0:
            steps = check_positive("steps", steps)
        count = self.steps or 1
        spared = 0.0
        for name, removed in self._removed.items():
            forward_and_inputs = 2.0 * removed
            weights = self._ungraded.get(name, 0.0)
            spared += macs[name] * (forward_and_inputs + weights)
        per_step = 3.0 * sum(macs.values()) - spared / count
        return _FLOPS_PER_MAC * steps * per_step

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as plain containers.

        Returns
        -------
        dict
            Copies, which later steps leave alone.
        """
        return {
            "version": _VERSION,
            "steps": self.steps,
            "removed": dict(self._removed),
            "ungraded": dict(self._ungraded),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a saved state.

        Arguments
        ---------
        state : dict
            What `state_dict` returned.

        Raises
        ------
        UserError
            If the state is of another version.
        """
        if state.get("version") != _VERSION:
            raise UserError(
                f"`version` of a saved CostMeter must be {_VERSION}, got "
                f"{state.get('version')}."
            )
        self.steps = int(state["steps"])
        self._removed = dict(state["removed"])
        self._ungraded = dict(state["ungraded"])
