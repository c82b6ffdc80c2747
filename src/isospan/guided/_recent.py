"""Samples of the present block that the running moments of an objective do not hold yet."""

from collections.abc import Mapping

import torch
from torch import Tensor

from isospan._core.states import KeepsPrecision
from isospan.guided._batch import SMALL

CAPACITY = 512
"""Largest number of samples that are collected. They take 80 KB with D = 16 and four entries of targets."""


class Recent(KeepsPrecision):
    """Rows of latents and targets (n, D + ΣP) that wait for the end of their block, in float64.

    Args:
        latent_dim: D.
        target_dims: entries of each quantity, {name: P}.

    Example:
        >>> recent = Recent(2, {"a": 1})
        >>> recent.collect(torch.ones(3, 3, dtype=torch.float64), start=0)
        True
        >>> recent.take(torch.zeros(1, 3, dtype=torch.float64)).shape, int(recent.count)
        (torch.Size([4, 3]), 0)
    """

    rows: Tensor
    count: Tensor

    def __init__(self, latent_dim: int, target_dims: Mapping[str, int]) -> None:
        super().__init__()
        width = latent_dim + sum(target_dims.values())
        self.register_buffer("rows", torch.zeros(min(CAPACITY, SMALL // width), width, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def collect(self, rows: Tensor, *, start: int) -> bool:
        """Keep these rows after the ``start`` that there are, if they fit; return whether they did."""
        kept, n = self.rows, rows.shape[0]
        if start + n > kept.shape[0]:
            return False
        kept[start : start + n].copy_(rows)
        self.count.add_(n)
        return True

    def take(self, more: Tensor | None = None) -> Tensor:
        """Return the rows that were collected, before ``more``, and forget them."""
        n = int(self.count)
        if not n and more is not None:
            return more
        rows = self.rows[:n].clone() if more is None else torch.cat([self.rows[:n], more])
        self.clear()
        return rows

    def clear(self) -> None:
        """Forget the rows, so that equal states are equal to the last bit."""
        self.rows.zero_()
        self.count.zero_()
