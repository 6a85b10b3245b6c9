"""PathwaySwitch: loading, what it leaves alone, and its memory."""

import copy
import pickle

import pytest
import torch
from torch import nn

from leanbrain.checks import UserError
from leanbrain.masking import MaskSet, PathwaySwitch, select_targets

# -- loading -------------------------------------------------------------------


def test_adopt_takes_everything(rig):
    new = {n: v + 1 for n, v in rig.theta.items()}
    rig.write(new)
    rig.switch.adopt()
    rig.check(theta=new)
    rig.switch.expose()
    rig.write(rig.theta)
    rig.switch.adopt()
    rig.check()


def test_resume_gives_theta_back(rig, make_rig):
    saved = copy.deepcopy(
        {
            "model": rig.net.state_dict(),
            "masks": rig.masks.state_dict(),
            "dormant": rig.switch.dormant(),
        }
    )
    for target in rig.targets:
        outside = ~rig.mask("rest", target.name)
        values = saved["dormant"][target.name]
        assert torch.equal(values, rig.theta[target.name][outside])
    resumed = make_rig(masked=False)
    with torch.no_grad():
        for parameter in resumed.net.parameters():
            parameter.add_(5)
    resumed.switch.adopt()
    resumed.net.load_state_dict(saved["model"])
    resumed.masks.load_state_dict(saved["masks"])
    resumed.switch.load_dormant(saved["dormant"])
    resumed.theta = rig.theta
    resumed.check()


def test_dormant_after_a_write(rig):
    rig.write({n: v + 1 for n, v in rig.theta.items()})
    for name, values in rig.switch.dormant().items():
        outside = ~rig.mask("rest", name)
        assert torch.equal(values, rig.theta[name][outside])
    rig.switch.leave()
    for target in rig.targets:
        assert not target.parameter[~rig.mask("rest", target.name)].any()


def test_dormant_before_refresh(rig):
    rig.write({n: v + 1 for n, v in rig.theta.items()})
    shown = {n: rig.mask("rest", n) for n in rig.theta}
    rig.randomize(seed=8, density=0.1)
    for name, values in rig.switch.dormant().items():
        theta = torch.where(shown[name], rig.theta[name] + 1, rig.theta[name])
        assert torch.equal(values, theta[~rig.mask("rest", name)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("raw"), "`dormant` of 'raw' must hold .* got none"),
        (
            lambda d: d.update(raw=d["raw"][1:]),
            r"`dormant` of 'raw' must hold \d+ values in one dimension, got \[",
        ),
        (lambda d: d.update(raw=d["raw"][None]), r"got \[1, "),
        (lambda d: d.update(war=d["raw"]), "`dormant` must be one of .*'war'"),
    ],
)
def test_misfit_dormant_values_change_nothing(rig, change, message):
    dormant = {n: v * 0 for n, v in rig.switch.dormant().items()}
    change(dormant)
    with pytest.raises(UserError, match=message):
        rig.switch.load_dormant(dormant)
    rig.check()


def test_rest_state_loads_strictly_into_a_plain_model(rig, tmp_path):
    plain = rig.new_model()
    keys = list(plain.state_dict())
    rig.switch.enter("en")
    assert list(rig.net.state_dict()) == keys
    rig.switch.leave()
    assert list(rig.net.state_dict()) == keys
    torch.save(rig.net.state_dict(), tmp_path / "model.pt")
    plain.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    for target in rig.targets:
        outside = ~rig.mask("rest", target.name)
        assert not plain.get_parameter(target.name)[outside].any()
    x = rig.draw((2, 7, 6), 1).double()
    assert torch.equal(plain(x), rig.net(x))


# -- what a switch leaves alone ------------------------------------------------


def test_objects_memory_and_flags_stay(rig):
    parameters = dict(rig.net.named_parameters())
    before = {n: (id(p), p.data_ptr()) for n, p in parameters.items()}
    biases = {
        n: p.detach().clone() for n, p in parameters.items() if "bias" in n
    }
    rig.switch.enter("en")
    rig.switch.expose()
    rig.switch.commit(["en"])
    rig.switch.refresh()
    after = {n: (id(p), p.data_ptr()) for n, p in rig.net.named_parameters()}
    assert after == before
    assert all(p.requires_grad and p.is_leaf for p in rig.net.parameters())
    for name, value in biases.items():
        assert torch.equal(parameters[name], value)
    assert rig.net.tied.weight is rig.net.linear.weight


