"""Losses of isospan under the argument names of spacelearn."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from torch import Tensor

from isospan.guided import losses

T = TypeVar("T")


def renamed(function: Callable[..., T], **names: str) -> Callable[..., T]:
    """Return the function with other names for some of its parameters, ``old="new"``.

    Example:
        >>> def double(x):
        ...     return 2 * x
        >>> renamed(double, x="chunks")(chunks=3)
        6
    """
    parameters = inspect.signature(function).parameters.values()
    signature = inspect.Signature([p.replace(name=names.get(p.name, p.name)) for p in parameters])

    @wraps(function)
    def call(*args: Any, **options: Any) -> T:
        bound = signature.bind(*args, **options)  # which makes what was renamed positional
        return function(*bound.args, **bound.kwargs)

    call.__module__, call.__qualname__ = __name__, function.__name__  # where pickle finds it
    call.__signature__ = signature  # type: ignore[attr-defined]
    return call


alignment_loss: Callable[..., Tensor] = renamed(losses.alignment_loss, z="Z", y="Y")
combined_loss: Callable[..., Any] = renamed(losses.combined_loss, z="Z", y="Y")
disentanglement_loss: Callable[..., Tensor] = renamed(losses.disentanglement_loss, z="Z")
isotropy_loss: Callable[..., Tensor] = renamed(losses.isotropy_loss, z="Z")
