"""Whisper on short windows: as Hugging Face has it, and each for itself."""

import copy
import json
import shutil

import pytest
import safetensors.torch
import torch

from leanbrain.checks import UserError

RATE = 16000
SIZES = {"encoder_layers": 2, "decoder_layers": 2, "d_model": 32}
HEADS = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
OTHER = safetensors.torch.save({"x": torch.zeros(3)}, {"format": "pt"})


def as_config(sizes):
    """A `config.json` with sizes that are not those of the weights."""
    return json.dumps({"model_type": "whisper", **sizes}).encode()


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(*shape, generator=generator)


@pytest.mark.parametrize(
    ("seconds", "window"),
    [
        (0.01, 1.0),
        (0.5, 1.0),
        (0.5001, 1.0),
        (0.51, 1.5),
        (29.6, 30.0),
        (30, 30),
    ],
)
def test_windows_hold_the_speech_and_some_silence(lobe, seconds, window):
    assert lobe().window_of(seconds) == window
    assert lobe(window_s=30).window_of(seconds) == 30
    frames = lobe()._get_mel(torch.zeros(1, round(seconds * RATE))).shape[-1]
    assert frames == window * 100


def test_what_is_longer_than_the_window_is_refused(lobe):
    with pytest.raises(UserError, match="at most 30 s.* got 30.1 s"):
        lobe()._get_mel(torch.zeros(1, round(30.1 * RATE)))
    with pytest.raises(UserError, match="at most 5 s"):
        lobe(window_s=5)._get_mel(torch.zeros(1, 6 * RATE))
    with pytest.raises(UserError, match="window_s"):
        lobe(window_s=31)


def test_all_of_30_s_is_as_in_speechbrain(lobe, folder, tmp_path):
    from speechbrain.integrations.huggingface.whisper import Whisper

    wav, tokens = noise(1, RATE), torch.tensor([[50258, 50261, 50359, 65]])
    with torch.no_grad():
        wanted = Whisper(str(folder), str(tmp_path)).eval()(wav, tokens)
        found = lobe(window_s=30).eval()(wav, tokens)
    for a, b in zip(found[:2], wanted[:2], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_a_short_window_is_hugging_faces_encoder_of_that_size(lobe):
    whisper = lobe().eval()
    mel = whisper._get_mel(noise(2, RATE))
    model = copy.deepcopy(whisper.model.encoder)
    frames = mel.shape[-1] // 2
    model.config.max_source_positions = frames
    positions = model.embed_positions
    positions.num_embeddings = frames
    positions.weight = torch.nn.Parameter(positions.weight[:frames])
    with torch.no_grad():
        wanted = model(mel).last_hidden_state
        found = whisper.forward_encoder(mel)
    assert found.shape == (2, frames, 16)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_speech_does_not_depend_on_louder_speech_beside_it(lobe):
    whisper = lobe().eval()
    quiet, loud = noise(1, RATE) * 1e-3, noise(1, RATE, seed=1)
    with torch.no_grad():
        alone = whisper.forward_encoder(whisper._get_mel(quiet))
        pair = torch.cat([quiet, loud])
        both = whisper.forward_encoder(whisper._get_mel(pair))
    torch.testing.assert_close(both[:1], alone, rtol=1e-4, atol=1e-5)


def test_features_are_float32_under_autocast(lobe):
    whisper, wav = lobe(), noise(1, RATE)
    with torch.autocast("cpu", torch.bfloat16):
        found = whisper._get_mel(wav)
    torch.testing.assert_close(found, whisper._get_mel(wav), rtol=0, atol=0)


def test_languages(lobe):
    whisper = lobe()
    assert whisper.prefix("uk") == [50258, 50280, 50359, 50363]
    with pytest.raises(UserError, match="must be one of .* got 'ukr'"):
        whisper.prefix("ukr")
    # A language that only newer models know.
    with pytest.raises(UserError, match="known to this Whisper, got 'yue'"):
        whisper.prefix("yue")


def test_a_source_that_is_not_there_names_the_command(piece, tmp_path):
    module = piece("lobe")
    with pytest.raises(UserError, match="python whisper_prepare.py"):
        module.ShortWhisper(str(tmp_path / "none"), str(tmp_path))
    with pytest.raises(UserError, match="python whisper_prepare.py"):
        module.ShortWhisper("results/whisper/base", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.safetensors", b"cut off", "whole multilingual Whisper"),
        ("model.safetensors", None, "whole multilingual Whisper"),
        ("model.safetensors", OTHER, "weights without"),
        ("config.json", b"{", "whole"),
        ("config.json", as_config(SIZES), "must be divisible"),
        ("config.json", as_config(SIZES | HEADS), "weights of other sizes"),
        ("tokenizer.json", None, "a tokenizer without"),
        ("config.json", b'{"model_type": "hubert"}', "type 'hubert'"),
    ],
    ids=[
        "cut",
        "missing",
        "foreign",
        "config",
        "sizes",
        "widths",
        "tokens",
        "other",
    ],
)
def test_folders_that_are_no_whole_whisper(
    piece, folder, tmp_path, name, content, words
):
    changed = tmp_path / "changed"
    shutil.copytree(folder, changed)
    (changed / name).unlink()
    if name == "tokenizer.json":
        for other in ("vocab.json", "merges.txt"):
            (changed / other).unlink()
    if content is not None:
        (changed / name).write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        piece("lobe").ShortWhisper(str(changed), str(tmp_path))
    assert str(changed) in str(caught.value)
    with pytest.raises(UserError, match="`--source` must be a folder"):
        piece("whisper_prepare").prepare_whisper(tmp_path / "out", changed)
    assert not (tmp_path / "out").exists()
