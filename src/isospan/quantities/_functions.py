"""Quantities of a sample: functions that are called together, each with the arguments it names."""

import contextlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from isospan._core.checks import check_count, check_names
from isospan.errors import MissingArgumentError, NameMismatchError, OptionError
from isospan.quantities._decorators import ensure_dim, to_device
from isospan.quantities._pooling import PoolingMode, pool_quantity

__all__ = ["compute_Q", "ensure_dim", "input_to_quantity", "to_device"]

Function = Callable[..., Any]


def compute_Q(*functions: Function, **named_functions: Function) -> Callable[..., dict[str, Any]]:
    """Combine functions into one that calls each with the arguments it names and returns {name: result}.

    Arguments that a function does not name are not passed to it; a function that takes ``**kwargs`` gets all of them.
    An argument that several functions name goes to each of them.

    Args:
        functions: registered under their ``__name__``.
        named_functions: registered under the keyword.

    Returns:
        ``quantities(**kwargs)`` → {name: result}, in the order of registration. It raises
        :class:`~isospan.errors.MissingArgumentError`, which names the function and the argument, where one is missing.

    Raises:
        TypeError: two functions annotate one argument differently. Arguments without annotation fit any.
        NameMismatchError: two functions have the same name, or a positional one has none.
        OptionError: what was passed is no function, or its signature cannot be read.
        MissingArgumentError: no function was passed.

    Example:
        >>> import torch
        >>> def scaled(field: torch.Tensor, factor: float):
        ...     return factor * field
        >>> quantities = compute_Q(scaled, energy=lambda field: field**2 / 2)
        >>> quantities(field=torch.tensor([1.0, 2.0]), factor=3.0)
        {'scaled': tensor([3., 6.]), 'energy': tensor([0.5000, 2.0000])}
    """
    registry = [_Quantity(name, f, _parameters(name, f)) for name, f in _named(functions, named_functions).items()]
    _check_annotations(registry)

    def quantities(**kwargs: Any) -> dict[str, Any]:
        return {quantity.name: quantity(kwargs) for quantity in registry}

    return quantities


def input_to_quantity(
    n_bins: int | Mapping[str, int], mode: PoolingMode, *functions: Function, **named_functions: Function
) -> Callable[..., dict[str, Tensor]]:
    """Combine functions as :func:`compute_Q` does, and pool each result as :func:`~isospan.quantities.pool` does.

    Args:
        n_bins: bins along each spatial axis, the same for all or {name: n} with the names of all functions.
        mode: ``"avg"`` or ``"max"``.
        functions: registered under their ``__name__``; each returns (B, S), (B, C, H, W) or (B, C, D, H, W).
        named_functions: registered under the keyword.

    Returns:
        ``quantities(**kwargs)`` → {name: pooled tensor}. It raises :class:`~isospan.errors.ShapeError`,
        :class:`~isospan.errors.DtypeError` or :class:`~isospan.errors.OptionError` where a result cannot be pooled,
        which names the quantity.

    Raises:
        NameMismatchError: the names of n_bins are not those of the functions.
        OptionError: a number of bins is not a whole number of at least 1.

    Example:
        >>> import torch
        >>> def gradient(field):
        ...     return field.diff(dim=-1)
        >>> quantities = input_to_quantity({"gradient": 4, "mean": 2}, "avg", gradient, mean=lambda field: field)
        >>> {name: tuple(y.shape) for name, y in quantities(field=torch.zeros(8, 1, 16, 16)).items()}
        {'gradient': (8, 1, 4, 4), 'mean': (8, 1, 2, 2)}
    """
    names = list(_named(functions, named_functions))
    bins = dict(n_bins) if isinstance(n_bins, Mapping) else dict.fromkeys(names, n_bins)
    check_names(names, bins, what="n_bins", against="the functions")
    bins = {name: check_count(n, what=f"n_bins of quantity {name!r}") for name, n in bins.items()}
    compute = compute_Q(*functions, **named_functions)

    def quantities(**kwargs: Any) -> dict[str, Tensor]:
        return {name: pool_quantity(name, y, bins[name], mode) for name, y in compute(**kwargs).items()}

    return quantities


@dataclass(frozen=True)
class _Quantity:
    """A function, the name of its result, and the parameters of its signature."""

    name: str
    function: Function
    parameters: tuple[inspect.Parameter, ...]

    def __call__(self, given: Mapping[str, Any]) -> Any:
        """Call the function with the arguments it names; with all of them where it takes ``**kwargs``."""
        self._check_complete(given)
        positional = [p for p in self.parameters if p.kind is p.POSITIONAL_ONLY]
        takes_all = any(p.kind is p.VAR_KEYWORD for p in self.parameters)
        named = given if takes_all else [p.name for p in self.arguments]
        keywords = {name: given[name] for name in named if name in given and name not in {p.name for p in positional}}
        return self.function(*[given.get(p.name, p.default) for p in positional], **keywords)

    @property
    def arguments(self) -> list[inspect.Parameter]:
        """The parameters that stand for one argument: all but ``*args`` and ``**kwargs``."""
        return [p for p in self.parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]

    def _check_complete(self, given: Mapping[str, Any]) -> None:
        for p in self.arguments:
            if p.default is p.empty and p.name not in given:
                raise MissingArgumentError(
                    f"Quantity {self.name!r} needs the argument {p.name!r}, got {sorted(given) or 'none'}. "
                    f"Pass it by keyword: {p.name}=..."
                )


def _named(functions: tuple[Function, ...], named_functions: Mapping[str, Function]) -> dict[str, Function]:
    """All functions by name, each name once."""
    named: dict[str, Function] = {}
    for name, f in [*((getattr(f, "__name__", None), f) for f in functions), *named_functions.items()]:
        if not callable(f):
            raise OptionError(f"A quantity must be a function, got {f!r}. Pass a function that returns the quantity.")
        if name is None or name in named:
            problem = "has no __name__" if name is None else f"is the second named {name!r}"
            raise NameMismatchError(f"Each quantity needs a name of its own, but {f!r} {problem}. Pass it by keyword.")
        named[name] = f
    if not named:
        raise MissingArgumentError("At least one function is needed, got none. Pass a function for each quantity.")
    return named


def _parameters(name: str, function: Function) -> tuple[inspect.Parameter, ...]:
    """The signature's parameters, with annotations that are strings resolved where they can be."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise OptionError(f"The signature of {name!r} cannot be read. Wrap it: {name}=lambda x: f(x).") from error
    with contextlib.suppress(Exception):  # an annotation may name what exists only for a type checker
        signature = inspect.signature(function, eval_str=True)
    return tuple(signature.parameters.values())


def _check_annotations(registry: list[_Quantity]) -> None:
    """An argument that two functions share must mean one thing: equal annotations, where both have one."""
    seen: dict[str, tuple[str, Any]] = {}
    for name, p in [(quantity.name, p) for quantity in registry for p in quantity.arguments]:
        if p.annotation is p.empty:
            continue
        first, annotation = seen.setdefault(p.name, (name, p.annotation))
        comparable = isinstance(annotation, str) == isinstance(p.annotation, str)
        if comparable and annotation != p.annotation:
            raise TypeError(
                f"Type mismatch for argument {p.name!r}: {first!r} annotates it as {_text(annotation)}, "
                f"{name!r} as {_text(p.annotation)}. Both get the same argument: use one annotation."
            )


def _text(annotation: Any) -> str:
    return inspect.formatannotation(annotation)
