"""A ledger and its report, made once for all tests that only read them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import fake_ledger
import fake_report

from leanbrain.optbench.report.writing import write_report


@pytest.fixture(scope="session")
def rows():
    """The rows of a whole benchmark, faults among them; read only."""
    return fake_ledger.fake_rows()


@pytest.fixture(scope="session")
def found(rows):
    """What the report finds in them."""
    return fake_report.findings(rows)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    """The folder of a report with hostile names; read only."""
    root = tmp_path_factory.mktemp("hostile")
    fake_report.save(root, fake_report.hostile_rows())
    return write_report(root, out=root / "out").parent
