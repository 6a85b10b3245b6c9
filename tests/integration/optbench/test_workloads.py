"""The small workloads: what they are fed, and that no padding gets in."""

import importlib.util
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.files import read_json
from leanbrain.optbench.trials.workload import load_workload, recipe_modules

WORKLOADS = ("lstm_ctc", "conformer_ctc", "digits")


@pytest.fixture(scope="session")
def recipe(repo_root):
    return repo_root / "recipes" / "OptimizerBenchmark" / "CPU"


@pytest.fixture
def load(recipe, tones, tmp_path_factory):
    """Loads a workload on the tones."""
    cache = str(tmp_path_factory.getbasetemp() / "optbench_cache")

    def load(name, variant=None, seed=1, **overrides):
        small = {"batch_size": 6, "cache_folder": cache}
        return load_workload(
            recipe,
            f"hparams/{name}.yaml",
            seed=seed,
            data_folder=str(tones),
            variant=variant,
            overrides=small | overrides,
        )

    return load


def cases(recipe_folder):
    """Every workload and every variant of it."""
    from ruamel.yaml import YAML

    for name in WORKLOADS:
        path = recipe_folder / "hparams" / f"{name}.yaml"
        variants = YAML().load(path.read_text(encoding="utf-8"))["variants"]
        assert len(variants) == 2
        yield from ((name, variant) for variant in (None, *variants))


def first_batch(workload):
    return next(iter(workload.data.train_loader()))


def encode(workload, feats, frames):
    return workload.hparams["encoder"](feats, frames)


@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_nothing(recipe, load, training):
    """Longer padding leaves outputs and statistics of the batch as they are."""
    for name, variant in cases(recipe):
        workload = load(name, variant)
        batch = first_batch(workload)
        assert len(set(batch.frames.tolist())) > 1
        workload.hparams["encoder"].train(training)
        size = batch.feats.shape[1]
        torch.manual_seed(0)
        plain = encode(workload, batch.feats, batch.frames)
        longer = torch.nn.functional.pad(batch.feats, (0, 0, 0, 9))
        torch.manual_seed(0)
        padded = encode(workload, longer, batch.frames)
        if plain.dim() == 3:
            valid = torch.arange(size) < batch.frames[:, None]
            plain, padded = plain[valid], padded[:, :size][valid]
        torch.testing.assert_close(plain, padded, rtol=1e-4, atol=1e-5)


def test_an_item_alone_is_as_in_a_batch(recipe, load):
    for name, variant in cases(recipe):
        workload = load(name, variant)
        batch = first_batch(workload)
        workload.hparams["encoder"].eval()
        together = encode(workload, batch.feats, batch.frames)
        for i, frames in enumerate(batch.frames.tolist()):
            alone = encode(
                workload, batch.feats[i : i + 1, :frames], batch.frames[i, None]
            )
            expected = together[i]
            if together.dim() == 3:
                expected = expected[:frames]
            torch.testing.assert_close(alone[0], expected, rtol=1e-4, atol=1e-5)


def test_a_variant_changes_what_is_trained(recipe, load):
    """Same weights at the start as far as they are of the same shape."""
    for name, variant in cases(recipe):
        if variant is None:
            base = load(name)
            continue
        workload = load(name, variant)
        batch = first_batch(workload)
        results = []
        for one in (base, workload):
            brain = one.build_brain(torch.optim.SGD, "cpu")
            torch.manual_seed(0)
            brain.on_stage_start(brain_stage("TRAIN"))
            results.append(brain.compute_forward(batch, brain_stage("TRAIN")))
        assert not torch.allclose(*results, rtol=1e-3), (name, variant)


def brain_stage(name):
    import speechbrain

    return speechbrain.Stage[name]


def test_order_follows_from_the_seed_alone(load):
    for name in WORKLOADS:
        torch.manual_seed(1)
        data = load(name, seed=3).data
        state = torch.get_rng_state()
        stream = iter(data.train_loader())
        seen = [next(stream).id for _ in range(12)]
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(2)
        again = load(name, seed=3).data
        assert again.expected_order(12) == seen
        other = load(name, seed=4).data
        assert other.expected_order(12) != seen
        assert other.digest == data.digest


def test_every_pass_has_every_item_once(load):
    data = load("digits", batch_size=10).data
    for start in (0, 3):
        batches = data.expected_order(6)[start : start + 3]
        assert len({x for batch in batches for x in batch}) == 30


def test_batches_hold_what_their_names_say(load):
    data = load("lstm_ctc").data
    batch = first_batch(load("lstm_ctc"))
    for name, tokens, count, frames, feats in zip(
        batch.id,
        batch.tokens.tolist(),
        batch.counts.tolist(),
        batch.frames.tolist(),
        batch.feats,
        strict=True,
    ):
        words = name.split("+")
        assert tokens[:count] == [int(word[1]) for word in words]
        assert len({word[0] for word in words}) == 1
        assert frames >= count and not feats[frames:].any()
    valid = [x for batch in data.valid_loader() for x in batch.id]
    assert {x[0] for x in valid} == {"d", "e"}
    assert len(valid) == load("lstm_ctc").hparams["valid_items"]


