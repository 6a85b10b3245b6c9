"""What the methods are made of, on a Brain: masks, rewinding, rounds."""

from functools import partial

import pytest
import speechbrain as sb
import torch

from leanbrain.checks import UserError
from leanbrain.masking import MaskSet
from leanbrain.pruning.allocation import per_layer
from leanbrain.pruning.focal import FocalWeights
from leanbrain.pruning.initial import MasksFromFiles
from leanbrain.pruning.lookahead import LookAhead
from leanbrain.pruning.noise import RandomScore
from leanbrain.pruning.rewinding import Rewind
from leanbrain.pruning.schedules import constant, geometric
from leanbrain.pruning.scores import gradient, weight_gradient
from leanbrain.pruning.topk import top_mask
from leanbrain.pruning.tracking import TrackedScore
from leanbrain.pruning.updates import drop_and_grow, prune_only, reselect

HALF = partial(constant, sparsity=0.5)
FIXED = {"update": None, "growth": None, "schedule": HALF}
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


def random_masks(pathway, targets):
    """Half of every layer, different for each pathway."""
    generator = torch.Generator().manual_seed(sum(map(ord, pathway)))
    masks = {}
    for target in targets:
        shape = target.parameter.shape
        scores = torch.rand(shape, generator=generator)
        masks[target.name] = top_mask(scores, shape.numel() // 2)
    return masks


def step(brain, batches):
    """Trains on some batches, one optimizer step each."""
    for batch in batches:
        brain.step += 1
        brain.fit_batch(batch)


def ready(toy, **settings):
    """A pruner at the start of training, and its Brain."""
    pruner = toy.make_pruner(**settings)
    brain = toy.make_brain(pruner=pruner)
    brain.init_optimizers()
    pruner.start()
    return brain, pruner


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


def test_masks_from_a_file_stay_as_they_are(toy, tmp_path):
    plain = toy.make_brain()
    pruner = toy.make_pruner()
    pruner.manage(plain.modules)
    for name in toy.LANGUAGES:
        for key, mask in random_masks(name, pruner.targets).items():
            pruner.masks.set(name, key, mask)
    pruner.masks.save(tmp_path / "masks.pt")
    wanted = pruner.masks.digest()
    initial = MasksFromFiles(tmp_path / "masks.pt")
    pruner = toy.make_pruner(initial=initial, total_steps=6, **FIXED)
    brain = toy.make_brain(pruner=pruner, epochs=1)
    brain.fit(brain.counter, toy.loader(6), None)
    assert pruner.step == 6 and pruner.frozen
    assert pruner.masks.digest() == wanted
    assert MaskSet.load(tmp_path / "masks.pt").digest() == wanted


def test_masks_of_another_sparsity_are_refused_at_the_start(toy):
    pruner = toy.make_pruner(
        initial=random_masks,
        update=None,
        growth=None,
        schedule=partial(constant, sparsity=0.6),
    )
    brain = toy.make_brain(pruner=pruner)
    with pytest.raises(UserError, match="masks of 'en' .* 0.6 .*, got 0.5"):
        brain.fit(brain.counter, toy.loader(2), None)


def test_adaptive_masks_begin_with_the_given_ones(toy):
    brain, pruner = ready(toy, initial=random_masks, schedule=HALF)
    first = pruner.masks.clone()
    for target in pruner.targets:
        wanted = random_masks("fr", pruner.targets)[target.name]
        assert torch.equal(first.get("fr", target.name), wanted)
    step(brain, toy.loader(4))
    assert pruner.masks.churn(first, "en") > 0
    assert pruner.masks.count("en") == first.count("en")


@pytest.mark.parametrize(
    "update, saliency, growth, same",
    [
        (reselect, None, None, True),
        (reselect, LookAhead(), None, False),
        (drop_and_grow, None, TrackedScore(gradient), False),
    ],
    ids=["magnitude", "ahead", "own gradient"],
)
def test_masks_stay_different_unless_scores_are_blind(
    toy, update, saliency, growth, same
):
    """Magnitudes do not know the language: one update, and all are one."""
    brain, pruner = ready(
        toy,
        initial=random_masks,
        schedule=HALF,
        update=update,
        saliency=saliency,
        growth=growth,
        take_turns=False,
    )
    assert pruner.masks.overlap("en", "fr") < 0.5
    step(brain, toy.loader(2))
    assert (pruner.masks.overlap("en", "fr") == 1) == same


def test_learned_masks_leave_the_weights_as_they_are(toy):
    brain, pruner = ready(
        toy,
        train_weights=False,
        schedule=HALF,
        saliency=TrackedScore(weight_gradient),
        first_saliency=None,
        initial=random_masks,
        update=reselect,
        growth=None,
    )
    names = [target.name for target in pruner.targets]
    before = [pruner.switch.dense(name).clone() for name in names]
    masks, bias = pruner.masks.clone(), brain.modules.model.first.bias.clone()
    step(brain, toy.loader(4))
    after = [pruner.switch.dense(name) for name in names]
    assert all(map(torch.equal, before, after))
    assert pruner.masks.churn(masks, "en") > 0
    assert not torch.equal(brain.modules.model.first.bias, bias)


@pytest.mark.parametrize(
    "settings, match",
    [
        ({"train_dormant": True}, "`train_dormant` must be False"),
        ({"keep_dormant": False}, "`keep_dormant` must be True"),
        ({"begin": 0.5}, "`begin` must be 0"),
    ],
)
def test_settings_that_would_change_the_weights_are_refused(
    toy, settings, match
):
    with pytest.raises(UserError, match=match):
        toy.make_pruner(train_weights=False, **settings)


def test_the_weaker_pathway_counts_for_more_in_training_only(toy):
    weights = FocalWeights()
    brain, pruner = ready(toy, loss_weights=weights)
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
    brain, pruner = ready(toy, loss_weights=FocalWeights())
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
    step(brain, [english])
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

    brain, pruner = ready(
        toy, total_steps=4, interval=1, heal=0.25, allocation=allocation
    )
    step(brain, toy.loader(3))
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
    brain, pruner = ready(
        toy,
        total_steps=20,
        interval=3,
        heal=0.4,
        take_turns=False,
        schedule=HALF,
        observe_steps=observe_steps,
    )
    step(brain, toy.loader(20))
    assert pruner.cost.steps == 20 and pruner.frozen
    macs = {target.name: 10.0 for target in pruner.targets}
    sparse = 2 * 10 * 0.5 * 3 * 20
    looked = 2 * 10 * 0.5 * dense  # the other half of the weights' gradient
    flops = pruner.cost.training_flops(macs)
    assert flops == pytest.approx(len(macs) * (sparse + looked), rel=0.01)


def test_a_checkpoint_of_before_these_settings_still_loads(toy):
    brain, pruner = ready(toy)
    step(brain, toy.loader(4))
    state = pruner.state_dict()
    for key in ("rewind", "loss_weights", "cost"):
        del state[key]
    other = toy.make_pruner()
    toy.make_brain(pruner=other)
    other.load_state_dict(state)
    assert other.step == 4 and other.cost.steps == 0
    assert other.masks.digest() == pruner.masks.digest()


def test_opt_class_refuses_what_needs_the_brain(toy):
    from leanbrain.pruning.opt_class import PrunedOptimizer

    for settings, match in [
        ({"rewind": Rewind()}, "without `rewind`"),
        ({"loss_weights": FocalWeights()}, "without `loss_weights`"),
        ({"train_weights": False}, "must train the weights"),
    ]:
        pruner = toy.make_pruner(pathways=["all"], **settings)
        with pytest.raises(UserError, match=match):
            PrunedOptimizer(torch.optim.SGD, pruner, {"m": toy.Model()})
