"""Durations and languages of a dataset as its batches will see it."""

import pytest
from speechbrain.dataio.dataset import DynamicItemDataset

from leanbrain.checks import UserError
from leanbrain.dataio.columns import durations_and_languages


def rows():
    """A manifest; the dataset adds to what it gets."""
    return {
        "a": {"duration": 3.0, "lang": "en", "wav": "none.wav"},
        "b": {"duration": "1.5", "lang": "fr", "wav": "none.wav"},
        "c": {"duration": 2, "lang": 1, "wav": "none.wav"},
    }


def test_order_and_choice_are_those_of_the_dataset():
    data = DynamicItemDataset(rows())
    data.add_dynamic_item(lambda wav: 1 / 0, takes="wav", provides="sig")
    data.set_output_keys(["sig"])
    assert durations_and_languages(data) == ([3.0, 1.5, 2.0], ["en", "fr", "1"])
    chosen = data.filtered_sorted(key_test={"lang": lambda x: x == "en"})
    assert durations_and_languages(chosen) == ([3.0], ["en"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"lang": ""}, "got 'b' without `lang`"),
        ({"duration": None}, "got 'b' without `duration`"),
        ({"duration": "long"}, "must be seconds, got 'long' of 'b'"),
    ],
)
def test_what_is_missing_is_named(change, sentence):
    manifest = rows()
    manifest["b"] |= change
    data = DynamicItemDataset(manifest)
    with pytest.raises(UserError, match=sentence):
        durations_and_languages(data)
