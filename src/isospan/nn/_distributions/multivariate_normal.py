"""Gaussians whose mean and covariance transform with their input."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan._core.checks import check_choice
from isospan.nn._base.layer import Constants, Device, Layer, check_features, to_device
from isospan.nn._bases import IrrepBasisLayer
from isospan.nn._distributions.log_covariance_normal import LogCovarianceNormal, cholesky_of_root, graded_root
from isospan.representations import Representation, symmetric_square

Covariance = Literal["diagonal", "full"]


class MultivariateNormal(Layer):
    r"""The Gaussian of parameters that an equivariant network computes: :math:`p(\rho(g) y \mid g x) = p(y \mid x)`.

    Its input consists of the mean and the parameters of the covariance,

    .. math:: \Sigma = Q \operatorname{diag}(e^{w}) \, Q^\top
              \qquad \text{or} \qquad \Sigma = \exp(M), \quad M = M^\top .

    ``"diagonal"`` takes an invariant log-variance w for every copy of every irrep: Σ is diagonal in the irrep basis Q.
    ``"full"`` takes the symmetric matrix M, which transforms as ``symmetric_square(rep_y)``, and gives any positive Σ.
    Its distribution is a :class:`LogCovarianceNormal`, which documents its accuracy. Both are computed in the basis of
    y, in float32 or float64, also under autocast.

    Args:
        rep_y: representation of y.
        covariance: "diagonal" or "full".
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        rep_in: representation of the input: rep_y plus the log-variances, or plus ``symmetric_square(rep_y)``.
        rep_out: rep_y.

    Shapes:
        parameters (..., rep_in.size) to a distribution of batch shape (...) and event shape (rep_y.size,).

    Raises:
        OptionError: another covariance.
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.
        NonFiniteError: the "full" covariance or its inverse overflows; the "diagonal" one is a ValueError of torch's.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> gaussian = MultivariateNormal(CyclicGroup(4).regular_representation)
        >>> gaussian.rep_in.size
        7
        >>> gaussian(torch.zeros(5, 7)).covariance_matrix[0].diagonal().round(decimals=4)
        tensor([1., 1., 1., 1.])
    """

    def __init__(
        self,
        rep_y: Representation,
        covariance: Covariance = "diagonal",
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(rep_y)
        check_choice(covariance, ("diagonal", "full"), what="covariance")
        self.covariance = covariance
        self.roots: DiagonalRoot | LogCovariance = (
            DiagonalRoot(rep_y) if covariance == "diagonal" else LogCovariance(rep_y)
        )
        self.rep_in: Representation = rep_y + self.roots.rep_in
        self._sizes = rep_y.size, self.roots.rep_in.size
        to_device(self, device, dtype)

    def forward(self, x: Tensor) -> torch.distributions.MultivariateNormal:
        """Return the Gaussian of parameters (..., rep_in.size)."""
        mean, matrix = self._mean_and_matrix(x)
        if not x.numel():  # torch's own checks and distances fail for an empty batch, where any M is as good
            return LogCovarianceNormal(mean, matrix, validate_args=False)
        if self.covariance == "full":
            return LogCovarianceNormal(mean, matrix)
        return torch.distributions.MultivariateNormal(mean, scale_tril=self._scale_tril(matrix))

    def mean_and_scale_tril(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean (..., D) and the Cholesky factor (..., D, D) of Σ: tensors alone, for tracing."""
        mean, matrix = self._mean_and_matrix(x)
        return mean, self._scale_tril(matrix)

    def _mean_and_matrix(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean, and A with Σ = A Aᵀ or the logarithm M of Σ."""
        check_features(x, sum(self._sizes))
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        mean, parameters = x.split(self._sizes, dim=-1)
        with full_precision(x):
            return mean, self.roots(parameters)

    def _scale_tril(self, matrix: Tensor) -> Tensor:
        with full_precision(matrix):
            return cholesky_of_root(graded_root(matrix) if self.covariance == "full" else matrix)


class DiagonalRoot(IrrepBasisLayer):
    """A with Σ = A Aᵀ, diagonal in the symmetry-adapted basis: Q diag(e^(w/2)) of log-variances w (..., copies).

    Example:
        >>> from isospan.groups import SO2
        >>> DiagonalRoot(SO2().irrep(1))(torch.zeros(1))
        tensor([[1., 0.],
                [0., 1.]])
    """

    def __init__(self, rep: Representation) -> None:
        super().__init__(rep)
        self.rep_in: Representation = len(rep.irreps) * rep.group.trivial_representation

    def forward(self, log_variances: Tensor) -> Tensor:
        """Return A (..., D, D)."""
        scales = (log_variances / 2).exp().index_select(-1, self.copy_index)
        return self.change.inverse(torch.diag_embed(scales)).mT


class LogCovariance(Constants):
    """The symmetric matrix M (..., D, D) of coordinates in symmetric_square(rep).

    Example:
        >>> from isospan.groups import SO2
        >>> LogCovariance(SO2().irrep(1))(torch.tensor([1.0, 0.0, 2.0]))
        tensor([[1., 0.],
                [0., 2.]])
    """

    index: Tensor
    weights: Tensor

    def __init__(self, rep: Representation) -> None:
        super().__init__()
        self.rep_in: Representation = symmetric_square(rep)
        upper, index = np.triu_indices(rep.size), np.zeros((rep.size, rep.size), dtype=np.int64)
        index[upper] = index.T[upper] = np.arange(len(upper[0]))
        self.register_constant("index", index)
        # off-diagonal coordinates of a symmetric matrix are √2 times its entries
        self.register_constant("weights", np.where(np.eye(rep.size), 1.0, np.sqrt(0.5)))

    def forward(self, coordinates: Tensor) -> Tensor:
        """Return M."""
        return coordinates[..., self.index] * self.weights.to(coordinates.dtype)
