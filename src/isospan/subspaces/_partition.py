"""Mutually orthogonal subspaces, found jointly."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from isospan.linalg import eigh, nearest_frame, orthogonal_complement, pinv, procrustes_rotation
from isospan.subspaces._criteria import Metric
from isospan.subspaces._trust_region import BUDGET, ascend

LEAST_EXPLAINED, LEAST_COST = 0.02, 1e-4
"""Below these fractions of the largest explained variance and of the median cost, differences are mostly noise."""


def joint_frame(
    forms: Mapping[str, Tensor], metric: Metric, start: Mapping[str, Tensor], *, budget: int = BUDGET
) -> dict[str, Tensor]:
    r"""Maximise the sum of the relative explained variances over one orthonormal frame of all bases.

    .. math::
        \max f(W) = \sum_q \operatorname{tr}\bigl[ (W_q G W_q^\top)^{-1} W_q H_q W_q^\top \bigr]
        \quad \text{subject to} \quad W_\text{all} W_\text{all}^\top = I

    Second-order ascent on the manifold of frames (``_trust_region.ascend``). f never falls, and no step depends on the
    order of the names.

    Args:
        forms: H (D, D) of every quantity, symmetric; indefinite if leakage is subtracted.
        metric: G (D, D), of each quantity where these differ, or None for the identity.
        start: bases {name: (k, D)} to start from, orthonormal rows each; the sum of k is at most D.
        budget: products with the Hessian after which the ascent ends.

    Returns:
        Bases with orthonormal rows, also across quantities, at a local optimum. Each is rotated within its span onto
        its start, so that the path of the ascent does not decide the rotation.
    """
    sizes = [len(W) for W in start.values()]
    own = [metric[name] for name in start] if isinstance(metric, Mapping) else metric
    at = partial(ExplainedVariance, [forms[name] for name in start], own, sizes)
    W = ascend(at, nearest_frame(torch.cat(list(start.values()))), budget=budget)
    return {name: procrustes_rotation(W_q, start[name]) for name, W_q in zip(start, W.split(sizes), strict=True)}


class ExplainedVariance:
    r"""The sum of the relative explained variances at a frame W, and its derivatives.

    With :math:`S = (W G W^\top)^{-1}` and :math:`B = W H W^\top` of one quantity, its term is tr S B. Half the
    gradient in the space of matrices is :math:`S W H - S B S W G`, and the gradient on the manifold is its tangent
    part. The Hessian is the tangent part of the derivative of the gradient, minus a term for the curvature of the
    manifold. A rotation of a basis within its span changes nothing, so steps have no such part.

    The preconditioner is diagonal: it has the curvature of the move of one row along one axis. The axes are the
    eigenvectors of W G Wᵀ within each span, and those of G in the complement of all spans, which nearly diagonalise
    the Hessian. The move of row w of a basis along an axis v has the cost

    .. math:: \lambda_w \, \frac{v^\top (G - G W^\top S W G) v}{w^\top G w}, \qquad
              \lambda_w = \frac{w^\top H w}{w^\top G w},

    with the variance of v that its basis does not explain. For two rows of different bases both costs are added. Where
    quantities differ in G, the axes are those of the mean.

    Args:
        forms: H (D, D) of every quantity.
        metric: G (D, D), of each quantity where these differ, or None for the identity.
        sizes: k of every quantity.
        frame: W (K, D), the stacked bases of all quantities.
    """

    def __init__(
        self,
        forms: Sequence[Tensor],
        metric: Tensor | Sequence[Tensor] | None,
        sizes: Sequence[int],
        frame: Tensor,
    ) -> None:
        self.frame, self.metric, self.sizes = frame, metric, list(sizes)
        self.mean_metric = torch.stack(list(metric)).mean(0) if isinstance(metric, Sequence) else metric
        self.forms, self.bases, self.WG = forms, frame.split(self.sizes), self._times_metric(frame)
        self.same = torch.block_diag(*(torch.ones(k, k, device=frame.device) for k in self.sizes)).bool()
        self.A = [WG @ W.mT for WG, W in zip(self.WG.split(self.sizes), self.bases, strict=True)]
        self.S = [pinv(A, hermitian=True) for A in self.A]
        self.WH = [W @ H for W, H in zip(self.bases, forms, strict=True)]
        self.B = [WH @ W.mT for WH, W in zip(self.WH, self.bases, strict=True)]
        self.SBS = [S @ B @ S for S, B in zip(self.S, self.B, strict=True)]
        self.value = float(sum((S * B).sum() for S, B in zip(self.S, self.B, strict=True)))
        outer = torch.cat([S @ WH for S, WH in zip(self.S, self.WH, strict=True)]) - self._rows(self.SBS, self.WG)
        self.normal = outer @ frame.mT
        self.normal = (self.normal + self.normal.mT) / 2
        self.gradient = 2 * (outer - self.normal @ frame)

    def curvature(self, step: Tensor) -> Tensor:
        """Derivative of the gradient along a tangent step, on the manifold."""
        along = self._times_metric(step)
        steps, alongs = step.split(self.sizes), along.split(self.sizes)
        parts = zip(steps, alongs, self.bases, self.forms, self.S, self.SBS, self.WH, strict=True)
        dSWH, dSBS = [], []
        for X, XG, W, H, S, SBS, WH in parts:
            XH = X @ H
            SA = S @ _plus_transpose(XG @ W.mT)
            dSWH.append(S @ XH - SA @ S @ WH)
            dSBS.append(S @ _plus_transpose(XH @ W.mT) @ S - _plus_transpose(SA @ SBS))
        outer = torch.cat(dSWH) - self._rows(dSBS, self.WG) - self._rows(self.SBS, along) - self.normal @ step
        return 2 * self._tangent(outer)

    def precondition(self, gradient: Tensor) -> Tensor:
        """Divide each move by its cost."""
        axes, cost = self._axes
        rotation = axes[: len(gradient)] @ self.frame.mT
        return self._tangent(rotation.mT @ (rotation @ gradient @ axes.mT / cost @ axes))

    @cached_property
    def _axes(self) -> tuple[Tensor, Tensor]:
        """Axes (D, D), of which the first K span the bases, and the cost (K, D) of their moves along each, about 1."""
        principal = [eigh(A)[1].mT @ W for A, W in zip(self.A, self.bases, strict=True)]
        rest = orthogonal_complement(self.frame)
        rest = eigh(self._times_mean(rest) @ rest.mT)[1].mT @ rest
        axes, K = torch.cat([*principal, rest]), len(self.frame)
        covariance = self._times_mean(axes) @ axes.mT
        variance = covariance.diagonal()
        own = variance[:K].clamp(min=torch.finfo(variance.dtype).eps * float(variance.max())).unsqueeze(1)
        quadratic = torch.cat([(W @ H * W).sum(1) for W, H in zip(principal, self.forms, strict=True)])
        explained = quadratic.abs().unsqueeze(1) / own
        explained = explained.clamp(min=LEAST_EXPLAINED * float(explained.max()))
        by_basis = [part.sum(0).expand(len(part), -1) for part in (covariance[:K].square() / own).split(self.sizes)]
        cost = explained / own * (variance - torch.cat(by_basis)).clamp(min=0)
        cost[:, :K] += cost[:, :K].mT.clone()
        cost[:, :K].masked_fill_(self.same, 0)
        median = cost[cost > 0].median() if cost.any() else 1.0
        return axes, (cost / median).clamp(min=LEAST_COST)

    def _tangent(self, X: Tensor) -> Tensor:
        """Return the part of X that keeps W orthonormal and rotates no basis within its span."""
        XW = X @ self.frame.mT
        return X - torch.where(self.same, XW, _plus_transpose(XW) / 2) @ self.frame

    def _times_metric(self, X: Tensor) -> Tensor:
        """Return the rows of each quantity times its metric."""
        if isinstance(self.metric, Sequence):
            return torch.cat([rows @ G for rows, G in zip(X.split(self.sizes), self.metric, strict=True)])
        return self._times_mean(X)

    def _times_mean(self, X: Tensor) -> Tensor:
        return X if self.mean_metric is None else X @ self.mean_metric

    def _rows(self, left: Sequence[Tensor], X: Tensor) -> Tensor:
        """Return the rows of each quantity, multiplied by its matrix (k, k)."""
        return torch.cat([M @ rows for M, rows in zip(left, X.split(self.sizes), strict=True)])


def _plus_transpose(M: Tensor) -> Tensor:
    return M + M.mT
