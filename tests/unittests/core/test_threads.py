"""Threads of torch: limited by work, by what is free, and by the user."""

import ast
import json
import os
import subprocess
import sys

import pytest
import torch

from leanbrain import threads
from leanbrain.nmf import NMFDictionary, NMFFeatures, encode, nmf, unrolled
from leanbrain.nmf.solvers.mu import MU
from leanbrain.threads import MACS_PER_THREAD, Threads

LARGE = 100 * MACS_PER_THREAD


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of eight cores; sets how many threads run on it, one ours."""
    file = tmp_path / "loadavg"
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "_RUNNING", file)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    before = torch.get_num_threads()
    torch.set_num_threads(6)

    def runs(count):
        file.write_text(f"9.60 8.11 5.01 {count}/187 24648\n")

    runs(1)
    yield runs
    torch.set_num_threads(before)


def inside(macs):
    with Threads(macs):
        return torch.get_num_threads()


def test_a_thread_for_so_much_work(machine):
    sizes = (0, 1, MACS_PER_THREAD, 2.5 * MACS_PER_THREAD, LARGE)
    assert [inside(x) for x in sizes] == [1, 1, 1, 2, 2]
    assert torch.get_num_threads() == 6


@pytest.mark.parametrize(
    ("running", "wanted"), [(0, 2), (1, 2), (7, 2), (8, 1), (99, 1)]
)
def test_no_more_than_cores_are_free(machine, running, wanted):
    machine(running)
    assert inside(LARGE) == wanted


def test_looks_again_when_asked(machine):
    with Threads(LARGE) as limited:
        machine(8)
        assert torch.get_num_threads() == 2
        limited.look()
        assert torch.get_num_threads() == 1
        with Threads(LARGE):
            assert torch.get_num_threads() == 1
        machine(1)
        limited.look()
        assert torch.get_num_threads() == 2


class Looks(torch.autograd.Function):
    """Notes the threads of the passes through it."""

    seen = []

    @staticmethod
    def forward(ctx, x):
        Looks.seen.append(("forward", torch.get_num_threads()))
        return x * 1

    @staticmethod
    def backward(ctx, gradient):
        Looks.seen.append(("backward", torch.get_num_threads()))
        return gradient


@pytest.mark.parametrize(("running", "wanted"), [(1, 2), (99, 1)])
def test_both_passes_of_trained_atoms_are_limited(
    machine, monkeypatch, running, wanted
):
    """The backward pass would take the threads of whoever starts it."""
    monkeypatch.setattr(Looks, "seen", [])
    machine(running)
    # So that little work is worth two threads.
    monkeypatch.setattr(threads, "MACS_PER_THREAD", 10)
    features = NMFFeatures(8, tuned_atoms=-1, unrolled=3)
    wavs = torch.rand(1, 1600, generator=torch.Generator().manual_seed(0))
    features.dictionary.partial_fit(features.spectrum(wavs))
    update = unrolled._update
    monkeypatch.setattr(
        unrolled, "_update", lambda *args: Looks.apply(update(*args))
    )
    features(wavs).sum().backward()
    both = [("forward", wanted), ("backward", wanted)]
    assert sorted(Looks.seen) == sorted(3 * both)
    assert features.log_shift.grad.abs().sum() > 0
    assert torch.get_num_threads() == 6


def test_spectra_and_features_are_limited(machine, monkeypatch):
    seen = []

    def compression(x):
        seen.append(torch.get_num_threads())
        return x

    features = NMFFeatures(8, compression=compression)
    features.compute_STFT.register_forward_hook(
        lambda *_: seen.append(torch.get_num_threads())
    )
    wavs = torch.rand(1, 1600, generator=torch.Generator().manual_seed(0))
    features.dictionary.partial_fit(features.spectrum(wavs))
    features(wavs)
    assert seen == [1, 1, 1] and torch.get_num_threads() == 6


def test_what_the_user_set_is_the_limit(machine, monkeypatch):
    torch.set_num_threads(1)
    assert inside(LARGE) == 1
    # With the variable, nobody looks at what is free, but at the work.
    torch.set_num_threads(3)
    assert inside(LARGE) == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    machine(99)
    assert inside(LARGE) == 3
    assert inside(1) == 1


def test_without_such_a_file_the_work_alone_counts(machine, tmp_path):
    (tmp_path / "loadavg").unlink()
    assert inside(LARGE) == 2 and inside(1) == 1


def test_they_come_back_after_an_error(machine):
    with pytest.raises(KeyError), Threads(1):
        raise KeyError
    assert torch.get_num_threads() == 6


class Spy(MU):
    """Multiplicative updates; notes the threads of every step."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def step(self, *args):
        self.seen.add(torch.get_num_threads())
        return super().step(*args)


