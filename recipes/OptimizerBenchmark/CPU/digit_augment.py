"""Bands and spans dropped from features (SpecAugment, arXiv 1904.08779)."""

from speechbrain.augment.freq_domain import SpectrogramDrop


class Drops:
    """Drops bands of channels and spans of frames, or nothing.

    Draws from the global generator. Features are a whole number of stacked
    frames each: bands go through all of them.

    Arguments
    ---------
    bands : int
        Most bands that are dropped; 0: none.
    band_width : int
        Channels of the widest one.
    spans : int
        Most spans that are dropped; 0: none.
    span_width : int
        Frames of the longest one.
    channels : int
        Of a frame before it was stacked.
    """

    def __init__(self, bands, band_width, spans, span_width, channels):
        self.channels = channels
        self.drops = [
            SpectrogramDrop(
                drop_length_low=1,
                drop_length_high=width + 1,
                drop_count_low=0,
                drop_count_high=count,
                dim=dim,
            )
            for count, width, dim in (
                (bands, band_width, 2),
                (spans, span_width, 1),
            )
            if count
        ]

    def __call__(self, feats):
        """Features [B, T, C]; what is dropped is zero, as padding is."""
        if not self.drops:
            return feats
        size = feats.shape
        # A copy: SpeechBrain drops in place, and the data come again.
        feats = feats.clone().view(size[0], -1, self.channels)
        for drop in self.drops:
            feats = drop(feats)
        return feats.view(size)
