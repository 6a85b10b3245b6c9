"""What the tokenizer of a multilingual Whisper must have."""

END, START = "<|endoftext|>", "<|startoftranscript|>"
SPECIAL = (END, START, "<|transcribe|>", "<|translate|>", "<|notimestamps|>")
MULTILINGUAL = 51865  # tokens at least, as SpeechBrain tells models by


def what_is_wrong(tokenizer, size):
    """Says why a tokenizer is none of a multilingual Whisper.

    Arguments
    ---------
    tokenizer : WhisperTokenizer
        As it was loaded; of a folder without one, it has hardly a token.
    size : int
        Tokens that the model knows.

    Returns
    -------
    str or None
        A few words, None if it is one.
    """
    if size < MULTILINGUAL:
        return f"a model of one language ({size:,} tokens)"
    vocabulary = tokenizer.get_vocab()
    missing = [x for x in SPECIAL if x not in vocabulary]
    if missing:
        return f"a tokenizer without {', '.join(missing)}"
    if max(vocabulary.values()) >= size:
        return f"a tokenizer of more than the model's {size:,} tokens"
    return None
