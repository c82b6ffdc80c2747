"""Bases of layers, whose constants are buffers, and checks of their input."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from isospan._core.checks import check_floating
from isospan.errors import OptionError, ShapeError
from isospan.representations import Representation, check_same_group

SHORT = np.uint8, np.int16, np.int32
"""Types of stored indices. They are cast where they are used: in int64 they would take more memory than weights."""

Device = torch.device | str | None


def to_device(module: torch.nn.Module, device: Device, dtype: torch.dtype | None) -> None:
    """Move a new module to a device and a precision, where they are given."""
    if device is not None or dtype is not None:
        module.to(device=device, dtype=dtype)


def ordered(x: Tensor, order: Tensor | None, *, dim: int) -> Tensor:
    """The entries of x along ``dim`` in an order; x itself where it is None."""
    return x if order is None else x.index_select(dim, order)


def joined(parts: Sequence[Tensor], *, dim: int) -> Tensor:
    """The concatenated parts; a single part itself, without a copy."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim)


class Constants(torch.nn.Module):
    """Base of modules with constant arrays, which are buffers but not part of ``state_dict``.

    They follow ``.to`` and ``.double()`` as buffers do. A cast to single precision and back would lose digits, so each
    new buffer gets the values of the original array.
    """

    def __init__(self) -> None:
        super().__init__()
        self._exact: dict[str, np.ndarray] = {}

    def register_constant(self, name: str, values: np.ndarray) -> None:
        """Make ``self.<name>`` a buffer with these values, floating-point ones in the default precision."""
        self._exact[name] = values
        dtype = torch.get_default_dtype() if values.dtype.kind == "f" else None
        self.register_buffer(name, torch.tensor(values, dtype=dtype), persistent=False)

    def register_order(self, name: str, order: np.ndarray) -> None:
        """Make ``self.<name>`` a buffer with an order, or None for the identity."""
        if (order == np.arange(len(order))).all():
            setattr(self, name, None)
        else:
            self.register_constant(name, order.astype(np.int32))

    def register_indices(self, name: str, indices: np.ndarray) -> None:
        """Make ``self.<name>`` a buffer with indices, of the shortest type of :data:`SHORT` that contains them."""
        self.register_constant(name, indices.astype(next(t for t in SHORT if indices.max() <= np.iinfo(t).max)))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, exact in self._exact.items():
            buffer = self.get_buffer(name)
            if buffer is not before[name] and not buffer.is_meta:
                buffer.copy_(torch.from_numpy(exact.copy()))
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, metadata: dict[str, Any], *_: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, metadata, *_)
        if metadata.get("assign_to_params_buffers"):
            ours = (value for name, value in state_dict.items() if name.startswith(prefix))
            like = next((value for value in ours if isinstance(value, Tensor) and value.is_floating_point()), None)
            for part in self.modules():  # which are loaded later, with a part of the state that may be empty
                if isinstance(part, Constants):
                    part._follow(like)

    def _follow(self, like: Tensor | None) -> None:
        """Give the buffers the device and precision of an assigned tensor, and memory where they were on "meta"."""
        for name, exact in self._exact.items():
            buffer = self.get_buffer(name)
            device = like.device if like is not None else torch.device("cpu") if buffer.is_meta else buffer.device
            dtype = like.dtype if like is not None and buffer.is_floating_point() else buffer.dtype
            if (buffer.device, buffer.dtype) != (device, dtype):
                self.register_buffer(name, torch.tensor(exact, dtype=dtype, device=device), persistent=False)


class Layer(Constants):
    """Base of layers between two representations.

    Args:
        rep_in: representation of the input.
        rep_out: representation of the output; by default that of the input.
    """

    rep_in: Representation
    rep_out: Representation

    def __init__(self, rep_in: Representation, rep_out: Representation | None = None) -> None:
        super().__init__()
        rep_out = rep_in if rep_out is None else rep_out
        check_same_group(rep_in, rep_out)
        self.rep_in, self.rep_out = rep_in, rep_out


def check_features(x: Tensor, size: int, *, dim: int = -1) -> None:
    """Require a floating-point tensor whose axis ``dim`` has the size of the representation."""
    check_floating(x, what="The input")
    if x.dim() < -dim or x.shape[dim] != size:
        shape = "(..., D)" if dim == -1 else "(B, D, T) or (D, T)"
        raise ShapeError(
            f"The input must have shape {shape} with D = {size}, the size of the representation, got {tuple(x.shape)}."
        )


def check_probability(p: float) -> float:
    """Return a probability of dropping, between 0 and 1."""
    if not 0 <= p <= 1:
        raise OptionError(f"The probability p of dropping must be between 0 and 1, got {p}.")
    return p
