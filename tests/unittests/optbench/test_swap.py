"""Another optimizer in any recipe's YAML: all shapes that occur, and more."""

import importlib.util
import os
import re
from pathlib import Path

import pytest
import torch

from leanbrain.__main__ import main
from leanbrain.checks import UserError
from leanbrain.hyperyaml import load_yaml
from leanbrain.optbench.optimizers.specs import load_optimizer
from leanbrain.optbench.swap.recipe_yaml import Recipe
from leanbrain.optbench.swap.swapping import swap_optimizer

ROOT = Path(__file__).resolve().parents[3]
ADAMW = ROOT / "hparams" / "optimizers" / "adamw.yaml"

# Name -> recipe. Each has comments at all places where one may stand.
SHAPES = {
    "block": """
lr: 0.5 # tuned
# before
opt_class: !name:torch.optim.Adam # why
    lr: !ref <lr>
    betas: (0.9, 0.98)

# after
epochs: 3
""",
    "bare": """
opt_class: !name:torch.optim.Adadelta # no settings
epochs: 3
""",
    "braces": """
opt_class: !name:torch.optim.SGD {lr: 0.1, momentum: 0.9} # short
epochs: 3
""",
    "last": """
epochs: 3
opt_class: !name:torch.optim.Adam
  lr: 0.1
  # tail
""",
    "no newline": "opt_class: !name:torch.optim.Adam\n  lr: 1.e-3",
    "nested": """
optimizers:
    sgd: !name:torch.optim.SGD
        lr: 0.1
    other: 7 # kept
used: !ref <optimizers[other]>
epochs: 3
""",
    "nested in braces": """
optimizers: {sgd: !name:torch.optim.SGD {lr: 0.1}, other: 7} # all
epochs: 3
""",
    "listed": """
optimizers:
    - !name:torch.optim.SGD
        lr: 0.1
    - 7
epochs: 3
""",
    "anchored": """
opt_class: &opt !name:torch.optim.Adam
    lr: 0.1
second: *opt
epochs: 3
""",
    "several": """
lr: 0.5
lr_wav2vec: 0.25
opt_class: !name:torch.optim.Adadelta
    lr: !ref <lr>
    rho: 0.95
wav2vec_opt_class: !name:torch.optim.Adam
    lr: !ref <lr_wav2vec>
epochs: 3
""",
    "calculated": """
factor: 2
lr: !ref <factor> * 0.1
opt_class: !name:torch.optim.Adam
    lr: !ref <lr>
    betas: !ref (<factor>, 0.9)
""",
    "placeholder": """
lr: !PLACEHOLDER
opt_class: !name:torch.optim.Adam
    lr: !ref <lr>
""",
    "module path": "opt_class: !name:torch.optim.adamw.AdamW\n  lr: 1.e-3\n",
    "string": """
opt_class: !name:torch.optim.SGD
    lr: 0.1
text: "!name:torch.optim.SGD" # a text, not an optimizer
""",
    "built": """
model: !new:torch.nn.Linear [2, 2]
optimizer: !new:torch.optim.SGD
    params: [!ref <model.weight>, !ref <model.bias>]
    lr: 0.1
""",
    "built from a list": """
model: !new:torch.nn.Linear [2, 2]
optimizer: !new:torch.optim.Adam
    - [!ref <model.weight>, !ref <model.bias>]
""",
}
BUILT = [name for name in SHAPES if name.startswith("built")]
shapes = pytest.mark.parametrize("shape", SHAPES)


@pytest.fixture(scope="module")
def adamw():
    return load_optimizer(ADAMW)


