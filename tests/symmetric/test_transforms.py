"""Constants survive every mode they may be made in, and derivatives of all kinds agree."""

import math

import pytest
import torch
from torch.autograd import forward_ad, gradcheck

from isospan.errors import NonFiniteError
from isospan.groups import DihedralGroup
from isospan.representations import Representation, change_of_basis
from isospan.symmetric import cov, equivariant_projection, group_average, lstsq, mean, orbit, var
from isospan.symmetric._constants import constants

from .conftest import orthogonal

# functions of x (8, 8), with y (8, 2) inside
FUNCTIONS = {
    "mean": lambda x, y, R, V: mean(x, R),
    "var": lambda x, y, R, V: var(x, R),
    "cov": lambda x, y, R, V: cov(x, R),
    "cov of two": lambda x, y, R, V: cov(x, y, R, V),
    "lstsq": lambda x, y, R, V: lstsq(x, y, R, V),
    "lstsq with a ridge": lambda x, y, R, V: lstsq(x, y, R, V, ridge=0.3),
    "equivariant_projection": lambda x, y, R, V: equivariant_projection(x, R, R),
    "orbit": lambda x, y, R, V: orbit(x, R),
    "group_average": lambda x, y, R, V: group_average(x, R),
}


@pytest.fixture(params=FUNCTIONS)
def f(request):
    """A function of x alone, of representations that no other test has used: their constants are not made yet."""
    group, y = DihedralGroup(4), torch.randn(8, 2, dtype=torch.float64)
    R = change_of_basis(group.regular_representation, orthogonal(8, int(torch.randint(2**31, ()))))
    V = group.irreps()[-1]
    return lambda x: FUNCTIONS[request.param](x, y.to(x), R, V)


@pytest.fixture
def x():
    return torch.randn(8, 8, dtype=torch.float64)


def test_gradients(f, x):
    assert gradcheck(f, (x.requires_grad_(),))


def test_gradients_without_a_ridge_where_one_sample_determines_the_map():
    plane = DihedralGroup(4).irreps()[-1]
    x, y = (torch.randn(1, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert gradcheck(lambda x, y: lstsq(x, y, plane, plane), (x, y))


def test_a_first_call_in_inference_mode(f, x):
    with torch.inference_mode():
        expected = f(x)
    value = f(x.requires_grad_())
    assert torch.equal(value, expected)
    value.sum().backward()


@pytest.mark.filterwarnings("ignore:`torch.jit.script")  # torch's own, at the first derivative forward
def test_a_first_call_under_a_transform(f, x):
    torch.func.jvp(f, (x,), (x,))
    f(x.requires_grad_()).sum().backward()


def test_the_default_device_is_not_that_of_the_data(f, x):
    with torch.device("meta"):
        value = f(x)
    assert torch.equal(value, f(x))


def test_no_values_at_all(f, x):
    assert f(x.to("meta")).shape == f(x).shape


@pytest.mark.filterwarnings("ignore:`torch.jit.script")  # torch's own, at the first derivative forward
def test_derivatives_forward(f, x):
    v, step = torch.randn_like(x), 1e-5
    difference = (f(x + step * v) - f(x - step * v)) / (2 * step)
    _, by_func = torch.func.jvp(f, (x,), (v,))
    with forward_ad.dual_level():
        by_duals = forward_ad.unpack_dual(f(forward_ad.make_dual(x, v))).tangent
    for tangent in (by_func, by_duals):
        # central differences are off by step² and by rounding over step, times the condition of random data
        torch.testing.assert_close(tangent, difference, rtol=0, atol=1e-5 * max(1.0, float(difference.abs().max())))


def test_batches_by_vmap(f, x):
    batch = torch.stack([x, 2 * x, torch.randn_like(x)])
    expected = torch.stack([f(x) for x in batch])
    torch.testing.assert_close(torch.func.vmap(f)(batch), expected, rtol=0, atol=1e-9 * float(expected.abs().max()))


def test_compiled_in_pieces():
    regular, x = DihedralGroup(3).regular_representation, torch.randn(5, 6)
    compiled = torch.compile(lambda x: mean(x, regular), backend="eager")
    torch.testing.assert_close(compiled(x), mean(x, regular))


def test_equal_representations_with_other_blocks_have_other_constants():
    rep = DihedralGroup(3).regular_representation + DihedralGroup(3).irreps()[1]
    other = Representation.from_blocks(rep.group, rep.blocks[::-1], name=rep.name)
    assert rep == other
    x = torch.randn(40, rep.size, dtype=torch.float64)
    A = equivariant_projection(torch.randn(rep.size, rep.size, dtype=torch.float64), rep, rep)
    # float64 rounding of least squares with 40 well-conditioned samples
    for one in (rep, other):
        torch.testing.assert_close(lstsq(x, x @ A.mT, one, one), A, rtol=0, atol=1e-12)
    torch.testing.assert_close(cov(x, other), cov(x, rep), rtol=0, atol=1e-12)


def test_constants_are_made_once():
    regular = DihedralGroup(4).regular_representation
    first, again = (constants(rep, torch.float32, torch.device("cpu")) for rep in (regular, regular))
    assert first is again
    assert first.blocks is again.blocks
    assert first.elements is again.elements


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite(f, x, bad):
    x[1, 2] = bad
    with pytest.raises(NonFiniteError, match=r"must be finite, got 1 NaN or infinite of 64"):
        f(x)
