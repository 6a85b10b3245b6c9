"""The language head: padding counts nothing, and it learns."""

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.masking import LanguageHead


def test_padding_counts_nothing():
    head = LanguageHead(["en", "ru", "uk"], 4)
    x = torch.randn(2, 10, 4, generator=torch.Generator().manual_seed(0))
    padded = torch.cat([x, torch.full((2, 10, 4), float("nan"))], dim=1)
    half = torch.tensor([0.5, 0.5])
    torch.testing.assert_close(head(padded, half), head(x))
    torch.testing.assert_close(head(x).exp().sum(-1), torch.ones(2))


def test_it_learns_which_voice_is_which():
    generator = torch.Generator().manual_seed(0)
    shift = torch.tensor([[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]])

    def batch(size):
        lang = torch.randint(3, (size,), generator=generator)
        x = torch.randn(size, 20, 2, generator=generator) + shift[lang][:, None]
        lens = 0.5 + 0.5 * torch.rand(size, generator=generator)
        return x, lens, lang

    torch.manual_seed(0)
    head = LanguageHead(["a", "b", "c"], 2, hidden_size=8)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.03)
    for _ in range(60):
        x, lens, lang = batch(32)
        optimizer.zero_grad()
        torch.nn.functional.nll_loss(head(x, lens), lang).backward()
        optimizer.step()
    x, lens, lang = batch(200)
    found = head.predict(x, lens)
    right = [name == "abc"[i] for name, i in zip(found, lang, strict=True)]
    assert sum(right) >= 190


@pytest.mark.parametrize(
    ("shape", "lengths", "sentence"),
    [
        ((3, 5, 4), [1.0, 0.5], r"one for each of 3 utterances, got \[2\]"),
        ((3, 0, 4), None, r"at least one frame, got \[3, 0, 4\]"),
        ((5, 4), None, r"features \[B, T, F\] of .*, got \[5, 4\]"),
    ],
)
def test_what_is_no_batch_of_features(shape, lengths, sentence):
    head = LanguageHead(["en", "ru"], 4)
    given = None if lengths is None else torch.tensor(lengths)
    with pytest.raises(UserError, match=sentence):
        head.predict(torch.zeros(shape), given)


@pytest.mark.parametrize("pathways", [[], ["en"], ["en", "en"], "en"])
def test_it_needs_two_pathways(pathways):
    with pytest.raises(UserError, match="at least two different names, got"):
        LanguageHead(pathways, 4)
