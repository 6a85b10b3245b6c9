"""AdaptivePruner on a Brain: counts, references, optimizers, faults."""

from functools import partial

import pytest
import speechbrain as sb
import torch
from torch.func import functional_call

from leanbrain.checks import UserError
from leanbrain.pruning.host.opt_class import PrunedOptimizer
from leanbrain.pruning.schedules import constant
from leanbrain.pruning.scores.basic import weight_gradient
from leanbrain.pruning.scores.pathway_magnitude import PathwayMagnitude
from leanbrain.pruning.scores.tracking import TrackedScore
from leanbrain.pruning.updates.rules import prune_only, reselect

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
ADAMW = partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.1)


def zeros_of(pruner):
    return {t.name: int((t.parameter == 0).sum()) for t in pruner.targets}


def planned_zeros(pruner, sparsity):
    """Zeros per layer at rest and per pathway, from the masks' definition."""
    return {
        t.name: t.parameter.numel()
        - round((1 - sparsity) * t.parameter.numel())
        for t in pruner.targets
    }


@pytest.mark.parametrize("optimizer", [SGD, ADAMW])
@pytest.mark.parametrize("take_turns", [True, False])
def test_reaches_the_planned_count_in_every_layer(toy, optimizer, take_turns):
    pruner = toy.make_pruner(take_turns=take_turns)
    brain = toy.make_brain(pruner=pruner, optimizer=optimizer)
    brain.fit(brain.counter, toy.loader(), None)
    assert pruner.step == 20 and pruner.frozen
    wanted = planned_zeros(pruner, 0.7)
    for pathway in toy.LANGUAGES:
        pruner.switch.enter(pathway)
        got = zeros_of(pruner)
        total = sum(got.values())
        assert total == sum(
            t.parameter.numel() - pruner.masks.count(pathway, [t.name])
            for t in pruner.targets
        )
        assert all(abs(got[n] - wanted[n]) <= 1 for n in got)
        pruner.switch.leave()


def test_tied_weights_are_one_target(toy):
    pruner = toy.make_pruner()
    toy.make_brain(pruner=pruner)
    by_name = {t.name: t for t in pruner.targets}
    assert "model.tied.weight" in by_name["model.first.weight"].aliases
    assert {"model.raw", "model.attention.in_proj_weight"} <= set(by_name)
    assert "model.lstm.weight_hh_l0" in by_name


def test_sparsity_rises_monotonically_and_masks_differ(toy):
    pruner = toy.make_pruner(total_steps=40)
    brain = toy.make_brain(pruner=pruner, epochs=4)
    seen = []
    finish = pruner.finish_step

    def spy():
        finish()
        seen.append(1 - pruner.masks.density("en"))

    pruner.finish_step = spy
    brain.fit(brain.counter, toy.loader(), None)
    assert seen == sorted(seen) and len(set(seen)) > 3
    assert pruner.masks.overlap("en", "fr") < 1


@pytest.mark.parametrize("accumulation", [1, 2])
def test_equals_a_functional_reference(toy, accumulation):
    """Two languages per step: gradients of w * m[l], inactive entries held."""
    pruner = toy.make_pruner(
        total_steps=100, interval=80, heal=0.1, first_saliency=None
    )
    brain = toy.make_brain(
        pruner=pruner,
        optimizer=SGD,
        max_grad_norm=1e9,
        grad_accumulation_factor=accumulation,
    )
    brain.init_optimizers()
    pruner.start()
    generator = torch.Generator().manual_seed(3)
    for pathway in toy.LANGUAGES:  # different masks from the start
        for target in pruner.targets:
            shape = target.parameter.shape
            pruner.masks.set(
                pathway,
                target.name,
                torch.rand(shape, generator=generator) > 0.5,
            )
    pruner.switch.refresh()
    names = {id(t.parameter): t.name for t in pruner.targets}
    model = brain.modules.model
    theta = {
        n: pruner.switch.dense(names[id(p)]).clone()
        if id(p) in names
        else p.detach().clone()
        for n, p in model.named_parameters()
    }
    momentum = {n: torch.zeros_like(v) for n, v in theta.items()}
    batches = list(toy.loader(8))
    model.train()
    for i in range(0, len(batches), accumulation):
        window = batches[i : i + accumulation]
        grads = {n: torch.zeros_like(v) for n, v in theta.items()}
        for batch in window:
            leaves = {n: v.clone().requires_grad_() for n, v in theta.items()}
            masked = dict(leaves)
            for n, p in model.named_parameters():
                if id(p) in names:
                    mask = pruner.masks.get(batch.lang[0], names[id(p)])
                    masked[n] = torch.where(mask, leaves[n], 0.0)
            masked["tied.weight"] = masked["first.weight"]
            out = functional_call(model, masked, (batch.x,))
            loss = (out - batch.y).pow(2).mean() / accumulation
            loss.backward()
            for n, leaf in leaves.items():
                grads[n] += leaf.grad
        for n, p in model.named_parameters():
            new_momentum = 0.9 * momentum[n] + grads[n]
            momentum[n] = new_momentum
            new = theta[n] - 0.05 * new_momentum
            if id(p) in names:
                active = torch.zeros_like(new, dtype=torch.bool)
                for batch in window:
                    active |= pruner.masks.get(batch.lang[0], names[id(p)])
                new = torch.where(active, new, theta[n])
            theta[n] = new
        for batch in window:
            brain.step += 1
            brain.fit_batch(batch)
    for n, p in model.named_parameters():
        got = pruner.switch.dense(names[id(p)]) if id(p) in names else p
        torch.testing.assert_close(got.detach(), theta[n], rtol=1e-5, atol=1e-6)


