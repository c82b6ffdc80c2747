"""Decorators that prepare the tensors a quantity function receives."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from isospan.errors import NameMismatchError, OptionError

Function = Callable[..., Any]


def ensure_dim(func: Function | None = None, *, dims: int, targets: Sequence[str] | None = None) -> Function:
    """Give tensor arguments at least ``dims`` dimensions by prepending axes of length 1.

    Use it as ``@ensure_dim(dims=4)`` or ``ensure_dim(func, dims=4)``.

    Args:
        func: the function to wrap.
        dims: least number of dimensions that the function receives; tensors with more pass unchanged.
        targets: names of the arguments to expand, whether they arrive by position or by keyword, that of ``*args``
            for all of these; ``None`` or empty means every tensor argument. What is not a tensor passes unchanged.

    Returns:
        The wrapped function, or a decorator where func is not given.

    Raises:
        NameMismatchError: a target is not an argument of the function.
        OptionError: dims is negative.

    Example:
        >>> import torch
        >>> @ensure_dim(dims=4, targets=["field"])
        ... def shapes(field, scale):
        ...     return tuple(field.shape), tuple(scale.shape)
        >>> shapes(torch.zeros(8, 8), torch.ones(3))
        ((1, 1, 8, 8), (3,))
    """
    if dims < 0:
        raise OptionError(f"dims must be at least 0, got {dims}.")
    if func is None:
        return functools.partial(ensure_dim, dims=dims, targets=targets)
    return _on_tensors(func, lambda x: x[(None,) * max(dims - x.dim(), 0)], targets)


def to_device(
    func: Function | None = None, *, device: torch.device | str = "cpu", targets: Sequence[str] | None = None
) -> Function:
    """Move tensor arguments to a device before the function runs.

    Use it bare (``@to_device``, to the CPU), as ``@to_device(device="cuda")`` or as ``to_device(func, device="cuda")``.

    Args:
        func: the function to wrap.
        device: where the tensors go.
        targets: names of the arguments to move, whether they arrive by position or by keyword, that of ``*args`` for
            all of these; ``None`` or empty means every tensor argument. What is not a tensor passes unchanged.

    Returns:
        The wrapped function, or a decorator where func is not given.

    Raises:
        NameMismatchError: a target is not an argument of the function.

    Example:
        >>> import torch
        >>> @to_device
        ... def where(field):
        ...     return field.device.type
        >>> where(torch.zeros(8, 8))
        'cpu'
    """
    if func is None:
        return functools.partial(to_device, device=device, targets=targets)
    return _on_tensors(func, lambda x: x.to(device), targets)


def _on_tensors(func: Function, change: Callable[[Tensor], Tensor], targets: Sequence[str] | None) -> Function:
    """Wrap func so that ``change`` is applied to the tensors among its arguments that ``targets`` names."""
    wanted = set([targets] if isinstance(targets, str) else targets or ())
    positional, rest = _positional_names(func, wanted) if wanted else ([], "")

    def prepared(value: Any, selected: bool) -> Any:
        return change(value) if selected and isinstance(value, Tensor) else value

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        names = [*positional, *[rest] * len(args)]  # zip stops at the last argument
        new_args = [prepared(value, not wanted or name in wanted) for name, value in zip(names, args, strict=False)]
        new_kwargs = {name: prepared(value, not wanted or name in wanted) for name, value in kwargs.items()}
        return func(*new_args, **new_kwargs)

    return wrapped


def _positional_names(func: Function, wanted: set[str]) -> tuple[list[str], str]:
    """Names of the arguments at each position, and that of ``*args``; "" where there are none.

    Every target must be an argument, unless func takes ``**kwargs``.
    """
    parameters = inspect.signature(func).parameters.values()
    unknown = wanted - {p.name for p in parameters}
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        raise NameMismatchError(
            f"targets must name arguments of {getattr(func, '__name__', func)!r}, which are "
            f"{[p.name for p in parameters]}, got {sorted(unknown)}."
        )
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return positional, next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "")
