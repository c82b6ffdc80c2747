"""The original outputs of a model, of which its wrappers return copies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import unwrap
from types import MethodType
from typing import Any
from weakref import WeakSet

from torch import nn

CATCHING = WeakSet[Callable[..., Any]]()
"""All functions that catch outputs. Mixed precision may have wrapped one, which cannot be undone."""

OPEN: list[list[Any]] = []
"""What open blocks have caught: of all models, since mixed precision may keep a function of another one.

A tracer of torch 2.8 follows a list of a module, and none of a class.
"""


class RawOutputs:
    """Catches the outputs of models, inside the wrappers of other libraries.

    Mixed precision converts outputs to float32, and DDP passes them through its own function. The loss inside the model
    does not depend on these copies, so they have no gradient of the task.

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
        """Catch the outputs of a model that is not wrapped yet. A ``forward`` that is not a method is skipped."""
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
        """Restore ``forward`` of the models, except where mixed precision has wrapped it, which cannot be undone."""
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
        """Catch outputs inside the block, in the order of calls."""
        outputs: list[Any] = []
        OPEN.append(outputs)
        try:
            yield outputs
        finally:
            OPEN.pop()
