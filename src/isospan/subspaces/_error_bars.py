"""Error bars of decoded quantities: residuals, leverage, and split conformal intervals."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from isospan.errors import DegenerateDataError, OptionError
from isospan.moments import Moments
from isospan.subspaces._patterns import reciprocal, root

MOST_SCORES = 999
"""Order statistics of each entry that a calibrated space holds; more samples are thinned to steps of a thousandth."""
ROUNDING = 1e-12
"""Share of degrees of freedom that counts as none."""


def residual_std(moments: Moments, W: Mapping[str, Tensor], A: Mapping[str, Tensor]) -> dict[str, Tensor]:
    r"""Return the root mean square {name: (P,)} of :math:`y - \hat y` over the data of the moments.

    With :math:`M = W^\top A`, the mean square of entry p is
    :math:`(C_{yy} - 2\, C_{yz} M + M^\top C_{zz} M)_{pp}`; rounding below zero is zero.
    """
    cov_zz, cov_zy, var_y = moments.cov_zz, moments.cov_zy, moments.var_y
    std = {}
    for name, rows in W.items():
        M = rows.double().mT @ A[name].double()
        mean_square = var_y[name] + ((cov_zz @ M - 2 * cov_zy[name]) * M).sum(0)
        std[name] = mean_square.clamp(min=0).sqrt()
    return std


@dataclass(frozen=True, eq=False)
class Leverage:
    r"""By how much the error of a decoded quantity exceeds the noise, as its decoder was fitted to n samples.

    With the rank r of the covariance Σ of the latents, a regression of rank k onto P entries has
    :math:`k (r + P - k)` parameters. A share k/P of an entry is read from the complete latent, and the
    rest by the coordinates :math:`s = W (z - \bar z)`, so

    .. math::

       h(z) = \tfrac1n \Bigl[ \tfrac kP (z - \bar z)^\top \Sigma^{+} (z - \bar z)
              + \bigl(1 - \tfrac kP\bigr) s^\top (W \Sigma W^\top)^{+} s \Bigr], \qquad
       \bar h = \frac{k (r + P - k)}{P\, n}

    with the mean :math:`\bar h` over the n samples. For k = P it is the leverage of ordinary least squares.

    Attributes:
        whole: root of the inverse of Σ (D, D).
        own: {name: (k, D)}, that of the covariance of the coordinates, times W.
        share: {name: ()}, k/P.
        n: {name: n}.
    """

    whole: Tensor
    own: dict[str, Tensor]
    share: dict[str, Tensor]
    n: Mapping[str, float]

    @classmethod
    def of(cls, W: Mapping[str, Tensor], cov_zz: Tensor, dims: Mapping[str, int], n: Mapping[str, float]) -> "Leverage":
        """From the bases, the covariance Σ, the entries P and the samples n of each quantity."""
        eps, cov_zz = torch.finfo(cov_zz.dtype).eps, cov_zz.double()
        own = {name: root(rows @ cov_zz @ rows.mT, eps=eps)[1] @ rows for name, rows in W.items()}
        share = {name: (_rank(rows) / dims[name]).clamp(max=1) for name, rows in own.items()}
        return cls(root(cov_zz, eps=eps)[1], own, share, n)

    def growth(self, zc: Tensor) -> dict[str, Tensor]:
        """Return the variance of an error at centred latents (..., D) over that of the noise, {name: (...)}."""
        whole = (zc @ self.whole.mT).square().sum(-1)
        growth = {}
        for name, share in self.share.items():
            own = (zc @ self.own[name].mT).square().sum(-1)
            growth[name] = 1 + (1 + share * whole + (1 - share) * own) / self.n[name]
        return growth

    def freedom(self) -> dict[str, Tensor]:
        r"""Return the degrees of freedom of the residuals over n, {name: ()}: :math:`1 - 1/n - \bar h`."""
        r = _rank(self.whole)
        return {
            name: 1 - (1 + share * r + (1 - share) * _rank(self.own[name])) / self.n[name]
            for name, share in self.share.items()
        }


def check_freedom(freedom: Mapping[str, Tensor], n: Mapping[str, float]) -> None:
    """Require residuals of at least some degrees of freedom.

    Raises:
        DegenerateDataError: the decoder of a quantity has as many parameters for an entry as there were samples.
    """
    lacking = {name: f"{n[name]:.4g}" for name, share in freedom.items() if not share > ROUNDING}
    if lacking:
        raise DegenerateDataError(
            f"Error bars need more samples than a decoder has parameters for an entry, got decoders fitted to "
            f"(quantity: samples) {lacking}, whose residuals say nothing. Call space.calibrate(z, y) with held-out "
            "data, or solve from more samples."
        )


def conformal_scores(residuals: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the root mean square (P,) of held-out residuals (N, P), and their sorted magnitudes (m, P) over it.

    Of more than 999 samples, score j of 999 is the order statistic of rank :math:`\lceil j (N + 1) / 1000 \rceil`. It
    bounds a new residual with a probability of at least j/1000, as the j-th of 999 samples would.
    """
    std = residuals.square().mean(0).sqrt()
    scores = (residuals.abs() * reciprocal(std)).sort(0).values
    if (N := len(scores)) > MOST_SCORES:
        ranks = [-(-j * (N + 1) // (MOST_SCORES + 1)) for j in range(1, MOST_SCORES + 1)]
        scores = scores[torch.tensor(ranks, device=scores.device) - 1]
    return std, scores


def conformal_quantile(scores: Mapping[str, Tensor], level: float) -> dict[str, Tensor]:
    r"""Return the score {name: (P,)} of rank :math:`\lceil (m + 1)\, \text{level} \rceil` of sorted scores (m, P).

    Raises:
        OptionError: there are too few scores for the level.
    """
    quantile = {}
    for name, values in scores.items():
        m = len(values)
        rank = max(math.ceil((m + 1) * level - 1e-9), 1)  # 10 * 0.9 is not 9 in every rounding
        if rank > m:
            least = f"at most {m / (m + 1):.4g}"
            more = "" if m == MOST_SCORES else f", or calibrate on at least {math.ceil(1 / (1 - level) - 1e-9) - 1}"
            raise OptionError(
                f"level must be {least} for quantity {name!r}, whose scores are of {m} held-out samples, got "
                f"{level:.6g}. Choose a lower level{more}."
            )
        quantile[name] = values[rank - 1]
    return quantile


def _rank(whitener: Tensor) -> Tensor:
    """Number of rows that are not zero."""
    return (whitener != 0).any(1).sum().to(whitener.dtype)
