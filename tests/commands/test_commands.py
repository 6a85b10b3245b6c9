"""Every command of the README, the docs and the recipes' pages runs.

`make test` checks that each has a short form, `make commands` runs those.
"""

import importlib.util
import os

import pytest
from pages import ROOT, commands_in, pages
from places import write_recipe
from short_forms import CI, MENTIONED, SHORT, short_form

FOUND = [command for page in pages() for command in commands_in(page)]
# The same words do the same, wherever they stand.
UNIQUE = {x.text: x for x in reversed(FOUND)}
RUN = [x for x in UNIQUE.values() if x.text not in (*CI, *MENTIONED)]


def test_each_command_has_a_short_form():
    missing = [
        f"{x.page}:{x.line}: {x.text}" for x in RUN if not short_form(x.text)
    ]
    assert not missing, "not in tests/commands/short_forms.py:\n" + "\n".join(
        missing
    )


def test_no_short_form_is_left_over():
    assert not set(SHORT) - set(UNIQUE)
    assert not {*CI, *MENTIONED} - set(UNIQUE)


def test_pages_hold_commands_of_each_kind():
    """Where nothing is found, nothing is checked."""
    texts = "\n".join(UNIQUE)
    for word in ("make", "python", "leanbrain run", "torchrun", "pip"):
        assert f"\n{word} " in texts
    assert len(UNIQUE) > 60


def test_ci_runs_what_it_is_said_to():
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    for target in ("slurm", "check", "commands"):
        assert f"make {target}" in script
    workflow = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
    assert "run: .ci/run" in workflow


def test_a_misspelt_option_is_no_key_of_the_small_recipe(tmp_path):
    """It would be taken for one, and its page would be right."""
    text = "leanbrain run train.py hparams/train.yaml --pruning lap --pathway a"
    write_recipe(tmp_path, text)
    recipe = (tmp_path / "hparams" / "train.yaml").read_text("utf-8")
    assert "pathway" not in recipe and "\noutput_neurons:" in recipe


def missing_of(short):
    """What a command needs and this machine has not."""
    for name in short.needs:
        here = name in os.environ or (
            not name.isupper() and importlib.util.find_spec(name)
        )
        if not here:
            return name
    return None


@pytest.mark.command
@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(x, id=x.text, marks=pytest.mark.xdist_group(x.page))
        for x in RUN
    ],
)
def test_a_command_runs(command, place):
    short = short_form(command.text)
    assert short, command
    if missing := missing_of(short):
        pytest.skip(f"no {missing} on this machine")
    place.run(command)
