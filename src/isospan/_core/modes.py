"""Modules in evaluation mode inside a block, and in their own modes afterwards."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn


@contextmanager
def evaluating(function: Callable[..., Any]) -> Iterator[None]:
    """Put a module, or the one whose method this is, into evaluation mode inside the block.

    Each submodule is put back into its own mode, so one that was in evaluation mode before stays there. Any other
    function has no effect.

    Example:
        >>> module = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
        >>> with evaluating(module.forward):
        ...     module[0].training
        False
        >>> [m.training for m in module]
        [True, False]
    """
    while isinstance(function, partial):
        function = function.func
    owner = getattr(function, "__self__", function)
    if not isinstance(owner, nn.Module):
        yield
        return
    modes = {module: module.training for module in owner.modules()}
    owner.eval()
    try:
        yield
    finally:
        owner.train(modes[owner])
        for module, training in modes.items():
            module.training = training
