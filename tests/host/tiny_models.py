"""Random models of a few thousand weights where recipes download one."""

from __future__ import annotations

import csv
from pathlib import Path

import torch

__all__ = ["make"]

TOKENS = 23  # letters of the samples, and three for the ends


def make(folder: Path) -> None:
    """Writes `tiny/<model>` below a folder that holds the samples.

    Arguments
    ---------
    folder : Path
        With `tests/samples/annotation`.
    """
    _language_model(folder, folder / "tiny" / "lm")
    _speech_encoders(folder / "tiny")
    _whisper(folder / "tiny" / "whisper")


def _language_model(folder: Path, out: Path) -> None:
    """A tokenizer of the samples' words and a language model for it."""
    import sentencepiece
    from speechbrain.lobes.models.transformer.TransformerLM import (
        TransformerLM,
    )

    out.mkdir(parents=True)
    table = folder / "tests" / "samples" / "annotation" / "ASR_train.csv"
    with table.open(newline="", encoding="utf-8") as file:
        words = [row["wrd"] for row in csv.DictReader(file)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words),
        model_prefix=str(out / "tokenizer"),
        vocab_size=TOKENS,
        model_type="char",
        bos_id=1,
        eos_id=2,
        unk_id=0,
        minloglevel=2,
    )
    (out / "tokenizer.model").rename(out / "tokenizer.ckpt")
    model = TransformerLM(
        TOKENS,
        d_model=16,
        nhead=2,
        num_encoder_layers=1,
        num_decoder_layers=0,
        d_ffn=16,
        activation=torch.nn.GELU,
        normalize_before=False,
    )
    torch.save(model.state_dict(), out / "lm.ckpt")


def _speech_encoders(out: Path) -> None:
    """wav2vec2, HuBERT and WavLM."""
    import transformers as hf

    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "conv_dim": (8,) * 7,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
        "mask_time_length": 2,
    }
    for name, config, model in (
        ("wav2vec2", hf.Wav2Vec2Config, hf.Wav2Vec2Model),
        ("hubert", hf.HubertConfig, hf.HubertModel),
        ("wavlm", hf.WavLMConfig, hf.WavLMModel),
    ):
        model(config(**sizes)).save_pretrained(out / name)
        hf.Wav2Vec2FeatureExtractor().save_pretrained(out / name)


def _whisper(out: Path) -> None:
    """Whisper, with a tokenizer of single bytes."""
    import transformers as hf
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    tasks = "startoftranscript transcribe translate startoflm startofprev"
    special = [
        "<|endoftext|>",
        *(f"<|{name}|>" for name in tasks.split()),
        *(f"<|{name}|>" for name in LANGUAGES),
        "<|nospeech|>",
        "<|notimestamps|>",
        *(f"<|{i * 0.02:.2f}|>" for i in range(1501)),
    ]
    vocabulary = {
        piece: i for i, piece in enumerate([*_byte_letters(), *special])
    }
    tokenizer = hf.WhisperTokenizer(
        vocab=vocabulary, merges=[], pad_token=special[0]
    )
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.save_pretrained(out)
    (out / "normalizer.json").write_text("{}")  # British spellings: none
    end, start = (vocabulary[special[i]] for i in (0, 1))
    config = hf.WhisperConfig(
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        vocab_size=len(vocabulary),
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=start,
    )
    hf.WhisperModel(config).save_pretrained(out)
    hf.WhisperFeatureExtractor().save_pretrained(out)


def _byte_letters() -> list[str]:
    """One printable letter for each byte, as byte-level BPE has."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())
