"""The equivariant Gaussian, against closed forms."""

import numpy as np
import pytest
import torch

from isospan.errors import OptionError, ShapeError
from isospan.groups import SO3, CyclicGroup, DihedralGroup, QuaternionGroup
from isospan.nn import MultivariateNormal
from isospan.representations import change_of_basis, direct_sum


def in_random_basis(rep):
    return change_of_basis(rep, np.linalg.qr(np.random.default_rng(0).normal(size=(rep.size, rep.size)))[0])


REPS = {
    "permutation": DihedralGroup(3).regular_representation,
    "Q8": in_random_basis(direct_sum([QuaternionGroup().irrep(4), QuaternionGroup().irrep(1)])),
    "SO3": in_random_basis(direct_sum([SO3().irrep(1), SO3().irrep(0)])),
}


@pytest.fixture(params=REPS)
def rep(request):
    return REPS[request.param]


@pytest.fixture(params=["diagonal", "full"])
def gaussian(request, rep):
    return MultivariateNormal(rep, request.param).double()


def parameters(gaussian, n=4):
    return torch.randn(n, gaussian.rep_in.size, dtype=torch.float64)


def test_log_probability_is_constant_on_orbits(gaussian):
    x = parameters(gaussian)
    y = torch.randn(4, gaussian.rep_out.size, dtype=torch.float64)
    rng = np.random.default_rng(0)
    for _ in range(3):
        g = gaussian.rep_in.group.sample(generator=rng)
        gx, gy = x @ torch.tensor(gaussian.rep_in(g)).T, y @ torch.tensor(gaussian.rep_out(g)).T
        torch.testing.assert_close(gaussian(gx).log_prob(gy), gaussian(x).log_prob(y))


def test_covariance_has_its_closed_form(gaussian):
    rep, x = gaussian.rep_out, parameters(gaussian)
    mean, rest = x[:, : rep.size], x[:, rep.size :]
    if gaussian.covariance == "diagonal":
        Q = torch.tensor(rep.change_of_basis)
        variances = rest.exp().repeat_interleave(torch.tensor([irrep.size for irrep in rep.irreps]), dim=-1)
        expected = Q @ torch.diag_embed(variances) @ Q.T
    else:
        rows, columns = np.triu_indices(rep.size)
        M = torch.zeros(4, rep.size, rep.size, dtype=torch.float64)
        M[:, rows, columns] = rest / torch.where(torch.tensor(rows == columns), 1.0, 2**0.5)
        values, V = torch.linalg.eigh(M, UPLO="U")
        expected = V @ torch.diag_embed(values.exp()) @ V.mT
    torch.testing.assert_close(gaussian(x).covariance_matrix, expected)
    torch.testing.assert_close(gaussian(x).mean, mean)


def test_samples_are_equivariant_in_distribution():
    """Mean and covariance of samples at g x are those at x, moved; 40000 samples, an error of about 1/200."""
    rep = REPS["permutation"]
    gaussian = MultivariateNormal(rep, "full").double()
    x, g = 0.3 * parameters(gaussian, 1)[0], rep.group.generators[0]
    M = torch.tensor(rep(g))
    at_x, at_gx = gaussian(x), gaussian(torch.tensor(gaussian.rep_in(g)) @ x)
    samples = at_gx.sample((40000,))
    torch.testing.assert_close(samples.mean(0), M @ at_x.mean, rtol=0, atol=0.05)
    torch.testing.assert_close(samples.T.cov(), M @ at_x.covariance_matrix @ M.T, rtol=0, atol=0.15)


def test_gradients_are_finite_where_eigenvalues_repeat(gaussian):
    x = torch.zeros(2, gaussian.rep_in.size, dtype=torch.float64, requires_grad=True)
    y = torch.randn(2, gaussian.rep_out.size, dtype=torch.float64)
    gaussian(x).log_prob(y).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().min() > 0 or gaussian.covariance == "full"


def test_gradient_is_that_of_finite_differences(gaussian):
    x = parameters(gaussian, 1).requires_grad_()
    y = torch.randn(1, gaussian.rep_out.size, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: gaussian(x).log_prob(y), (x,))


def test_spread_variances_keep_their_digits_in_single_precision():
    """A Cholesky decomposition of Σ itself fails from a ratio of 1e7 of variances on."""
    rep = REPS["SO3"]
    gaussian = MultivariateNormal(rep)
    x = torch.zeros(gaussian.rep_in.size)
    x[rep.size :] = torch.tensor([-12.0, 12.0])
    exact = gaussian.double()(x.double()).log_prob(torch.zeros(rep.size, dtype=torch.float64))
    torch.testing.assert_close(gaussian.float()(x).log_prob(torch.zeros(rep.size)).double(), exact, rtol=1e-3, atol=0)


@pytest.mark.parametrize("spread", [0, 12, 30, 60])
def test_full_covariance_is_right_at_any_spread_in_single_precision(rep, spread):
    """Log-variances in double precision, in random directions."""
    gaussian, n = MultivariateNormal(rep, "full"), rep.size
    V = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64)).Q
    M = V @ torch.diag(torch.linspace(-spread / 2, spread / 2, n, dtype=torch.float64)) @ V.T
    rows, columns = np.triu_indices(n)
    coordinates = M[rows, columns] * torch.where(torch.tensor(rows == columns), 1.0, 2**0.5)
    x, y = torch.cat([torch.randn(n), coordinates.float()]), torch.randn(n)
    values, V = torch.linalg.eigh(M)
    distance = (V.T @ (y - x[:n]).double()).square() @ (-values).exp()
    expected = -(distance + values.sum() + n * np.log(2 * np.pi)) / 2
    torch.testing.assert_close(gaussian(x).log_prob(y).double(), expected, rtol=1e-4, atol=0)
    mean, L = gaussian.mean_and_scale_tril(x)
    factor = torch.distributions.MultivariateNormal(mean, scale_tril=L)
    torch.testing.assert_close(factor.log_prob(y).double(), expected, rtol=1e-2, atol=0)


def test_an_empty_batch_is_a_batch(gaussian):
    x = parameters(gaussian, 0).requires_grad_()
    y = torch.randn(0, gaussian.rep_out.size, dtype=torch.float64)
    distribution = gaussian(x)
    assert distribution.log_prob(y).shape == distribution.entropy().shape == (0,)
    assert distribution.rsample((3,)).shape == (3, *y.shape)
    assert distribution.covariance_matrix.shape == (*y.shape, y.shape[-1])
    distribution.log_prob(y).sum().backward()
    assert x.grad.shape == x.shape


def test_what_cannot_be_is_named():
    rep = CyclicGroup(3).regular_representation
    with pytest.raises(OptionError, match=r"'isotropic'.*'diagonal', 'full'"):
        MultivariateNormal(rep, "isotropic")
    with pytest.raises(ShapeError, match="D = 5"):
        MultivariateNormal(rep)(torch.zeros(2, 3))