def test_inactive_entries_stay_bit_equal_under_adamw(toy):
    pruner = toy.make_pruner(
        total_steps=40,
        update=None,
        growth=None,
        schedule=partial(constant, sparsity=0.6),
    )
    brain = toy.make_brain(pruner=pruner, epochs=2)
    brain.init_optimizers()
    pruner.start()
    before = {
        t.name: pruner.switch.dense(t.name).clone() for t in pruner.targets
    }
    brain.fit(brain.counter, toy.loader(), None)
    assert pruner.step == 20
    for target in pruner.targets:
        union = pruner.masks.get("en", target.name)
        after = pruner.switch.dense(target.name)
        assert torch.equal(after[~union], before[target.name][~union])
        assert not torch.equal(after[union], before[target.name][union])
        assert int((target.parameter == 0).sum()) == int((~union).sum())


def test_bf16_autocast(toy):
    pruner = toy.make_pruner()
    brain = toy.make_brain(pruner=pruner, precision="bf16")
    brain.fit(brain.counter, toy.loader(), None)
    assert pruner.frozen
    assert all(t.parameter.dtype == torch.float32 for t in pruner.targets)
    assert 1 - pruner.masks.density("en") == pytest.approx(0.7, abs=0.01)


def test_a_step_without_gradients_is_not_counted(toy):
    pruner = toy.make_pruner()
    brain = toy.make_brain(
        pruner=pruner, skip_nonfinite_grads=True, nonfinite_patience=100
    )
    brain.init_optimizers()
    pruner.start()
    bad, good = list(toy.loader(2))
    brain.nonfinite_count = 0
    bad.x = torch.full_like(bad.x, float("nan"))
    weights = {t.name: t.parameter.detach().clone() for t in pruner.targets}
    brain.step = 1
    brain.fit_batch(bad)
    assert pruner.step == 0
    for target in pruner.targets:
        assert torch.equal(target.parameter, weights[target.name])
    brain.fit_batch(good)
    assert pruner.step == 1


def test_an_amp_step_that_found_inf_is_not_counted(toy):
    """Fused optimizers fire their hooks although the weights stay."""
    pruner = toy.make_pruner()
    fused = partial(torch.optim.AdamW, lr=1e-2, fused=True)
    brain = toy.make_brain(pruner=pruner, optimizer=fused)
    brain.init_optimizers()
    pruner.start()
    brain.optimizer.found_inf = torch.tensor(1.0)
    brain.step = 1
    brain.fit_batch(next(iter(toy.loader(1))))
    assert pruner.step == 0
    del brain.optimizer.found_inf
    brain.fit_batch(next(iter(toy.loader(1))))
    assert pruner.step == 1


def test_an_exception_leaves_the_resting_state(toy):
    pruner = toy.make_pruner()
    brain = toy.make_brain(pruner=pruner)
    brain.init_optimizers()
    pruner.start()
    rest = {t.name: t.parameter.detach().clone() for t in pruner.targets}
    batch = next(iter(toy.loader(1)))
    batch.y = batch.y[:, :2]
    with pytest.raises(RuntimeError):
        brain.fit_batch(batch)
    assert pruner.switch.state == "rest"
    for target in pruner.targets:
        assert torch.equal(target.parameter, rest[target.name])


