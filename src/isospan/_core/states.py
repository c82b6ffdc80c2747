"""Modules of statistics, which keep their precision, and load a whole state or nothing."""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from isospan._core.checks import check_finite
from isospan.errors import FileFormatError, ShapeError

EXTRA = "_extra_state"
"""Name of the extra state of a module in torch."""


class KeepsPrecision(nn.Module):
    """An ``nn.Module`` that ignores the dtype in ``.to``, ``.half()``, ``.float()``: statistics stay float64.

    A state that does not fit is refused before any entry is loaded.

    Example:
        >>> import torch
        >>> module = KeepsPrecision()
        >>> module.register_buffer("sum", torch.zeros(2, dtype=torch.float64))
        >>> module.half().sum.dtype
        torch.float64
        >>> module.load_state_dict({"sum": torch.zeros(3)})
        Traceback (most recent call last):
        isospan.errors.ShapeError: The entry 'sum' of the state to load must be a tensor of shape (2,), got (3,). ...
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return super()._apply(lambda t: t.to(fn(t.flatten()[:0]).device), recurse)

    def check_state(self, state: Mapping[str, Tensor], *, strict: bool = True) -> None:
        """Require a state that fits this module and its submodules; called before any entry is loaded.

        Raises:
            FileFormatError: ``strict``, and entries are missing or unknown.
            ShapeError: a tensor has another shape.
            NonFiniteError: a tensor contains NaN or infinity.
        """
        check_entries(saved_buffers(self), state, strict=strict)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a state, or raise the error of :meth:`check_state` without a change."""
        if not isinstance(state_dict, Mapping):
            raise FileFormatError(f"A state must be what state_dict() gave, got {type(state_dict).__name__}.")
        self.check_state(state_dict, strict=strict)
        return super().load_state_dict(state_dict, strict, assign)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *others: Any) -> None:
        """Check the state when a parent module loads it; the parent reports missing entries."""
        own = {name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)}
        self.check_state(own, strict=False)
        super()._load_from_state_dict(state_dict, prefix, *others)


def saved_buffers(module: nn.Module) -> dict[str, Tensor]:
    """Return the buffers of a module that its ``state_dict`` holds."""
    return {name: value for name, value in module.state_dict().items() if name.rpartition(".")[2] != EXTRA}


def check_entries(expected: Mapping[str, Tensor], state: Mapping[str, Any], *, strict: bool) -> None:
    """Require finite tensors of the expected shapes in a state; with ``strict``, exactly these."""
    given = {name for name in state if name.rpartition(".")[2] != EXTRA}
    missing, extra = sorted(expected.keys() - given), sorted(given - expected.keys())
    if strict and (missing or extra):
        raise FileFormatError(
            f"The state to load must have the entries of this module (missing {missing}, unknown {extra}). Load what "
            "state_dict() gave, or pass strict=False."
        )
    for name, own in expected.items():
        if name not in given:
            continue
        value, label = state[name], f"The entry {name!r} of the state to load"
        if not isinstance(value, Tensor) or value.shape != own.shape:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ShapeError(
                f"{label} must be a tensor of shape {tuple(own.shape)}, got {got}. Make the module with the sizes of "
                "the state."
            )
        if not value.is_complex():
            check_finite(value, what=label)


def as_bytes(record: dict[str, Any]) -> Tensor:
    """Return a JSON record as a tensor, for the extra state of a module.

    Example:
        >>> from_bytes(as_bytes({"b": 2, "a": 1}), ("a", "b"), what="an example")
        {'b': 2, 'a': 1}
    """
    return torch.tensor(list(json.dumps(record).encode()), dtype=torch.uint8)


def from_bytes(state: Tensor | None, keys: Collection[str], *, what: str) -> dict[str, Any]:
    """Return the record of :func:`as_bytes`, and require these keys.

    Raises:
        FileFormatError: the state is damaged, or has other keys.
    """
    try:
        record = json.loads(bytes(state.tolist()) if isinstance(state, Tensor) else "nothing")
    except (TypeError, ValueError, RecursionError) as error:
        raise FileFormatError(
            f"The state to load is not that of {what} ({error}). Load what state_dict() gave."
        ) from error
    if not isinstance(record, dict) or set(record) != set(keys):
        raise FileFormatError(
            f"The state to load must be that of {what} with the entries {sorted(keys)}, got {record!r:.200}. Load what "
            "this version of isospan saved."
        )
    return record
