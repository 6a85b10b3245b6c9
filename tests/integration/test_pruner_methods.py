"""What the methods are made of, on a Brain: rewinding, losses, costs."""

from functools import partial

import pytest
import speechbrain as sb
import torch

from leanbrain.checks import UserError
from leanbrain.pruning.allocation.shares import per_layer
from leanbrain.pruning.focal import FocalWeights
from leanbrain.pruning.guard import LossGuard
from leanbrain.pruning.rewinding import Rewind
from leanbrain.pruning.schedules import constant, geometric
from leanbrain.pruning.scores.noise import RandomScore
from leanbrain.pruning.updates.rules import prune_only

HALF = partial(constant, sparsity=0.5)
LTH = {
    "schedule": partial(geometric, initial=0.0, final=0.8, rounds=3),
    "rounds": 4,
    "interval": 5,
    "heal": 0.0,
    "take_turns": False,
    "update": prune_only,
    "growth": None,
}
# Weights of the toy outside the masks: biases. They must be rewound as well.
OTHER = "first.bias"


def test_lth_rewinds_at_every_stair_and_only_there(toy):
    pruner = toy.make_pruner(rewind=Rewind(), **LTH)
    brain = toy.make_brain(pruner=pruner)
    model = brain.modules.model
    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    finish, stairs, densities = pruner.finish_step, [], []

    def spy():
        before = pruner.masks.digest()
        finish()
        if pruner.masks.digest() == before:
            assert brain.optimizer.state
            assert not torch.equal(model.first.bias, start[OTHER])
            return
        stairs.append(pruner.step)
        densities.append(pruner.masks.density("en"))
        assert not brain.optimizer.state
        by_id = {id(t.parameter): t.name for t in pruner.targets}
        for name, parameter in model.named_parameters():
            expected = start[name]
            if id(parameter) in by_id:
                target = by_id[id(parameter)]
                assert torch.equal(pruner.switch.dense(target), expected)
                expected = pruner.masks.get("en", target) * expected
            assert torch.equal(parameter, expected), name

    pruner.finish_step = spy
    brain.fit(brain.counter, toy.loader(), None)
    assert pruner.frozen and stairs == [5, 10, 15]
    assert densities == pytest.approx([0.2 ** (k / 3) for k in (1, 2, 3)], 0.01)


def snapshot(brain, pruner):
    """All that training has led to."""
    cost = pruner.cost.state_dict()
    tensors = [
        *(p.detach().clone() for p in brain.modules.parameters()),
        *(pruner.switch.dense(t.name).clone() for t in pruner.targets),
        *(
            value.clone()
            for state in brain.optimizer.state.values()
            for value in state.values()
        ),
    ]
    return pruner.masks.digest(), str(cost), tensors


@pytest.mark.parametrize(
    "make, stop_at",
    [
        (
            lambda: {"rewind": Rewind(), "loss_weights": FocalWeights(), **LTH},
            8,
        ),
        (lambda: {"growth": RandomScore(seed=3)}, 5),
    ],
    ids=["lth", "set"],
)
def test_a_killed_run_continues_bit_for_bit(toy, tmp_path, make, stop_at):
    class Stop(Exception):
        pass

    def run(folder, stop_at=None):
        pruner = toy.make_pruner(**make())
        brain = toy.make_brain(
            folder, pruner, dropout=0.2, ckpt_interval_steps=3
        )
        finish = pruner.finish_step

        def dying():
            finish()
            if pruner.step == stop_at:
                raise Stop("killed")

        pruner.finish_step = dying
        loader = brain.make_dataloader(
            toy.loader().dataset,
            stage=sb.Stage.TRAIN,
            batch_size=None,
            collate_fn=toy.identity,
            generator=torch.Generator().manual_seed(0),
        )
        brain.fit(brain.counter, loader, toy.loader(2))
        return snapshot(brain, pruner)

    straight = run(tmp_path / "a")
    with pytest.raises(Stop, match="killed"):
        run(tmp_path / "b", stop_at)
    resumed = run(tmp_path / "b")
    assert resumed[:2] == straight[:2]
    assert len(resumed[2]) == len(straight[2])
    assert all(map(torch.equal, resumed[2], straight[2]))


def test_the_weaker_pathway_counts_for_more_in_training_only(toy):
    weights = FocalWeights()
    brain, pruner = toy.ready(loss_weights=weights)
    english, french = list(toy.loader(2))
    french.y = 3 * french.y
    plain = {}
    for name, batch in [("en", english), ("fr", french)]:
        plain[name] = float(brain.evaluate_batch(batch, sb.Stage.VALID))
    assert not weights.weights()
    brain.step = 1
    loss = {b.lang[0]: float(brain.fit_batch(b)) for b in (english, french)}
    found = weights.weights()
    assert found["fr"] > 1 > found["en"] > 0
    assert loss["en"] == pytest.approx(plain["en"])  # alone so far
    assert loss["fr"] == pytest.approx(found["fr"] * float(weights.last))


