"""Statistics equal those of the group-augmented data set."""

import pytest
import torch

from isospan.errors import (
    DegenerateDataError,
    DtypeError,
    GroupMismatchError,
    NonFiniteError,
    OptionError,
    RepresentationError,
    ShapeError,
)
from isospan.groups import SO3, CyclicGroup
from isospan.symmetric import _statistics, cov, mean, var, var_mean

from .conftest import CASES, augmented, matrices


def pytest_generate_tests(metafunc):
    if {"rep_x", "rep_y"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("rep_x", "rep_y"), CASES)


def data(rep_x, rep_y, N):
    """Correlated samples with a mean, float64."""
    x = torch.randn(N, rep_x.size, dtype=torch.float64) + torch.arange(rep_x.size)
    y = 3 + x @ torch.randn(rep_x.size, rep_y.size, dtype=torch.float64) + torch.randn(N, rep_y.size)
    return x, y


@pytest.mark.parametrize("N", [2, 30])
def test_covariance_is_that_of_the_augmented_data(rep_x, rep_y, N):
    x, y = data(rep_x, rep_y, N)
    gx, gy = augmented(x, rep_x), augmented(y, rep_y)
    order = rep_x.group.order()
    expected = (gy - gy.mean(0)).T @ (gx - gx.mean(0)) / (order * (N - 1))
    C = cov(x, y, rep_x, rep_y)
    torch.testing.assert_close(C, expected, rtol=1e-10, atol=1e-10 * float(expected.abs().max()))
    for Mx, My in zip(matrices(rep_x), matrices(rep_y), strict=True):
        torch.testing.assert_close(My @ C, C @ Mx, rtol=0, atol=1e-10 * float(C.abs().max()))


@pytest.mark.parametrize("correction", [0, 1])
def test_the_covariance_of_one_signal_takes_its_representation_by_keyword(rep_x, rep_y, correction):
    x, _ = data(rep_x, rep_y, 9)
    gx = augmented(x, rep_x)
    expected = (gx - gx.mean(0)).T @ (gx - gx.mean(0)) / (rep_x.group.order() * (9 - correction))
    C = cov(x, rep_x=rep_x, correction=correction)
    torch.testing.assert_close(C, expected, rtol=0, atol=1e-10 * float(expected.abs().max()))
    assert torch.equal(C, cov(x, rep_x, correction=correction))
    single = cov(x.float(), rep_x=rep_x, correction=correction)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_both_ways_to_the_covariance_agree(rep_x, rep_y, monkeypatch):
    x, y = data(rep_x, rep_y, 20)
    results = []
    for pay in (True, False):
        monkeypatch.setattr(_statistics, "_blocks_pay", lambda *args, pay=pay: pay)
        results.append((cov(x, y, rep_x, rep_y), cov(x, rep_x)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12 * float(b.abs().max()))


def test_variance_and_mean_are_those_of_the_augmented_data(rep_x, rep_y):
    x, _ = data(rep_x, rep_y, 7)
    gx = augmented(x, rep_x)
    variance, mu = var_mean(x, rep_x)
    scale = float(gx.abs().max())
    torch.testing.assert_close(mu, gx.mean(0), rtol=0, atol=1e-12 * scale)
    torch.testing.assert_close(variance, gx.var(0, correction=0) * 7 / 6, rtol=0, atol=1e-12 * scale**2)
    torch.testing.assert_close(variance, cov(x, rep_x).diagonal(), rtol=0, atol=1e-11 * scale**2)
    assert torch.equal(var(x, rep_x), variance)
    assert torch.equal(mean(x, rep_x), mu)


def test_every_step_of_a_signal_is_a_sample(rep_x, rep_y):
    x = torch.randn(4, rep_x.size, 5, dtype=torch.float64)
    y = torch.randn(4, rep_y.size, 5, dtype=torch.float64)
    rows_x, rows_y = (t.permute(0, 2, 1).reshape(20, -1) for t in (x, y))
    torch.testing.assert_close(var_mean(x, rep_x), var_mean(rows_x, rep_x))
    torch.testing.assert_close(cov(x, y, rep_x, rep_y), cov(rows_x, rows_y, rep_x, rep_y))


def test_precisions_may_alternate(rep_x, rep_y):
    x, y = data(rep_x, rep_y, 12)
    exact = cov(x, y, rep_x, rep_y)
    single = cov(x.float(), y.float(), rep_x, rep_y)
    assert single.dtype == torch.float32
    scale = float(exact.abs().max())
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=1e-5 * scale)  # float32 rounding of 1e2-1e3 terms
    assert torch.equal(cov(x, y, rep_x, rep_y), exact)
    assert cov(x.bfloat16(), y.bfloat16(), rep_x, rep_y).dtype == torch.float32
    assert cov(x.float(), y, rep_x, rep_y).dtype == torch.float64


