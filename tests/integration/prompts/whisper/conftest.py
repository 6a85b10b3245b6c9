"""A tiny Whisper in CTranslate2's format, and the recipe as users run it."""

import json
import struct

import numpy as np
import pytest

from leanbrain.hyperyaml import as_override

WIDTH, LAYERS, HEADS, INNER, BINS = 16, 2, 2, 32, 80
VOCABULARY, TEXT_TOKENS = 51865, 50257  # as Whisper base has them
NUMBERS = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}
TINY = {
    "number_of_epochs": 2,
    "batches_per_epoch": 6,
    "warmup_steps": 1,
    "lr": 0.01,
    "max_batch_s": 4.0,
    "languages": ["en", "fr"],
    "valid_utterances": 2,
    "seed": 3,
}


def string(text):
    """A string of the format."""
    raw = text.encode() + b"\0"
    return struct.pack("<H", len(raw)) + raw


def file_bytes(variables, aliases=(), version=6, spec="WhisperSpec"):
    """A whole model file."""
    out = [struct.pack("<I", version), string(spec), struct.pack("<I", 3)]
    out.append(struct.pack("<I", len(variables)))
    for name, array in variables:
        array = np.asarray(array)
        head = (
            array.ndim,
            *array.shape,
            NUMBERS[array.dtype.name],
        )
        out += [string(name), struct.pack(f"<B{array.ndim}IB", *head)]
        out += [struct.pack("<I", array.nbytes), array.tobytes()]
    out.append(struct.pack("<I", len(aliases)))
    out += [string(x) for pair in aliases for x in pair]
    return b"".join(out)


def tensors(seed=0):
    """All variables of the tiny model, by CTranslate2's names."""
    random = np.random.default_rng(seed)

    def some(*shape):
        return (random.standard_normal(shape) * 0.1).astype("float16")

    found = {
        "decoder/activation": np.int8(3),
        "decoder/alibi": np.int8(0),
        "decoder/num_heads": np.int16(HEADS),
        "decoder/pre_norm": np.int8(1),
        "decoder/scale_embeddings": np.int8(0),
        "decoder/start_from_zero_embedding": np.int8(0),
        "encoder/num_heads": np.int16(HEADS),
        "decoder/embeddings/weight": some(VOCABULARY, WIDTH),
        "decoder/position_encodings/encodings": some(448, WIDTH),
        "encoder/position_encodings/encodings": some(1500, WIDTH),
        "encoder/conv1/weight": some(WIDTH, BINS, 3),
        "encoder/conv1/bias": some(WIDTH),
        "encoder/conv2/weight": some(WIDTH, WIDTH, 3),
        "encoder/conv2/bias": some(WIDTH),
    }

    def linear(name, rows, columns):
        found[f"{name}/weight"], found[f"{name}/bias"] = (
            some(rows, columns),
            some(rows),
        )

    def norm(name):
        found[f"{name}/gamma"] = 1 + some(WIDTH)
        found[f"{name}/beta"] = some(WIDTH)

    for side in ("encoder", "decoder"):
        norm(f"{side}/layer_norm")
        for layer in range(LAYERS):
            start = f"{side}/layer_{layer}"
            linear(f"{start}/self_attention/linear_0", 3 * WIDTH, WIDTH)
            found[f"{start}/self_attention/linear_0/bias"][WIDTH:-WIDTH] = 0
            linear(f"{start}/self_attention/linear_1", WIDTH, WIDTH)
            norm(f"{start}/self_attention/layer_norm")
            if side == "decoder":
                linear(f"{start}/attention/linear_0", WIDTH, WIDTH)
                linear(f"{start}/attention/linear_1", 2 * WIDTH, WIDTH)
                found[f"{start}/attention/linear_1/bias"][:WIDTH] = 0
                linear(f"{start}/attention/linear_2", WIDTH, WIDTH)
                norm(f"{start}/attention/layer_norm")
            linear(f"{start}/ffn/linear_0", INNER, WIDTH)
            linear(f"{start}/ffn/linear_1", WIDTH, INNER)
            norm(f"{start}/ffn/layer_norm")
    return found


