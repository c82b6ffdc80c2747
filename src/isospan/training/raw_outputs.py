"""The outputs of a model as it made them, which wrappers of it hand on as copies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import unwrap
from types import MethodType
from typing import Any
from weakref import WeakSet

from torch import nn

CATCHING = WeakSet[Callable[..., Any]]()
"""The functions that catch, for good where mixed precision has wrapped one of them."""

OPEN: list[list[Any]] = []
"""What open blocks have caught: of all models, since mixed precision may keep a function of another one.

A tracer of torch 2.8 follows a list of a module, and none of a class.
"""


class RawOutputs:
    """Catches what models return, inside all that other libraries wrap around them.

    Mixed precision converts outputs to float32, and DDP passes them through a function of its own. The loss inside does
    not depend on these copies, so no force of the task is seen there.

    Example:
        >>> import torch
        >>> model, raw = nn.Linear(3, 2), RawOutputs()
        >>> raw.of(model)
        >>> with raw.caught() as outputs:
        ...     y = model(torch.ones(1, 3))
        >>> outputs[0] is y
        True
        >>> raw.release()
        >>> "forward" in vars(model)
        False
    """

    def __init__(self) -> None:
        self._changed: list[tuple[nn.Module, Any]] = []

    def of(self, model: nn.Module) -> None:
        """Catch those of a model that is not wrapped yet; one whose ``forward`` is no method stays as it is."""
        forward: Callable[..., Any] | None = getattr(model.forward, "__func__", None)
        if forward is None or unwrap(forward, stop=CATCHING.__contains__) in CATCHING:
            return

        @wraps(forward)
        def catching(*args: Any, **options: Any) -> Any:
            outputs = forward(*args, **options)
            if OPEN:
                OPEN[-1].append(outputs)
            return outputs

        CATCHING.add(catching)
        self._changed.append((model, vars(model).get("forward")))
        model.forward = MethodType(catching, model)

    def release(self) -> None:
        """Give the models their ``forward`` back, but where mixed precision has wrapped it, which nothing takes off."""
        for model, before in self._changed:
            if getattr(model.forward, "__func__", None) not in CATCHING:
                continue
            if before is None:
                del model.forward
            else:
                model.forward = before
        self._changed.clear()

    @contextmanager
    def caught(self) -> Iterator[list[Any]]:
        """Catch inside the block; the list is in the order of calls."""
        outputs: list[Any] = []
        OPEN.append(outputs)
        try:
            yield outputs
        finally:
            OPEN.pop()
