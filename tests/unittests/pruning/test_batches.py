"""Which pathway a batch belongs to, and which names pathways may have."""

from types import SimpleNamespace

import pytest

from leanbrain.checks import UserError
from leanbrain.pruning.batches import (
    check_pathways,
    language_of,
    only_pathway,
)


def test_the_one_language_of_a_batch():
    assert language_of(SimpleNamespace(lang=["uk", "uk"])) == "uk"
    assert language_of(SimpleNamespace(domain=["tv"]), key="domain") == "tv"


@pytest.mark.parametrize(
    "batch, match",
    [
        (SimpleNamespace(lang=["en", "fr"]), "one language .* got en, fr"),
        (SimpleNamespace(lang=[]), "one language .* got none"),
        (SimpleNamespace(lang="en"), "must be a list of str, got 'en'"),
        (SimpleNamespace(lang=[0, 0]), "must be a list of str"),
        (SimpleNamespace(wrd=["a"]), "must have the item `lang`"),
    ],
)
def test_other_batches_are_refused(batch, match):
    with pytest.raises(UserError, match=match):
        language_of(batch)


def test_names_are_kept_in_order():
    assert check_pathways(["fr", "en"]) == ("fr", "en")


@pytest.mark.parametrize("bad", [[], "en", ["en", "en"], ["en", 3], [""]])
def test_other_names_are_refused(bad):
    with pytest.raises(UserError, match="`pathways` must"):
        check_pathways(bad)


def test_a_method_of_one_language_takes_no_others():
    assert only_pathway(("ru",)) == ["ru"]
    with pytest.raises(UserError, match="one language for .*, got ru, uk"):
        only_pathway(["ru", "uk"])
    with pytest.raises(UserError, match="`pathways` must be a list"):
        only_pathway("ru")
