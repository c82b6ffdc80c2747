"""The outputs of a model as it made them, which wrappers of it hand on as copies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import MethodType
from typing import Any

from torch import nn


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
    """

    def __init__(self) -> None:
        self._caught: list[Any] | None = None

    def of(self, model: nn.Module) -> None:
        """Catch those of a model that is not wrapped yet; one whose ``forward`` is no method stays as it is."""
        forward: Callable[..., Any] | None = getattr(model.forward, "__func__", None)
        if forward is None:
            return

        @wraps(forward)
        def catching(*args: Any, **options: Any) -> Any:
            outputs = forward(*args, **options)
            if self._caught is not None:
                self._caught.append(outputs)
            return outputs

        model.forward = MethodType(catching, model)

    @contextmanager
    def caught(self) -> Iterator[list[Any]]:
        """Catch inside the block; the list is in the order of calls."""
        outputs = self._caught = []
        try:
            yield outputs
        finally:
            self._caught = None
