"""The data: every rank sees its share of what the seed decides on."""

import itertools

import pytest

from leanbrain.checks import UserError


@pytest.fixture
def data(piece):
    return piece("librispeech_data")


@pytest.fixture
def batches(piece):
    return piece("librispeech_batches")


FOLDERS = {
    "train": ["train-clean-100", "train-clean-360"],
    "valid": ["dev-clean"],
    "test": ["test-clean"],
}


@pytest.fixture
def make(data, shared_corpus):
    def build(**changes):
        settings = {
            "data_folder": shared_corpus,
            "folders": FOLDERS,
            "batch_size": 4,
            "eval_batch_size": 4,
            "seed": 1,
            "vocabulary": 30,
            "max_s": 20.0,
            "max_characters": 256,
        }
        return data.LibriSpeechData(**{**settings, **changes})

    return build


def take(loader, n):
    return [list(batch.id) for batch in itertools.islice(loader, n)]


def test_batches_come_in_the_order_that_is_announced(make):
    wanted = make().expected_order(9)  # more than two passes
    assert take(make().train_loader(), 9) == wanted
    assert take(make(workers=1).train_loader(), 9) == wanted
    assert take(make(seed=2).train_loader(), 9) != wanted
    first, second = sum(wanted[:4], []), sum(wanted[4:8], [])
    assert len(set(first)) == 16 and set(first) == set(second)
    assert first != second


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_ranks_share_the_batches_of_one(batches, size):
    ranks = [batches.EndlessBatches(50, 12, 7, r, size) for r in range(size)]
    alone = iter(batches.EndlessBatches(50, 12, 7, 0, 1))
    steps = zip(*map(iter, ranks), strict=True)
    for parts, whole in itertools.islice(zip(steps, alone, strict=True), 20):
        assert {len(part) for part in parts} == {12 // size}
        assert sorted(sum(parts, [])) == sorted(whole)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [5, 8, 9, 16, 17, 31, 33])
def test_evaluation_is_of_each_once_and_of_equal_steps(batches, count, size):
    order = list(range(count))
    parts = [batches.share_evenly(order, 8, r, size) for r in range(size)]
    assert len({len(own) for own in parts}) == 1
    made = sum(parts, [])
    assert all(1 <= len(batch) <= max(2, 8 // size) for batch in made)
    assert sorted(sum(made, [])) == order


def test_what_a_batch_holds_is_what_was_said(make):
    # Of the text that the pieces were trained on: they have all its letters.
    made = make(folders={**FOLDERS, "valid": ["train-clean-100"]})
    rows = made._rows("valid")
    seen = {}
    for batch in made.valid_loader():
        waves, shares = batch.sig
        tokens, counts = batch.tokens
        for i, name in enumerate(batch.id):
            length = round(float(shares[i]) * waves.shape[1])
            pieces = tokens[i, : round(float(counts[i]) * tokens.shape[1])]
            assert length == round(rows[name]["duration"] * 16000)
            assert pieces[-1] == made.tokenizer.eos_id() and 0 not in pieces
            seen[name] = made.tokenizer.decode(pieces.tolist())
    assert seen == {name: row["wrd"] for name, row in rows.items()}


def test_a_letter_without_a_piece_is_not_the_blank(make):
    made = make()
    dataset = made._dataset("valid")
    for row in dataset.data.values():
        row["wrd"] = "THE ÅA"
    assert 0 in made.tokenizer.encode("THE ÅA")
    tokens = dataset[0]["tokens"].tolist()
    assert 0 not in tokens and made.tokenizer.decode(tokens) == "THE A"


def test_the_digest_tells_data_apart(make):
    assert make().digest == make(seed=5, batch_size=2).digest
    assert len({make().digest, make(max_s=1.5).digest}) == 2
    assert make().digest != make(vocabulary=31).digest


def test_manifests_may_lie_elsewhere(make, tmp_path):
    made = make(prepared_folder=tmp_path / "elsewhere")
    assert made.digest == make().digest
    assert (tmp_path / "elsewhere" / "unigram_30.model").is_file()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data_folder": None}, "no synthetic data.*got None"),
        ({"data_folder": "missing"}, "must hold LibriSpeech/train-clean-100"),
        ({"batch_size": 99}, r"training utterances \(16\), got 99"),
        ({"vocabulary": 1024}, "`vocabulary` must suit .* got 1024"),
        ({"max_s": 0.1}, "an utterance of at most 0.1 s"),
    ],
)
def test_bad_settings_are_named(make, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        make(**changes).train_loader()


def test_a_batch_must_be_for_all_ranks(batches):
    with pytest.raises(UserError, match="multiple of the 3 ranks, got 4"):
        batches.EndlessBatches(9, 4, 1, 0, 3)
    with pytest.raises(UserError, match=r"number of ranks \(3\), got 2 and 9"):
        batches.share_evenly(list(range(9)), 2, 0, 3)


def test_a_broken_tokenizer_is_named(make, tmp_path):
    made = make(prepared_folder=tmp_path)
    made.tokenizer_file.write_bytes(b"nothing")
    with pytest.raises(UserError, match="must be a model of sentencepiece"):
        make(prepared_folder=tmp_path).train_loader()
    make(vocabulary=31, prepared_folder=tmp_path).tokenizer_file.rename(
        tmp_path / "unigram_30.model"
    )
    with pytest.raises(UserError, match="must have 30 pieces"):
        make(prepared_folder=tmp_path).train_loader()
