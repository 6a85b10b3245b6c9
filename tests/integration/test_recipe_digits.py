"""The digits recipe as its users run it, and its pieces against oracles."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
import torch

from leanbrain.checks import UserError
from leanbrain.dataio.digits import DIGITS, write_digit_manifest

RATE = 8000
TINY = {
    "number_of_epochs": 3,
    "batches_per_epoch": 40,
    "warmup_steps": 10,
    "lr": 0.003,
    "max_batch_s": 6.0,
    "speeds": "[1.0, 1.02]",
    "noise_colours": "[pink, babble]",
    "noise_snrs_db": "[20, 0]",
    "seed": 3,
}


@pytest.fixture(scope="module")
def recipe(repo_root):
    return repo_root / "recipes" / "SpokenDigits" / "classification"


@pytest.fixture(scope="module")
def piece(recipe):
    """Loads a module of the recipe; the path and modules are put back."""
    before, known = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(recipe))

    def load(name):
        path = recipe / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"digits_{name}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.path[:] = before
    for name in {p.stem for p in recipe.glob("*.py")} - known:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A tone per digit, at a level per speaker: what any front end hears."""
    folder = tmp_path_factory.mktemp("tones")
    random = np.random.default_rng(0)
    speakers = {
        "train": ("ann", "bob", "cy"),
        "valid": ("di",),
        "test": ("ed",),
    }
    for split, names in speakers.items():
        rows = []
        for speaker in names:
            for digit in range(10):
                name = f"{speaker}-{digit}"
                size = int(random.integers(2400, 4000))
                tone = np.sin(np.arange(size) * (0.15 + 0.25 * digit))
                # What lasts all the time is taken out as a channel's mean, and
                # without noise all channels would hear the tone's skirts.
                tone[: size // 3] = 0
                level = random.uniform(0.1, 0.5)
                noise = 0.03 * random.standard_normal(size)
                path = folder / f"{name}.flac"
                soundfile.write(path, level * (tone + noise), RATE)
                row = {
                    "ID": name,
                    "duration": size / RATE,
                    "wav": f"{{data_root}}/{name}.flac",
                    "lang": "en" if digit % 2 else "fr",
                    "spk_id": speaker,
                    "wrd": DIGITS[digit],
                    "digit": digit,
                }
                rows.append(row)
        write_digit_manifest(folder / f"{split}.csv", rows)
    return folder


def command(recipe, yaml, corpus, out, **options):
    settings = {
        **TINY,
        "data_folder": corpus,
        "output_folder": out,
        **options,
    }
    return [
        sys.executable,
        str(recipe / "train.py"),
        str(recipe / "hparams" / yaml),
        "--noprogressbar",
        *(f"--{key}={value}" for key, value in settings.items()),
    ]


def run(*args, **options):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(*args, **options), capture_output=True, text=True, env=env
    )


def final_state(folder):
    """Weights, moments and random numbers of the last checkpoint."""
    newest = max(folder.glob("save/CKPT*"), key=lambda p: p.stat().st_mtime)
    names = ("model", "optimizer", "random_state", "compute_features")
    return {
        name: torch.load(newest / f"{name}.ckpt", weights_only=True)
        for name in names
    }


def assert_equal(a, b, where=""):
    assert type(a) is type(b), where
    if torch.is_tensor(a):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{where}/{i}")
    else:
        assert a == b, where


