"""The second moments of rows, batch by batch."""

import torch
from torch import Tensor

from isospan.linalg import add_gram_, mirror_


class Scatter:
    r"""Count, mean and :math:`S = \sum_i (x_i - \bar x)(x_i - \bar x)^\top` of rows, in float64, batch by batch.

    Example:
        >>> import torch
        >>> x = torch.randn(10, 3)
        >>> S = Scatter(3).add(x[:4]).add(x[4:]).matrix
        >>> torch.allclose(S, torch.cov(x.double().T, correction=0) * 10)
        True
    """

    def __init__(self, features: int, device: torch.device | str = "cpu") -> None:
        self.count = 0
        self.mean = torch.zeros(features, dtype=torch.float64, device=device)
        self._upper = torch.zeros(features, features, dtype=torch.float64, device=device)

    def add(self, rows: Tensor) -> "Scatter":
        """Add rows (B, P) by Chan's formula: the distance of the means enters as one more centred row."""
        if len(rows) == 0:
            return self
        x = rows.detach().to(self._upper)
        mean, total = x.mean(0), self.count + len(x)
        shift = mean - self.mean
        between = shift * (self.count * len(x) / total) ** 0.5
        centred = torch.cat([x - mean, between[None]])
        add_gram_(self._upper, centred)
        self.mean += shift * (len(x) / total)
        self.count = total
        return self

    @property
    def matrix(self) -> Tensor:
        """S (P, P)."""
        return mirror_(self._upper)
