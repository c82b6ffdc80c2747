"""The Gaussian of a log-covariance, against eigenvalues in double precision."""

import math
import pickle

import pytest
import torch

from isospan.errors import NonFiniteError
from isospan.nn._distributions.log_covariance_normal import LogCovarianceNormal

# torch's derivatives along directions, and its tracing of a function with its own gradient, use what it deprecates
pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]
SPREADS = {torch.float32: (0, 10, 20, 30, 40, 60, 150), torch.float64: (0, 20, 40, 60, 100, 200, 1200)}
CASES = [(dtype, spread) for dtype, spreads in SPREADS.items() for spread in spreads]
WIDE = pytest.mark.parametrize(("dtype", "spread"), CASES)


def rotated(values):
    """A symmetric matrix of these eigenvalues, and its eigenvectors."""
    V = torch.linalg.qr(torch.randn(len(values), len(values), dtype=torch.float64)).Q
    M = V @ torch.diag(values) @ V.T
    return (M + M.T) / 2, V


def wide(spread, n=5):
    return rotated(torch.linspace(-spread / 2, spread / 2, n, dtype=torch.float64))


def normal(n):
    return torch.randn(n, dtype=torch.float64)


def log_density(M, y):
    values, V = torch.linalg.eigh(M.double())
    distance = ((V.T @ y.double()) * (-values / 2).exp()).square().sum()
    return -(distance + values.sum() + len(y) * math.log(2 * math.pi)) / 2


@WIDE
def test_log_probability_has_its_digits_at_any_spread(dtype, spread):
    M, y = wide(spread)[0].to(dtype), normal(5).to(dtype)
    gaussian = LogCovarianceNormal(torch.zeros_like(y), M)
    expected = log_density(M, y)
    if expected.abs() > torch.finfo(dtype).max:
        assert gaussian.log_prob(y) == -math.inf
        return
    # rounding M, of norm spread / 2, moves exp(M) by as much
    error = max(spread, 20) * 10 * torch.finfo(dtype).eps
    torch.testing.assert_close(gaussian.log_prob(y).double(), expected, rtol=error, atol=0)


def moved_by_rounding(dtype, spread):
    """Standard deviations of the narrowest direction, eps e^(s/2) for spread s, by which rounding y moves it."""
    return 3 * max(spread, 4) * torch.finfo(dtype).eps * math.exp(min(spread, 200) / 2)


@pytest.mark.parametrize(("dtype", "spread"), [case for case in CASES if moved_by_rounding(*case) <= 0.5])
def test_typical_samples_are_as_probable_as_their_rounding_allows(dtype, spread):
    M, V = wide(spread)
    z = normal(5)
    y = V @ (torch.linalg.eigvalsh(M).exp().sqrt() * z)
    gaussian = LogCovarianceNormal(torch.zeros(5, dtype=dtype), M.to(dtype))
    expected = -(z.square().sum() + M.trace() + 5 * math.log(2 * math.pi)) / 2
    torch.testing.assert_close(
        gaussian.log_prob(y.to(dtype)).double(), expected, rtol=0, atol=4 * moved_by_rounding(dtype, spread)
    )


@pytest.mark.parametrize(("dtype", "spread"), [case for case in CASES if case[1] <= 150])
def test_cholesky_factor_has_its_digits_at_any_spread(dtype, spread):
    """As torch's log-probability of that factor has, and the divergence from another Gaussian."""
    M, y = wide(spread)[0].to(dtype), normal(5).to(dtype)
    gaussian = LogCovarianceNormal(torch.zeros_like(y), M)
    torch_s = torch.distributions.MultivariateNormal(gaussian.loc, scale_tril=gaussian.scale_tril)
    expected = log_density(M, y)
    if expected.abs() < torch.finfo(dtype).max:
        torch.testing.assert_close(torch_s.log_prob(y).double(), expected, rtol=1e5 * torch.finfo(dtype).eps, atol=0)
    torch.testing.assert_close(torch_s.entropy(), gaussian.entropy(), rtol=1e-4, atol=1e-4)
    standard = torch.distributions.MultivariateNormal(gaussian.loc, torch.eye(5, dtype=dtype))
    values = torch.linalg.eigvalsh(M.double())
    divergence = (values.exp().sum() - 5 - values.sum()) / 2
    torch.testing.assert_close(
        torch.distributions.kl_divergence(gaussian, standard).double(), divergence, rtol=1e-4, atol=1e-4
    )


def test_moments_are_exponentials():
    M, _ = wide(8)
    gaussian = LogCovarianceNormal(normal(5), M)
    S = torch.linalg.matrix_exp(M)
    torch.testing.assert_close(gaussian.covariance_matrix, S)
    torch.testing.assert_close(gaussian.precision_matrix, S.inverse())
    torch.testing.assert_close(gaussian.variance, S.diagonal())
    torch.testing.assert_close(gaussian.scale_tril, torch.linalg.cholesky(S))
    torch.testing.assert_close(gaussian.stddev, S.diagonal().sqrt())
    theirs = torch.distributions.MultivariateNormal(gaussian.loc, S)
    torch.testing.assert_close(gaussian.entropy(), theirs.entropy())
    other = torch.distributions.MultivariateNormal(normal(5), rotated(normal(5))[0].matrix_exp())
    for pair, same in (((gaussian, other), (theirs, other)), ((other, gaussian), (other, theirs))):
        torch.testing.assert_close(torch.distributions.kl_divergence(*pair), torch.distributions.kl_divergence(*same))


