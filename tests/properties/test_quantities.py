"""Pooling against naive loops; ready-made quantities move with their field; functions are combined by name."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isospan.compat.spacelearn.data import ensure_dim
from isospan.quantities import combine, pool
from isospan.quantities.fields import BUILTIN_QUANTITIES

from .strategies import dtypes, eps, laid_out, layouts, near, normal, seeds, unchanged, units

SHAPES = st.sampled_from([(3, 7), (1, 1), (0, 5), (2, 2, 5, 4), (1, 1, 6, 6), (2, 1, 3, 4, 2)])


def naive(x, n, mode):
    """One axis after the other, bin by bin."""
    for axis in range(1 if x.dim() == 2 else 2, x.dim()):
        L = x.shape[axis]
        bins = [x.narrow(axis, i * L // n, math.ceil((i + 1) * L / n) - i * L // n) for i in range(n)]
        x = torch.stack([b.mean(axis) if mode == "avg" else b.amax(axis) for b in bins], axis)
    return x


@given(seeds, SHAPES, st.integers(1, 9), st.sampled_from(["avg", "max"]), dtypes, units, layouts)
def test_pooling_is_that_of_a_loop(seed, shape, n, mode, dtype, unit, layout):
    # means of at most 7 numbers; unit * 10 bounds normal numbers
    x = laid_out((unit * normal(seed, *shape)).to(dtype), layout)
    same = unchanged(x)
    pooled = pool(x, n, mode=mode)
    assert pooled.dtype == dtype
    near(pooled, naive(x.detach().double(), n, mode), 4 * eps(x), unit=unit * 10)
    assert same()


@pytest.mark.parametrize("name", BUILTIN_QUANTITIES)
@given(seeds, st.integers(0, 7), st.integers(0, 7), st.integers(1, 2), layouts, st.sampled_from([1e-3, 1.0, 40.0]))
def test_periodic_quantities_move_with_their_field(name, seed, down, right, samples, layout, unit):
    # stencils and transforms of 64 numbers in another order, of at most the fourth power of the field
    quantity, channels = BUILTIN_QUANTITIES[name], 1
    x = unit * normal(
        seed, samples, 2 if name in ("divergence", "vorticity", "strain_rate", "kinetic_energy") else channels, 8, 8
    )
    y = quantity(laid_out(x, layout), dx=0.5, periodic=True)
    near(
        quantity(x.roll((down, right), (-2, -1)), dx=0.5, periodic=True),
        y.roll((down, right), (-2, -1)),
        1e-10,
        unit=1e3 * (1 + unit**4),
    )
    near(torch.cat([quantity(one[None], dx=0.5, periodic=True) for one in x]), y, 1e-12, unit=1e3 * (1 + unit**4))
    assert y.dtype == x.dtype
    assert y.isfinite().all()
    assert quantity(x.float(), dx=0.5).isfinite().all()


@given(seeds, st.integers(1, 4), st.integers(1, 4), st.permutations(["u", "v", "w"]))
def test_functions_get_the_arguments_that_they_name(seed, n, n_other, order):
    # sums of two are exact; means of 16 numbers round by less than 1e-14
    arguments = {name: normal(seed + i, 2, 1, 4, 4) for i, name in enumerate(["u", "v", "w"])}
    given_in_order = {name: arguments[name] for name in order}
    functions = {"sum": lambda u, v: u + v, "double": lambda w: 2 * w}
    computed = combine(**functions)(**given_in_order)
    near(computed["sum"], arguments["u"] + arguments["v"], 0.0)
    near(computed["double"], 2 * arguments["w"], 0.0)
    pooled = combine(**functions).pooled({"sum": n, "double": n_other})(**given_in_order)
    near(pooled["sum"], naive(computed["sum"], n, "avg"), 1e-14)
    near(pooled["double"], naive(computed["double"], n_other, "avg"), 1e-14)
    x = normal(seed, *[2] * n)
    assert ensure_dim(lambda x: x.shape, dims=n_other)(x) == (1,) * max(0, n_other - n) + x.shape
