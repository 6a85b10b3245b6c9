"""Slow NumPy oracles of the solvers, and spectra to try them on."""

import csv

import numpy as np
import pytest
import soundfile
import torch

EPS = 1e-8


class Oracle:
    """The updates as their papers print them: V [F, T], W [F, K], H [K, T].

    float64 throughout. V has a largest element of 1, so that the floor is
    1e-8 of it. Nothing here is blocked, cached, masked or fast.
    """

    EPS = EPS

    @staticmethod
    def loss(name, V, P):
        """A divergence by definition; a frame (column) at a time."""
        if name == "frobenius":
            return ((V - P) ** 2).sum(0) / 2
        log = np.log(np.where(V > 0, V, 1.0) / P)
        if name == "kl":
            return (np.where(V > 0, V * log, 0.0) - V + P).sum(0)
        return (V / P - log - 1).sum(0)

    @staticmethod
    def gradient(name, V, W, H):
        """Of the loss in H, [K, T]."""
        P = W @ H
        if name == "frobenius":
            return W.T @ (P - V)
        return W.T @ (1 - V / P if name == "kl" else (P - V) / P**2)

    @staticmethod
    def step(rule, loss, V, W, H, gamma=1.9):
        """The next H, before the floor."""
        if rule == "hals":
            return Oracle._hals(V, W, H)
        P = W @ H
        if loss == "is":
            return H * np.sqrt((W.T @ (V / P**2)) / (W.T @ (1 / P)))
        if loss == "frobenius":
            A, B = W.T @ W, W.T @ V
            down = A @ H
            slope = np.broadcast_to(A.sum(1)[:, None], H.shape)
        else:
            B, down = W.T @ (V / P), W.sum(0)[:, None]
            slope = (W * W.sum(1)[:, None]).T @ (V / P**2)
        if rule == "mu":
            return H * B / down
        if rule == "fastmu":
            return H + gamma / slope * (B - down)
        assert rule == "musom"
        if loss == "frobenius":
            return H + gamma * H * (B - down) / down
        return H * (1 + gamma * (1 - down / B))

    @staticmethod
    def _hals(V, W, H):
        H = H.copy()
        for k in range(len(H)):
            rest = V - np.delete(W, k, 1) @ np.delete(H, k, 0)
            H[k] = np.maximum(W[:, k] @ rest / (W[:, k] @ W[:, k]), EPS)
        return H

    @staticmethod
    def ahead(X, before, k, n):
        """BMMe's point to step from; k = 1, 2, ...; returns it and n[k]."""
        new = (1 + np.sqrt(1 + 4 * n**2)) / 2
        move = np.linalg.norm(X - before, axis=0)
        with np.errstate(divide="ignore"):
            cap = 1e4 * np.maximum(1, np.linalg.norm(X, axis=0))
            cap = cap / (k**0.75 * move)
        weight = np.minimum((n - 1) / new, cap)
        return X + weight * np.maximum(X - before, 0), new

    @staticmethod
    def inner(rule, loss, V, W, H, steps, delta, state):
        """Steps on H with W fixed, `delta` as published."""
        first = 0.0
        for s in range(steps):
            Y = H
            if rule == "bmme":
                before, k, n = state or (H, 1, 1.0)
                Y, n = Oracle.ahead(H, before, k, n)
                state[:] = (H, k + 1, n)
            name = "mu" if rule == "bmme" else rule
            new = np.maximum(Oracle.step(name, loss, V, W, Y), EPS)
            move = ((new - H) ** 2).sum()
            H = new
            first = move if s == 0 else first
            if s and move < delta * first:
                break
        return H

    @staticmethod
    def encode(rule, loss, V, W, steps, start=None):
        """H after some steps from a flat start; W is normalised first."""
        atoms = W.sum(0)
        W = np.maximum(W / atoms, EPS)
        if loss == "is":
            V = np.maximum(V, EPS)
        H = np.tile(V.sum(0) / W.shape[1], (W.shape[1], 1))
        H = np.maximum(H if start is None else start * atoms[:, None], EPS)
        return Oracle.inner(rule, loss, V, W, H, steps, 0, []) / atoms[:, None]

    @staticmethod
    def learn(rule, loss, V, W, H, iterations, inner=1, delta=0.0, warmup=0):
        """W and H after some outer iterations; columns of W sum to one.

        The published KL code ends no inner loop early in its first outer
        iteration, the Frobenius code may.
        """
        W, H = np.maximum(W, EPS), np.maximum(H, EPS)
        V = np.maximum(V, EPS) if loss == "is" else V
        states = {"W": [], "H": []}
        for i in range(iterations):
            name = "mu" if i < warmup else rule
            late = i > warmup if loss == "kl" else i >= warmup
            options = (inner, delta if late else 0.0)
            for side in "WH" if loss == "kl" else "HW":
                if side == "H":
                    H = Oracle.inner(name, loss, V, W, H, *options, states["H"])
                else:
                    W = Oracle.inner(
                        name, loss, V.T, H.T, W.T, *options, states["W"]
                    ).T
        atoms = W.sum(0)
        return W / atoms, H * atoms[:, None]


@pytest.fixture(scope="session")
def oracle():
    """The slow reference."""
    return Oracle


def draw(*shape, seed=0, dtype=torch.float64):
    """Uniform in (0.01, 1.01)."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.rand(shape, generator=generator, dtype=torch.float64)
    return (numbers + 0.01).to(dtype)


@pytest.fixture(scope="session", name="draw")
def draw_fixture():
    """A function that draws positive numbers of its own seed."""
    return draw


@pytest.fixture(scope="session")
def toy():
    """A function: V [F, T] = W0 H0 + noise, largest element 1, and a start.

    Returns V, W and H, where W and H are not those that made V.
    """

    def make(bins=12, frames=20, rank=4, dtype=torch.float64, seed=0):
        V = draw(bins, rank, seed=seed) @ draw(rank, frames, seed=seed + 1)
        V = V + 0.3 * draw(bins, frames, seed=seed + 2)
        W, H = (
            draw(bins, rank, seed=seed + 3),
            draw(rank, frames, seed=seed + 4),
        )
        return tuple(x.to(dtype) for x in (V / V.max(), W, H))

    return make


@pytest.fixture(scope="session")
def speech(prompts_folder):
    """Magnitudes [8, 30, 201] of 8 prompts, float64, the largest is 1."""
    with open(prompts_folder / "train.csv", newline="") as file:
        rows = [r for r in csv.DictReader(file) if float(r["duration"]) > 2.5]
    root = str(prompts_folder.parent)
    spectra = []
    for row in rows[:: max(1, len(rows) // 8)][:8]:
        path = row["wav"].replace("{data_root}", root)
        wav = torch.from_numpy(soundfile.read(path)[0])
        window = torch.hamming_window(400, dtype=wav.dtype)
        options = {"hop_length": 160, "window": window}
        spectrum = torch.stft(wav, 400, return_complex=True, **options)
        spectra.append(spectrum.abs().T[30:90:2])
    V = torch.stack(spectra)
    return V / V.max()


@pytest.fixture(scope="session")
def speech_atoms(speech):
    """Eight frames of speech as atoms, float64 [201, 8]."""
    return (speech[:, 17] + 1e-3 * speech.mean((0, 1))).T.contiguous()


@pytest.fixture(scope="session")
def rows():
    """A function: frames [N, F], a copy; Itakura-Saito has no zeros."""

    def make(loss, V):
        V = V.flatten(0, -2).clone()
        return V.clamp_min(1e-4 * float(V.max())) if loss == "is" else V

    return make