ALIASES = (("decoder/projection/weight", "decoder/embeddings/weight"),)


def tokenizer_json(timestamps=1501):
    """A tokenizer with Whisper's special tokens, whose texts are bytes."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    letters = sorted(ByteLevel.alphabet())
    words = letters + [f"w{i}" for i in range(TEXT_TOKENS - len(letters))]
    special = ["endoftext", "startoftranscript", *LANGUAGES]
    # The last of the languages that transformers knows came later.
    special = special[: 2 + 99]
    special += ["translate", "transcribe", "startoflm", "startofprev"]
    special += ["nospeech", "notimestamps"]
    times = [f"{0.02 * i:.2f}" for i in range(timestamps)]
    shape = {"single_word": False, "lstrip": False, "rstrip": False}
    added = [
        {
            "id": TEXT_TOKENS + i,
            "content": f"<|{x}|>",
            **shape,
            "normalized": i >= len(special),
            "special": i < len(special),
        }
        for i, x in enumerate(special + times)
    ]
    level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {**level, "add_prefix_space": False},
        "post_processor": None,
        "decoder": {**level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {x: i for i, x in enumerate(words)},
            "merges": [],
        },
    }


class Tiny:
    """What tests write models with."""

    bytes = staticmethod(file_bytes)
    tensors = staticmethod(tensors)
    tokenizer = staticmethod(tokenizer_json)
    width, layers, inner = WIDTH, LAYERS, INNER

    @staticmethod
    def write(folder, variables=None, aliases=ALIASES, **options):
        """A folder of CTranslate2, the tokenizer apart."""
        folder.mkdir(exist_ok=True)
        variables = tensors() if variables is None else variables
        data = file_bytes(variables.items(), aliases, **options)
        (folder / "model.bin").write_bytes(data)
        return folder


def write_source(folder):
    """Writes the tiny Whisper as CTranslate2 has it, with its tokenizer."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    Tiny.write(folder)
    text = json.dumps(tokenizer_json())
    (folder / "tokenizer.json").write_text(text)
    return folder


@pytest.fixture(scope="session")
def tiny():
    return Tiny


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """The tiny Whisper as CTranslate2 has it."""
    return write_source(tmp_path_factory.mktemp("tiny") / "source")


@pytest.fixture(scope="session")
def whisper_recipe(repo_root):
    return repo_root / "recipes" / "MultilingualPrompts" / "ASR" / "Whisper"


@pytest.fixture(scope="module")
def piece(whisper_recipe, pieces_of):
    """Loads a module of the recipe."""
    with pieces_of(whisper_recipe) as load:
        yield load


@pytest.fixture(scope="session")
def folder(source, whisper_recipe, pieces_of, tmp_path_factory):
    """The tiny Whisper as the recipe loads it."""
    target = tmp_path_factory.mktemp("whisper") / "tiny"
    with pieces_of(whisper_recipe) as load:
        load("whisper_prepare").prepare_whisper(target, source)
    return target


@pytest.fixture(scope="module")
def lobe(piece, folder, tmp_path_factory):
    """Makes the recipe's Whisper with some settings."""
    module = piece("lobe")
    save = str(tmp_path_factory.mktemp("hub"))
    return lambda **options: module.ShortWhisper(str(folder), save, **options)


def command(recipe, yaml, corpus, out, **options):
    settings = {
        **TINY,
        "data_folder": corpus,
        "output_folder": out,
        **options,
    }
    return [
        str(recipe / "train.py"),
        str(recipe / "hparams" / yaml),
        "--noprogressbar",
        "--precision=fp32",  # the same on all machines
        *(as_override(key, value) for key, value in settings.items()),
    ]


@pytest.fixture(scope="session")
def whisper_words(whisper_recipe, folder, corpus):
    """The words of a command line, without the interpreter."""

    def words(yaml, out, **options):
        options = {"whisper_source": folder, "data": corpus, **options}
        data = options.pop("data")
        return command(whisper_recipe, yaml, data, out, **options)

    return words


@pytest.fixture(scope="session")
def train(run_script, whisper_words):
    """Runs the recipe."""
    return lambda *args, **options: run_script(*whisper_words(*args, **options))
