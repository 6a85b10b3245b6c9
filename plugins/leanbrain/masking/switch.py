"""PathwaySwitch: shows one pathway of the weights at a time, in place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from leanbrain.checks import UserError, check_known
from leanbrain.masking._dormant import put_outside, take_outside
from leanbrain.masking._slots import SlotSet
from leanbrain.masking.blend import Blender
from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.targets import Target

__all__ = ["DENSE", "REST", "PathwaySwitch"]

REST = "rest"
DENSE = "dense"


class PathwaySwitch:
    """Writes the weights of one pathway into a model, and back.

    With theta the weights that are learnt, the parameters hold

    ========== ============================= ===============================
    state      parameter                     entered by
    ========== ============================= ===============================
    "rest"     theta * union of all masks    construction, `leave`, `commit`
    a pathway  theta * mask of that pathway  `enter`, `pathway`
    "dense"    theta                         `expose`
    ========== ============================= ===============================

    The parameter is the truth for the entries that its state shows, a dense
    copy for the rest. Leaving a state copies shown entries back if the
    parameter was written to meanwhile (`load_state_dict`, an averaged
    checkpoint, max_norm, a copy or clipping through `.data`), which is told by
    autograd's version counter, the address of the memory and the sum of the
    bits. Optimizers step between `expose` and `commit`, which copy in any
    case; so does `refresh`. Of several optimizers each exposes what it moves:
    another module may be between its forward and backward pass.

    Parameters stay the same objects in the same memory, names and keys of the
    state dict do not change, nothing is attached to the model. Extra memory:
    the dense copy, one bit per weight for the union, and the scratch of
    `Blender` (1.3 MB on the CPU). After `model.to(...)` the next call moves
    dense copy and masks to where the parameters are. Not supported: replaced
    Parameter objects, sharded parameters, copies of the switch itself.

    Arguments
    ---------
    targets : Sequence[Target]
        Parameters, from `select_targets`. Their values become theta.
    masks : MaskSet
        Masks of these parameters. Call `refresh` after changing them.

    Raises
    ------
    UserError
        If names or shapes of targets and masks differ, or if a pathway is
        called "rest" or "dense".

    Example
    -------
    >>> from leanbrain.masking import select_targets
    >>> layer = torch.nn.Linear(2, 2)
    >>> targets = select_targets(layer)
    >>> masks = MaskSet.from_targets(targets, ["en", "fr"])
    >>> masks.set("en", "weight", torch.tensor([[True, False], [True, False]]))
    >>> switch = PathwaySwitch(targets, masks)
    >>> with switch.pathway("en"):
    ...     print((layer.weight == 0).tolist())
    [[False, True], [False, True]]
    >>> switch.state, int((layer.weight == 0).sum())
    ('rest', 0)
    """

    def __init__(self, targets: Sequence[Target], masks: MaskSet) -> None:
        for reserved in (REST, DENSE):
            if reserved in masks.pathways:
                raise UserError(
                    "`pathways` must not be named 'rest' or 'dense', which "
                    f"are states, got {reserved!r}."
                )
        self.masks = masks
        self._slots = SlotSet(targets, masks)
        # Of the state "dense": which parameters are, and what was before.
        self._exposed: Sequence[str] | None = None
        self._before = self._state = REST
        self._rest()

    @property
    def state(self) -> str:
        """What the parameters hold: "rest", "dense" or a pathway's name."""
        return self._state

    @property
    def blenders(self) -> Mapping[torch.device, Blender]:
        """What masks tensors here, by device; shared to spare its scratch."""
        return self._slots.blenders

    # -- states -------------------------------------------------------------

    def enter(self, pathway: str) -> None:
        """Shows a pathway; leave it only after the backward pass.

        Arguments
        ---------
        pathway : str
            Name of the pathway.

        Raises
        ------
        UserError
            If the pathway is unknown or the state is "dense".
        """
        check_known("pathway", pathway, self.masks.pathways)
        self._demand("enter", REST, *self.masks.pathways)
        self._go_to(pathway)

    def leave(self) -> None:
        """Back to rest, from any state; from "dense" as `commit(None)`."""
        if self._state == DENSE:
            self.commit(None)
        self._go_to(REST)

    @contextmanager
    def pathway(self, name: str) -> Iterator[PathwaySwitch]:
        """Shows a pathway inside a `with` block, rests after it in any case.

        As `enter`, but from the state "rest" alone.
        """
        check_known("pathway", name, self.masks.pathways)
        self._demand("pathway", REST)
        try:
            self.enter(name)
            yield self
        finally:
            self.leave()

    def expose(self, names: Sequence[str] | None = None) -> None:
        """Shows theta; call it before an optimizer's step.

        Arguments
        ---------
        names : Sequence[str] | None
            Parameters that the optimizer moves; None for all. The others
            stay as they are, and `commit` goes back to the state at present.
        """
        if self._state == DENSE:
            return
        self._slots.follow()
        self._slots.settle_and_show(None, names)
        self._exposed = names
        self._before = REST if names is None else self._state
        self._state = DENSE

    def commit(self, pathways: Iterable[str] | None = None) -> None:
        """Takes over an optimizer's step; goes to rest, if all was exposed.

        Arguments
        ---------
        pathways : Iterable[str] | None
            Pathways that contributed to the step. Entries outside the union
            of their masks get back the value from before `expose`: weight
            decay and momentum must not move them. None takes every entry.

        Raises
        ------
        UserError
            If the state is not "dense" or a pathway is unknown.
        """
        self._demand("commit", DENSE)
        self._slots.follow()
        # Always, not only if changed: fused optimizers do not count their
        # writes, and what did not change is copied onto itself.
        taken = None if pathways is None else self.masks.union(pathways)
        shown = self._bits_of(self._before)
        self._slots.take_and_show(taken, shown, self._exposed)
        self._state = self._before

    def refresh(self) -> None:
        """Re-writes the rest state after masks or parameters were changed.

        What the parameters hold is kept where they showed theta: after an
        averaged checkpoint, averaged values inside the union, zeros outside.
        Raises a UserError if a pathway is entered.
        """
        self._demand("refresh", REST, DENSE)
        self._slots.follow()
        self._slots.take_shown()
        self._rest()

    # -- values -------------------------------------------------------------

    def adopt(self) -> None:
        """Takes everything that the parameters hold as theta, then rests.

        For a dense checkpoint or a fresh model: dormant values are given up.
        Raises a UserError if a pathway is entered: its zeros are no values.
        """
        self._demand("adopt", REST, DENSE)
        self._slots.follow()
        if self._state == DENSE:
            self._slots.take_shown()  # not all of it may be dense
        else:
            self._slots.take(None)
        self._rest()

    def dense(self, name: str, settled: bool = False) -> torch.Tensor:
        """Returns theta of a parameter, to be read only.

        Arguments
        ---------
        name : str
            Name of the parameter.
        settled : bool
            True spares summing the bits, where nobody has written weights
            since the state was entered: in a backward pass, say.

        Returns
        -------
        torch.Tensor
            The dense copy itself, in the parameter's shape. In the state
            "dense" theta as it was before `expose`.
        """
        slot = self._slots[name]
        if self._state != DENSE:
            slot.settle(counters_only=settled)
        return slot.dense

    def set_values(self, name: str, where: torch.Tensor, value: float) -> None:
        """Sets some entries of theta, such as weights that grow again.

        Arguments
        ---------
        name : str
            Name of the parameter.
        where : torch.Tensor
            Bool, of the parameter's shape.
        value : float
            The value to set.

        Raises
        ------
        UserError
            If the state is not "rest", the name unknown or `where` misfit.
        """
        self._demand("set_values", REST)
        self._slots[name].fill(where, value)

    def dormant(self) -> dict[str, torch.Tensor]:
        """Returns theta where no pathway uses it: 1-D each, to be saved."""
        self._demand("dormant", REST)
        self._slots.follow()
        self._slots.settle()
        return take_outside(self._slots.theta(), self._slots.union())

    def load_dormant(self, dormant: Mapping[str, torch.Tensor]) -> None:
        """Puts saved values back: theta is the parameter inside the union.

        Load the parameters first, then the masks, then these.

        Arguments
        ---------
        dormant : Mapping[str, torch.Tensor]
            As `dormant` returned it.

        Raises
        ------
        UserError
            If names or sizes do not fit the masks, or the state is not
            "rest"; nothing has changed then.
        """
        self._demand("load_dormant", REST)
        self._slots.follow()
        union = self._slots.union()
        put_outside(self._slots.theta(), union, dormant)
        self._slots.take(union)
        self._rest()

    def _go_to(self, state: str) -> None:
        """Goes to a state; what changed is taken before."""
        self._slots.follow()
        self._slots.settle_and_show(self._bits_of(state))
        self._state = state

    def _rest(self) -> None:
        """Goes to rest; what changed has been taken before."""
        self._slots.show(self._slots.union())
        self._state = REST

    def _bits_of(self, state: str) -> Mapping[str, torch.Tensor]:
        """The masks of what a state shows."""
        if state == REST:
            return self._slots.union()
        return self._slots.pathway(state)

    def _demand(self, method: str, *states: str) -> None:
        """Refuses a call in any other state."""
        if self._state not in states:
            raise UserError(
                f"`{method}` must be called in the state "
                f"{' or '.join(states)}, got {self._state!r}."
            )
