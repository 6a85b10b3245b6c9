"""Scripts on two gloo ranks, one of which is late with its files."""

from pathlib import Path

import pytest

LATE = ("late_writes", "late_reads")


@pytest.fixture(params=LATE)
def late(request):
    """Which rank is late with what: see two_ranks.py."""
    return request.param


@pytest.fixture(scope="session")
def on_two_ranks(run_script):
    """Runs a script on two ranks; its output, where both ended well."""
    program = Path(__file__).with_name("two_ranks.py")

    def run(late, script, *arguments):
        done = run_script(program, late, script, *arguments)
        assert done.returncode == 0, done.stderr[-6000:]
        return done.stdout

    return run