@pytest.fixture(scope="module", params=["fbank", "nmf", "nmf_finetuned"])
def trained(request, recipe, corpus, tmp_path_factory):
    name = request.param
    if name != "fbank":
        pytest.importorskip("leanbrain.nmf.features")
    folder = tmp_path_factory.mktemp(name) / "run"
    done = run(recipe, f"{name}.yaml", corpus, folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return name, folder


def test_result_and_what_was_learned(trained):
    name, folder = trained
    result = json.loads((folder / "result.json").read_text())
    assert result["front_end"] == name
    assert result["steps"] == 120 and result["train_utterances"] == 30
    errors = result["error_percent"]
    assert list(errors) == [
        "clean", "pink_20", "pink_0", "babble_20", "babble_0"
    ]  # fmt: skip
    # Tones are easy: nine of ten errors would be chance.
    assert errors["clean"] <= 40
    assert errors["babble_20"] <= errors["babble_0"]
    level = result["error_percent_by_level"]
    mean = (errors["pink_0"] + errors["babble_0"]) / 2
    assert level["0"] == pytest.approx(mean)
    by_language = result["error_percent_by_language"]["clean"]
    assert sum(by_language.values()) / 2 == pytest.approx(errors["clean"])
    assert "error_percent" in (folder / "train_log.txt").read_text()
    assert list((folder / "tensorboard").iterdir())


def test_all_front_ends_have_a_classifier_of_the_same_size(trained):
    name, folder = trained
    result = json.loads((folder / "result.json").read_text())
    # 40 x 96 x 5 + 2 x 96 x 96 x 5, biases, norms, 192 x 10 + 10
    weights = 40 * 96 * 5 + 2 * 96 * 96 * 5 + 3 * 96 * 3 + 192 * 10 + 10
    assert result["classifier_parameters"] == weights
    expected = 129 * 40 if name == "nmf_finetuned" else 0
    assert result["front_end_parameters"] == expected


def test_kill_9_and_the_same_command_again(recipe, corpus, trained, tmp_path):
    name, straight = trained
    out = tmp_path / "run"
    process = subprocess.Popen(
        command(recipe, f"{name}.yaml", corpus, out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("save/CKPT*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(out.glob("save/CKPT*")), "no checkpoint was seen in time"
    assert not (out / "result.json").exists()
    done = run(recipe, f"{name}.yaml", corpus, out)
    assert done.returncode == 0, done.stderr[-2000:]
    assert_equal(final_state(out), final_state(straight))
    a, b = (
        json.loads((f / "result.json").read_text()) for f in (out, straight)
    )
    assert a["error_percent"] == b["error_percent"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train_share": 0}, ("`train_share`", "got 0")),
        ({"grad_accumulation_factor": 2}, ("accumulation_factor", "got 2")),
        ({"noise_colours": "[blue]"}, ("`noise_colours`", "'blue'")),
        ({"speeds": "[]"}, ("`speeds`", "got []")),
        ({"lr": 1e30}, ("loss must be finite",)),
        ({"data_folder": "nowhere"}, ("nowhere/train.csv",)),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_errors_are_one_sentence(recipe, corpus, tmp_path, options, words):
    done = run(recipe, "fbank.yaml", corpus, tmp_path / "run", **options)
    assert done.returncode == 2, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and all(w in last for w in words), last


def test_front_ends_differ_in_their_node_alone(recipe):
    """Training, classifier and test are the same, line by line."""
    lines = {
        name: (recipe / "hparams" / f"{name}.yaml").read_text().splitlines()
        for name in ("fbank", "nmf", "nmf_finetuned")
    }
    own = ("#", "front_end", "    max_epochs", "    tuned", "    n_atoms")
    own += ("    n_mels", "compute_features", "    compute_features")
    own += ("    logger: ", "    max_iter", "    unrolled", "    compression")
    shared = {
        name: [x for x in text if not x.startswith(own)]
        for name, text in lines.items()
    }
    assert len(shared["fbank"]) > 50
    assert shared["fbank"] == shared["nmf"] == shared["nmf_finetuned"]


def test_snr_is_as_defined(piece):
    """Silence around a word changes neither its level nor the noise's."""
    noise = piece("noise")
    generator = torch.Generator().manual_seed(0)
    word = torch.sin(torch.arange(3200) * 0.3)
    quiet = torch.zeros(1600)
    padded = torch.cat([quiet, word, quiet])
    rms = word.square().mean().sqrt()
    level = float(noise.active_rms(padded, RATE))
    assert level == pytest.approx(float(rms), rel=1e-3)
    for make in (noise.white, noise.pink):
        sound = make(len(padded), generator)
        for snr_db in (20.0, 0.0, -5.0):
            added = noise.add_noise(padded, sound, snr_db, RATE) - padded
            got = 20 * torch.log10(rms / added.square().mean().sqrt())
            assert float(got) == pytest.approx(snr_db, abs=0.02)
    silent = noise.add_noise(quiet, sound[:1600], 0.0, RATE)
    assert torch.equal(silent, quiet)


def test_pink_falls_three_decibels_per_octave_and_white_does_not(piece):
    noise = piece("noise")
    generator = torch.Generator().manual_seed(0)
    for make, slope in ((noise.white, 0.0), (noise.pink, -3.01)):
        power = torch.fft.rfft(make(2**16, generator)).abs().square()
        octaves = [power[2**k : 2 ** (k + 1)].mean() for k in range(8, 15)]
        levels = 10 * torch.stack(octaves).log10()
        assert float(levels.diff().mean()) == pytest.approx(slope, abs=0.15)


@pytest.fixture
def noises(piece):
    """Speakers whose words are constants, so that each is recognised."""
    noise = piece("noise")
    rows = {
        f"{speaker}{i}": {"wav": f"{speaker}{i}", "spk_id": speaker}
        for speaker in "abc"
        for i in range(3)
    }
    asked = []

    def load(path):
        asked.append(path)
        generator = torch.Generator().manual_seed(ord(path[0]))
        return torch.randn(50 + 10 * int(path[1]), generator=generator)

    made = noise.Noises(
        ["white", "babble"], [20, 0], noise.Babble(rows, load), RATE
    )
    return made, asked


def test_noise_follows_from_id_and_condition_alone(noises):
    made, asked = noises
    assert list(made.conditions) == [
        "clean", "white_20", "white_0", "babble_20", "babble_0"
    ]  # fmt: skip
    speech = torch.sin(torch.arange(800) * 0.3)
    state = torch.get_rng_state()
    seen = []
    for condition in made.conditions:
        one = made.mix(condition, "x", "a", speech)
        torch.rand(3)
        assert torch.equal(one, made.mix(condition, "x", "a", speech))
        if condition == "clean":
            assert torch.equal(one, speech)
        else:
            assert not torch.equal(one, made.mix(condition, "y", "a", speech))
        seen.append(one - speech)
    torch.set_rng_state(state)
    for a in range(1, len(seen)):
        for b in range(a):
            assert not torch.allclose(seen[a], seen[b], atol=1e-3)


def test_babble_is_of_other_speakers(noises):
    made, asked = noises
    for name in "pqrstuvw":
        made.mix("babble_0", name, "a", torch.ones(400))
    assert {path[0] for path in asked} == {"b", "c"}
    made.mix("babble_0", "p", "stranger", torch.ones(4000))
    assert {path[0] for path in asked} == {"a", "b", "c"}


def test_noises_leave_the_global_generator_alone(noises):
    made, _ = noises
    state = torch.get_rng_state()
    for condition in made.conditions:
        made.mix(condition, "x", "a", torch.ones(400))
    assert torch.equal(torch.get_rng_state(), state)


def test_babble_without_other_speakers(piece):
    noise = piece("noise")
    rows = {"a": {"wav": "a", "spk_id": "ann"}}
    babble = noise.Babble(rows, lambda path: torch.ones(9))
    with pytest.raises(UserError, match="other than .* got only 'ann'"):
        babble(10, torch.Generator(), "ann")


def test_pooling_is_that_of_each_utterance_alone(piece):
    features = piece("features")
    generator = torch.Generator().manual_seed(0)
    frames = torch.tensor([7, 1, 4])
    hidden = torch.randn(3, 7, 5, generator=generator, dtype=torch.float64)
    valid = features.valid_frames(frames, 7)
    hidden[~valid] = torch.nan
    hidden.requires_grad_()
    pooled = features.pool_statistics(hidden, valid)
    pooled.sum().backward()
    assert torch.isfinite(hidden.grad).all()
    assert not hidden.grad[~valid].any()
    for row, one, count in zip(pooled, hidden, frames.tolist(), strict=True):
        alone = one[:count].detach().numpy()
        deviation = np.sqrt(alone.var(0) + 1e-6)
        expected = np.concatenate([alone.mean(0), deviation])
        np.testing.assert_allclose(row.detach().numpy(), expected, rtol=1e-10)


def test_frames_do_not_depend_on_the_batch(piece):
    features = piece("features")
    for longest in (8000, 12345):
        samples = torch.arange(80, 8001, 37)
        wavs = torch.zeros(len(samples), longest)
        lens = (samples / longest).float()
        frames = features.count_frames(wavs, lens, 80)
        assert torch.equal(frames, 1 + samples // 80)


def test_shares_are_nested_and_equal_per_digit(piece):
    train = piece("train")
    table = {
        f"u{i}": {"digit": str(i % 10), "duration": 1.0} for i in range(400)
    }
    one = train.share_of(table, 0.05, 1)
    more = train.share_of(table, 0.5, 1)
    counts = [
        sum(r["digit"] == str(d) for r in one.values()) for d in range(10)
    ]
    assert counts == [2] * 10
    assert set(one) < set(more) and len(more) == 200
    assert train.share_of(table, 1.0, 1) == table
    assert set(train.share_of(table, 0.05, 2)) != set(one)
    assert len(train.share_of(table, 1e-9, 1)) == 10


def test_speed_changes_duration_and_pitch(piece, tmp_path):
    train = piece("train")
    path = str(tmp_path / "a.flac")
    soundfile.write(path, np.sin(np.arange(RATE) * 0.5), RATE)
    for speed in (0.9, 1.0, 1.1):
        samples = train.read_audio(path, RATE, speed)
        assert len(samples) == pytest.approx(RATE / speed, abs=1)
        peak = torch.fft.rfft(samples, n=RATE).abs().argmax()
        assert int(peak) == pytest.approx(
            0.5 * speed / (2 * np.pi) * RATE, abs=2
        )
    rows = train.at_speeds({"a": {"duration": 0.9}}, [0.9, 1.0])
    assert list(rows) == ["a@0.9", "a@1"]
    assert rows["a@0.9"]["duration"] == pytest.approx(1.0)


def kept_result(folder, front_end, seed, clean):
    folder.mkdir(parents=True)
    content = {
        "front_end": front_end,
        "train_share": 0.2,
        "seed": seed,
        "train_utterances": 30,
        "classifier_parameters": 1234,
        "front_end_parameters": 5 if front_end == "nmf" else 0,
        "steps": 10,
        "seconds": {"training": 80.0, "test": 10.0},
        "best": {"error_percent": 1.0},
        "error_percent": {"clean": clean, "pink_0": 40.0, "white_0": 60.0},
        "host": {"cpu": "x", "cores": 2},
        "versions": {"torch": "2.11.0", "speechbrain": "1.1.2"},
        "commit": "0123456789",
    }
    (folder / "result.json").write_text(json.dumps(content))


def test_collect_and_table_by_hand(piece, tmp_path, monkeypatch):
    tables = piece("readme_tables")
    monkeypatch.setattr(tables, "RESULTS", tmp_path / "kept")
    kept_result(tmp_path / "runs" / "a", "nmf", 1, 12.0)
    kept_result(tmp_path / "runs" / "b", "fbank", 1, 10.0)
    kept_result(tmp_path / "runs" / "c", "fbank", 2, 14.0)
    tables.collect("mine", tmp_path / "runs")
    assert (tmp_path / "kept/mine.png").read_bytes().startswith(b"\x89PNG")
    lines = tables.table_of("mine").splitlines()
    start = "| 20%, 30 | fbank | 2 | 1,234 | 1.5 | 12.0 ± 2.8 | 50.0 ± 0.0 |"
    assert lines[2] == start
    assert lines[3] == "| 20%, 30 | nmf | 1 | 1,234 + 5 | 1.5 | 12.0 | 50.0 |"
    assert lines[5] == (
        "- 20% of the data, nmf minus fbank, by seed: clean +2.0; 0 dB +0.0."
    )
    assert "commit 01234567" in lines[-1]
    kept_result(tmp_path / "runs" / "d", "nmf", 1, 12.0)
    with pytest.raises(UserError, match="got nmf, 0.2 and 1 2 times"):
        tables.collect("mine", tmp_path / "runs")
    with pytest.raises(UserError, match="got no file other.csv"):
        tables.table_of("other")


def test_the_readme_shows_what_the_csv_files_hold(piece):
    tables = piece("readme_tables")
    for path in tables.READMES:
        text = path.read_text(encoding="utf-8")
        assert "<!-- table: " in text
        assert tables.filled(text) == text, f"run readme_tables.py: {path.name}"


def test_compare_uses_finished_runs_again(piece, corpus, tmp_path, capsys):
    """Two runs that are done: nothing is trained, CSV and PNG are made."""
    compare = piece("compare")
    arguments = ["--results_folder", str(tmp_path), "--seeds", "1", "2"]
    arguments += ["--data_folder", str(corpus), "--front_ends", "fbank"]
    arguments += ["--train_shares", "0.2"]
    options, rest = compare.parse(arguments)
    for _, settings, folder in compare.plan(options, rest, corpus):
        kept_result(folder, "fbank", settings["seed"], 10.0)
    compare.main(arguments)
    out = capsys.readouterr().out
    assert "2 of 2 runs finished before" in out
    assert (tmp_path / "compare.csv").read_text().count("\n") == 3
    assert (tmp_path / "compare.png").stat().st_size > 1000


def test_time_left_is_that_of_what_is_to_do(piece, tmp_path, monkeypatch):
    compare = piece("compare")
    monkeypatch.setattr(compare, "RESULTS", tmp_path)
    clock = compare.Clock()
    assert clock.left(["fbank"]) is None and clock.left([]) == 0
    clock.note("fbank", 60.0)
    clock.note("fbank", 180.0)
    assert clock.left(["fbank", "fbank"]) == 4.0
    assert clock.left(["fbank", "nmf"]) is None
