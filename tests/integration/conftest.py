"""A toy Brain with every kind of weight that masks must cover."""

import importlib.util
import signal
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import speechbrain as sb
import torch
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.epoch_loop import EpochCounter
from torch.utils.data import DataLoader

from leanbrain.pruning.pruner import AdaptivePruner
from leanbrain.pruning.schedules import cubic
from leanbrain.pruning.scores.basic import gradient
from leanbrain.pruning.scores.tracking import TrackedScore
from leanbrain.pruning.updates.rules import drop_and_grow
from leanbrain.randomness import RandomState

LANGUAGES = ("en", "fr")
FEATURES = 8
ADAMW = partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.1)


class Batch(SimpleNamespace):
    """What the toy Brain reads: x [B, T, F], y [B, T, F], lang."""

    def to(self, device):
        return self


class ToyModel(torch.nn.Module):
    """LSTM, attention with a raw in_proj_weight, tied and raw parameters."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.first = torch.nn.Linear(FEATURES, FEATURES)
        self.lstm = torch.nn.LSTM(FEATURES, FEATURES, batch_first=True)
        self.attention = torch.nn.MultiheadAttention(
            FEATURES, 2, batch_first=True
        )
        self.tied = torch.nn.Linear(FEATURES, FEATURES)
        self.tied.weight = self.first.weight
        self.raw = torch.nn.Parameter(torch.randn(FEATURES, FEATURES) * 0.3)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x):
        x = self.dropout(torch.tanh(self.first(x)))
        x = self.lstm(x)[0]
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.tied(x) @ self.raw


class ToyBrain(sb.Brain):
    """Regression; overrides the stage hooks without super(), as recipes do."""

    def compute_forward(self, batch, stage):
        return self.modules.model(batch.x)

    def compute_objectives(self, predictions, batch, stage):
        return (predictions - batch.y).pow(2).mean()

    def on_fit_batch_start(self, batch, should_step):
        self.hparams.random_state.resume()

    def on_stage_start(self, stage, epoch=None):
        pass

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == sb.Stage.VALID and self.checkpointer is not None:
            self.checkpointer.save_and_keep_only(
                meta={"loss": stage_loss}, num_to_keep=2
            )


class Batches(torch.utils.data.Dataset):
    """Language-homogeneous batches, the same at every run."""

    def __init__(self, count, languages=LANGUAGES, seed=0):
        generator = torch.Generator().manual_seed(seed)
        self.items = []
        for i in range(count):
            lang = languages[i % len(languages)]
            x = torch.randn(4, 5, FEATURES, generator=generator)
            y = x.roll(1 + languages.index(lang), dims=-1)
            self.items.append(Batch(x=x, y=y, lang=[lang] * 4))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def identity(batch):
    """A collate function for items that are batches already."""
    return batch


def loader(count=10, languages=LANGUAGES, seed=0):
    """Yields the batches in order."""
    return DataLoader(
        Batches(count, languages, seed),
        batch_size=None,
        collate_fn=identity,
    )


def make_pruner(total_steps=20, **settings):
    """Drop-and-grow over two languages, all of it small."""
    defaults = {
        "schedule": partial(cubic, initial=0.3, final=0.7),
        "interval": 2,
        "pathways": LANGUAGES,
        "update": partial(drop_and_grow, drop_fraction=0.4),
        "growth": TrackedScore(gradient),
        "heal": 0.3,
        "exclude": [],  # the last layer too
    }
    return AdaptivePruner(total_steps=total_steps, **{**defaults, **settings})


def make_brain(
    folder=None,
    pruner=None,
    optimizer=ADAMW,
    epochs=2,
    dropout=0.0,
    seed=1,
    trial=False,
    **run_opts,
):
    """A seeded toy Brain, with a checkpointer if a folder is given."""
    torch.manual_seed(seed)
    model = ToyModel(dropout)
    counter, state = EpochCounter(epochs), RandomState()
    checkpointer = None
    if folder is not None:
        checkpointer = Checkpointer(
            folder,
            recoverables={
                "model": model,
                "counter": counter,
                "random_state": state,
            },
        )
    brain = ToyBrain(
        modules={"model": model},
        opt_class=optimizer,
        hparams={"random_state": state},
        run_opts={"noprogressbar": True, **run_opts},
        checkpointer=checkpointer,
    )
    brain.counter = counter
    if pruner is not None:
        pruner.attach(brain)
        if not trial:
            pruner.trial = None  # masks from the first batch on
    return brain


def ready(**settings):
    """A pruner at the start of training, and its Brain."""
    pruner = make_pruner(**settings)
    brain = make_brain(pruner=pruner)
    brain.init_optimizers()
    pruner.start()
    return brain, pruner


def step(brain, batches):
    """Trains on some batches, one optimizer step each."""
    for batch in batches:
        brain.step += 1
        brain.fit_batch(batch)


@pytest.fixture
def toy():
    """Everything above under one name."""
    return SimpleNamespace(
        ADAMW=ADAMW,
        LANGUAGES=LANGUAGES,
        FEATURES=FEATURES,
        Batch=Batch,
        Model=ToyModel,
        Brain=ToyBrain,
        RandomState=RandomState,
        identity=identity,
        loader=loader,
        make_pruner=make_pruner,
        make_brain=make_brain,
        ready=ready,
        step=step,
    )


@pytest.fixture(scope="session")
def pieces_of():
    """Loads the modules of a recipe; the path and modules are put back."""

    @contextmanager
    def pieces(recipe):
        before, known = list(sys.path), set(sys.modules)
        names = {path.stem for path in recipe.glob("*.py")}
        sys.path.insert(0, str(recipe))

        def load(name):
            path = recipe / f"{name}.py"
            title = f"{recipe.name}_{name}"
            spec = importlib.util.spec_from_file_location(title, path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module

        yield load
        sys.path[:] = before
        for name in names - known:
            sys.modules.pop(name, None)

    return pieces


@pytest.fixture(scope="session")
def run_script():
    """Runs a script with arguments; answers as subprocess.run does."""
    path = Path(__file__).with_name("preloaded.py")
    spec = importlib.util.spec_from_file_location("preloaded", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    preloaded = module.Preloaded()
    yield preloaded.run
    preloaded.close()


@pytest.fixture(scope="session")
def run_killed(run_script):
    """Runs a script that dies in its second checkpoint: see killed.py."""
    program = Path(__file__).with_name("killed.py")

    def run(script, *arguments):
        done = run_script(program, script, *arguments)
        assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]

    return run


@pytest.fixture(scope="session")
def on_two_ranks(run_script):
    """Runs a script on two ranks; answers as subprocess.run does for both."""
    program = Path(__file__).with_name("two_ranks.py")

    def run(late, script, *arguments, code=0):
        done = run_script(program, late, script, *arguments)
        assert done.returncode == code, done.stderr[-6000:]
        return done

    return run


@pytest.fixture(params=["late_writes", "late_reads"])
def late(request):
    """Which of two ranks is late with its files: see two_ranks.py."""
    return request.param


def check_equal(a, b, where=""):
    assert type(a) is type(b), where
    if torch.is_tensor(a):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            check_equal(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            check_equal(x, y, f"{where}/{i}")
    else:
        assert a == b, where


@pytest.fixture(scope="session")
def assert_equal():
    """Asserts that two states are the same, bit for bit."""
    return check_equal