def test_augmentation_leaves_the_data_alone(recipe):
    with recipe_modules(recipe):
        from digit_augment import Drops

    feats = torch.randn(3, 5, 24)
    before = feats.clone()
    assert Drops(0, 8, 0, 8, 8)(feats) is feats
    drops = Drops(2, 3, 2, 4, 8)
    torch.manual_seed(0)
    results = [drops(feats) for _ in range(8)]
    assert torch.equal(feats, before)
    assert any((one == 0).any() for one in results)
    for one in results:
        assert torch.equal(one[one != 0], feats[one != 0])
    torch.manual_seed(0)
    assert torch.equal(drops(feats), results[0])


def ctc_predictions(paths):
    """Log-probabilities [B, T, 11] whose best path is given."""
    return torch.nn.functional.one_hot(torch.tensor(paths), 11).float()


def test_token_errors_by_hand(load):
    """Repeats merged, blanks dropped, the padding not listened to."""
    brain = load("lstm_ctc").build_brain(torch.optim.SGD, "cpu")
    brain.on_stage_start(brain_stage("VALID"))
    assert brain.errors == Counter()
    batch = SimpleNamespace(
        frames=torch.tensor([5, 3]),
        tokens=torch.tensor([[1, 1, 2], [3, 0, 0]]),
        counts=torch.tensor([3, 1]),
    )
    right = [[1, 10, 1, 2, 2], [3, 3, 10, 7, 7]]
    brain.count(ctc_predictions(right), batch)
    assert brain.stage_metrics(None, 0.5) == {"loss": 0.5, "error_percent": 0.0}
    # One deleted (1 1 are one), one inserted: 2 of 8 tokens.
    brain.count(ctc_predictions([[1, 1, 1, 2, 2], [3, 4, 4, 7, 7]]), batch)
    assert brain.stage_metrics(None, 0.5)["error_percent"] == 25.0


def test_features_are_computed_once(load, recipe, monkeypatch):
    before = load("digits").data.digest
    with recipe_modules(recipe):
        import digit_features

    def refuse(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(digit_features, "compute", refuse)
    assert load("digits").data.digest == before
    assert load("digits", stack=2).data.digest != before
    with pytest.raises(AssertionError, match="computed again"):
        digit_features.load_words(
            load("digits").data.folders[0],
            load("digits").data.folders[1],
            digit_features.FeatureSettings(n_mels=20),
        )


def test_yaml_loads_without_data(recipe):
    """Nothing is read or synthesised before it is asked for."""
    for name, variant in cases(recipe):
        workload = load_workload(
            recipe,
            f"hparams/{name}.yaml",
            seed=0,
            data_folder="/nowhere",
            variant=variant,
        )
        assert "splits" not in vars(workload.data)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"batch_size": 31}, "`batch_size` must be at most .* 30, got 31"),
        ({"stack": 1000}, "at least `stack` 1000 frames"),
        ({"valid_items": 0}, "`valid_items` must be"),
    ],
)
def test_wrong_settings_are_named(load, overrides, sentence):
    with pytest.raises(UserError, match=sentence):
        first_batch(load("digits", **overrides))


@pytest.fixture
def train(recipe):
    """The recipe's script, under a name of its own."""
    path = recipe / "train.py"
    spec = importlib.util.spec_from_file_location("digits_train", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script.main


def test_train_names_what_is_wrong(recipe, train, capsys):
    arguments = ["hparams/digits.yaml", "--variant", "gelo"]
    done = subprocess.run(
        [sys.executable, "train.py", *arguments],
        cwd=recipe,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: `variant` must be")
    with pytest.raises(SystemExit, match="0"):
        train(["--help"])
    assert "--optimizer" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_train_writes_what_came_out(recipe, train, tones, tmp_path, name):
    out = tmp_path / "out"
    overrides = f"{{batch_size: 10, cache_folder: {tmp_path}}}"
    arguments = [
        str(recipe / "hparams" / f"{name}.yaml"),
        f"--data_folder={tones}",
        f"--output_folder={out}",
        f"--overrides={overrides}",
        "--set=lr=5e-3",
        "--total_steps=20",
    ]
    train(arguments)
    result = read_json(out / "result.json")
    assert result["status"] == "done" and len(result["curve"]) == 4
    assert all(check["passed"] for check in result["audit"])
    curve = [point["train_loss"] for point in result["curve"]]
    assert curve[-1] < curve[0]
    assert (out / "train_log.txt").read_text().count("error_percent") == 4
    assert list((out / "tensorboard").glob("events*"))
