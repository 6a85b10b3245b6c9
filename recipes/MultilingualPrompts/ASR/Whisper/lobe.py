"""SpeechBrain's Whisper on windows that are as long as the speech needs."""

import math

import torch
from safetensors import SafetensorError
from speechbrain.integrations.huggingface.whisper import (
    N_SAMPLES,
    SAMPLE_RATE,
    Whisper,
)
from torch.nn.functional import gelu
from transformers import AutoConfig
from whisper_source import check_place
from whisper_tokens import what_is_wrong

from leanbrain.checks import (
    UserError,
    check_fraction,
    check_known,
    check_positive,
)

LONGEST_S = N_SAMPLES / SAMPLE_RATE  # what Whisper hears at once


class ShortWhisper(Whisper):
    """Whisper whose encoder sees the speech and a little silence, not 30 s.

    A model that was trained on 30 s repeats itself on short windows until it
    has been fine-tuned on them.

    Arguments
    ---------
    source : str
        A folder that `whisper_prepare.py` made, or a name on the hub.
    save_path : str
        Where downloads go.
    silence_s : float
        Seconds of silence at least after the longest utterance of a batch.
    grid_s : float
        Windows are a whole number of these. Utterances of the same window do
        not depend on what they are batched with.
    window_s : float or None
        A window for all, in place of the two: 30 as in Whisper's training.
    """

    def __init__(
        self, source, save_path, silence_s=0.5, grid_s=0.5, window_s=None
    ):
        check_source(source, save_path)
        try:
            super().__init__(source, save_path, language="en")
        except UserError:
            raise
        except (OSError, RuntimeError, ValueError, SafetensorError) as error:
            raise no_whisper(source, error) from error
        wrong = what_is_wrong(self.tokenizer, self.config.vocab_size)
        if wrong:
            raise no_whisper(source, wrong)
        check_positive("grid_s", grid_s)
        check_fraction("silence_s", silence_s, high=LONGEST_S)
        if window_s is not None:
            check_fraction("window_s", window_s, high=LONGEST_S, low_open=True)
        self.silence_s, self.grid_s, self.window_s = silence_s, grid_s, window_s

    def _from_pretrained(self, source, *args, **kwargs):
        """As in SpeechBrain; weights that are missing stay no random ones."""
        super()._from_pretrained(
            source,
            *args,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **kwargs,
        )
        self.model, info = self.model
        if info["missing_keys"]:
            missing = min(info["missing_keys"])
            raise no_whisper(source, f"weights without {missing}")
        if info["mismatched_keys"]:
            other = min(info["mismatched_keys"])[0]
            raise no_whisper(source, f"weights of other sizes, {other}")

    def window_of(self, seconds):
        """Seconds that the encoder sees of speech this long."""
        if seconds > (self.window_s or LONGEST_S):
            raise UserError(
                f"Speech must last at most {self.window_s or LONGEST_S:g} s, "
                f"the window, got {seconds:.1f} s."
            )
        if self.window_s:
            return self.window_s
        # Durations are rounded, and a window must not depend on that.
        steps = math.ceil((seconds + self.silence_s) / self.grid_s - 5e-3)
        return min(LONGEST_S, max(1, steps) * self.grid_s)

    def prefix(self, language):
        """The tokens that a text in a language begins with.

        Arguments
        ---------
        language : str
            Whisper's code of it.

        Returns
        -------
        list of int
            Start, language, task, no timestamps.
        """
        check_known("languages", language, self.all_language_codes)
        token = self.tokenizer.convert_tokens_to_ids(f"<|{language}|>")
        if token == self.eos:  # what unknown tokens become
            raise UserError(
                f"`languages` must be known to this Whisper, got {language!r}."
            )
        return [self.bos, token, self.transcribe, self.no_timestamps]

    def _get_mel(self, wav):
        """Log-mel features [B, bins, frames] of samples [B, T]."""
        window = self.window_of(wav.shape[-1] / SAMPLE_RATE)
        # An even number of frames: the encoder halves it.
        step = 2 * self._hop_length
        samples = math.ceil(window * SAMPLE_RATE / step) * step
        with torch.autocast(wav.device.type, enabled=False):
            return self.log_mel_spectrogram(
                self.pad_or_trim(wav.float(), samples)
            )

    def log_mel_spectrogram(self, audio, padding=0):
        """As Whisper's own, but no utterance depends on others of its batch.

        The lobe's floor is 80 dB below the loudest of the batch.
        """
        return torch.cat(
            [
                super(ShortWhisper, self).log_mel_spectrogram(x, padding)
                for x in audio.split(1)
            ]
        )

    def forward_encoder(self, mel):
        """Hugging Face's encoder with as many positions as there are frames."""
        encoder = self.model.encoder
        hidden = gelu(encoder.conv2(gelu(encoder.conv1(mel)))).transpose(1, 2)
        positions = encoder.embed_positions.weight[: hidden.shape[1]]
        hidden = torch.nn.functional.dropout(
            hidden + positions, encoder.dropout, self.training
        )
        for layer in encoder.layers:
            hidden = layer(hidden, None)
        return encoder.layer_norm(hidden)


def check_source(source, save_path):
    """Refuses what is not there, and models of other kinds."""
    check_place(source)
    try:
        config = AutoConfig.from_pretrained(source, cache_dir=save_path)
    except (OSError, ValueError) as error:
        raise no_whisper(source, error) from error
    if config.model_type != "whisper":
        raise no_whisper(source, f"a model of type {config.model_type!r}")


def no_whisper(source, reason):
    """The error of a source that cannot be loaded."""
    reason = " ".join(str(reason).split())[:300].rstrip(".")
    return UserError(
        "`whisper_source` must hold a whole multilingual Whisper, got "
        f"{source}: {reason}."
    )