def test_a_mixed_batch_is_refused(toy):
    pruner = toy.make_pruner()
    brain = toy.make_brain(pruner=pruner)
    brain.init_optimizers()
    batch = next(iter(toy.loader(1)))
    batch.lang = ["en", "fr"]
    with pytest.raises(UserError, match="one language .* got en, fr"):
        brain.fit_batch(batch)


def test_an_unknown_pathway_is_refused(toy):
    pruner = toy.make_pruner()
    brain = toy.make_brain(pruner=pruner)
    batch = next(iter(toy.loader(1)))
    batch.lang = ["xx"] * 4
    with pytest.raises(UserError, match="`pathway` must be one of en, fr"):
        brain.evaluate_batch(batch, None)


def test_an_optimizer_without_the_targets_is_refused(toy):
    pruner = toy.make_pruner()
    brain = toy.make_brain(pruner=pruner)
    brain.opt_class = lambda _: torch.optim.SGD(
        [torch.nn.Parameter(torch.ones(1))], lr=0.1
    )
    with pytest.raises(
        UserError, match="trained and saved, got none of 6 .in no opt"
    ):
        brain.init_optimizers()


def test_a_fixed_pruner_needs_a_constant_schedule(toy):
    with pytest.raises(UserError, match="constant when `update` is null"):
        toy.make_pruner(update=None)


@pytest.mark.parametrize(
    "settings, match",
    [
        ({"interval": 0}, "`interval` must be an integer >= 1, got 0"),
        ({"total_steps": 0}, "`total_steps` must be an integer >= 1, got 0"),
        ({"heal": 1.0}, "`heal` must be in \\[0, 1\\), got 1.0"),
        ({"begin": 0.6, "heal": 0.5}, "must be below 1, got 0.6 \\+ 0.5"),
        (
            {"schedule": partial(constant, sparsity=1.0)},
            "`sparsity` must be in \\[0, 1\\), got 1.0",
        ),
        ({"pathways": ()}, "must name at least one, got none"),
        ({"pathways": "en"}, "must be a list of names, got 'en'"),
        ({"pathways": ("en", "en")}, "must name each one once"),
    ],
)
def test_settings_are_checked_at_construction(toy, settings, match):
    with pytest.raises(UserError, match=match):
        toy.make_pruner(**settings)


def test_a_zero_percent_pruner_changes_nothing(toy):
    plain = toy.make_brain()
    plain.fit(plain.counter, toy.loader(), None)
    pruner = toy.make_pruner(
        schedule=partial(constant, sparsity=0.0), update=None, growth=None
    )
    pruned = toy.make_brain(pruner=pruner)
    pruned.fit(pruned.counter, toy.loader(), None)
    for a, b in zip(
        plain.modules.parameters(), pruned.modules.parameters(), strict=False
    ):
        assert torch.equal(a, b)


def test_gradient_scores_make_first_masks_per_language(toy):
    score = TrackedScore(weight_gradient)
    pruner = toy.make_pruner(first_saliency=score, total_steps=40)
    brain = toy.make_brain(pruner=pruner, epochs=1)
    brain.fit(brain.counter, toy.loader(12), None)
    assert pruner.settled == set(toy.LANGUAGES)
    assert pruner.masks.overlap("en", "fr") < 0.99


def test_the_language_blind_trap(toy):
    """Re-selecting by magnitude makes all masks the same at an update."""
    pruner = toy.make_pruner(
        update=reselect, growth=None, take_turns=False, total_steps=40
    )
    brain = toy.make_brain(pruner=pruner, epochs=2)
    brain.fit(brain.counter, toy.loader(), None)
    assert pruner.masks.overlap("en", "fr") == 1.0


def test_dense_gradients_train_dormant_weights(toy):
    pruner = toy.make_pruner(
        update=reselect, growth=None, train_dormant=True, total_steps=40
    )
    brain = toy.make_brain(pruner=pruner, epochs=1)
    brain.init_optimizers()
    pruner.start()
    before = pruner.switch.dense("model.raw").clone()
    outside = ~pruner.masks.get("en", "model.raw")
    brain.fit(brain.counter, toy.loader(), None)
    after = pruner.switch.dense("model.raw")
    assert (after[outside] != before[outside]).all()