def test_samples_have_the_moments():
    """40000 samples, an error of about 1/200 of every standard deviation."""
    M, V = wide(12, n=3)
    gaussian = LogCovarianceNormal(normal(3), M)
    standard = (gaussian.sample((40000,)) - gaussian.loc) @ V * (-torch.linalg.eigvalsh(M) / 2).exp()
    torch.testing.assert_close(standard.mean(0), torch.zeros_like(gaussian.loc), rtol=0, atol=0.03)
    torch.testing.assert_close(standard.T.cov(), torch.eye(3, dtype=torch.float64), rtol=0, atol=0.05)


def matrices():
    return {
        "zero": torch.zeros(4, 4, dtype=torch.float64),
        "repeated": rotated(torch.tensor([1.0, 1.0, -2.0, -2.0]).double())[0],
    }


@pytest.mark.parametrize("kind", ["zero", "repeated"])
@pytest.mark.parametrize(
    "what", ["log_prob", "entropy", "rsample", "covariance_matrix", "precision_matrix", "scale_tril"]
)
def test_derivatives_are_those_of_differences(kind, what):
    """Also where eigenvalues repeat, for which eigenvectors have none."""
    y = normal(4)

    def function(loc, T):
        torch.manual_seed(0)
        gaussian = LogCovarianceNormal(loc, (T + T.T) / 2)
        member = getattr(gaussian, what)
        return member(y) if what == "log_prob" else member() if callable(member) else member

    point = (normal(4).requires_grad_(), matrices()[kind].requires_grad_())
    assert torch.autograd.gradcheck(function, point, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, point)
    if what == "log_prob":
        torch.testing.assert_close(
            torch.func.hessian(function, 1)(*point),
            torch.autograd.functional.hessian(lambda T: function(point[0], T), point[1]),
        )


@pytest.mark.parametrize("spread", [0, 20, 40, 60])
def test_gradient_in_single_precision_is_that_in_double(spread):
    M, y = wide(spread)[0].float(), normal(5).float()
    single, double = M.requires_grad_(), M.detach().double().requires_grad_()
    LogCovarianceNormal(torch.zeros(5), single).log_prob(y).backward()
    LogCovarianceNormal(torch.zeros(5).double(), double).log_prob(y.double()).backward()
    error = 1e-4 * double.grad.abs().max().item()
    torch.testing.assert_close(single.grad.double(), double.grad, rtol=0, atol=error)


@pytest.mark.parametrize("values", [(-200.0, 0.0), (-1000.0, 1000.0)])
def test_what_overflows_is_named(values):
    M, y = rotated(torch.tensor(values).double())[0].float(), torch.zeros(2)
    with pytest.raises(NonFiniteError, match=r"finite in torch.float32.*entries up to.*float64"):
        LogCovarianceNormal(y, M, validate_args=True).log_prob(y)
    with pytest.raises(NonFiniteError, match=r"finite in torch.float32.*entries up to.*float64"):
        LogCovarianceNormal(y, -M, validate_args=True).sample()
    assert not LogCovarianceNormal(y, M, validate_args=False).log_prob(y).isfinite()
    assert not LogCovarianceNormal(y, -M, validate_args=False).sample().isfinite().any()


def test_what_is_not_a_number_stays_so():
    y, M = torch.zeros(2), torch.full((2, 2), math.nan)
    with pytest.raises(ValueError, match="log_covariance"):
        LogCovarianceNormal(y, M, validate_args=True)
    gaussian = LogCovarianceNormal(y, M, validate_args=False)
    assert gaussian.log_prob(y).isnan()
    assert gaussian.scale_tril.isnan().any()


def test_batches_broadcast_and_expand():
    M, y = torch.stack([wide(4)[0], wide(6)[0]]), torch.randn(7, 1, 2, 5, dtype=torch.float64)
    gaussian = LogCovarianceNormal(torch.randn(3, 2, 5, dtype=torch.float64), M)
    theirs = torch.distributions.MultivariateNormal(gaussian.loc, torch.linalg.matrix_exp(M))
    for a, b in ((gaussian, theirs), (gaussian.expand((6, 3, 2)), theirs.expand((6, 3, 2)))):
        assert (a.batch_shape, a.event_shape) == (b.batch_shape, b.event_shape)
        torch.testing.assert_close(a.log_prob(y[:, None]), b.log_prob(y[:, None]))
        for name in ("covariance_matrix", "precision_matrix", "scale_tril", "variance", "mean", "mode"):
            torch.testing.assert_close(getattr(a, name), getattr(b, name))
        torch.testing.assert_close(a.entropy(), b.entropy())
        assert a.rsample((9,)).shape == b.rsample((9,)).shape


def test_autocast_keeps_the_precision():
    M, y = wide(8)[0].float(), normal(5).float()
    gaussian = LogCovarianceNormal(torch.zeros(5), M)
    expected = log_density(M, y).float()
    with torch.autocast("cpu", torch.bfloat16):
        again = LogCovarianceNormal(torch.zeros(5), M)
        torch.testing.assert_close(again.log_prob(y), expected, rtol=1e-5, atol=0)
        torch.testing.assert_close(again.covariance_matrix, gaussian.covariance_matrix)
        torch.testing.assert_close(again.scale_tril, gaussian.scale_tril)


def test_it_is_pickled():
    gaussian = LogCovarianceNormal(normal(5), wide(4)[0])
    torch.testing.assert_close(pickle.loads(pickle.dumps(gaussian)).covariance_matrix, gaussian.covariance_matrix)
