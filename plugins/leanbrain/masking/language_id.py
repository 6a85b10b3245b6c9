"""LanguageHead: says which pathway each utterance of a batch belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from leanbrain.checks import UserError, check_int

__all__ = ["LanguageHead"]


class LanguageHead(nn.Module):
    """Mean and deviation over time, then two linear layers.

    Small enough to run before the recogniser whose pathways it chooses; it
    takes features, or what a shared first layer makes of them. Frames of
    padding count nothing.

    Arguments
    ---------
    pathways : Sequence[str]
        The names, in the order of the outputs.
    input_size : int
        Features per frame.
    hidden_size : int
        Neurons between the two layers.

    Raises
    ------
    UserError
        If there are fewer than two pathways, or one twice.

    Reference
    ---------
    Snyder et al., "X-vectors: Robust DNN embeddings for speaker recognition",
    2018, section 2: statistics pooling.

    Example
    -------
    >>> head = LanguageHead(["en", "ru"], input_size=40)
    >>> feats, lens = torch.rand(3, 50, 40), torch.tensor([1.0, 0.5, 0.8])
    >>> head(feats, lens).shape
    torch.Size([3, 2])
    >>> len(head.predict(feats, lens))
    3
    """

    def __init__(
        self, pathways: Sequence[str], input_size: int, hidden_size: int = 64
    ) -> None:
        super().__init__()
        names = [pathways] if isinstance(pathways, str) else list(pathways)
        if len(names) < 2 or len(set(names)) < len(names):
            raise UserError(
                f"`pathways` must be at least two different names, got {names}."
            )
        self.pathways = tuple(names)
        check_int("input_size", input_size, low=1)
        check_int("hidden_size", hidden_size, low=1)
        self.hidden = nn.Linear(2 * input_size, hidden_size)
        self.lang_lin = nn.Linear(hidden_size, len(names))

    def forward(
        self, x: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Returns log posteriors, for a negative log likelihood.

        Arguments
        ---------
        x : torch.Tensor
            Features [B, T, F].
        lengths : torch.Tensor or None
            Relative lengths [B] in (0, 1]; None: no padding.

        Returns
        -------
        torch.Tensor
            [B, L], the order is that of `pathways`.
        """
        pooled = _statistics(x, lengths)
        logits = self.lang_lin(torch.relu(self.hidden(pooled)))
        return logits.log_softmax(dim=-1)

    @torch.no_grad()
    def predict(
        self, x: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> list[str]:
        """Returns the likeliest pathway of each utterance.

        Arguments
        ---------
        x : torch.Tensor
            Features [B, T, F].
        lengths : torch.Tensor or None
            See `forward`.

        Returns
        -------
        list
            B names, as `PathwayRouter.set` takes them.
        """
        best = self.forward(x, lengths).argmax(dim=-1)
        return [self.pathways[i] for i in best.tolist()]


def _statistics(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Mean and standard deviation over the frames of speech, [B, 2 F]."""
    if x.dim() != 3 or not x.shape[1]:
        raise UserError(
            "`x` must be features [B, T, F] of at least one frame, got "
            f"{list(x.shape)}."
        )
    frames = x.shape[1]
    if lengths is not None and lengths.shape != x.shape[:1]:
        raise UserError(
            f"`lengths` must be one for each of {x.shape[0]} utterances, got "
            f"{list(lengths.shape)}."
        )
    if lengths is None:
        real = x.new_ones(x.shape[0], frames, 1)
    else:
        last = (lengths.to(x.device) * frames).round().clamp(min=1.0)
        real = torch.arange(frames, device=x.device) < last[:, None]
        real = real.unsqueeze(-1).to(x.dtype)
    count = real.sum(dim=1)
    # Not a product alone: what pads may be infinite.
    x = x.masked_fill(real == 0, 0.0)
    mean = x.sum(dim=1) / count
    spread = ((x - mean.unsqueeze(1)) * real).square().sum(dim=1) / count
    return torch.cat([mean, (spread + 1e-8).sqrt()], dim=-1)
