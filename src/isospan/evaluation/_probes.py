"""Linear probes, fitted to the second moments of some data and scored on those of other data."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isospan.linalg import eigh, solve_gram, symmetric_spectrum
from isospan.moments import Moments
from isospan.subspaces import LatentSpace

SAMPLES_PER_INPUT = 2
"""Least number of samples for each input of a probe; with one, a probe fits noise."""


@dataclass(frozen=True, eq=False)
class Pair:
    r"""Second moments of the inputs x (K,) and the target y (P,) of a probe.

    Attributes:
        count: number of samples n.
        x_mean: :math:`\bar x` (K,).
        y_mean: :math:`\bar y` (P,).
        cov_xx: :math:`C_{xx}` (K, K).
        cov_xy: :math:`C_{xy}` (K, P).
        var_y: the diagonal of :math:`C_{yy}` (P,).
    """

    count: float
    x_mean: Tensor
    y_mean: Tensor
    cov_xx: Tensor
    cov_xy: Tensor
    var_y: Tensor

    @classmethod
    def of_latents(cls, moments: Moments, target: str, W: Tensor | None = None) -> "Pair":
        """Return the pair of latents, or of their coordinates in the rows of W (k, D), and a quantity.

        It is of the samples that have the quantity.
        """
        moments = moments.labelled(target) if moments.missing == "skip" else moments
        z_mean, C_zz, C_zy = moments.z_mean, moments.cov_zz, moments.cov_zy[target]
        if W is not None:
            z_mean, C_zz, C_zy = W @ z_mean, W @ C_zz @ W.mT, W @ C_zy
        return cls(float(moments.count), z_mean, moments.y_mean[target], C_zz, C_zy, moments.var_y[target])

    @classmethod
    def of_targets(cls, moments: Moments, target: str, source: str) -> "Pair":
        """Return the pair of two quantities; the moments must have the covariance of the targets.

        It is of the samples that have both.
        """
        if moments.missing == "skip" and source != target:
            both, P = moments.overlap(source, target), moments.target_dims[source]
            C = both.scatter_zz / both.count.clamp(min=torch.finfo(torch.float64).tiny)
            x_mean, y_mean = both.z_mean.split([P, len(both.z_mean) - P])
            return cls(float(both.count), x_mean, y_mean, C[:P, :P], C[:P, P:], C.diagonal()[P:])
        moments = moments.labelled(target) if moments.missing == "skip" else moments
        C, mean = moments.cov_yy, moments.y_mean
        return cls(
            float(moments.count),
            mean[source],
            mean[target],
            C[source, source],
            C[source, target],
            moments.var_y[target],
        )


@dataclass(frozen=True, eq=False)
class Probe:
    r"""The prediction :math:`\hat y = \bar y + (x - \bar x) B`.

    Example:
        >>> x = torch.randn(50, 3, dtype=torch.float64)
        >>> pair = Pair.of_latents(Moments.of(x, {"y": 2 * x[:, :1] + 1}), "y")
        >>> probe = Probe.fitted(pair, ridge=0.0)
        >>> probe.B.flatten().round().abs().tolist(), abs(probe.squared_error(pair)) < 1e-9
        ([2.0, 0.0, 0.0], True)
    """

    x_mean: Tensor
    y_mean: Tensor
    B: Tensor

    @classmethod
    def fitted(cls, pair: Pair, *, ridge: float, rank: int | None = None) -> "Probe":
        r"""Return least squares with means, or reduced-rank regression if a rank is given.

        .. math:: B = (C_{xx} + \lambda I)^{+} C_{xy}, \qquad B \leftarrow B V_k V_k^\top

        with the k leading eigenvectors :math:`V_k` of :math:`B^\top C_{xx} B`.

        Source: Izenman, Reduced-rank regression for the multivariate linear model, 1975.
        """
        B = solve_gram(pair.cov_xx, pair.cov_xy, ridge=ridge)
        if rank is not None and rank < min(B.shape):
            V = eigh(B.mT @ pair.cov_xx @ B)[1][:, -rank:]
            B = B @ V @ V.mT
        return cls(pair.x_mean, pair.y_mean, B)

    @classmethod
    def stored(cls, space: LatentSpace, name: str) -> "Probe":
        """Return the stored decoder of a latent space as a probe of the whole latent."""
        return cls(space.z_mean, space.y_mean[name], space.W[name].mT @ space.A[name])

    def squared_error(self, pair: Pair) -> float:
        r"""Return the sum of squared errors over the samples and entries of other data.

        .. math:: \sum \|y - \hat y\|^2 = n \bigl[ \operatorname{tr} C_{yy} - 2 \langle C_{xy}, B \rangle
                  + \langle B, C_{xx} B \rangle + \|\bar y - \hat y(\bar x)\|^2 \bigr]
        """
        bias = pair.y_mean - self.y_mean - (pair.x_mean - self.x_mean) @ self.B
        scatter = pair.var_y.sum() + ((pair.cov_xx @ self.B - 2 * pair.cov_xy) * self.B).sum()
        return float(pair.count * (scatter + bias.square().sum()))


def determined(count: float, C: Tensor, *, ridge: float) -> bool:
    r"""Whether there are enough samples to fit a probe with inputs of covariance C (K, K).

    There must be three, and two for each degree of freedom d:

    .. math:: n \ge \max(3,\, 2 d), \qquad d = \sum_i \frac{\lambda_i}{\lambda_i + \lambda}

    with the eigenvalues :math:`\lambda_i` of C, and λ the ridge times their mean. d is at most K. It is less if inputs
    are constant, repeat each other, or are far below the ridge. It does not depend on the target.

    Source: Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 2009, equation 3.50.

    Example:
        >>> x = torch.randn(20, 11, generator=torch.Generator().manual_seed(0))
        >>> wide, repeated = x.T.cov(), x[:, :1].expand(-1, 11).T.cov()
        >>> determined(20, wide, ridge=0.0), determined(20, repeated, ridge=0.0)
        (False, True)
    """
    if count < 3:
        return False
    return count >= SAMPLES_PER_INPUT * len(C) or count >= SAMPLES_PER_INPUT * _degrees_of_freedom(C, ridge)


def _degrees_of_freedom(C: Tensor, ridge: float) -> float:
    """Return the degrees of freedom of a fit with inputs of covariance C, without eigenvalues from rounding."""
    eigenvalues = symmetric_spectrum(C)
    significant = eigenvalues[eigenvalues > len(C) * torch.finfo(C.dtype).eps * eigenvalues[0]]
    return float((significant / (significant + ridge * eigenvalues.mean())).sum())
