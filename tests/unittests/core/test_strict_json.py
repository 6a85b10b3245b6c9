"""JSON that other readers refuse is refused, and named."""

import pytest

from leanbrain.checks import UserError
from leanbrain.files import read_json


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"a": NaN}', "is not JSON .NaN is no number"),
        ('{"a": [-Infinity]}', "-Infinity is no number"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' comes twice"),
        ('{"a": 1', "is truncated or is not JSON"),
        ("", "is truncated or is not JSON"),
    ],
)
def test_what_is_no_json_is_named(tmp_path, text, match):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match=match):
        read_json(path)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('\ufeff{"a": [1, 2.5, null]}', encoding="utf-8")
    assert read_json(path) == {"a": [1, 2.5, None]}
