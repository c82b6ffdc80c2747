"""What the subspace of one quantity tells of another beyond what the quantity itself does."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Self

import torch
from torch import Tensor

from isospan.linalg import solve_gram
from isospan.moments import Moments


@dataclass(frozen=True)
class LeakageProbe:
    r"""Probes that read from the subspace of j the part of quantity i that quantity j does not tell.

    With :math:`T_{ij} = C_{jj}^{-1} C_{ji}` the linear prediction of :math:`y_i` from :math:`y_j`, the unexplained part
    is :math:`r_{ij} = y_i - T_{ij}^\top y_j`, and :math:`B_{ij}` its least squares decoder from the coordinates
    :math:`s_j = W_j (z - \bar z)`. All come from the moments.

    Attributes:
        from_target: T {(i, j): (P_j, P_i)}.
        from_space: B {(i, j): (k_j, P_i)}.
        variance: mean variance of the entries of y_i, {(i, j): ()}.
    """

    from_target: dict[tuple[str, str], Tensor]
    from_space: dict[tuple[str, str], Tensor]
    variance: dict[tuple[str, str], Tensor]

    @classmethod
    def fit(cls, moments: Moments, W: Mapping[str, Tensor], *, ridge: float) -> Self:
        """Fit the probes of every ordered pair to moments that hold the covariance of the targets."""
        C_zz, C_zy, C_yy = moments.cov_zz, moments.cov_zy, moments.cov_yy
        T, B, variance = {}, {}, {}
        for i, j in permutations(W, 2):
            T[i, j] = solve_gram(C_yy[j, j], C_yy[j, i], ridge=ridge)
            B[i, j] = solve_gram(W[j] @ C_zz @ W[j].mT, W[j] @ (C_zy[i] - C_zy[j] @ T[i, j]), ridge=ridge)
            variance[i, j] = C_yy[i, i].diagonal().mean()
        return cls(T, B, variance)

    def loss(self, S: Mapping[str, Tensor], Y: Mapping[str, Tensor]) -> Tensor:
        r"""Mean over ordered pairs of the share of the variance of y_i that the probe of r explains in a batch.

        .. math:: L = \operatorname{mean}_{i \ne j} \frac{\langle r^2 \rangle - \langle (r - B^\top s_j)^2 \rangle}{\operatorname{var} y_i}

        With the probes held, its gradient is that of the share explained by the best probe (envelope theorem).

        Args:
            S: centred coordinates {name: (B, k)}.
            Y: centred targets {name: (B, P)}.
        """
        shares = []
        for (i, j), T in self.from_target.items():
            r, probe = Y[i] - Y[j] @ T.to(Y[j]), S[j] @ self.from_space[i, j].to(S[j])
            shares.append((probe * (2 * r - probe)).mean() / self.variance[i, j].to(S[j]))
        return torch.stack(shares).mean()
