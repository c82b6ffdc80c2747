"""Pooling against the definition of a bin, written as loops."""

import itertools
import math
import re

import pytest
import torch

from isospan.compat.spacelearn.data import pool_targets, spatial_pool_targets
from isospan.errors import DtypeError, OptionError, ShapeError
from isospan.quantities import pool

SHAPES = [(3, 17), (2, 3, 12, 8), (2, 1, 7, 10), (2, 2, 5, 6, 9)]


def pool_by_definition(x, n, mode, axes):
    """Bin i of n covers points floor(i L / n) to ceil((i + 1) L / n) - 1 of every spatial axis."""
    lead = x.shape[: x.dim() - axes]
    out = torch.empty(*lead, *[n] * axes, dtype=x.dtype)
    for index in itertools.product(range(n), repeat=axes):
        lengths = x.shape[-axes:]
        cut = [
            slice(math.floor(i * length / n), math.ceil((i + 1) * length / n))
            for i, length in zip(index, lengths, strict=True)
        ]
        window = x[(..., *cut)].flatten(-axes)
        out[(..., *index)] = window.mean(-1) if mode == "avg" else window.amax(-1)
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_pool_equals_definition(shape, mode, n, dtype):
    x = torch.randn(shape, dtype=dtype)
    expected = pool_by_definition(x, n, mode, axes={2: 1, 4: 2, 5: 3}[len(shape)])
    torch.testing.assert_close(pool(x, n, mode=mode), expected)


def test_more_bins_than_points_repeats_them():
    assert pool(torch.tensor([[1.0, 2.0]]), 4).tolist() == [[1.0, 1.0, 2.0, 2.0]]


def test_the_mean_is_kept_where_bins_divide_the_axis():
    x = torch.randn(2, 3, 12, 24, dtype=torch.float64)
    torch.testing.assert_close(pool(x, 4).mean((-2, -1)), x.mean((-2, -1)))


@pytest.mark.parametrize("mode", ["avg", "max"])
def test_named_cases(mode):
    series, fields = torch.randn(3, 20), torch.randn(3, 2, 8, 8)
    assert torch.equal(pool_targets(series, 5, mode), pool(series, 5, mode=mode))
    assert torch.equal(spatial_pool_targets(fields, 3, mode), pool(fields, 3, mode=mode))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_kept(dtype):
    assert pool(torch.ones(2, 1, 8, 8, dtype=dtype), 2).dtype == dtype


def test_gradient_reaches_the_field():
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: pool(t, 2), x)


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (1, 1, 2, 2, 2, 2)])
def test_wrong_number_of_dimensions(shape):
    with pytest.raises(ShapeError, match=r"^Invalid number of dimensions: \d .*Expected \(B, S\)"):
        pool(torch.zeros(shape), 2)


def test_named_cases_take_their_layout_only():
    with pytest.raises(ShapeError, match=r"^Invalid number of dimensions: 2 .*\(B, C, H, W\)"):
        spatial_pool_targets(torch.zeros(2, 3), 2)
    with pytest.raises(ShapeError, match=r"^Invalid number of dimensions: 4 .*\(B, S\)"):
        pool_targets(torch.zeros(2, 3, 4, 4), 2)


@pytest.mark.parametrize("function", [pool, pool_targets])
@pytest.mark.parametrize("mode", ["mean", ["avg"], None])
def test_wrong_mode(function, mode):
    with pytest.raises(OptionError, match=rf"^Invalid mode: {re.escape(repr(mode))}. Choose one of 'avg', 'max'"):
        function(torch.zeros(2, 4), 2, mode=mode)


@pytest.mark.parametrize(("n", "message"), [(0, "at least 1, got 0"), (2.0, "whole number, got 2.0")])
def test_wrong_resolution(n, message):
    with pytest.raises(OptionError, match=message):
        pool(torch.zeros(2, 4), n)


def test_wrong_data():
    with pytest.raises(DtypeError, match=r"floating point, got torch.int64"):
        pool(torch.zeros(2, 4, dtype=torch.int64), 2)
    for function in (pool, pool_targets, spatial_pool_targets):
        for x in ([[1.0, 2.0]], None, "x"):
            with pytest.raises(DtypeError, match=r"A field to pool must be a torch.Tensor, got"):
                function(x, 2)
    with pytest.raises(ShapeError, match="at least one point"):
        pool(torch.zeros(2, 1, 0, 4), 2)


def test_numpy_arrays():
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(pool(x.numpy()[::-1], 4), pool(x.flip(0), 4))