def load_benchmark():
    """The script that measures the share, as a module."""
    path = ROOT / "tests" / "benchmarks" / "bench_swap.py"
    spec = importlib.util.spec_from_file_location("bench_swap", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@shapes
def test_nothing_but_the_optimizer_and_its_rate_changes(shape, adamw):
    text = SHAPES[shape]
    swap = swap_optimizer(text, adamw)
    benchmark = load_benchmark()
    # An alias shows what it stands for, which did change.
    gone = [*swap.replaced, "second"]
    rates = benchmark.rate_keys(text, gone)
    kept = benchmark.others(text, gone, rates)
    assert benchmark.others(swap.text, gone, rates) == kept
    for comment in re.findall(r"# [\w, ]+", text):
        assert comment in swap.text


def test_the_measure_notices_faults(adamw, monkeypatch):
    benchmark = load_benchmark()
    assert benchmark.try_swap(SHAPES["several"], adamw) is None
    assert "must name an optimizer" in benchmark.try_swap("a: 1\n", adamw)

    def careless(text, spec):
        swap = swap_optimizer(text, spec)
        swap.text = swap.text.replace("epochs: 3", "epochs: 4")
        return swap

    monkeypatch.setattr(benchmark, "swap_optimizer", careless)
    found = benchmark.try_swap(SHAPES["several"], adamw)
    assert found == "something else changed as well"


@shapes
def test_all_are_replaced_and_twice_is_once(shape, adamw):
    swap = swap_optimizer(SHAPES[shape], adamw)
    found = Recipe(swap.text).optimizers()
    assert [e.path for e in found] == list(swap.replaced)
    assert {e.target for e in found} == {"torch.optim.AdamW"}
    assert swap_optimizer(swap.text, adamw).text == swap.text


@pytest.mark.parametrize("shape", [s for s in SHAPES if s not in BUILT])
def test_the_loaded_recipe_builds_the_class(shape, adamw):
    swap = swap_optimizer(SHAPES[shape], adamw)
    overrides = {"lr": 0.001} if shape == "placeholder" else {}
    loaded = load_yaml(swap.text, overrides)
    for path in swap.replaced:
        factory = loaded
        for key in path.split("."):
            factory = factory[int(key) if key.isdigit() else key]
        optimizer = factory([torch.nn.Parameter(torch.ones(2))])
        assert type(optimizer) is torch.optim.AdamW
        assert optimizer.param_groups[0]["lr"] == 0.001
        assert optimizer.param_groups[0]["weight_decay"] == 0.01


@pytest.mark.parametrize("shape", BUILT)
def test_an_optimizer_that_the_yaml_builds_keeps_its_parameters(shape, adamw):
    loaded = load_yaml(swap_optimizer(SHAPES[shape], adamw).text)
    optimizer = loaded["optimizer"]
    assert type(optimizer) is torch.optim.AdamW
    held = {id(p) for p in optimizer.param_groups[0]["params"]}
    assert held == {id(p) for p in loaded["model"].parameters()}


def test_a_shared_rate_key_gets_the_new_rate_and_stays_in_use(adamw):
    swap = swap_optimizer(SHAPES["block"], adamw)
    assert "lr: 0.001 # tuned" in swap.text
    loaded = load_yaml(swap.text, {"lr": 0.7})
    assert loaded["opt_class"].keywords["lr"] == 0.7


def test_a_rate_key_of_an_optimizer_that_stays_is_left_alone(adamw):
    text = SHAPES["several"].replace("<lr_wav2vec>", "<lr>")
    loaded = load_yaml(swap_optimizer(text, adamw, ["opt_class"]).text)
    assert loaded["opt_class"].keywords["lr"] == 0.001
    assert loaded["wav2vec_opt_class"].keywords["lr"] == 0.5


def test_keep_lr_keeps_the_rates(adamw):
    swap = swap_optimizer(SHAPES["several"], adamw, keep_lr=True)
    loaded = load_yaml(swap.text)
    rates = [loaded[key].keywords["lr"] for key in swap.replaced]
    assert rates == [0.5, 0.25] and not swap.warnings
    (warning,) = swap_optimizer(SHAPES["bare"], adamw, keep_lr=True).warnings
    assert "`opt_class` has no `lr` to keep; it gets 0.001" in warning


def test_rates_that_become_one_are_warned_of(adamw):
    (warning,) = swap_optimizer(SHAPES["several"], adamw).warnings
    assert "`wav2vec_opt_class`: !ref <lr_wav2vec>" in warning
    assert not swap_optimizer(SHAPES["block"], adamw).warnings


def test_keys_choose_by_name_or_path(adamw):
    swap = swap_optimizer(SHAPES["several"], adamw, ["wav2vec_opt_class"])
    assert list(swap.replaced) == ["wav2vec_opt_class"]
    assert "torch.optim.Adadelta" in swap.text
    for key in ("sgd", "optimizers.sgd"):
        found = swap_optimizer(SHAPES["nested"], adamw, [key]).replaced
        assert list(found) == ["optimizers.sgd"]
    with pytest.raises(UserError, match=r"got 'opt_clas' \(nearest: opt_cl"):
        swap_optimizer(SHAPES["block"], adamw, ["opt_clas"])


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("initial_value: !ref <lr>", "starting from `lr`, which has the new"),
        ("initial_value: !ref <old>", "by its own settings .`old`.: adapt"),
    ],
)
def test_schedulers_that_overwrite_the_rate_are_warned_of(
    arguments, said, adamw
):
    text = f"""old: 1
{SHAPES["block"]}
annealing: !new:speechbrain.nnet.schedulers.NewBobScheduler
    {arguments}
"""
    (warning,) = swap_optimizer(text, adamw).warnings
    assert "`annealing` (NewBobScheduler) overwrites the rate" in warning
    assert re.search(said, warning)
    assert "constant" not in warning
    flat = load_optimizer(
        text=adamw.text.replace("warmup_cosine", "warmup_constant")
    )
    (warning,) = swap_optimizer(text, flat).warnings
    assert warning.endswith("`adamw` wants a constant rate.")


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: 1\n", "must name an optimizer"),
        ("a: [1\n", "is not YAML"),
        ("- 1\n", "must hold `key: value` lines"),
        ("o: !new:torch.optim.SGD\n  lr: 1\n", "`o` must name its `params`"),
        ("s: !name:torch.optim.lr_scheduler.StepLR\n", "must name an optim"),
        (
            "a: &a\n  o: !name:torch.optim.SGD\n    lr: &r 1\nb: *r\n",
            "is not YAML.*undefined alias",
        ),
    ],
)
def test_recipes_that_cannot_be_swapped_are_one_sentence(text, message, adamw):
    with pytest.raises(UserError, match=message) as caught:
        swap_optimizer(text, adamw)
    assert "\n" not in str(caught.value)


