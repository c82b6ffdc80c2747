"""Patterns of filters, roots of covariances, and projections of latents along patterns."""

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.linalg import eigh, pinv

ROUNDING = 10
"""Units of D·eps times the largest eigenvalue of a correlation matrix, below which an eigenvalue counts as rounding."""


def patterns_of(W: Tensor, cov_zz: Tensor) -> Tensor:
    r"""Return the patterns :math:`(W \Sigma W^\top)^+ W \Sigma` (k, D) of filters W (k, D), in float64.

    The coordinates of a filter have unit variance before the pseudo-inverse, so its cutoff does not depend on units.
    """
    W, cov_zz = W.double(), cov_zz.double()
    cross = W @ cov_zz
    unit = reciprocal((cross * W).sum(1).clamp(min=0).sqrt())[:, None]
    return unit * (pinv(unit * (cross @ W.mT) * unit.mT, hermitian=True) @ (unit * cross))


def erased(z: Tensor, z_mean: Tensor, filters: Tensor, patterns: Tensor) -> Tensor:
    r"""Return :math:`z - (z - \bar z) F^\top P` in the dtype of z, rounded once.

    It is computed in float64: rounded F and P have products other than the identity, and leave a part to read.
    """
    with full_precision(z):
        x = z.double()
        return (x - (x - z_mean.double()) @ filters.double().mT @ patterns.double()).to(z.dtype)


def reciprocal(x: Tensor) -> Tensor:
    """Return 1/x, and 0 where x is 0."""
    return torch.where(x > 0, 1 / x, 0.0)


def root(G: Tensor, *, eps: float = 0.0) -> tuple[Tensor, Tensor]:
    r"""Return a root L of a positive semi-definite matrix, :math:`G = L L^\top`, and its inverse on the range of L.

    Both are those of the correlation matrix times the deviations, so the units of single rows do not matter. ``eps`` is
    the relative rounding of a G that was stored in a lower precision.
    """
    deviation = G.diagonal().clamp(min=0).sqrt()
    unit = reciprocal(deviation)
    eigenvalues, Q = eigh(unit[:, None] * G * unit)
    cutoff = ROUNDING * len(G) * max(eps, torch.finfo(G.dtype).eps) * eigenvalues[-1:]
    s = torch.where(eigenvalues > cutoff, eigenvalues, 0.0).sqrt()
    return deviation[:, None] * Q * s, reciprocal(s)[:, None] * Q.mT * unit
