"""Plugin of pytest: every Brain.fit of the tests gets a pruner.

Use: python -m pytest -p host_pruner --host-sparsity 30 <tests>
"""

from functools import partial

import pytest


def attach_to_every_fit(brain_class, sparsity):
    """Wraps `fit` of a class: the first call of a Brain attaches a pruner.

    Arguments
    ---------
    brain_class : type
        speechbrain.Brain, or one that derives from it.
    sparsity : float
        Reached by a cubic schedule, mask updates after every step.

    Returns
    -------
    list
        Gets each pruner.
    callable
        Puts the old `fit` back.
    """
    fit, pruners = brain_class.fit, []

    def fit_pruned(
        self,
        epoch_counter,
        train_set,
        valid_set=None,
        progressbar=None,
        train_loader_kwargs={},  # noqa: B006  as SpeechBrain's
        *args,
        **kwargs,
    ):
        given = (valid_set, progressbar, train_loader_kwargs, *args)
        if hasattr(self, "host_pruner"):
            fit(self, epoch_counter, train_set, *given, **kwargs)
            return
        train_set = loader_of(self, train_set, train_loader_kwargs)
        pruner = pruner_for(self, epoch_counter, train_set, sparsity)
        self.host_pruner = pruner
        pruners.append(pruner)
        # What is attached calls this function once more.
        self.fit(epoch_counter, train_set, *given, **kwargs)
        check_pruned(pruner, sparsity)

    def put_back():
        brain_class.fit = fit

    brain_class.fit = fit_pruned
    return pruners, put_back


def loader_of(brain, data, settings):
    """The loader of the training data, as `Brain.fit` makes it."""
    from speechbrain import Stage
    from speechbrain.dataio.dataloader import LoopedLoader
    from torch.utils.data import DataLoader

    if isinstance(data, DataLoader | LoopedLoader):
        return data
    return brain.make_dataloader(data, stage=Stage.TRAIN, **settings)


def pruner_for(brain, epoch_counter, loader, sparsity):
    """A pruner that is attached to a Brain about to be fitted."""
    from leanbrain.pruning.host.run_length import optimizer_steps
    from leanbrain.pruning.pruner import AdaptivePruner
    from leanbrain.pruning.schedules import cubic

    pruner = AdaptivePruner(
        partial(cubic, initial=0.0, final=sparsity),
        total_steps=optimizer_steps(brain, epoch_counter, loader),
        interval=1,
    )
    return pruner.attach(brain)


def check_pruned(pruner, sparsity):
    """Fails the test whose Brain is not as sparse as it should be by now.

    Arguments
    ---------
    pruner : AdaptivePruner
        After the fit, with one pathway.
    sparsity : float
        What was to be reached, in every weight tensor.
    """
    if not pruner.step:  # an example of sampling has a loss of no weight
        return
    assert pruner.frozen, f"masks must be final, got step {pruner.step}"
    for target in pruner.targets:
        mask = pruner.masks.get("all", target.name)
        planned = sparsity * mask.numel()
        removed = int((~mask).sum())
        assert abs(removed - planned) <= 1, f"{target.name}: {removed} removed"
        filled = int((target.parameter[~mask] != 0).sum())
        assert not filled, f"{target.name}: {filled} zeros filled"


def pytest_addoption(parser):
    """The sparsity to reach, in percent."""
    parser.addoption("--host-sparsity", type=int, default=0)


def pytest_configure(config):
    """Wraps SpeechBrain's own class: that covers all that derive from it."""
    from speechbrain import Brain

    sparsity = config.getoption("--host-sparsity") / 100
    config.host_pruners, _ = attach_to_every_fit(Brain, sparsity)


def pytest_terminal_summary(terminalreporter, config):
    """How many were attached, and how sparse their models became."""
    pruned = [p for p in config.host_pruners if p.step]
    removed = [1 - p.masks.density("all") for p in pruned]
    still = len(config.host_pruners) - len(pruned)
    terminalreporter.write_line(
        f"host_pruner: {len(pruned)} fits pruned in "
        f"{sum(p.step for p in pruned)} steps, sparsity "
        f"{min(removed, default=0):.1%} to {max(removed, default=0):.1%}; "
        f"{still} fits moved no weight"
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """A run that pruned nothing proves nothing."""
    ran = session.testscollected and not session.config.option.collectonly
    if ran and not any(p.step for p in session.config.host_pruners):
        session.exitstatus = pytest.ExitCode.USAGE_ERROR