def test_the_class_in_the_new_recipe_is_asserted(adamw):
    wrong = load_optimizer(
        text=adamw.text.replace(
            "expected_class: torch.optim.AdamW",
            "expected_class: torch.optim.Adam",
        )
    )
    with pytest.raises(UserError, match="must build torch.optim.Adam, got"):
        swap_optimizer(SHAPES["block"], wrong)


def test_the_command_writes_next_to_the_recipe(tmp_path, capsys):
    recipe = tmp_path / "train.yaml"
    recipe.write_text(SHAPES["several"])
    main(["swap", str(recipe), "adamw", "--set", "lr=0.25", "weight_decay=0.5"])
    out = capsys.readouterr().out
    assert "opt_class: torch.optim.Adadelta -> torch.optim.AdamW" in out
    assert "lr !ref <lr> = 0.25" in out and "warning: " in out
    loaded = load_yaml((tmp_path / "train_adamw.yaml").read_text())
    assert loaded["lr"] == 0.25
    assert loaded["opt_class"].keywords["weight_decay"] == 0.5
    assert recipe.read_text() == SHAPES["several"]


@pytest.mark.parametrize(
    "more, message",
    [
        (["-o", "train.yaml"], "`-o` must be another file than the recipe"),
        (["-o", "../train.yaml"], "`-o` must be in the recipe's folder"),
        (["--set", "lr"], "`--set` must be `key=number`, got 'lr'"),
        (["--set", "lrr=1"], "`overrides` must be one of"),
    ],
)
def test_the_command_refuses_in_one_sentence(more, message, tmp_path, capsys):
    folder = tmp_path / "hparams"
    folder.mkdir()
    recipe = folder / "train.yaml"
    recipe.write_text(SHAPES["block"] + "model: !include:model.yaml\n")
    if more[0] == "-o":
        more = ["-o", str(folder / more[1])]
    with pytest.raises(SystemExit, match="2"):
        main(["swap", str(recipe), "adamw", *more])
    assert message in capsys.readouterr().err
    assert [file.name for file in folder.iterdir()] == ["train.yaml"]


@pytest.mark.parametrize("out", [None, "mine.yaml"])
def test_a_recipe_swapped_before_stays(out, tmp_path, capsys):
    recipe = tmp_path / "train.yaml"
    recipe.write_text(SHAPES["block"])
    new = tmp_path / (out or "train_adamw.yaml")
    words = ["swap", str(recipe), "adamw", *(["-o", str(new)] if out else [])]
    for _ in range(2):  # the same again loses nothing
        main(words)
    new.write_text(edited := new.read_text() + "# edited by hand\n")
    with pytest.raises(SystemExit, match="2"):
        main(words)
    error = capsys.readouterr().err
    assert "The new recipe must not replace another file, got" in error
    assert str(new) in error and error.count("\n") == 1
    assert new.read_text() == edited
    new.unlink()
    main(words)
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--set", "lr=0.25"])


def test_every_optimizer_file_goes_into_a_recipe():
    for file in sorted(ADAMW.parent.glob("*.yaml")):
        try:
            spec = load_optimizer(file)
            swap = swap_optimizer(SHAPES["several"], spec)
        except UserError as error:
            if "pip install" in str(error) or "no Muon" in str(error):
                continue
            raise
        assert len(swap.replaced) == 2


@pytest.mark.slow
def test_share_of_speechbrains_recipes():
    repo = os.environ.get("SPEECHBRAIN_REPO")
    if not repo:
        pytest.skip("SPEECHBRAIN_REPO names no clone of SpeechBrain")
    module = load_benchmark()
    result = module.measure(Path(repo), ["adamw"])
    assert result["n"] >= 150
    assert result["share"] >= module.GOAL, result["failures"]
