"""Learning from the dense model."""

import importlib

import pytest
import torch


@pytest.fixture
def distillation(recipe, monkeypatch):
    monkeypatch.syspath_prepend(recipe)
    return importlib.import_module("distillation")


def test_divergence_is_that_of_real_frames(distillation):
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 2, 4, 3, dtype=torch.float64)
    log_p, log_q = student.log_softmax(-1), teacher.log_softmax(-1)
    lens = torch.tensor([1.0, 0.5])
    frames = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]
    by_hand = 0.0
    for b, t in frames:
        ratio = log_q[b, t] - log_p[b, t]
        by_hand += float((log_q[b, t].exp() * ratio).sum()) / len(frames)
    found = distillation.frame_divergence(log_p, log_q, lens)
    assert float(found) == pytest.approx(by_hand, rel=1e-12)
    log_p[1, 2:] = float("nan")  # padding
    assert float(distillation.frame_divergence(log_p, log_q, lens)) == found


def test_a_teacher_stays_as_it_was(distillation):
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.9))
    output = torch.nn.Linear(4, 7)
    teacher = distillation.Teacher(encoder, output)
    feats = torch.randn(2, 5, 3)
    first = teacher(feats, 6)
    assert first.shape == (2, 5, 6) and not first.requires_grad
    assert torch.allclose(first.exp().sum(-1), torch.ones(2, 5))
    for parameter in (*encoder.parameters(), *output.parameters()):
        parameter.data.zero_()
    assert torch.equal(teacher(feats, 6), first)
    assert encoder.training and output.weight.requires_grad