def test_model_can_be_copied_and_pickled_after_a_forward(rig):
    x = rig.draw((2, 7, 6), 1).double()
    rig.switch.enter("fr")
    wanted = rig.net(x)
    for twin in (
        copy.deepcopy(rig.net),
        pickle.loads(pickle.dumps(rig.net)),
    ):
        assert torch.equal(twin(x), wanted)
    twin = copy.deepcopy(rig.net)
    rig.switch.leave()
    assert torch.equal(twin(x), wanted)


def test_follows_a_change_of_type(rig):
    rig.switch.enter("en")
    rig.net.float()
    rig.theta = {n: v.float() for n, v in rig.theta.items()}
    rig.switch.leave()
    rig.check()
    assert rig.switch.dense("raw").dtype == torch.float32


@pytest.mark.parametrize("order", ["before", "after"])
def test_weights_that_are_not_contiguous(order, make_rig):
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    if order == "before":
        net.to(memory_format=torch.channels_last)
    theta = net[0].weight.detach().clone()
    targets = select_targets(net)
    masks = MaskSet.from_targets(targets, ["a", "b"])
    make_rig.randomize_masks(masks)
    switch = PathwaySwitch(targets, masks)
    if order == "after":
        net.to(memory_format=torch.channels_last)
    assert not net[0].weight.is_contiguous()
    mask = masks.get("a", "0.weight")
    with switch.pathway("a"):
        assert torch.equal(net[0].weight, torch.where(mask, theta, 0.0))
    switch.expose()
    assert torch.equal(net[0].weight, theta)
    with torch.no_grad():
        net[0].weight.add_(1)
    switch.commit(["a"])
    held = switch.dense("0.weight")
    assert torch.equal(held, torch.where(mask, theta + 1, theta))
    assert not net[0].weight.is_contiguous()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_follows_to_another_device(rig):
    rig.switch.enter("en")
    rig.net.cuda()
    rig.switch.leave()
    rig.switch.enter("fr")
    assert rig.masks.packed("en", "raw").is_cuda
    rig.switch.expose()
    rig.switch.commit(["en"])
    rig.net.cpu()
    rig.switch.refresh()
    rig.check()


# -- memory --------------------------------------------------------------------


def reachable_bytes(switch):
    """Bytes of all tensors of a switch apart from parameters and masks."""
    slots = switch._slots
    tensors = list(slots.theta().values()) + list(slots.union().values())
    blenders = next(iter(slots._slots.values()))._blenders
    for blender in blenders.values():
        for scratch in blender._scratch.values():
            tensors += [scratch.index, scratch.words]
    storages = {t.untyped_storage().data_ptr(): t for t in tensors}
    return sum(t.untyped_storage().nbytes() for t in storages.values())


def test_memory_is_one_copy_the_union_and_a_small_scratch(make_rig):
    net = nn.Sequential(*[nn.Linear(1000, 1000) for _ in range(3)])
    targets = select_targets(net)
    masks = MaskSet.from_targets(targets, ["a", "b"])
    make_rig.randomize_masks(masks)
    switch = PathwaySwitch(targets, masks)
    for pathway in ("a", "b"):
        switch.enter(pathway)
    switch.expose()
    switch.commit(["a"])
    weights = masks.numel()
    scratch = 5 * 2**18  # an index byte and a word per weight of a step
    assert reachable_bytes(switch) == 4 * weights + weights / 8 + scratch


def test_switching_makes_no_tensor_of_full_size(make_rig):
    net = nn.Sequential(nn.Linear(1000, 1000, bias=False))
    targets = select_targets(net)
    masks = MaskSet.from_targets(targets, ["a", "b"])
    make_rig.randomize_masks(masks)
    switch = PathwaySwitch(targets, masks)

    def cycle():
        switch.enter("a")
        switch.leave()
        switch.expose()
        with torch.no_grad():
            net[0].weight.mul_(0.5)
        switch.commit(["a", "b"])

    cycle()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        cycle()
    largest = max(e.self_cpu_memory_usage for e in profile.events())
    assert 0 < largest <= 1000 * 1000 / 8  # a packed union, no more
