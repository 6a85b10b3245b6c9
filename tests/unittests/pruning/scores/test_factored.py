"""FactoredSquares: what rows and columns say, and what pathways share."""

import copy

import pytest
import torch

from leanbrain.pruning.scores.factored import FactoredSquares


def gradients(count, shape=(6, 4, 3), seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=draw) for _ in range(count)]


def test_means_are_those_of_all_that_was_seen():
    squares, seen = FactoredSquares(decay=0.0), gradients(3)
    for gradient in seen:
        assert squares.take("en", "w", gradient)
    rows, columns = squares.means("en", "w")
    last = seen[-1].view(6, 12).square()
    torch.testing.assert_close(rows, last.mean(1, keepdim=True))
    torch.testing.assert_close(columns, last.mean(0, keepdim=True))


def test_the_past_decays_without_a_bias():
    squares, seen = FactoredSquares(decay=0.5), gradients(2)
    for gradient in seen:
        squares.take("en", "w", gradient)
    rows, _ = squares.means("en", "w")
    one, two = (x.view(6, 12).square().mean(1, keepdim=True) for x in seen)
    torch.testing.assert_close(rows, (one + 2 * two) / 3)


def test_a_product_of_row_and_column_is_found_exactly():
    rows = torch.tensor([[1.0], [4.0], [9.0]])
    columns = torch.tensor([[1.0, 16.0]])
    squares = FactoredSquares(decay=0.9)
    squares.take("en", "w", (rows * columns).sqrt())
    r, c = squares.means("en", "w")
    torch.testing.assert_close(r * c / r.mean(), rows * columns)


def test_pathways_count_alike_and_few_batches_count_less():
    squares = FactoredSquares(decay=0.9)
    for _ in range(10):
        squares.take("en", "w", torch.full((2, 2), 1.0))
    for _ in range(30):
        squares.take("fr", "w", torch.full((2, 2), 3.0))

    def mean(pathway):
        return float(squares.means(pathway, "w")[0].mean())

    # Squares of 1 and 9, whatever the number of batches: 5 together.
    assert mean("it") == pytest.approx(5.0)
    assert mean("en") == pytest.approx(0.5 * 5 + 0.5 * 1)
    assert mean("fr") == pytest.approx(0.25 * 5 + 0.75 * 9)
    assert squares.knows("w") and not squares.knows("other")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_what_is_not_finite_leaves_no_trace(bad):
    squares = FactoredSquares(decay=0.9)
    squares.take("en", "w", torch.ones(2, 3))
    before = str(squares.state_dict())
    broken = torch.ones(2, 3)
    broken[1, 1] = bad
    assert not squares.take("en", "w", broken)
    assert str(squares.state_dict()) == before


def test_a_saved_state_is_a_copy():
    squares = FactoredSquares(decay=0.9)
    squares.take("en", "w", torch.ones(2, 3))
    state = copy.deepcopy(squares.state_dict())
    resumed = FactoredSquares(decay=0.9)
    resumed.load_state_dict(state)
    for one in (squares, resumed):
        one.take("en", "w", torch.full((2, 3), 2.0))
    assert str(resumed.state_dict()) == str(squares.state_dict())
    assert state["en"][0][2]["seen"] == 1
