"""Sentence pieces: trained on transcripts, written once, read by all ranks."""

import io
import os
from collections.abc import Iterable
from pathlib import Path

import sentencepiece

from leanbrain.checks import UserError
from leanbrain.files import atomic_path

BLANK = 0  # sentencepiece gives it to <unk>, which training text never has


def train_tokenizer(
    texts: Iterable[str],
    path: str | os.PathLike[str],
    vocabulary: int,
    max_characters: int = 10_000_000,
) -> None:
    """Trains a unigram model, as AlgoPerf does, and writes it atomically.

    Arguments
    ---------
    texts : Iterable[str]
        Transcripts, in an order that is the same at every run.
    path : path
        The model file.
    vocabulary : int
        Number of pieces, with <unk> (the blank of CTC), <s> and </s>.
    max_characters : int
        Of text that is used: what comes after it is left out.

    Raises
    ------
    UserError
        If the text has not enough different words for so many pieces.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_limited(texts, max_characters),
            model_writer=model,
            vocab_size=vocabulary,
            model_type="unigram",
            character_coverage=1.0,
            # The same pieces whatever the machine has.
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = str(error).rpartition("] ")[2].strip().rstrip(".")
        if "ocab" not in reason:
            raise
        raise UserError(
            f"`vocabulary` must suit the training text, got {vocabulary} "
            f"(sentencepiece says: {reason})."
        ) from error
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.getvalue())


def load_tokenizer(
    path: str | os.PathLike[str], vocabulary: int
) -> sentencepiece.SentencePieceProcessor:
    """Reads the model that `train_tokenizer` wrote.

    Arguments
    ---------
    path : path
        The model file.
    vocabulary : int
        Number of pieces that it must have.

    Returns
    -------
    SentencePieceProcessor
        Call `encode(text)` and `decode(ids)`.

    Raises
    ------
    UserError
        If the file is no model or has another number of pieces.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error})."
        ) from error
    try:
        tokenizer = sentencepiece.SentencePieceProcessor(model_proto=content)
    except RuntimeError as error:
        raise UserError(
            f"{path} must be a model of sentencepiece: delete it "
            f"(sentencepiece says: {' '.join(str(error).split())})."
        ) from error
    if tokenizer.get_piece_size() != vocabulary:
        raise UserError(
            f"{path} must have {vocabulary} pieces (`vocabulary`), got "
            f"{tokenizer.get_piece_size()}: delete it."
        )
    return tokenizer


def _limited(texts: Iterable[str], max_characters: int) -> Iterable[str]:
    """The first texts, as many as stay within a number of characters."""
    used = 0
    for text in texts:
        used += len(text) + 1
        if used > max_characters:
            return
        yield text
