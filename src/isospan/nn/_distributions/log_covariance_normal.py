"""The Gaussian of a given logarithm of its covariance."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.utils import lazy_property

from isospan._core.autocast import full_precision
from isospan.errors import NonFiniteError
from isospan.linalg import matrix_exp


class LogCovarianceNormal(torch.distributions.MultivariateNormal):
    r"""torch's multivariate normal with covariance :math:`\Sigma = e^M`, accurate where variances differ greatly.

    In Σ, small variances lose their digits beside large ones. So densities and samples are computed from exponentials
    of M,

    .. math:: -2 \log p(y) = \| e^{-M/2} (y - \mu) \|^2 + \operatorname{tr} M + n \log 2 \pi , \qquad
              y = \mu + e^{M/2} \varepsilon ,

    whose errors are about those of rounding M and y to their type. If the ratio of the variances is :math:`e^s`,
    rounding y changes it by :math:`\epsilon e^{s/2}` standard deviations where y varies least, with ε = 6e-8 in float32
    and 1e-16 in float64. So log-probabilities of samples have three digits up to s = 20 in float32 and 60 in float64.
    Those of y far from the mean have nearly all digits, up to overflow. Entries of Σ and Σ⁻¹ are accurate relative to
    the largest one.

    Args:
        loc: the mean (..., n).
        log_covariance: the symmetric M (..., n, n), whose leading dimensions broadcast to those of loc.
        validate_args: whether torch checks arguments and samples; by default it does.

    Raises:
        NonFiniteError: an exponential of ±M/2 overflows where it is used, as those of log-variances beyond 177 in
            float32 and 1419 in float64 do. Where arguments are not validated, the result is NaN or infinite.
        ValueError: loc or M have NaN.

    Example:
        >>> gaussian = LogCovarianceNormal(torch.zeros(2), torch.tensor([[0.0, 20.0], [20.0, 0.0]]))
        >>> gaussian.log_prob(torch.zeros(2)), gaussian.entropy()
        (tensor(-1.8379), tensor(2.8379))
    """

    loc: Tensor
    log_covariance: Tensor
    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "loc": constraints.real_vector,
        "log_covariance": constraints.independent(constraints.real, 2),
    }

    def __init__(self, loc: Tensor, log_covariance: Tensor, validate_args: bool | None = None) -> None:
        self.loc, self.log_covariance = loc, log_covariance
        # torch's own would ask for a factor
        super(torch.distributions.MultivariateNormal, self).__init__(loc.shape[:-1], loc.shape[-1:], validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "LogCovarianceNormal":
        """Return the same Gaussians with batch dimensions expanded to ``batch_shape``."""
        loc = self.loc.expand(*batch_shape, *self.event_shape)
        expanded = type(self)(loc, self.log_covariance, validate_args=False)
        expanded._validate_args = self._validate_args
        return expanded

    @lazy_property
    def root(self) -> Tensor:
        """exp(M/2) (..., n, n), of which Σ is the square."""
        return self._exponential(self.log_covariance / 2)

    @lazy_property
    def inverse_root(self) -> Tensor:
        """exp(-M/2) (..., n, n), of which Σ⁻¹ is the square."""
        return self._exponential(-self.log_covariance / 2)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """Σ (..., n, n)."""
        return self._expanded(self._squared(self.root))

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """Σ⁻¹ (..., n, n)."""
        return self._expanded(self._squared(self.inverse_root))

    @lazy_property
    def _unbroadcasted_scale_tril(self) -> Tensor:
        """Cholesky's factor, which torch's ``scale_tril`` and divergences take."""
        with full_precision(self.loc):
            return cholesky_of_root(graded_root(self.log_covariance))

    @property
    def variance(self) -> Tensor:
        """The diagonal of Σ (..., n)."""
        return self.root.square().sum(-1).expand(self.loc.shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw samples ``(*sample_shape, ..., n)``, which have gradients."""
        noise = torch.randn(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self._product(self.root, noise)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(y) of values (..., n)."""
        if self._validate_args:
            self._validate_sample(value)
        distance = self._product(self.inverse_root, value - self.loc).square().sum(-1)
        return -(distance + self._log_determinant + self.loc.shape[-1] * math.log(2 * math.pi)) / 2

    def entropy(self) -> Tensor:
        """Return the entropy (...)."""
        constant = self.loc.shape[-1] * (1 + math.log(2 * math.pi))
        return ((self._log_determinant + constant) / 2).expand(self.batch_shape)

    @property
    def _log_determinant(self) -> Tensor:
        return self.log_covariance.diagonal(dim1=-2, dim2=-1).sum(-1)

    def _exponential(self, X: Tensor) -> Tensor:
        with full_precision(X):
            exponential = matrix_exp(X)
        if self._validate_args and not torch._is_all_true(torch.isfinite(exponential)):
            raise NonFiniteError(
                f"Exponentials of ±M/2 must be finite in {X.dtype}, got M with entries up to "
                f"{2 * float(X.detach().abs().max()):.3g}. Bound what computes M, or use float64."
            )
        return exponential

    def _squared(self, root: Tensor) -> Tensor:
        with full_precision(root):
            return root @ root.mT

    def _product(self, matrix: Tensor, vectors: Tensor) -> Tensor:
        # many samples of one Gaussian are one product of matrices, where matmul would copy the matrix for each
        with full_precision(matrix):
            return torch.einsum("...ij,...j->...i", matrix, vectors.to(matrix.dtype))

    def _expanded(self, matrix: Tensor) -> Tensor:
        return matrix.expand(*self.batch_shape, -1, -1)


def graded_root(M: Tensor) -> Tensor:
    r"""A root of :math:`e^M = A A^\top` whose columns have their own digits, from the largest variance to the smallest.

    It is :math:`A = V e^{(\Lambda + V^\top (M - M_0) V) / 2}` at :math:`M = M_0 = V \Lambda V^\top`, where V, Λ and M_0
    are constants. Eigenvectors have no derivative where eigenvalues repeat, but A has all derivatives.

    Example:
        >>> graded_root(torch.diag(torch.tensor([0.0, 4.0]))).abs()
        tensor([[0.0000, 1.0000],
                [7.3891, 0.0000]])
    """
    M0 = M.detach()
    values, V = torch.linalg.eigh(M0.nan_to_num(0.0, 0.0, 0.0))  # which refuses NaN; the difference below is NaN then
    values, V = values.flip(-1), V.flip(-1)
    return V @ matrix_exp((torch.diag_embed(values) + V.mT @ (M - M0) @ V) / 2)


def cholesky_of_root(A: Tensor) -> Tensor:
    """The Cholesky factor of A Aᵀ (..., D, D), from the QR decomposition of Aᵀ: no digits are lost by squaring.

    Example:
        >>> cholesky_of_root(torch.tensor([[0.0, -2.0], [1.0, 0.0]])).abs()
        tensor([[2., 0.],
                [0., 1.]])
    """
    R = torch.linalg.qr(A.mT).R
    signs = torch.where(R.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0)
    return (R * signs.unsqueeze(-1)).mT.to(A.dtype)
