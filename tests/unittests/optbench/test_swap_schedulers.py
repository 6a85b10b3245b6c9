"""What sets the learning rate, told by class and use, not by its name."""

import os
import re
from pathlib import Path

import pytest

from leanbrain.optbench.optimizers.specs import load_optimizer
from leanbrain.optbench.swap.recipe_yaml import Recipe
from leanbrain.optbench.swap.schedulers import find_schedulers
from leanbrain.optbench.swap.swapping import swap_optimizer

SB = "speechbrain.nnet.schedulers"
HEAD = """
lr: 0.1
opt_class: !name:torch.optim.Adam
    lr: !ref <lr>
"""
# What stands below HEAD -> the paths that set the rate.
CASES = {
    # As in Tacotron 2: another number changes in the run.
    "of a loss": (
        f"guided_attention_scheduler: !new:{SB}.StepScheduler\n"
        "    initial_value: 1.0\n"
        "criterion: !new:speechbrain.lobes.models.Tacotron2.Loss\n"
        "    guided_attention_scheduler: !ref <guided_attention_scheduler>\n",
        [],
    ),
    "inside a loss": (
        "criterion: !new:my_losses.Loss\n"
        f"    lr_annealing: !new:{SB}.StepScheduler {{initial_value: 1.0}}\n",
        [],
    ),
    "in a list of a loss": (
        f"lr_annealing: !new:{SB}.StepScheduler {{initial_value: 1.0}}\n"
        "criterion: !new:my_losses.Loss\n"
        "    weights: [1.0, !ref <lr_annealing>]\n",
        [],
    ),
    # The same class, left to the script and saved.
    "of the script": (
        f"weight: !new:{SB}.StepScheduler {{initial_value: !ref <lr>}}\n"
        "checkpointer: !new:speechbrain.utils.checkpoints.Checkpointer\n"
        "    recoverables: {weight: !ref <weight>}\n",
        ["weight"],
    ),
    "several": (
        "schedulers:\n"
        f"    a: !new:{SB}.NewBobScheduler {{initial_value: !ref <lr>}}\n"
        "    b: !name:torch.optim.lr_scheduler.ExponentialLR {gamma: 0.9}\n"
        "copied: !copy <schedulers[a]>\n",
        ["schedulers.a", "schedulers.b"],
    ),
    "of the optimizer": (
        "a: !new:torch.optim.lr_scheduler.StepLR\n"
        "second: !new:torch.optim.SGD {params: [], lr: 1.0, decay: !ref <a>}\n",
        ["a"],
    ),
    "of a newer version": (f"a: !new:{SB}.NotYetThere\n", ["a"]),
    "a loss by steps": (
        f"lr_scheduler: !new:{SB}.ScheduledLoss {{schedule: []}}\n",
        [],
    ),
    "a function": (
        "a: !name:speechbrain.nnet.schedulers.update_learning_rate\n",
        [],
    ),
    "a name alone": ("lr_scheduler: !new:my_things.Thing {a: 1}\n", []),
}


@pytest.mark.parametrize("case", CASES)
def test_class_and_use_decide(case):
    text, paths = CASES[case]
    found = find_schedulers(Recipe(HEAD + text))
    assert [entry.path for entry in found] == paths


def test_whatever_else_gets_the_new_rate_is_told():
    text = HEAD + (
        "mine: !new:my_schedules.Cosine {start: !ref <lr>}\n"
        f"bob: !new:{SB}.NewBobScheduler {{initial_value: !ref <lr>}}\n"
        "other: !new:my_schedules.Cosine {start: 0.1}\n"
    )
    swap = swap_optimizer(text, load_optimizer("adamw"))
    told = [x for x in swap.warnings if "as well" in x]
    assert told == [
        "`mine` (Cosine) gets the new rate as well: see whether it should."
    ]
    kept = swap_optimizer(text, load_optimizer("adamw"), keep_lr=True)
    assert not [x for x in kept.warnings if "as well" in x]


def scripts_of(file, recipes):
    """The text of the scripts that may load a recipe's YAML."""
    folder = file.parent
    while folder != recipes and not list(folder.glob("*.py")):
        folder = folder.parent
    return "\n".join(x.read_text(encoding="utf-8") for x in folder.glob("*.py"))


def test_stock_recipes_use_them_by_their_script_and_no_other():
    """Each recipe's own script is the oracle: it calls what sets the rate."""
    repo = os.environ.get("SPEECHBRAIN_REPO")
    if not repo:
        pytest.skip("SPEECHBRAIN_REPO names no clone of SpeechBrain")
    recipes = Path(repo) / "recipes"
    found = 0
    for file in sorted(recipes.rglob("*.yaml")):
        recipe = Recipe(file.read_text(encoding="utf-8"))
        scripts = scripts_of(file, recipes)
        ours = [entry.path for entry in find_schedulers(recipe)]
        candidates = [
            entry.path
            for entry in recipe.entries
            if "schedulers." in entry.target or "lr_scheduler." in entry.target
            if not entry.target.endswith(".ScheduledLoss")
        ]
        used = [
            path
            for path in candidates
            if re.search(rf"hparams(\.|\[[\"']){path}\b", scripts)
        ]
        assert ours == used, file
        found += len(ours)
    assert found > 200
