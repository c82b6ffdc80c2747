"""The covariance, regression and correlation criteria, which a basis maximises, in one form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from isospan.linalg import eigh
from isospan.moments import Moments

Method = Literal["covariance", "regression", "correlation"]
Metric = Tensor | Mapping[str, Tensor] | None
"""G of all quantities, of each, or the identity."""


@dataclass(frozen=True)
class Criterion:
    r"""The variance of targets that coordinates explain, for one metric G and one cross-moment T of every quantity.

    .. math:: f_q(W) = \operatorname{tr}\bigl[ (W G W^\top)^{-1} \, W T_q T_q^\top W^\top \bigr]

    ============== ======================= =========================================
    method         G                       T
    ============== ======================= =========================================
    covariance     I                       n C_zy
    regression     C_zz + λI               C_zy
    correlation    C_zz + λI               C_zy (C_yy + λ_y I)^{-1/2}
    ============== ======================= =========================================

    With G = I it is :math:`\|n W C_{zy}\|_F^2` over orthonormal rows (partial least squares), in the units of sums over
    all n samples; with G = C_zz the variance of y that the best decoder of W z explains (reduced-rank regression); with
    whitened targets the sum of squared canonical correlations.

    Where samples lack some quantities, C_zz is that of the samples that have y. So the optimum is that of these samples
    alone. With the C_zz of all samples it would not be: C_zz⁻¹ C_zy is then no regression, and is wrong without noise,
    too.

    Attributes:
        metric: G (D, D), of each quantity where these differ, or None for the identity.
        cross: T of every quantity, (D, P).
        scale: total target variance of every quantity in the units of T, and for G = I in those of the latents too, so
            that f / scale has no unit.
    """

    metric: Metric
    cross: dict[str, Tensor]
    scale: Mapping[str, Tensor | float]

    @classmethod
    def of(cls, moments: Moments, method: Method, ridge: float) -> "Criterion":
        """Return the criterion of a method; the ridge is relative to the mean variance."""
        variance = {name: var.sum() for name, var in moments.var_y.items()}
        partial = moments.missing == "skip"
        if method == "covariance":
            of = {name: moments.labelled(name) if partial else moments for name in variance}
            scale = {name: of[name].count * of[name].scatter_zz.trace() * var for name, var in variance.items()}
            return cls(None, moments.split(moments.scatter_zy), scale)
        cross, metric = moments.cov_zy, None
        if not partial:
            metric = ridged(moments.cov_zz, ridge)
        else:
            metric = {name: ridged(moments.labelled(name).cov_zz, ridge) for name in moments.names}
        if method == "regression":
            return cls(metric, cross, variance)
        C_yy = moments.cov_yy
        whitening = {name: whitener(ridged(C_yy[name, name], ridge)) for name in moments.names}
        cross = {name: cross[name] @ F.mT for name, F in whitening.items()}
        return cls(metric, cross, {name: float(len(F)) for name, F in whitening.items()})

    def forms(self) -> dict[str, Tensor]:
        """H = T Tᵀ / scale (D, D) of every quantity: f / scale is the trace of (W G Wᵀ)⁻¹ W H Wᵀ."""
        return {name: T @ T.mT / self.scale[name] for name, T in self.cross.items()}


def ridged(C: Tensor, ridge: float) -> Tensor:
    """C + λI with λ = ridge · tr(C)/D."""
    lam = ridge * C.diagonal().mean()
    return C + lam * torch.eye(len(C), dtype=C.dtype, device=C.device)


def whitener(G: Tensor) -> Tensor:
    """F (r, D) with F G Fᵀ = I, r the rank of G: diag(λ^{-1/2}) Qᵀ, without eigenvalues that are rounding."""
    eigenvalues, Q = eigh(G)
    significant = eigenvalues > len(G) * torch.finfo(G.dtype).eps * eigenvalues[-1]
    return (Q[:, significant] * eigenvalues[significant].rsqrt()).mT
