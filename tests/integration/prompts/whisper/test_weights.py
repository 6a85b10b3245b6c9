"""CTranslate2's tensors become a Whisper of Hugging Face, all or nothing."""

import json

import numpy as np
import pytest
import torch

from leanbrain.checks import UserError


@pytest.fixture
def convert(piece, source, tmp_path):
    """Converts a changed model; answers with the error and what was left."""
    module = piece("whisper_prepare")

    def convert(tiny, variables, tokenizer=None, **options):
        folder = tiny.write(tmp_path / "changed", variables, **options)
        if tokenizer is None:
            tokenizer = (source / "tokenizer.json").read_text()
        (folder / "tokenizer.json").write_text(tokenizer)
        target = tmp_path / "new" / "folder"
        try:
            module.prepare_whisper(target, folder)
        except UserError as error:
            assert not list(target.parent.iterdir())
            return str(error)
        return target

    return convert


def test_every_tensor_is_in_its_place(folder, tiny):
    from transformers import WhisperForConditionalGeneration

    model, info = WhisperForConditionalGeneration.from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(info.values()), info
    state, there = model.state_dict(), tiny.tensors()
    width = tiny.width
    layer, source = "model.decoder.layers.1", "decoder/layer_1"
    rows = {"q_proj": 0, "k_proj": 1, "v_proj": 2}
    for name, row in rows.items():
        part = slice(row * width, (row + 1) * width)
        found = state[f"{layer}.self_attn.{name}.weight"].numpy()
        wanted = there[f"{source}/self_attention/linear_0/weight"][part]
        np.testing.assert_array_equal(found, wanted)
        if name != "k_proj":
            bias = state[f"{layer}.self_attn.{name}.bias"].numpy()
            wanted = there[f"{source}/self_attention/linear_0/bias"][part]
            np.testing.assert_array_equal(bias, wanted)
    cross = {"q_proj": ("0", 0), "k_proj": ("1", 0), "v_proj": ("1", 1)}
    for name, (linear, row) in cross.items():
        part = slice(row * width, (row + 1) * width)
        found = state[f"{layer}.encoder_attn.{name}.weight"].numpy()
        wanted = there[f"{source}/attention/linear_{linear}/weight"][part]
        np.testing.assert_array_equal(found, wanted)
    pairs = {
        "model.encoder.layers.0.fc2.weight": (
            "encoder/layer_0/ffn/linear_1/weight"
        ),
        "model.encoder.layers.0.final_layer_norm.bias": (
            "encoder/layer_0/ffn/layer_norm/beta"
        ),
        "model.encoder.conv2.weight": "encoder/conv2/weight",
        "proj_out.weight": "decoder/embeddings/weight",
    }
    for name, wanted in pairs.items():
        np.testing.assert_array_equal(state[name].numpy(), there[wanted])
    total = sum(x.size for x in there.values() if x.ndim)
    keys = 2 * tiny.layers + tiny.layers  # whose biases are zero
    assert sum(p.numel() for p in model.parameters()) == total - keys * width


def test_tokens_are_whispers(folder):
    from transformers import WhisperTokenizer

    loaded = WhisperTokenizer.from_pretrained(
        folder, language="german", task="transcribe"
    )
    names = ["startoftranscript", "de", "transcribe", "notimestamps"]
    wanted = [loaded.get_vocab()[f"<|{x}|>"] for x in names]
    assert loaded.prefix_tokens == wanted == [50258, 50261, 50359, 50363]
    text = " größe 'n'"
    ids = loaded.encode(text, add_special_tokens=False)
    assert loaded.decode([*wanted, *ids, 50257], True) == text
    vocabulary = json.loads((folder / "vocab.json").read_text())
    assert len(vocabulary) == 50257 and vocabulary["Ġ"] == 220
    assert (folder / "merges.txt").read_text().startswith("#version")
    facts = json.loads((folder / "generation_config.json").read_text())
    assert facts["lang_to_id"]["<|uk|>"] == 50280
    assert facts["begin_suppress_tokens"] == [220, 50257]


def test_speechbrain_and_hugging_face_compute_the_same(folder, tmp_path):
    from speechbrain.integrations.huggingface.whisper import Whisper
    from transformers import (
        AutoFeatureExtractor,
        WhisperForConditionalGeneration,
    )

    wav = 0.1 * torch.randn(
        1, 16000, generator=torch.Generator().manual_seed(0)
    )
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    mel = extractor(wav[0].numpy(), sampling_rate=16000, return_tensors="pt")
    model = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    tokens = torch.tensor([[50258, 50261, 50359, 50363, 65, 66]])
    lobe = Whisper(str(folder), str(tmp_path), language="de").eval()
    with torch.no_grad():
        wanted = model(mel.input_features, decoder_input_ids=tokens).logits
        _, found, _ = lobe(wav, tokens)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def without(name):
    return lambda found: found.pop(name)


def put(name, value):
    return lambda found: found.update({name: value})


BIAS = "encoder/conv2/bias"
KEYS = "encoder/layer_0/self_attention/linear_0/bias"


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (without("encoder/conv2/bias"), {}, "encoder/conv2/bias is not there"),
        (put("more/weight", np.ones(2, "f2")), {}, "no tensor more/weight"),
        (put("encoder/conv2/bias", np.ones(16, "i1")), {}, "must be of floats"),
        (put("encoder/conv2/bias", np.ones((4, 4), "f2")), {}, "1 dimensions"),
        (put("encoder/conv2/bias", np.ones(9, "f2")), {}, "size mismatch"),
        (put(BIAS, np.full(16, np.nan, "f2")), {}, "of finite numbers"),
        (put(BIAS, np.ones(0, "f2")), {}, "of finite numbers"),
        (put(KEYS, np.ones(48, "f2")), {}, "must have no bias"),
        (put(KEYS, np.zeros(47, "f2")), {}, "must be 3 projections"),
        (put("encoder/num_heads", np.int16(3)), {}, "must divide the width"),
        (without("encoder/num_heads"), {}, "encoder/num_heads is not there"),
        (put("decoder/pre_norm", np.int8(0)), {}, "pre_norm must be 1"),
        (lambda found: None, {"aliases": ()}, "must be the token embedding"),
        (lambda found: None, {"spec": "TransformerSpec"}, "TransformerSpec"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_is_no_whisper_is_refused(convert, tiny, change, options, words):
    variables = tiny.tensors()
    change(variables)
    said = convert(tiny, variables, **options)
    assert words in said and "model.bin" in said, said


def test_tokenizers_that_do_not_fit_are_refused(convert, tiny):
    text = json.dumps(tiny.tokenizer(timestamps=7))
    said = convert(tiny, None, text)
    assert "51,865 tokens" in said and "50,371" in said
    for text in ("no JSON", "[]", json.dumps({"model": {"vocab": {}}})):
        said = convert(tiny, None, text)
        assert "must be the tokenizer of a" in said
        assert "Whisper" in said


def test_models_of_english_alone_are_refused(convert, tiny):
    variables, name = tiny.tensors(), "decoder/embeddings/weight"
    variables[name] = variables[name][:-1]
    text = json.dumps(tiny.tokenizer(timestamps=1500))
    said = convert(tiny, variables, text)
    assert "multilingual" in said and "51,864 tokens" in said


@pytest.mark.slow
def test_older_tokenizers_get_their_timestamps(convert, tiny, folder):
    from transformers import WhisperTokenizer

    target = convert(tiny, None, json.dumps(tiny.tokenizer(timestamps=0)))
    found = WhisperTokenizer.from_pretrained(target).get_vocab()
    assert found == WhisperTokenizer.from_pretrained(folder).get_vocab()
