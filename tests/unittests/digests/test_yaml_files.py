"""Hashes of YAML files: what they say counts, not how it is written."""

import pytest

from leanbrain.checks import UserError
from leanbrain.digests.yaml_files import numbers_of, yaml_digest

TEXT = "a: 1\nb: !include:part.yaml\n    c: !ref <a>\n"


@pytest.fixture
def digest(tmp_path):
    def digest(text=TEXT, part="x: [1, 2]\n"):
        (tmp_path / "part.yaml").write_text(part)
        (tmp_path / "whole.yaml").write_text(text)
        return yaml_digest([tmp_path / "whole.yaml"])

    return digest


def test_comments_and_layout_do_not_count(digest):
    same = "# more\na:   1 # why\n\nb: !include:part.yaml {c: !ref <a>}\n"
    assert digest(same, "# so\nx:\n    - 1\n    - 2\n") == digest()


@pytest.mark.parametrize(
    "old, new",
    [
        ("a: 1", "a: 2"),
        ("a: 1", "a: '1'"),
        ("!ref <a>", "<a>"),
        ("!ref", "!copy"),
        ("c:", "d:"),
    ],
)
def test_each_value_tag_and_key_counts(digest, old, new):
    assert digest(TEXT.replace(old, new)) != digest()


def test_what_is_included_counts(digest):
    assert digest(part="x: [1, 3]\n") != digest()


def test_files_may_lie_anywhere(digest, tmp_path):
    first = digest()
    other = tmp_path / "other"
    other.mkdir()
    for name in ("part.yaml", "whole.yaml"):
        (other / name).write_bytes((tmp_path / name).read_bytes())
    assert yaml_digest([other / "whole.yaml"]) == first


def test_numbers_of_any_yaml(tmp_path):
    (tmp_path / "x.yaml").write_text("a: 3\nb: 0.5\nc: !ref <a>\nd: e\n")
    assert numbers_of(tmp_path / "x.yaml") == {"a": 3.0, "b": 0.5}


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(UserError, match="gone.yaml cannot be read"):
        yaml_digest([tmp_path / "gone.yaml"])
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    with pytest.raises(UserError, match="broken.yaml must be YAML"):
        numbers_of(tmp_path / "broken.yaml")


def test_files_that_include_themselves_are_refused(digest):
    with pytest.raises(UserError, match="whole.yaml must not include itself"):
        digest(part="x: !include:whole.yaml\n")


def test_a_file_may_be_included_twice(digest):
    twice = digest(text="a: !include:part.yaml\nb: !include:part.yaml\n")
    assert twice != digest(text="a: !include:part.yaml\n")