def test_prune_only_never_revives(toy):
    pruner = toy.make_pruner(update=prune_only, growth=None, total_steps=40)
    brain = toy.make_brain(pruner=pruner, epochs=4)
    brain.init_optimizers()
    pruner.start()
    first = pruner.masks.clone()
    brain.fit(brain.counter, toy.loader(), None)
    for target in pruner.targets:
        old = first.get("en", target.name)
        assert not (pruner.masks.get("en", target.name) & ~old).any()


@pytest.mark.parametrize("keep_dormant", [True, False])
def test_revived_weights_start_from_their_last_value_or_zero(toy, keep_dormant):
    pruner = toy.make_pruner(keep_dormant=keep_dormant, total_steps=1000)
    brain = toy.make_brain(pruner=pruner)
    brain.init_optimizers()
    pruner.start()
    name = "model.raw"
    brain.step = 1
    for batch in toy.loader(1):
        brain.fit_batch(batch)
    values = pruner.switch.dense(name).clone()
    dormant = ~pruner.masks.get("en", name) & ~pruner.masks.get("fr", name)
    before = pruner.masks.clone().union()
    for target in pruner.targets:
        pruner.masks.set(
            "en",
            target.name,
            torch.ones(target.parameter.shape, dtype=torch.bool),
        )
    pruner.selector.revive(before, pruner.owners, keep_dormant)
    pruner.switch.refresh()
    parameter = dict(brain.modules.named_parameters())[name]
    expected = (
        values[dormant] if keep_dormant else torch.zeros(int(dormant.sum()))
    )
    assert torch.equal(parameter[dormant].detach(), expected)
    second = brain.optimizer.state[parameter]["exp_avg_sq"]
    mean = second[~dormant].mean()
    torch.testing.assert_close(second[dormant], mean.expand(int(dormant.sum())))


def test_a_fit_batch_that_steps_by_itself_is_counted(toy):
    """Some recipes override fit_batch and call the optimizer directly."""

    class Own(toy.Brain):
        def init_optimizers(self):
            self.optimizer = self.opt_class(self.modules.parameters())

        def fit_batch(self, batch):
            loss = self.compute_objectives(
                self.compute_forward(batch, None), batch, None
            )
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            return loss.detach()

        def zero_grad(self, set_to_none=False):
            self.optimizer.zero_grad(set_to_none)

    pruner = toy.make_pruner()
    plain = toy.make_brain()
    brain = Own(
        modules=dict(plain.modules),
        opt_class=plain.opt_class,
        run_opts={"noprogressbar": True},
    )
    pruner.attach(brain)
    brain.fit(range(1, 3), toy.loader(), None)
    assert pruner.step == 20 and pruner.frozen
    assert 1 - pruner.masks.density("fr") == pytest.approx(0.7, abs=0.01)


def test_validation_between_micro_batches_keeps_the_window(toy):
    """What evaluation enters takes no part in the next optimizer step."""
    pruner = toy.make_pruner(total_steps=100, interval=60)
    brain = toy.make_brain(pruner=pruner, grad_accumulation_factor=2)
    brain.init_optimizers()
    pruner.start()
    english, french = list(toy.loader(2))
    only_en = torch.zeros(toy.FEATURES, toy.FEATURES, dtype=torch.bool)
    only_en[0] = True
    for name in toy.LANGUAGES:
        pruner.masks.set(
            name, "model.raw", only_en if name == "en" else ~only_en
        )
    pruner.switch.refresh()
    before = pruner.switch.dense("model.raw").clone()
    brain.step = 1
    brain.fit_batch(english)
    brain.evaluate_batch(french, sb.Stage.VALID)
    brain.step = 2
    brain.fit_batch(english)
    after = pruner.switch.dense("model.raw")
    assert (after[0] != before[0]).all()
    assert torch.equal(after[1:], before[1:])


def other_brain(toy, brain):
    """A later Brain on the same modules."""
    return toy.Brain(
        modules={"model": brain.modules.model},
        opt_class=SGD,
        hparams=vars(brain.hparams),
        run_opts={"noprogressbar": True},
    )


def test_a_second_pruner_is_refused_before_it_touches_weights(toy):
    pruner = toy.make_pruner()
    brain = toy.make_brain(pruner=pruner)
    with pytest.raises(UserError, match="one of the two `attach` calls"):
        toy.make_pruner().attach(brain)
    rule = "one pruner, got a second one for 'model.raw'"
    second = toy.make_pruner()
    with pytest.raises(UserError, match=rule):
        second.attach(other_brain(toy, brain))
    # By YAML, and by a line of Python as well.
    modules, single = {"model": toy.Model()}, {"pathways": ["all"]}
    opt_class = PrunedOptimizer(SGD, toy.make_pruner(**single), modules)
    again = toy.Brain(modules=modules, opt_class=opt_class)
    with pytest.raises(UserError, match=rule):
        second.attach(again)
    pruner.attach(other_brain(toy, brain))  # the advice of the sentence


