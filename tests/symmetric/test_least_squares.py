"""Least squares over equivariant maps is ordinary least squares on the augmented data."""

import pytest
import torch

from isospan.errors import NonFiniteError, NumericalWarning, OptionError, RepresentationError, ShapeError
from isospan.groups import SO2, CyclicGroup, IcosahedralGroup
from isospan.representations import HomBasis
from isospan.symmetric import lstsq

from .conftest import CASES, augmented, matrices


def pytest_generate_tests(metafunc):
    if {"rep_x", "rep_y"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("rep_x", "rep_y"), CASES)


def oracle(x, y, rep_x, rep_y, *, ridge=0.0, rcond=1e-12):
    """Ordinary least squares on the augmented data by numpy's SVD; of minimum norm."""
    gx, gy = augmented(x, rep_x), augmented(y, rep_y)
    if ridge:
        weight = (ridge * gx.square().sum() / rep_x.size) ** 0.5
        gx = torch.cat([gx, weight * torch.eye(rep_x.size, dtype=x.dtype)])
        gy = torch.cat([gy, torch.zeros(rep_x.size, rep_y.size, dtype=x.dtype)])
    return (torch.linalg.pinv(gx, rtol=rcond) @ gy).T


def data(rep_x, rep_y, N, *, rank=None, noise=1.0):
    x = torch.randn(N, rank or rep_x.size, dtype=torch.float64)
    if rank:
        x = x @ torch.randn(rank, rep_x.size, dtype=torch.float64)
    maps = HomBasis(rep_x, rep_y)
    A = maps.synthesize(torch.randn(maps.dimension, dtype=torch.float64))
    return x, x @ A.T + noise * torch.randn(N, rep_y.size, dtype=torch.float64)


def residual(x, y, A):
    return float((y - x @ A.T).square().sum())


@pytest.mark.parametrize("ridge", [0.0, 0.7])
@pytest.mark.parametrize("share", [0, 0.25, 0.5, 1, 4])
def test_equals_least_squares_on_the_augmented_data(rep_x, rep_y, share, ridge):
    x, y = data(rep_x, rep_y, max(1, int(share * rep_x.size)))
    A, expected = lstsq(x, y, rep_x, rep_y, ridge=ridge), oracle(x, y, rep_x, rep_y, ridge=ridge)
    # where samples are as many as unknowns, the condition of random data reaches 1e3 to 1e4
    torch.testing.assert_close(A, expected, rtol=0, atol=1e-9 * max(1.0, float(expected.abs().max())))
    assert residual(x, y, A) <= residual(x, y, expected) * (1 + 1e-9) + 1e-18 * float(y.square().sum())
    for Mx, My in zip(matrices(rep_x), matrices(rep_y), strict=True):
        torch.testing.assert_close(My @ A, A @ Mx, rtol=0, atol=1e-10 * max(1.0, float(A.abs().max())))


UNITS = [(1e-30, 1e-30), (1e-21, 1e-21), (1e-21, 1e15), (1e-30, 1.0), (1e21, 1e-15), (1e21, 1e21), (1e30, 1e30)]