# 129 x 1200, rank 16; and more than a block of 2 ** 18 elements, rank 64.
SIZES = {"small": ((129, 1200), 16, 1), "large": ((513, 600), 64, 2)}


@pytest.mark.parametrize("size", SIZES)
def test_nmf_and_encode_limit_their_threads(machine, size):
    shape, rank, wanted = SIZES[size]
    V = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    spy = Spy()
    W, *_ = nmf(V, rank, max_iter=2, solver=spy)
    assert spy.seen == {wanted}
    spy = Spy()
    encode(V, W, max_iter=2, solver=spy)
    assert spy.seen == {wanted}
    machine(99)
    spy = Spy()
    nmf(V, rank, max_iter=2, solver=spy)
    assert spy.seen == {1}
    NMFDictionary(shape[0], rank).partial_fit(V.T[None])
    assert torch.get_num_threads() == 6


@pytest.mark.parametrize("loss", ["kl", "frobenius", "is"])
def test_what_is_free_is_not_seen_in_a_result(machine, monkeypatch, loss):
    """Six threads, which the work is worth, would give other numbers."""
    monkeypatch.setattr(threads, "MACS_PER_THREAD", 10_000)
    generator = torch.Generator().manual_seed(0)
    V = torch.rand(257, 1100, generator=generator) + 1e-3
    start = torch.rand(1100, 33, generator=generator) + 1e-3
    found, threads_were = [], set()
    for running in (99, 1):
        machine(running)
        threads_were.add(inside(V.numel() * 33))
        W, H, _ = nmf(V, 33, loss=loss, max_iter=3, tol=0)
        E = encode(V, W, loss=loss, max_iter=3)[0]
        atoms = W.clone().requires_grad_()
        tuned = unrolled.encode_unrolled(
            V.T.contiguous(), atoms, 2, loss=loss, start=start
        )
        (tuned * start).sum().backward()
        found.append((W, H, E, tuned, atoms.grad))
    assert threads_were == {1, 2}
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("code", "own", "wanted"),
    [
        ("import leanbrain", {}, threads.SPINS),
        ("import leanbrain", {"GOMP_SPINCOUNT": "7"}, "7"),
        ("import leanbrain", {"OMP_WAIT_POLICY": "ACTIVE"}, None),
        ("import sys; sys.modules['torch'] = sys; import leanbrain", {}, None),
    ],
)
def test_threads_that_wait_sleep_soon(code, own, wanted):
    """Set before torch is loaded; what the user has said is left alone."""
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    clean = {k: v for k, v in os.environ.items() if k not in names}
    code += "; import os, json; print(json.dumps(os.getenv('GOMP_SPINCOUNT')))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, **own},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == wanted


def test_every_recipe_imports_leanbrain_before_torch(repo_root):
    """Else its threads spin: nothing can be said to them any more."""
    scripts = sorted((repo_root / "recipes").rglob("train.py"))
    assert len(scripts) >= 4
    for path in scripts:
        roots = []
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                roots += [(node.lineno, x.name) for x in node.names]
            elif isinstance(node, ast.ImportFrom):
                roots.append((node.lineno, node.module))
        names = [name.partition(".")[0] for _, name in sorted(roots)]
        first = [x for x in names if x in ("leanbrain", "torch", "speechbrain")]
        assert first[0] == "leanbrain", path
