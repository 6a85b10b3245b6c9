"""A function with a graph of its own: the same values and gradients."""

import pytest
import torch

from leanbrain.nmf.limited import on_threads


def draws(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.rand(x, generator=generator, dtype=torch.float64) for x in shapes
    ]


def product(x, y, z):
    return (x @ y + z).square()


@pytest.mark.parametrize("needed", [(0, 1, 2), (1,), (0, 2)])
def test_values_and_gradients_are_those_of_the_function(needed):
    inputs = draws((3, 4), (4, 5), (3, 5))
    for i in needed:
        inputs[i].requires_grad_()
    plain = product(*inputs)
    limited = on_threads(product, 1, *inputs)
    assert torch.equal(plain, limited)
    wanted = [inputs[i] for i in needed]
    both = [torch.autograd.grad(x.sum(), wanted) for x in (plain, limited)]
    for one, other in zip(*both, strict=True):
        assert torch.equal(one, other)


def test_goes_back_twice_where_the_graph_is_kept():
    x, y, z = draws((3, 4), (4, 5), (3, 5))
    y.requires_grad_()
    found = on_threads(product, 1, x, y, z).sum()
    found.backward(retain_graph=True)
    once = y.grad.clone()
    found.backward()
    assert torch.equal(y.grad, 2 * once)


def test_an_input_that_is_made_of_another_is_counted_once():
    (x,) = draws((3, 3))
    x.requires_grad_()
    on_threads(product, 1, x, 2 * x, x + 1).sum().backward()
    again = x.detach().requires_grad_()
    product(again, 2 * again, again + 1).sum().backward()
    torch.testing.assert_close(x.grad, again.grad)


def test_is_differentiated_once():
    x, y, z = draws((3, 4), (4, 5), (3, 5))
    y.requires_grad_()
    found = on_threads(product, 1, x, y, z).square().sum()
    (gradient,) = torch.autograd.grad(found, y, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_without_gradients_there_is_no_graph():
    x, y, z = draws((3, 4), (4, 5), (3, 5))
    assert on_threads(product, 1, x, y, z).grad_fn is None
    y.requires_grad_()
    with torch.no_grad():
        assert on_threads(product, 1, x, y, z).grad_fn is None
