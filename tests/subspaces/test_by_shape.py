"""Stacking of quantities: each gets what it would get alone, whatever the others are."""

import torch

from isospan.subspaces._by_shape import by_shape


def test_each_quantity_gets_what_it_would_get_alone():
    shapes = {"a": (3, 4), "b": (2, 5), "c": (3, 4), "d": (3, 1)}
    x = {name: torch.randn(m, n) for name, (m, n) in shapes.items()}
    y = {name: torch.randn(n, 2) for name, (_, n) in shapes.items()}
    calls = []

    def product(x, y):
        calls.append(len(x))
        return x @ y

    result = by_shape(product, x, y)
    assert list(result) == list(x)
    assert sorted(calls) == [1, 1, 2]
    for name, value in result.items():
        torch.testing.assert_close(value, x[name] @ y[name])


def test_operands_that_differ_in_one_shape_alone_are_not_stacked():
    x = {"a": torch.ones(2, 3), "b": torch.ones(2, 3)}
    y = {"a": torch.ones(3, 1), "b": torch.ones(3, 4)}
    assert {name: tuple(value.shape) for name, value in by_shape(torch.bmm, x, y).items()} == {"a": (2, 1), "b": (2, 4)}