def test_the_monitor_notes_the_loss_unweighed(toy):
    brain, pruner = toy.ready(loss_weights=FocalWeights())
    noted = []

    class Monitor:
        def note_loss(self, step, pathway, loss):
            noted.append(loss)

        def on_update(self, *_):
            pass

    pruner.monitor = Monitor()
    english, french = list(toy.loader(2))
    french.y = 3 * french.y
    plain = float(brain.evaluate_batch(french, sb.Stage.VALID))
    toy.step(brain, [english])
    returned = float(brain.fit_batch(french))
    assert noted[1] == pytest.approx(plain, rel=0.1)
    assert returned > 1.2 * noted[1]


def test_an_allocation_may_look_at_growth_and_counts(toy):
    calls = []

    def allocation(saliency, sparsity, *, growth, active, progress):
        hidden = None
        if growth is not None:
            hidden = {n: int((g == -1).sum()) for n, g in growth.items()}
        calls.append((hidden, active, progress))
        if active is not None:  # what is not active cannot be kept
            shown = {n: int((s >= 0).sum()) for n, s in saliency.items()}
            assert shown == active
        return per_layer(saliency, sparsity)

    brain, pruner = toy.ready(
        total_steps=4, interval=1, heal=0.25, allocation=allocation
    )
    toy.step(brain, toy.loader(3))
    (*first, update, _, last), kept = calls[:4] + calls[-1:], 0.7
    assert first == [(None, None, 0.0)] * 2
    hidden, active, progress = update
    assert hidden == active  # active entries are hidden in growth
    assert sum(active.values()) == round(kept * pruner.masks.numel())
    assert progress == pytest.approx(1 / 3)
    assert last[0] is None and last[1] is not None and last[2] == 1.0


@pytest.mark.parametrize("observe_steps, dense", [(None, 12), (1, 6)])
def test_the_cost_of_every_step_is_counted(toy, observe_steps, dense):
    """A turn that waits for a pathway looks at one step more: 3 and 4, ..."""
    brain, pruner = toy.ready(
        total_steps=20,
        interval=3,
        heal=0.4,
        take_turns=False,
        schedule=HALF,
        observe_steps=observe_steps,
    )
    toy.step(brain, toy.loader(20))
    assert pruner.cost.steps == 20 and pruner.frozen
    macs = {target.name: 10.0 for target in pruner.targets}
    sparse = 2 * 10 * 0.5 * 3 * 20
    looked = 2 * 10 * 0.5 * dense  # the other half of the weights' gradient
    flops = pruner.cost.training_flops(macs)
    assert flops == pytest.approx(len(macs) * (sparse + looked), rel=0.01)


def test_a_checkpoint_of_before_these_settings_still_loads(toy):
    brain, pruner = toy.ready()
    toy.step(brain, toy.loader(4))
    state = pruner.state_dict()
    for key in ("rewind", "loss_weights", "cost"):
        del state[key]
    other = toy.make_pruner()
    toy.make_brain(pruner=other)
    other.load_state_dict(state)
    assert other.step == 4 and other.cost.steps == 0
    assert other.masks.digest() == pruner.masks.digest()


@pytest.mark.parametrize(
    "name, part", [("rewind", Rewind), ("loss_weights", FocalWeights)]
)
@pytest.mark.parametrize("had", [True, False])
def test_a_run_goes_on_with_what_it_began_with(toy, name, part, had):
    _, pruner = toy.ready(**({name: part()} if had else {}))
    other = toy.make_pruner(**({} if had else {name: part()}))
    toy.make_brain(pruner=other)
    given = "one; got null" if had else "null; got one"
    with pytest.raises(UserError, match=f"`{name}` that .* with, {given}"):
        other.load_state_dict(pruner.state_dict())


def test_a_pruning_before_the_copy_is_refused(toy):
    """It would not be rewound."""
    settings = {**LTH, "rounds": 1, "interval": 2}
    brain, _ = toy.ready(rewind=Rewind(at=0.9), **settings)
    with pytest.raises(UserError, match="before the first pruning"):
        toy.step(brain, toy.loader(18))


def test_rewinding_is_to_a_step_of_the_first_round(toy):
    pruner = toy.make_pruner(rewind=Rewind(at=0.6), **LTH)
    brain = toy.make_brain(pruner=pruner)
    brain.init_optimizers()
    pruner.start()
    batches = list(toy.loader(5))
    toy.step(brain, batches[:3])
    early = brain.modules.model.first.bias.detach().clone()
    toy.step(brain, batches[3:4])
    assert not torch.equal(brain.modules.model.first.bias, early)
    toy.step(brain, batches[4:])  # ends with a pruning
    assert torch.equal(brain.modules.model.first.bias, early)
    with pytest.raises(UserError, match="first round of 5 steps, got 0.95"):
        toy.make_brain(pruner=toy.make_pruner(rewind=Rewind(at=0.95), **LTH))


def test_opt_class_refuses_what_needs_the_brain(toy):
    from leanbrain.pruning.host.opt_class import PrunedOptimizer

    for settings, match in [
        ({"rewind": Rewind()}, "without `rewind`"),
        ({"loss_weights": FocalWeights()}, "without `loss_weights`"),
        ({"train_weights": False}, "must train the weights"),
        ({"guard": LossGuard(factor=5.0)}, "without a `guard` of its own"),
    ]:
        pruner = toy.make_pruner(pathways=["all"], **settings)
        with pytest.raises(UserError, match=match):
            PrunedOptimizer(torch.optim.SGD, pruner, {"m": toy.Model()})
