"""Mutually orthogonal subspaces, found jointly."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from isospan.linalg import eigh, nearest_frame, orthogonal_complement, pinv, procrustes_rotation
from isospan.subspaces._trust_region import ascend

LEAST_SHARE, LEAST_COST = 0.02, 1e-4
"""Below these parts of the largest share and of the usual cost, differences say more of noise than of curvature."""


def joint_frame(forms: Mapping[str, Tensor], metric: Tensor | None, start: Mapping[str, Tensor]) -> dict[str, Tensor]:
    r"""Maximise the sum of explained shares over one orthonormal frame of all bases.

    .. math::
        \max f(W) = \sum_q \operatorname{tr}\bigl[ (W_q G W_q^\top)^{-1} W_q H_q W_q^\top \bigr]
        \quad \text{subject to} \quad W_\text{all} W_\text{all}^\top = I

    Second-order ascent on the manifold of frames (``_trust_region.ascend``). f never falls, and no step depends on the
    order of the names.

    Args:
        forms: H (D, D) of every quantity, symmetric; indefinite where something is to be avoided.
        metric: G (D, D), or None for the identity.
        start: bases {name: (k, D)} to start from, orthonormal rows each; the sum of k is at most D.

    Returns:
        Bases with orthonormal rows, also across quantities: a local optimum, each basis turned within its span onto its
        start, since the way there would else decide.
    """
    sizes = [len(W) for W in start.values()]
    at = partial(Shares, [forms[name] for name in start], metric, sizes)
    W = ascend(at, nearest_frame(torch.cat(list(start.values()))))
    return {name: procrustes_rotation(W_q, start[name]) for name, W_q in zip(start, W.split(sizes), strict=True)}


class Shares:
    r"""The sum of explained shares at a frame W, and its derivatives.

    With :math:`S = (W G W^\top)^{-1}` and :math:`B = W H W^\top` of one quantity, the share is tr S B, half its
    gradient in the space of matrices :math:`S W H - S B S W G`, and that on the manifold its tangent part. The Hessian
    is the tangent part of the derivative of the gradient, less what the curvature of the manifold takes off. Turning a
    basis within its span changes nothing, and is no step.

    The preconditioner holds the curvature of single movements, in axes that nearly part them: the eigenvectors of
    W G Wᵀ within each span, and those of G in what no span has. Moving row w of a basis along an axis v costs

    .. math:: \lambda_w \, \frac{v^\top (G - G W^\top S W G) v}{w^\top G w}, \qquad
              \lambda_w = \frac{w^\top H w}{w^\top G w},

    the share that w loses to what of v its basis does not tell; two rows of different bases pay together.

    Args:
        forms: H (D, D) of every quantity.
        metric: G (D, D), or None for the identity.
        sizes: k of every quantity.
        frame: W (K, D), the bases of all quantities under each other.
    """

    def __init__(
        self,
        forms: Sequence[Tensor],
        metric: Tensor | None,
        sizes: Sequence[int],
        frame: Tensor,
    ) -> None:
        self.frame, self.metric, self.sizes = frame, metric, list(sizes)
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
            SA = S @ _doubled(XG @ W.mT)
            dSWH.append(S @ XH - SA @ S @ WH)
            dSBS.append(S @ _doubled(XH @ W.mT) @ S - _doubled(SA @ SBS))
        outer = torch.cat(dSWH) - self._rows(dSBS, self.WG) - self._rows(self.SBS, along) - self.normal @ step
        return 2 * self._turning(outer)

    def precondition(self, gradient: Tensor) -> Tensor:
        """Divide each movement by its own cost."""
        axes, cost = self._axes
        turn = axes[: len(gradient)] @ self.frame.mT
        return self._turning(turn.mT @ (turn @ gradient @ axes.mT / cost @ axes))

    @cached_property
    def _axes(self) -> tuple[Tensor, Tensor]:
        """Axes (D, D), of which the first K span the bases, and the cost (K, D) of moving these along each, about 1."""
        turned = [eigh(A)[1].mT @ W for A, W in zip(self.A, self.bases, strict=True)]
        rest = orthogonal_complement(self.frame)
        rest = eigh(self._times_metric(rest) @ rest.mT)[1].mT @ rest
        axes, K = torch.cat([*turned, rest]), len(self.frame)
        covariance = self._times_metric(axes) @ axes.mT
        variance = covariance.diagonal()
        own = variance[:K].clamp(min=torch.finfo(variance.dtype).eps * float(variance.max())).unsqueeze(1)
        share = (
            torch.cat([(W @ H * W).sum(1) for W, H in zip(turned, self.forms, strict=True)]).abs().unsqueeze(1) / own
        )
        told = [part.sum(0).expand(len(part), -1) for part in (covariance[:K].square() / own).split(self.sizes)]
        cost = share.clamp(min=LEAST_SHARE * float(share.max())) / own * (variance - torch.cat(told)).clamp(min=0)
        cost[:, :K] += cost[:, :K].mT.clone()
        cost[:, :K].masked_fill_(self.same, 0)
        usual = cost[cost > 0].median() if cost.any() else 1.0
        return axes, (cost / usual).clamp(min=LEAST_COST)

    def _turning(self, X: Tensor) -> Tensor:
        """Projection on the directions in which W stays orthonormal and no basis merely turns within its span."""
        XW = X @ self.frame.mT
        return X - torch.where(self.same, XW, _doubled(XW) / 2) @ self.frame

    def _times_metric(self, X: Tensor) -> Tensor:
        return X if self.metric is None else X @ self.metric

    def _rows(self, left: Sequence[Tensor], X: Tensor) -> Tensor:
        """The rows of each quantity multiplied by its own matrix (k, k)."""
        return torch.cat([M @ rows for M, rows in zip(left, X.split(self.sizes), strict=True)])


def _doubled(M: Tensor) -> Tensor:
    return M + M.mT