@pytest.mark.parametrize("ridge", [0.0, 0.7])
@pytest.mark.parametrize("N", [10, 200])
def test_the_units_of_the_data_do_not_matter(N, ridge):
    """lstsq(a x, b y) = b/a lstsq(x, y) in float32, whose squares reach from 1e-38 to 1e38 only."""
    regular = IcosahedralGroup().regular_representation if N == 200 else CyclicGroup(6).regular_representation
    x, y = data(regular, regular, N)
    expected = oracle(x, y, regular, regular, ridge=ridge)
    for a, b in UNITS:
        A = lstsq((a * x).float(), (b * y).float(), regular, regular, ridge=ridge).double()
        # float32 rounds at 6e-8; the condition of the data is about 10
        torch.testing.assert_close(a * A / b, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("unit", [1e-30, 1e-21, 1e21, 1e30])
def test_data_of_low_rank_are_solved_in_any_unit(unit):
    """One sample in many unknowns takes the singular value decomposition."""
    regular = CyclicGroup(12).regular_representation
    x, y = data(regular, regular, 30, rank=1)
    A = lstsq((unit * x).float(), (unit * y).float(), regular, regular)
    expected = oracle(x, y, regular, regular)
    torch.testing.assert_close(A.double(), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_a_ridge_that_outweighs_the_data():
    """The normal equations of the augmented data, which are well conditioned then."""
    regular = CyclicGroup(3).regular_representation
    x = torch.randn(20, 3)
    gy = augmented(x.double(), regular)
    G = gy.T @ gy
    for a, b, ridge in [
        (1e-21, 1, 1.0),
        (1, 1, 1e30),
        (1, 1, 1e100),
        (1, 1, 1e300),
        (1e30, 1e30, 1e30),
        (1e-30, 1, 1e20),
    ]:
        A = lstsq(a * x, b * x, regular, regular, ridge=ridge)
        expected = torch.linalg.solve(G + ridge * G.trace() / 3 * torch.eye(3, dtype=G.dtype), G).T * b / a
        # float32 rounding, relative to the largest entry: small ones are differences of large ones
        largest = float(expected.abs().max())
        torch.testing.assert_close(A.double(), expected, rtol=0, atol=max(1e-5 * largest, 1e-37))


def test_rank_deficient_data_give_the_map_of_least_norm(rep_x, rep_y):
    x, y = data(rep_x, rep_y, 3 * rep_x.size, rank=1)
    A, expected = lstsq(x, y, rep_x, rep_y), oracle(x, y, rep_x, rep_y)
    torch.testing.assert_close(A, expected, rtol=0, atol=1e-9 * max(1.0, float(expected.abs().max())))


def test_noiseless_data_are_fitted_to_rounding(rep_x, rep_y):
    x, y = data(rep_x, rep_y, 2 * rep_x.size, noise=0.0)
    assert residual(x, y, lstsq(x, y, rep_x, rep_y)) <= 1e-20 * float(y.square().sum())


def test_single_precision(rep_x, rep_y):
    """Columns of x spread over a factor of 100: normal equations in float32 would lose four digits."""
    x, y = data(rep_x, rep_y, 6 * rep_x.size)
    x = x * torch.logspace(-1, 1, rep_x.size, dtype=torch.float64)
    exact = lstsq(x, y, rep_x, rep_y)
    A = lstsq(x.float(), y.float(), rep_x, rep_y)
    assert A.dtype == torch.float32
    assert residual(x, y, A.double()) <= residual(x, y, exact) * (1 + 1e-5)


@pytest.mark.parametrize("N", [2, 60])
def test_gradients(rep_x, rep_y, N):
    x, y = (t.requires_grad_() for t in data(rep_x, rep_y, N))
    weights = torch.randn(rep_y.size, rep_x.size, dtype=torch.float64)
    gradients = torch.autograd.grad((lstsq(x, y, rep_x, rep_y, ridge=0.3) * weights).sum(), (x, y))
    expected = torch.autograd.grad((oracle(x, y, rep_x, rep_y, ridge=0.3) * weights).sum(), (x, y))
    for got, want in zip(gradients, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-8 * float(want.abs().max()))


def test_small_singular_values_count_as_zero():
    regular = CyclicGroup(1).regular_representation
    rep, x = 2 * regular, torch.tensor([[1.0, 0.0], [0.0, 1e-3]], dtype=torch.float64)
    y = torch.ones(2, 1, dtype=torch.float64)
    torch.testing.assert_close(lstsq(x, y, rep, regular), torch.tensor([[1.0, 1000.0]], dtype=torch.float64))
    cut = lstsq(x, y, rep, regular, rcond=1e-2)
    torch.testing.assert_close(cut, torch.tensor([[1.0, 0.0]], dtype=torch.float64))


@pytest.mark.parametrize("ratio", [1.0, 1e-3])
def test_samples_by_the_million_cut_nothing(ratio):
    """The even part is ``1 / ratio`` times as large as the odd one; eps · N alone would be 1.2."""
    swap = CyclicGroup(2).regular_representation
    even, odd = torch.randn(2, 10_000_000)
    x = torch.stack([even + ratio * odd, even - ratio * odd], dim=1)
    # what is odd carries the rounding of what is even
    torch.testing.assert_close(lstsq(x, x, swap, swap), torch.eye(2), rtol=0, atol=1e-6 / ratio)


def test_rounding_counts_as_zero_in_single_precision():
    """Only the mean of 60 coordinates varies; all else is the rounding of a change of basis."""
    regular = IcosahedralGroup().regular_representation
    x, y = torch.randn(100, 1).expand(100, 60), torch.randn(100, 60)
    exact = lstsq(x.double(), y.double(), regular, regular)
    torch.testing.assert_close(lstsq(x, y, regular, regular).double(), exact, rtol=0, atol=1e-6)


def test_a_part_that_counts_as_zero_gives_a_warning():
    rep = 2 * CyclicGroup(1).regular_representation
    x = torch.randn(50, 2) * torch.tensor([1e5, 1e-3])
    with pytest.warns(NumericalWarning, match=r"^Coordinates \[1\] of x, of norm .* lie below rcond") as caught:
        A = torch.no_grad()(lstsq)(x, x, rep, rep)  # which has a line of torch between
    assert [warning.filename for warning in caught] == [__file__]
    torch.testing.assert_close(A, torch.diag(torch.tensor([1.0, 0.0])), rtol=0, atol=1e-5)
    torch.testing.assert_close(lstsq(x, x, rep, rep, rcond=0.0), torch.eye(2), rtol=0, atol=1e-5)


def test_rotations_of_the_plane():
    """A plane vector y = c R x: the best c and angle in closed form, as one complex number."""
    plane = SO2().irreps(1)[1]
    x, y = torch.randn(2, 30, 2, dtype=torch.float64)
    c = (torch.view_as_complex(x).conj() * torch.view_as_complex(y)).sum() / x.square().sum()
    expected = torch.stack([torch.stack([c.real, -c.imag]), torch.stack([c.imag, c.real])])
    A = lstsq(x, y, plane, plane)
    torch.testing.assert_close(A, expected)


class TestBadInput:
    rep = CyclicGroup(3).regular_representation

    @pytest.mark.parametrize(
        "options",
        [{"ridge": -1.0}, {"rcond": -1.0}, {"rcond": float("nan")}, {"rcond": 1}, {"rcond": "a"}, {"ridge": "a"}],
    )
    def test_options(self, options):
        with pytest.raises(OptionError, match=r"(ridge|rcond) must be a number of at least 0.*, got"):
            lstsq(torch.zeros(5, 3), torch.zeros(5, 3), self.rep, self.rep, **options)

    def test_data(self):
        x = torch.zeros(5, 3)
        with pytest.raises(NonFiniteError, match=r"^y must be finite"):
            lstsq(x, x + float("inf"), self.rep, self.rep)
        with pytest.raises(ShapeError, match=r"^y must have shape \(N, D\)"):
            lstsq(x, x[:, :2], self.rep, self.rep)

    def test_steps_are_paired_with_steps(self):
        with pytest.raises(ShapeError, match=r"got \(5, 3, 4\) and \(4, 3, 5\)"):
            lstsq(torch.zeros(5, 3, 4), torch.zeros(4, 3, 5), self.rep, self.rep)
        with pytest.raises(ShapeError, match=r"got \(5, 3, 4\) and \(20, 3\)"):
            lstsq(torch.zeros(5, 3, 4), torch.zeros(20, 3), self.rep, self.rep)

    def test_representation(self):
        with pytest.raises(RepresentationError, match=r"representation of y must be .*, got NoneType"):
            lstsq(torch.zeros(5, 3), torch.zeros(5, 3), self.rep, None)

    def test_zero_data_give_the_zero_map(self):
        assert lstsq(torch.zeros(5, 3), torch.ones(5, 3), self.rep, self.rep).abs().max() == 0

    def test_nothing_in_common(self):
        C3 = CyclicGroup(3)
        trivial, rotation = C3.irreps()
        assert torch.equal(lstsq(torch.ones(4, 1), torch.ones(4, 2), trivial, rotation), torch.zeros(2, 1))
