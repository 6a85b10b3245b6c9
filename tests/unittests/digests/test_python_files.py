"""Hashes of Python files: what they do counts, not how it is written."""

import pytest

from leanbrain.checks import UserError
from leanbrain.digests.python_files import imported_files, python_digest

TEXT = '''"""A module."""

import math as m

LIMIT: float = 1e-3
"""What it is."""


class Net:
    """A class."""

    def area(self, r, *, unit="m", names=()):
        """A method."""
        if r is None:
            return None
        wide = f"{r:{unit}}" + "\U0001fae8"
        return f"{m.pi * r ** 2:.1f} {unit!r}" "2"


class Wrong(ValueError):
    pass
'''
ELSEWHERE = "c7affdbe519eb070"
"""The digest of `TEXT`, under Python 3.10 to 3.13."""


@pytest.fixture
def digest(tmp_path):
    def digest(text):
        file = tmp_path / "module.py"
        file.write_text(text, encoding="utf-8")
        return python_digest([file])

    return digest


def test_each_version_of_python_says_the_same(digest):
    assert digest(TEXT) == ELSEWHERE


@pytest.mark.parametrize(
    "old, new",
    [
        ('"""A module."""', "# none"),
        ('"""A class."""', '"""Another class.\n\n    Longer."""'),
        ('        """A method."""\n', ""),
        ('"""What it is."""\n', ""),
        ("\n\n\nclass Net", "\n# why\nclass Net"),
        ("    pass\n", '    """An error, with a docstring."""\n'),
        ("r ** 2", "(r**2)"),
        ('unit="m", names=()', "unit='m',\n        names=(),\n    "),
        ('unit!r}" "2"', 'unit!r}2"'),
    ],
)
def test_docstrings_comments_and_layout_do_not_count(digest, old, new):
    assert TEXT.count(old) == 1
    assert digest(TEXT.replace(old, new)) == digest(TEXT)


@pytest.mark.parametrize(
    "old, new",
    [
        ("1e-3", "2e-3"),
        ("1e-3", "1"),
        ("r ** 2", "r ** 3"),
        ("r ** 2", "r * 2"),
        ("math as m", "cmath as m"),
        ("return None", "return"),
        ("return None", "pass"),
        ("r is None", "r is not None"),
        ('"m"', "b'm'"),
        ("()", "[]"),
        (".1f", ".2f"),
        ("!r", "!s"),
        ("*, unit", "unit"),
        ("float", "int"),
        ("LIMIT", "BOUND"),
        (":{unit}}", ":{unit} }"),
        ("\U0001fae8", ""),
        ("    pass\n", "    code = 3\n"),
    ],
)
def test_each_number_name_and_line_counts(digest, old, new):
    assert TEXT.count(old) == 1
    assert digest(TEXT.replace(old, new)) != digest(TEXT)


def test_what_is_missing_or_broken_is_named(tmp_path, digest):
    with pytest.raises(UserError, match="gone.py cannot be read"):
        python_digest([tmp_path / "gone.py"])
    with pytest.raises(UserError, match="module.py must be Python .*line 2"):
        digest("a = 1\nb =\n")


FILES = {
    "brain.py": "import os\nfrom data import Data\nimport kit.deep as d\n",
    "data.py": "def read():\n    from tables import rows\n",
    "tables.py": "import data\n",
    "kit/__init__.py": "from .near import x\n",
    "kit/near.py": "from .. import above\nfrom . import far\n",
    "kit/far.py": "import importlib\nimportlib.import_module('late')\n",
    "kit/deep.py": "",
    "late.py": "",
    "other.py": "import brain\n",
    "os_path.py": "",
}


@pytest.mark.parametrize(
    "names, expected",
    [
        ("torch.nn.Linear", ""),
        ("tables", "data.py tables.py"),
        ("data.Data", "data.py tables.py"),
        ("kit.near.x", "kit/__init__.py kit/far.py kit/near.py late.py"),
        (
            "brain.make",
            "brain.py data.py kit/__init__.py kit/deep.py kit/far.py "
            "kit/near.py late.py tables.py",
        ),
        ("tables late", "data.py late.py tables.py"),
    ],
)
def test_only_what_is_imported_is_found(tmp_path, names, expected):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = imported_files(tmp_path, names.split())
    assert [x.relative_to(tmp_path).as_posix() for x in found] == (
        expected.split()
    )
