"""The folder of a Whisper that Hugging Face and SpeechBrain load."""

import json
import shutil
from pathlib import Path

from ctranslate2_file import read_model_file
from whisper_tokens import END, START, what_is_wrong
from whisper_weights import Tensors, whisper_state

from leanbrain.checks import UserError
from leanbrain.files import read_json, write_text

BLANK = 220  # the token of a space alone
TIMESTAMPS = 1501  # tokens, from 0 to 30 s
MAX_INITIAL_TIMESTAMP = 50  # a second, in the frames of timestamps


def convert_folder(source, target):
    """Writes the folder of a model of CTranslate2.

    Arguments
    ---------
    source : path
        Folder with `model.bin` and `tokenizer.json`; what `config.json` says
        of tokens to suppress is taken over if it is there.
    target : path
        An empty folder.
    """
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    source, target = Path(source), Path(target)
    path = source / "model.bin"
    sizes, state = whisper_state(Tensors(read_model_file(path), path))
    tokenizer = load_tokenizer(
        source / "tokenizer.json", target, sizes["vocab_size"]
    )
    if len(tokenizer) + TIMESTAMPS == sizes["vocab_size"]:
        # As older exports have it.
        times = [f"<|{0.02 * i:.2f}|>" for i in range(TIMESTAMPS)]
        tokenizer.add_tokens(times)
    if len(tokenizer) != sizes["vocab_size"]:
        raise UserError(
            f"{source / 'tokenizer.json'} must have the "
            f"{sizes['vocab_size']:,} tokens of {path.name}, got "
            f"{len(tokenizer):,}."
        )
    end, start = tokenizer.convert_tokens_to_ids([END, START])
    config = WhisperConfig(
        **sizes,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=start,
        begin_suppress_tokens=[BLANK, end],
    )
    model = WhisperForConditionalGeneration(config)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"The file {path} must hold a Whisper: {reason}"
        ) from error
    model.generation_config = generation_config(
        tokenizer, end, start, token_facts(source / "config.json")
    )
    save_folder(model, tokenizer, target)


def copy_model(source, target):
    """Writes the folder of a model of Hugging Face.

    Arguments
    ---------
    source : str
        Another such folder, or a name on the hub.
    target : path
        An empty folder.
    """
    from safetensors import SafetensorError
    from transformers import WhisperForConditionalGeneration, WhisperTokenizer

    try:
        # Safetensors alone: other files may run code when they are read.
        model, info = WhisperForConditionalGeneration.from_pretrained(
            source,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
        tokenizer = WhisperTokenizer.from_pretrained(source)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise no_whisper(source, error) from error
    wrong = wrong_weights(model, info) or what_is_wrong(
        tokenizer, model.config.vocab_size
    )
    if wrong:
        raise no_whisper(source, wrong)
    save_folder(model.float(), tokenizer, Path(target))


def no_whisper(source, reason):
    """The error of a source that cannot be copied."""
    reason = " ".join(str(reason).split())[:300].rstrip(".")
    return UserError(
        "`--source` must be a folder or a hub name of a multilingual "
        f"Whisper, got {source}: {reason}."
    )


def wrong_weights(model, info):
    """Says which weights a model cannot work with; None if there are none."""
    if info["missing_keys"]:
        return f"weights without {min(info['missing_keys'])}"
    if info["mismatched_keys"]:
        return f"weights of other sizes, {min(info['mismatched_keys'])[0]}"
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            return f"weights that are not finite, {name}"
    return None


def load_tokenizer(path, target, size):
    """The tokenizer of a `tokenizer.json`, which is copied to a folder."""
    from transformers import WhisperTokenizer

    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"The file {path}, the tokenizer of model.bin, cannot be read "
            f"({error.strerror})."
        ) from error
    (target / "tokenizer.json").write_bytes(content)
    try:
        words = read_json(target / "tokenizer.json")["model"]["vocab"]
        tokenizer = WhisperTokenizer.from_pretrained(target)
    except (UserError, KeyError, TypeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} must be the tokenizer of a Whisper: {reason}"
        ) from error
    tokenizer.add_special_tokens({"pad_token": END})
    wrong = what_is_wrong(tokenizer, size)
    if wrong or not words:
        raise UserError(
            f"{path} must be the tokenizer of a multilingual Whisper, got "
            f"{wrong or 'no words'}."
        )
    return tokenizer


def token_facts(path):
    """What CTranslate2's `config.json` says, in Hugging Face's words."""
    found = read_json(path) if path.is_file() else {}
    if not isinstance(found, dict):
        raise UserError(f"The file {path} must hold names and values.")
    words = {
        "suppress_ids": "suppress_tokens",
        "suppress_ids_begin": "begin_suppress_tokens",
        "alignment_heads": "alignment_heads",
    }
    return {words[x]: found[x] for x in words if x in found}


def generation_config(tokenizer, end, start, facts):
    """What Hugging Face's `generate` must know of the model's tokens."""
    from transformers import GenerationConfig
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    vocabulary = tokenizer.get_vocab()
    languages = [f"<|{code}|>" for code in LANGUAGES]
    return GenerationConfig(
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=start,
        max_length=448,
        is_multilingual=True,
        lang_to_id={x: vocabulary[x] for x in languages if x in vocabulary},
        task_to_id={
            x: vocabulary[f"<|{x}|>"] for x in ("transcribe", "translate")
        },
        no_timestamps_token_id=vocabulary["<|notimestamps|>"],
        max_initial_timestamp_index=MAX_INITIAL_TIMESTAMP,
        return_timestamps=False,
        **{"begin_suppress_tokens": [BLANK, end], **facts},
    )


def save_folder(model, tokenizer, target):
    """Writes all files but the summary."""
    from safetensors import SafetensorError
    from transformers import WhisperFeatureExtractor

    try:
        model.save_pretrained(target)
    except SafetensorError as error:  # such as a disk that is full
        raise OSError(str(error)) from error
    for path in target.glob("*.safetensors"):
        # Written for the owner alone, unlike all others.
        shutil.copymode(target / "config.json", path)
    tokenizer.save_pretrained(target)
    bins = model.config.num_mel_bins
    WhisperFeatureExtractor(feature_size=bins).save_pretrained(target)
    # Older readers look for these two.
    pieces = read_json(target / "tokenizer.json")["model"]
    text = json.dumps(pieces["vocab"], ensure_ascii=False)
    write_text(target / "vocab.json", text)
    merges = [
        x if isinstance(x, str) else " ".join(x) for x in pieces["merges"]
    ]
    write_text(target / "merges.txt", "\n".join(["#version: 0.2", *merges, ""]))
