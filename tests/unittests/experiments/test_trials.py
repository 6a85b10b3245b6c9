"""A trial is what is hashed, and nothing else."""

import enum
import json

import pytest

from leanbrain import UserError
from leanbrain.experiments import Trial
from leanbrain.experiments.trials import canonical, plain

CONFIG = {"lr": 0.1, "name": "é", "sizes": [1, 2], "deep": {"a": None}}


def test_digest_depends_on_run_and_config_alone():
    one = Trial("m:f", CONFIG)
    shuffled = Trial(
        "m:f",
        dict(reversed(CONFIG.items())),
        {"data": "/here"},
        cost_s=3,
        timeout_s=4,
    )
    assert one.digest == shuffled.digest
    assert len(one.digest) == 16 and int(one.digest, 16) >= 0
    others = [Trial("m:g", CONFIG), Trial("m:f", {**CONFIG, "lr": 0.2})]
    assert len({x.digest for x in [one, *others]}) == 3


def test_digest_is_the_same_on_every_machine():
    """By hand: the first half of SHA-256 of the canonical text, in hex."""
    import hashlib

    text = '{"config":{"a":1},"run":"m:f"}'
    expected = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert Trial("m:f", {"a": 1}).digest == expected


def test_later_changes_do_not_reach_the_trial():
    config = {"deep": {"a": [1]}}
    trial = Trial("m:f", config)
    before = trial.digest
    config["deep"]["a"].append(2)
    assert trial.config == {"deep": {"a": [1]}}
    assert Trial("m:f", trial.config).digest == before


def test_plain_values_survive_a_file():
    value = {"a": (1, 2.5, "x", None, True), "b": {"c": []}}
    assert json.loads(canonical(plain("v", value))) == plain("v", value)


class Colour(int, enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (float("nan"), "config.x"),
        (float("-inf"), "config.x"),
        ([1, {"y": float("inf")}], r"config.x\[1\].y"),
        ({1, 2}, "config.x"),
        (Colour.RED, "config.x"),
        (b"x", "config.x"),
    ],
)
def test_what_is_not_plain_is_refused_by_its_place(value, place):
    with pytest.raises(UserError, match=f"`{place}` must be plain JSON"):
        Trial("m:f", {"x": value})


def test_keys_must_be_text():
    # JSON would turn 1 into "1": another configuration with the same digest.
    with pytest.raises(UserError, match="keys of `config.x` must be text"):
        Trial("m:f", {"x": {1: 2}})


@pytest.mark.parametrize("run", ["f", "m:", ":f", "__main__:f", None])
def test_a_name_that_no_worker_can_import_is_refused(run):
    with pytest.raises(UserError, match="`run` must be 'module:function'"):
        Trial(run, {})


@pytest.mark.parametrize("name", ["cost_s", "timeout_s"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), "3"])
def test_seconds_must_be_positive(name, value):
    with pytest.raises(UserError, match=f"`{name}` must be a finite number"):
        Trial("m:f", {}, **{name: value})


def test_config_must_be_a_mapping():
    with pytest.raises(UserError, match="`config` must be a mapping"):
        Trial("m:f", [1])
