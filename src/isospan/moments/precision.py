"""Modules whose buffers change device but never precision."""

import json
from collections.abc import Callable, Collection
from typing import Any, Self

import torch
from torch import Tensor, nn

from isospan.errors import FileFormatError


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
        >>> from_bytes(as_bytes({"b": 2, "a": 1}), ("a", "b"), what="an example")
        {'b': 2, 'a': 1}
    """
    return torch.tensor(list(json.dumps(record).encode()), dtype=torch.uint8)


def from_bytes(state: Tensor, keys: Collection[str], *, what: str) -> dict[str, Any]:
    """Return what :func:`as_bytes` was given, with these keys.

    Raises:
        FileFormatError: it is damaged, or has other keys.
    """
    try:
        record = json.loads(bytes(state.tolist()))
    except (AttributeError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"The state to load is not that of {what} ({error}). Load what state_dict() gave."
        ) from error
    if not isinstance(record, dict) or set(record) != set(keys):
        raise FileFormatError(
            f"The state to load must be that of {what} with the entries {sorted(keys)}, got {record!r:.200}. Load what "
            "this version of isospan saved."
        )
    return record
