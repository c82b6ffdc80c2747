"""Modules whose buffers change device but never precision."""

import json
from collections.abc import Callable
from typing import Any, Self

import torch
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


def as_bytes(record: dict[str, Any]) -> Tensor:
    """Return what JSON can hold as a tensor, for the extra state of a module.

    Example:
        >>> from_bytes(as_bytes({"b": 2, "a": 1}))
        {'b': 2, 'a': 1}
    """
    return torch.tensor(list(json.dumps(record).encode()), dtype=torch.uint8)


def from_bytes(state: Tensor) -> dict[str, Any]:
    """Return what :func:`as_bytes` was given."""
    return json.loads(bytes(state.tolist()))
