"""The toy model in Brains of other classes, as recipes write them."""

import pytest
from speechbrain.utils.checkpoints import Checkpointer


@pytest.fixture
def brain_of(toy):
    """Builds a Brain of a class; see `build`."""

    def build(
        brain_class,
        pruner=None,
        folder=None,
        model=None,
        modules=None,
        epochs=2,
        trial=False,
        **options,
    ):
        """With a model in the toy's place, more modules, run options."""
        plain = toy.make_brain(epochs=epochs)
        model = plain.modules["model"] if model is None else model
        state = plain.hparams.random_state
        held = {"model": model, "counter": plain.counter, "state": state}
        brain = brain_class(
            modules={"model": model, **(modules or {})},
            opt_class=plain.opt_class,
            hparams={"random_state": state},
            run_opts={"noprogressbar": True, **options},
            checkpointer=folder and Checkpointer(folder, recoverables=held),
        )
        brain.counter = plain.counter
        if pruner is not None:
            pruner.attach(brain)
            if not trial:
                pruner.trial = None  # masks from the first batch on
        return brain

    return build


@pytest.fixture
def assert_exact():
    """Checks that every pathway has its number of zeros in every target."""

    def check(pruner, sparsity=0.7):
        assert pruner.frozen and pruner.step == pruner.plan.total_steps
        for pathway in pruner.pathways:
            with pruner.switch.pathway(pathway):
                for target in pruner.targets:
                    zeros = int((target.parameter == 0).sum())
                    planned = sparsity * target.parameter.numel()
                    assert abs(zeros - planned) <= 1, target.name

    return check
