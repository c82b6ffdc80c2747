"""Combination of functions, each called with the arguments in its signature."""

import contextlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from isospan._core.checks import check_count, check_names, naming_quantity
from isospan.errors import MissingArgumentError, NameMismatchError, OptionError
from isospan.quantities._pooling import PoolingMode, pool

Function = Callable[..., Any]


def combine(*functions: Function, **named_functions: Function) -> "CombinedQuantities":
    """Combine functions into one that calls each with the arguments in its signature and returns {name: result}.

    A function with ``**kwargs`` gets all arguments. An argument in several signatures goes to each of the functions.

    Args:
        functions: registered under their ``__name__``.
        named_functions: registered under the keyword.

    Returns:
        ``quantities(**kwargs)`` → {name: result}, in the order of registration.

    Raises:
        TypeError: two functions annotate one argument differently. No annotation fits every annotation.
        NameMismatchError: two functions have the same name, or a positional one has none.
        OptionError: an argument is not a function, or its signature cannot be read.
        MissingArgumentError: no function was passed.

    Example:
        >>> import torch
        >>> def scaled(field: torch.Tensor, factor: float):
        ...     return factor * field
        >>> quantities = combine(scaled, energy=lambda field: field**2 / 2)
        >>> quantities(field=torch.tensor([1.0, 2.0]), factor=3.0)
        {'scaled': tensor([3., 6.]), 'energy': tensor([0.5000, 2.0000])}
    """
    named = _named(functions, named_functions)
    combined = CombinedQuantities(tuple(_Quantity(name, f, _parameters(name, f)) for name, f in named.items()))
    _check_annotations(combined.quantities)
    return combined


@dataclass(frozen=True, repr=False)
class CombinedQuantities:
    """The functions of :func:`combine`, called together.

    Example:
        >>> combine(energy=lambda field: field**2 / 2)
        CombinedQuantities(energy)
    """

    quantities: "tuple[_Quantity, ...]"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the quantities, in the order of registration."""
        return tuple(quantity.name for quantity in self.quantities)

    def __call__(self, **kwargs: Any) -> dict[str, Any]:
        """Return {name: result}.

        Raises:
            MissingArgumentError: an argument without a default was not passed.
        """
        return {quantity.name: quantity(kwargs) for quantity in self.quantities}

    def __repr__(self) -> str:
        """Return the names of the quantities."""
        return f"CombinedQuantities({', '.join(self.names)})"

    def pooled(self, n: int | Mapping[str, int], *, mode: PoolingMode = "avg") -> Callable[..., dict[str, Tensor]]:
        """Return a function that also pools each result by :func:`~isospan.quantities.pool`.

        Args:
            n: pooled resolution along each spatial axis, for all functions or by name.
            mode: ``"avg"`` or ``"max"``.

        Returns:
            ``quantities(**kwargs)`` → {name: pooled tensor}. Each function must return (B, S), (B, C, H, W) or
            (B, C, D, H, W). An error of pooling names the quantity.

        Raises:
            NameMismatchError: the names of n are not those of the functions.
            OptionError: a resolution is not a whole number of at least 1.

        Example:
            >>> import torch
            >>> def gradient(field):
            ...     return field.diff(dim=-1)
            >>> quantities = combine(gradient, mean=lambda field: field).pooled({"gradient": 4, "mean": 2})
            >>> {name: tuple(y.shape) for name, y in quantities(field=torch.zeros(8, 1, 16, 16)).items()}
            {'gradient': (8, 1, 4, 4), 'mean': (8, 1, 2, 2)}
        """
        resolution = dict(n) if isinstance(n, Mapping) else dict.fromkeys(self.names, n)
        check_names(self.names, resolution, what="n", against="the functions")
        resolution = {name: check_count(n, what=f"n of quantity {name!r}") for name, n in resolution.items()}

        def quantities(**kwargs: Any) -> dict[str, Tensor]:
            pooled = {}
            for name, y in self(**kwargs).items():
                with naming_quantity(name):
                    pooled[name] = pool(y, resolution[name], mode=mode)
            return pooled

        return quantities


@dataclass(frozen=True)
class _Quantity:
    """A function, the name of its result, and the parameters of its signature."""

    name: str
    function: Function
    parameters: tuple[inspect.Parameter, ...]

    def __call__(self, given: Mapping[str, Any]) -> Any:
        """Call the function with the arguments in its signature, or with all if it has ``**kwargs``."""
        for p in self.arguments:
            if p.default is p.empty and p.name not in given:
                raise MissingArgumentError(
                    f"Quantity {self.name!r} needs the argument {p.name!r}, got {sorted(given) or 'none'}. "
                    f"Pass it by keyword: {p.name}=..."
                )
        positional = [p for p in self.parameters if p.kind is p.POSITIONAL_ONLY]
        takes_all = any(p.kind is p.VAR_KEYWORD for p in self.parameters)
        named = given if takes_all else [p.name for p in self.arguments]
        keywords = {name: given[name] for name in named if name in given and name not in {p.name for p in positional}}
        return self.function(*[given.get(p.name, p.default) for p in positional], **keywords)

    @property
    def arguments(self) -> list[inspect.Parameter]:
        """The parameters other than ``*args`` and ``**kwargs``."""
        return [p for p in self.parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _named(functions: tuple[Function, ...], named_functions: Mapping[str, Function]) -> dict[str, Function]:
    """Return all functions by name, and require that no name occurs twice."""
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
    """Return the parameters of the signature, with annotations resolved from strings if possible."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise OptionError(f"The signature of {name!r} cannot be read. Wrap it: {name}=lambda x: f(x).") from error
    with contextlib.suppress(Exception):  # a name in an annotation may exist only for a type checker
        signature = inspect.signature(function, eval_str=True)
    return tuple(signature.parameters.values())


def _check_annotations(registry: Sequence[_Quantity]) -> None:
    """Require equal annotations of an argument in two signatures, if both have one."""
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
