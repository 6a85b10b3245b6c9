"""Texts, batches and precision of the recipe."""

from types import SimpleNamespace

import pytest
import speechbrain as sb
import torch

from leanbrain.checks import UserError


@pytest.mark.parametrize(
    ("text", "fold", "wanted"),
    [
        (" Hello,  World! ", False, "hello world"),
        ("¿Cuántos años?", True, "cuantos años"),
        ("¿Cuántos años?", False, "cuántos años"),
        ("cuántos años", True, "cuantos años"),  # decomposed
        ("Ещё раз…", False, "еще раз"),
        ("й", True, "и"),
        ("हिन्दी, ठीक!", False, "हिन्दी ठीक"),  # vowels that are marks
        ("за\u0301мок", True, "замок"),
        ("İki", True, "iki"),
        ("Größe", False, "größe"),
        ("ім’я don't", False, "ім'я don't"),
        ("a_b - c", False, "a b c"),
        ("...", False, ""),
    ],
)
def test_texts_are_compared_by_their_words(piece, text, fold, wanted):
    assert piece("texts").normalise(text, fold) == wanted


def row(lang="en", duration=1.0, wrd="yes"):
    return {"ID": "u", "lang": lang, "duration": duration, "wrd": wrd}


def test_tokens_are_prefix_text_and_end(piece, lobe):
    whisper = lobe()
    found = piece("data").tokens_of(whisper, "ab", "de")
    assert found[:4] == whisper.prefix("de") and found[-1] == whisper.eos
    assert whisper.tokenizer.decode(found, skip_special_tokens=True) == " ab"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (row(duration=30.2), "at most 30 s.* got 30.2 s at ID 'u' in valid"),
        (row(wrd="a" * 444), "at most 448 tokens .* got 450"),
        (row(lang="xx"), "must be one of .* got 'xx'"),
        (row(wrd="?!"), "a letter or a digit, got '.!' at ID 'u' in valid"),
    ],
)
def test_what_whisper_cannot_hear_or_write_is_refused(piece, lobe, bad, words):
    data = piece("data")
    tables = {"train": {"a": row()}, "valid": {"b": row(), "u": bad}}
    with pytest.raises(UserError, match=words):
        data.check_tables(lobe(), tables)
    data.check_tables(lobe(), {"train": {"a": row(duration=30.0, wrd="?")}})


def test_the_batch_says_the_language(piece, lobe, monkeypatch):
    """To the decoder that is trained, and to the one that searches."""
    from speechbrain.decoders.seq2seq import S2SWhisperGreedySearcher

    whisper, given = lobe(), []
    forward = whisper.forward_decoder

    def spy(states, tokens, **options):
        given.append(tokens[:, :4].tolist())
        return forward(states, tokens, **options)

    monkeypatch.setattr(whisper, "forward_decoder", spy)
    search = S2SWhisperGreedySearcher(
        whisper, min_decode_ratio=0.0, max_decode_ratio=0.02
    )
    brain = SimpleNamespace(
        device="cpu",
        modules=SimpleNamespace(whisper=whisper),
        hparams=SimpleNamespace(
            whisper=whisper, valid_search=search, test_search=None
        ),
    )
    for lang in ("uk", "de"):
        prefix = whisper.prefix(lang)
        tokens = torch.tensor([[*prefix, 70, 71, whisper.eos]] * 2)
        batch = SimpleNamespace(
            sig=(torch.zeros(2, 8000), torch.ones(2)),
            tokens=(tokens, torch.ones(2)),
            lang=[lang] * 2,
        )
        batch.to = lambda device, batch=batch: batch
        given.clear()
        logits, decoded = piece("train").ASR.compute_forward(
            brain, batch, sb.Stage.VALID
        )
        assert logits.shape == (2, 3, 51865) and len(decoded) == 2
        assert given[:2] == [[prefix] * 2] * 2


def test_the_loss_is_that_of_texts_and_their_ends(piece):
    """The mean over tokens: neither the prefix nor the padding counts."""
    texts = [[1, 2, 9], [3, 9, 0]]  # 9 is the end, 0 padding
    tokens = torch.tensor([[5, 6, 7, 8, *text] for text in texts])
    lens = torch.tensor([1.0, 6 / 7])
    batch = SimpleNamespace(tokens=(tokens, lens))
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 10, generator=generator)
    found = piece("train").ASR.compute_objectives(
        SimpleNamespace(device="cpu"), (logits, None), batch, sb.Stage.TRAIN
    )
    places = [(0, 0, 1), (0, 1, 2), (0, 2, 9), (1, 0, 3), (1, 1, 9)]
    by_hand = -sum(logits[b, t].log_softmax(-1)[x] for b, t, x in places) / 5
    assert float(found) == pytest.approx(float(by_hand), rel=1e-6)


def test_some_of_each_language(piece):
    data = piece("data")
    table = {f"{x}{i}": row(x) for x in ("en", "fr") for i in range(5)}
    table["uk"] = row("uk")
    some = data.some_of(table, 2, 7)
    assert sorted(x["lang"] for x in some.values()) == [
        "en",
        "en",
        "fr",
        "fr",
        "uk",
    ]
    assert data.some_of(table, 2, 7) == some
    assert any(data.some_of(table, 2, x) != some for x in range(5))
    assert data.some_of(table, None, 7) == table
    with pytest.raises(UserError, match="valid_utterances"):
        data.some_of(table, 0, 7)


def test_batches_of_evaluation_have_one_window_and_language(piece, lobe):
    data, whisper = piece("data"), lobe()
    durations = [0.4, 1.1, 1.2, 2.6, 2.9, 3.0, 0.45]
    table = {
        f"{lang}{i}": row(lang, x)
        for lang in ("en", "fr")
        for i, x in enumerate(durations)
    }
    dataset = list(table)
    loader = data.evaluation_loader(whisper, dataset, table, 8.0)
    batches = list(loader.batch_sampler)
    assert sorted(sum(batches, [])) == list(range(len(table)))
    rows = list(table.values())
    for batch in batches:
        kinds = {
            (rows[i]["lang"], whisper.window_of(rows[i]["duration"]))
            for i in batch
        }
        assert len(kinds) == 1
        assert len(batch) * kinds.pop()[1] <= 8.0
    assert max(map(len, batches)) == 2


@pytest.mark.parametrize(
    ("done", "left"), [(0, 3), (9, 3), (10, 2), (29, 1), (30, 0)]
)
def test_epochs_that_are_left(piece, done, left):
    assert piece("cost").epochs_left(3, 30, done) == left
    assert piece("cost").epochs_left(0, 0, 0) == 0


def test_precision_follows_the_cpu(piece, tmp_path, monkeypatch):
    module = piece("precision")
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: False)
    for text, wanted in (
        ("processor : 0\nflags\t\t: fpu avx512f avx512_bf16\n", "bf16"),
        ("Features\t: fp asimd bf16\n", "bf16"),
        ("flags\t\t: fpu avx2 avx512f\n", "fp32"),
        ("", "fp32"),
    ):
        path = tmp_path / "cpuinfo"
        path.write_text(text)
        monkeypatch.setattr(module, "CPU_INFO", path)
        assert module.faster_precision() == wanted
    monkeypatch.setattr(module, "CPU_INFO", tmp_path / "none")
    assert module.faster_precision() == "fp32"
