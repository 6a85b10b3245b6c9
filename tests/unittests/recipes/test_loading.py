"""load_recipe: a file or a command line that is wrong is one sentence."""

import pytest

from leanbrain.checks import UserError
from leanbrain.recipes.loading import load_recipe


@pytest.mark.parametrize(
    ("text", "overrides", "words"),
    [
        (None, "", "train.yaml"),
        ("lr: [1", "", "must be YAML"),
        ("1", "", "must hold `key: value` lines"),
        ("lr: 1", "lr: 2\nlr: 3", 'duplicate key "lr"'),
        ("lr: 1", "lr: [2", "must be YAML"),
        ("lr: 1", "l: 2", "no key 'l'"),
        ("lr: !PLACEHOLDER", "", "a value for `lr`"),
    ],
    ids=["missing", "cut", "number", "twice", "list", "unknown", "open"],
)
def test_one_sentence(tmp_path, text, overrides, words):
    file = tmp_path / "train.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        load_recipe(file, overrides)
    assert "\n" not in str(caught.value)
