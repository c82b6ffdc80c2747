"""The named quantities of a batch of samples: built in, a user's function, or an array known only while training."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from isospan._checks import check_floating, check_not_empty
from isospan.errors import OptionError, ShapeError
from isospan.experiment.loading import load_object, reference_to
from isospan.guided.fields import BUILTIN_QUANTITIES, Spacing
from isospan.guided.pooling import pool
from isospan.training import Samples

ARRAY = "array:"
PASSED = "passed from Python: "
"""Marks a function that no name leads to, so that a run does not take another one for it."""

Function = Callable[..., Any]


@dataclass(frozen=True)
class Quantity:
    """One named quantity: a function of the fields, or an array of the file.

    Attributes:
        name: what the user calls it.
        text: how it was asked for, and how it is found again.
        function: of fields (B, C, H, W), and of dx and periodic where it names them.
        variable: of the file, where it is an array.
    """

    name: str
    text: str
    function: Function | None = None
    variable: str | None = None


def parse_quantities(wanted: Mapping[str, str | Function], *, variables: Sequence[str] = ()) -> tuple[Quantity, ...]:
    """Find what each quantity refers to.

    Args:
        wanted: {name: how}, with how a function, the name of a built-in quantity, ``module:function``,
            ``array:VARIABLE``, or nothing: then the name is that of a built-in quantity, or else of a variable.
        variables: what the file holds.

    Raises:
        OptionError: it refers to nothing, or to a function that only the run had to which it was passed.
        DegenerateDataError: there is no quantity.

    Example:
        >>> parse_quantities({"laplacian": "", "T": "array:air_temperature"}, variables=["air_temperature"])[1].variable
        'air_temperature'
    """
    check_not_empty(wanted, what="quantities")
    return tuple(_find(name, how, list(variables)) for name, how in wanted.items())


def as_text(how: str | Function) -> str:
    """Write down what was asked for: a function by where it is found again, or marked where it is not.

    Example:
        >>> import math
        >>> as_text("laplacian"), as_text(math.sqrt), as_text(lambda x: x)
        ('laplacian', 'math:sqrt', 'passed from Python: <lambda>')
    """
    if isinstance(how, str):
        return how
    return reference_to(how) or PASSED + getattr(how, "__qualname__", type(how).__name__)


def split_assignment(text: str) -> tuple[str, str]:
    """Split ``NAME`` or ``NAME=how`` into name and how.

    Example:
        >>> split_assignment("speed=physics:speed"), split_assignment("laplacian")
        (('speed', 'physics:speed'), ('laplacian', ''))
    """
    name, _, how = text.partition("=")
    if not name.strip():
        raise OptionError(f"A quantity is written NAME or NAME=how, got {text!r}.")
    return name.strip(), how.strip()


@dataclass(frozen=True)
class Targets:
    """Computes the quantities of a batch, pooled to their numbers of bins.

    Attributes:
        quantities: what to compute.
        dx: distance of grid points.
        periodic: whether the fields wrap around.
        bins: {name: n}; None and missing names are not pooled.

    Example:
        >>> import torch
        >>> targets = Targets(parse_quantities({"gradient_x": ""}), bins={"gradient_x": 2})
        >>> targets(Samples(torch.zeros(3, 1, 8, 8)))["gradient_x"].shape
        torch.Size([3, 1, 2, 2])
    """

    quantities: tuple[Quantity, ...]
    dx: Spacing = 1.0
    periodic: bool = False
    bins: Mapping[str, int | None] | None = None

    @property
    def names(self) -> list[str]:
        """Names of the quantities."""
        return [quantity.name for quantity in self.quantities]

    def with_bins(self, bins: Mapping[str, int | None]) -> "Targets":
        """Return the same quantities, pooled."""
        return replace(self, bins=dict(bins))

    def __call__(self, batch: Samples) -> dict[str, Tensor]:
        """Return {name: (B, C, n, n)} of fields, {name: (B, n)} of series, pooled."""
        bins = self.bins or {}
        return {name: y if not (n := bins.get(name)) else pool(y, n) for name, y in self.unpooled(batch).items()}

    def unpooled(self, batch: Samples) -> dict[str, Tensor]:
        """Return {name: (B, C, H, W)} of fields, {name: (B, S)} of series; numbers have S = 1."""
        return {quantity.name: self._compute(quantity, batch) for quantity in self.quantities}

    def _compute(self, quantity: Quantity, batch: Samples) -> Tensor:
        fields, known = batch.tensors()
        if quantity.function is None:
            return _with_axis(known[str(quantity.variable)])
        y = _call(quantity.function, fields, {"dx": self.dx, "periodic": self.periodic})
        check_floating(y, what=f"Quantity {quantity.name!r}")
        if y.dim() == 0 or len(y) != len(fields):
            raise ShapeError(
                f"Quantity {quantity.name!r} must have one row for each of the {len(fields)} samples of a batch, got "
                f"shape {tuple(y.shape)}. Let its function return (B, C, H, W), (B, S) or (B,)."
            )
        return _with_axis(y)


def _find(name: str, how: str | Function, variables: list[str]) -> Quantity:
    if callable(how):
        return Quantity(name, as_text(how), function=how)
    text = how or name
    if text.startswith(PASSED):
        raise OptionError(
            f"Quantity {name!r} was computed by a function {text!r}, which cannot be found again. Define it at the top "
            "of a module, and train with that or with 'module:function'."
        )
    if text.startswith(ARRAY):
        return Quantity(name, text, variable=_known_variable(text.removeprefix(ARRAY), variables))
    if text in BUILTIN_QUANTITIES:
        return Quantity(name, text, function=BUILTIN_QUANTITIES[text])
    if text in variables:
        return Quantity(name, ARRAY + text, variable=text)
    if ":" in text:
        return Quantity(name, text, function=_function(text))
    raise OptionError(
        f"There is no quantity {text!r}. Built in are {', '.join(sorted(BUILTIN_QUANTITIES))}; the file holds the "
        f"variables {', '.join(variables) or 'none'}; module:function names a function of your own."
    )


def _known_variable(variable: str, variables: list[str]) -> str:
    if variable not in variables:
        raise OptionError(f"There is no variable {variable!r}. The file holds {', '.join(variables) or 'none'}.")
    return variable


def _function(reference: str) -> Function:
    found: Any = load_object(reference)
    if not callable(found):
        raise OptionError(f"{reference!r} must be a function of fields (B, C, H, W), got {type(found).__name__}.")
    return found


def _call(function: Function, fields: Tensor, grid: Mapping[str, object]) -> Tensor:
    """Pass on dx and periodic where the function names them, or takes any keyword."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a function of C, such as torch.sin
        return function(fields)
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    return partial(function, **{key: value for key, value in grid.items() if takes_all or key in named})(fields)


def _with_axis(y: Tensor) -> Tensor:
    """Give numbers (B,) an axis of one, and fields (B, H, W) a channel."""
    return y[:, None] if y.dim() in (1, 3) else y
