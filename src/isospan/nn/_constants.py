"""Constants of a module: buffers in its precision, exact in every one."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from isospan.representations import HomBasis, Representation
from isospan.representations.representation import check_representation


class Constants(torch.nn.Module):
    """Base of modules with constant arrays, which are buffers but no part of the state.

    They follow ``.to``, ``.double()`` and the like as buffers do. A buffer that is cast to single precision and back
    has lost its digits, so wherever it is made anew, the array itself is written to it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._exact: dict[str, np.ndarray] = {}

    @classmethod
    def shared(cls, *arguments: Representation | HomBasis) -> Self:
        """The module of these arguments, with the arrays of one that is in use already, so that none is made twice.

        It is for modules without parameters, all of whose parts are such modules, and that nothing changes.
        """
        for argument in arguments:
            if not isinstance(argument, HomBasis):
                check_representation(argument)
        in_use, key = arguments[0].in_use, (cls, *(argument.structure for argument in arguments))
        first = in_use.get(key)
        if first is not None:
            return _twin(first)
        in_use[key] = made = cls(*arguments)
        for part in made.modules():
            vars(part)["_as_made"] = type(part), tuple(vars(part))
        return made

    def register_constant(self, name: str, values: np.ndarray) -> None:
        """Make ``self.<name>`` a buffer with these values, real numbers in the default precision."""
        self._exact[name] = values
        dtype = torch.get_default_dtype() if values.dtype.kind == "f" else None
        self.register_buffer(name, torch.tensor(values, dtype=dtype), persistent=False)

    def register_order(self, name: str, order: np.ndarray) -> None:
        """Make ``self.<name>`` a buffer with an order, or None where it leaves all as it is."""
        if (order == np.arange(len(order))).all():
            setattr(self, name, None)
        else:
            self.register_constant(name, order.astype(np.int32))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, exact in self._exact.items():
            buffer = self.get_buffer(name)
            if buffer is not before[name] and not buffer.is_meta:
                buffer.copy_(torch.from_numpy(exact.copy()))
        return self


def _twin(module: torch.nn.Module) -> Any:
    """A module of the same constants with buffers of its own, and so its parts; nothing that was hung on it later."""
    kind, names = as_made = vars(module)["_as_made"]
    twin: Any = kind.__new__(kind)
    (Constants if isinstance(module, Constants) else torch.nn.Module).__init__(twin)
    vars(twin).update({name: vars(module)[name] for name in names if name not in vars(twin)}, _as_made=as_made)
    if isinstance(module, Constants):
        for name, values in module._exact.items():
            twin.register_constant(name, values)
    for name, part in module.named_children():
        twin.add_module(name, _twin(part))
    return twin


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """Context in which autocast is off: constants and statistics keep the precision that they are held in."""
    device = like.device.type
    is_lowered = not like.is_meta and torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if is_lowered else nullcontext()