def test_gradients(rep_x, rep_y):
    x, y = data(rep_x, rep_y, 3)
    x.requires_grad_()
    weights = torch.randn(rep_y.size, rep_x.size, dtype=torch.float64)
    (grad,) = torch.autograd.grad((cov(x, y, rep_x, rep_y) * weights).sum(), x)
    gx = torch.stack([x @ M.T for M in matrices(rep_x)])
    gy = torch.stack([y @ M.T for M in matrices(rep_y)])
    brute = torch.einsum("gni,gnj->ij", gy - gy.mean((0, 1)), gx - gx.mean((0, 1))) / (2 * len(gx))
    (expected,) = torch.autograd.grad((brute * weights).sum(), x, retain_graph=True)
    torch.testing.assert_close(grad, expected, rtol=0, atol=1e-10 * float(expected.abs().max()))
    (grad,) = torch.autograd.grad(var(x, rep_x).sum(), x)
    (expected,) = torch.autograd.grad((gx - gx.mean((0, 1))).square().sum() / (2 * len(gx)), x)
    torch.testing.assert_close(grad, expected, rtol=0, atol=1e-10 * float(expected.abs().max()))


@pytest.mark.parametrize(("a", "b"), [(1e-30, 1e-5), (1e-19, 1e-19), (1e18, 1e18), (1e24, 1e12), (1e-30, 1e30)])
@pytest.mark.parametrize("N", [5, 500])
def test_results_are_right_where_their_squares_overflow_or_underflow(N, a, b):
    """float32 holds numbers from 1e-38 to 3e38; sums of squares of the data leave this range before the means do."""
    rep = CyclicGroup(8).regular_representation
    x, y = data(rep, rep, N)
    gx, gy = (augmented(z, rep) for z in (x, y))
    gx, gy = gx - gx.mean(0), gy - gy.mean(0)
    scatter, small = gy.T @ gx / (8 * (N - 1)), 1e-5 * float(gx.square().mean() * gy.square().mean()) ** 0.5
    ours = cov((a * x).float(), (b * y).float(), rep, rep).double() / (a * b)
    torch.testing.assert_close(ours, scatter, rtol=0, atol=small)
    torch.testing.assert_close(mean((a * x).float(), rep).double() / a, augmented(x, rep).mean(0), rtol=1e-5, atol=1e-5)
    if a == b:
        expected = gx.square().sum(0) / (8 * (N - 1))
        torch.testing.assert_close(var((a * x).float(), rep).double() / a**2, expected, rtol=1e-5, atol=0)


def test_rotations_of_space():
    """Vectors in three dimensions: the covariance is a multiple of the identity, by Schur's lemma."""
    vector = SO3().irreps(1)[1]
    x = torch.randn(50, 3, dtype=torch.float64)
    expected = torch.eye(3, dtype=torch.float64) * x.square().sum() / 3 / 49
    torch.testing.assert_close(cov(x, vector), expected)
    assert mean(x, vector).abs().max() == 0


class TestBadInput:
    rep = CyclicGroup(3).regular_representation

    def test_shape(self):
        with pytest.raises(ShapeError, match=r"D = 3, the size of 'regular', got \(5, 4\)"):
            mean(torch.zeros(5, 4), self.rep)
        with pytest.raises(ShapeError, match=r"as many samples.* got \(5, 3\) and \(4, 3\)"):
            cov(torch.zeros(5, 3), torch.zeros(4, 3), self.rep, self.rep)

    def test_number_of_samples(self):
        with pytest.raises(DegenerateDataError, match="no samples"):
            mean(torch.zeros(0, 3), self.rep)
        with pytest.raises(DegenerateDataError, match="1 samples with correction 1"):
            var_mean(torch.zeros(1, 3), self.rep)
        assert var(torch.tensor([[1.0, 2.0, 3.0]]), self.rep, correction=0)[0] == pytest.approx(2 / 3)

    def test_values(self):
        with pytest.raises(NonFiniteError, match="1 NaN"):
            var_mean(torch.tensor([[1.0, float("nan"), 2.0]] * 2)[:, :].index_fill(0, torch.tensor([1]), 0.0), self.rep)

    def test_groups(self):
        other = CyclicGroup(4).regular_representation
        with pytest.raises(GroupMismatchError, match="of one group"):
            cov(torch.zeros(5, 3), torch.zeros(5, 4), self.rep, other)

    @pytest.mark.parametrize("correction", ["a", -100, float("nan"), True])
    def test_correction(self, correction):
        for f in (var, cov):
            with pytest.raises(OptionError, match="correction must be a number of at least 0, got"):
                f(torch.zeros(5, 3), self.rep, correction=correction)

    def test_representation(self):
        with pytest.raises(RepresentationError, match=r"representation of x must be .*, got NoneType"):
            mean(torch.zeros(5, 3), None)

    def test_two_representations_and_one_signal(self):
        with pytest.raises(TypeError, match=r"cov takes \(x, rep_x\), or"):
            cov(torch.zeros(5, 3), self.rep, self.rep)

    def test_missing_representation(self):
        with pytest.raises(TypeError, match=r"cov takes \(x, rep_x\), or"):
            cov(torch.zeros(5, 3), torch.zeros(5, 3))
        with pytest.raises(TypeError, match=r"cov takes \(x, rep_x\), or"):
            cov(torch.zeros(5, 3), rep_x=self.rep, rep_y=self.rep)

    @pytest.mark.parametrize("x", [torch.ones(5, 3, dtype=torch.bool), torch.ones(5, 3, dtype=torch.int64)])
    def test_samples_that_are_no_real_numbers(self, x):
        for f in (mean, var, cov):
            with pytest.raises(DtypeError, match=r"^x must be floating point, got torch\.(bool|int64)"):
                f(x, rep_x=self.rep)
