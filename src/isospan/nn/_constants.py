"""Constants of a module: buffers in its precision, exact in every one."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Self

import numpy as np
import torch
from torch import Tensor


class Constants(torch.nn.Module):
    """Base of modules with constant arrays, which are buffers but no part of the state.

    They follow ``.to``, ``.double()`` and the like as buffers do. A buffer that is cast to single precision and back
    has lost its digits, so whatever is applied to the module, the array itself is written again afterwards.
    """

    def __init__(self) -> None:
        super().__init__()
        self._exact: dict[str, np.ndarray] = {}

    def register_constant(self, name: str, values: np.ndarray) -> None:
        """Make ``self.<name>`` a buffer with these values, real numbers in the default precision."""
        self._exact[name] = values
        floating = np.issubdtype(values.dtype, np.floating)
        dtype = torch.get_default_dtype() if floating else None
        self.register_buffer(name, torch.tensor(values, dtype=dtype), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        for name, exact in self._exact.items():
            if not self.get_buffer(name).is_meta:
                self.get_buffer(name).copy_(torch.from_numpy(exact.copy()))
        return self


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """Context in which autocast is off: constants and statistics keep the precision that they are held in."""
    return nullcontext() if like.is_meta else torch.autocast(like.device.type, enabled=False)
