"""Modules whose buffers change device but never precision."""

from collections.abc import Callable
from typing import Self

from torch import Tensor, nn


class KeepsPrecision(nn.Module):
    """An ``nn.Module`` that ignores the dtype in ``.to``, ``.half()``, ``.float()``: statistics stay float64.

    Example:
        >>> import torch
        >>> module = KeepsPrecision()
        >>> module.register_buffer("sum", torch.zeros(2, dtype=torch.float64))
        >>> module.half().sum.dtype
        torch.float64
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return super()._apply(lambda t: t.to(fn(t.flatten()[:0]).device), recurse)