def test_two_pruners_have_a_part_each(toy):
    brain = toy.make_brain()
    one = toy.make_pruner(include=["*raw"])
    one.attach(brain)
    toy.make_pruner(exclude=["*raw"]).attach(other_brain(toy, brain))
    # What turned out to be no target is free again.
    lone = toy.make_brain()
    one = toy.make_pruner()
    one.attach(lone)
    one.leave_out({"model.raw": "a reason"})
    two = toy.make_pruner(include=["*raw"])
    two.attach(other_brain(toy, lone))
    assert not {t.name for t in one.targets} & {t.name for t in two.targets}


def test_a_second_step_in_a_batch_is_refused(toy):
    """It would be undone in silence: no pathway is entered any more."""

    class Twice(toy.Brain):
        def fit_batch(self, batch):
            for _ in range(2):
                out = self.compute_forward(batch, None)
                self.compute_objectives(out, batch, None).backward()
                self.optimizers_step()
            return torch.zeros(())

    plain = toy.make_brain()
    brain = Twice(
        modules=dict(plain.modules),
        opt_class=plain.opt_class,
        run_opts={"noprogressbar": True},
    )
    toy.make_pruner().attach(brain)
    with pytest.raises(UserError, match="must make one optimizer step"):
        brain.fit(range(1, 2), toy.loader(2), None)


def test_a_target_without_gradients_falls_back_to_magnitude(toy):
    """Layer drop and branches of one language leave gradients out."""
    pruner = toy.make_pruner(first_saliency=TrackedScore(weight_gradient))
    brain = toy.make_brain(pruner=pruner)
    brain.modules.model.attention.forward = lambda x, *_, **__: (x, None)
    brain.fit(brain.counter, toy.loader(), None)
    assert pruner.frozen
    for target in pruner.targets:
        count = pruner.masks.count("en", [target.name])
        assert abs(count - 0.3 * target.parameter.numel()) <= 1


def test_a_pathway_that_is_never_seen_is_named(toy, caplog):
    pruner = toy.make_pruner(
        pathways=("en", "fr", "de"), total_steps=40, interval=1
    )
    brain = toy.make_brain(pruner=pruner, epochs=4)
    brain.fit(brain.counter, toy.loader(), None)
    assert "No batch of de was seen in its turn" in caplog.text


def test_first_masks_that_are_the_last_go_by_what_was_seen(toy, caplog):
    """Of a run so short that no update fits in."""
    pruner = toy.make_pruner(
        pathways=("en", "fr", "de"),
        first_saliency=TrackedScore(weight_gradient),
        update=reselect,
        growth=None,
        take_turns=False,
        interval=1000,
    )
    brain = toy.make_brain(pruner=pruner)
    brain.fit(brain.counter, toy.loader(), None)
    assert pruner.frozen
    unseen = [x for x in caplog.messages if "seen in time" in x]
    assert unseen == [
        "No batch of de was seen in time: pruned by saliency alone."
    ]


def test_languages_learn_alike_from_accumulated_gradients(toy):
    """Those that come second in every step, too; the batches alternate."""
    score = PathwayMagnitude(dtype="float32")
    pruner = toy.make_pruner(
        total_steps=100,
        saliency=score,
        update=reselect,
        growth=None,
        take_turns=False,
        interval=50,
    )
    brain = toy.make_brain(pruner=pruner, grad_accumulation_factor=2)
    brain.fit(brain.counter, toy.loader(16), None)
    drifts = score.state_dict()["drifts"]
    sizes = [sum(x.abs().sum() for x in drifts[p].values()) for p in drifts]
    assert len(sizes) == 2 and 0.5 < sizes[0] / sizes[1] < 2


def test_evaluation_before_the_masks_are_final_warns(toy, caplog):
    pruner = toy.make_pruner(total_steps=1000)
    brain = toy.make_brain(pruner=pruner, epochs=1)
    brain.fit(brain.counter, toy.loader(), None)
    brain.evaluate(toy.loader(2))
    assert "before the masks were final" in caplog.text
