"""The named quantities of a batch of samples: built-in functions, functions of the user, or arrays."""

import inspect
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from isospan._core.checks import check_floating, check_not_empty
from isospan.errors import IsospanError, OptionError, ShapeError
from isospan.experiment._loading import load_object, reference_to
from isospan.experiment._names import check_quantity_names
from isospan.experiment.samples import Samples
from isospan.quantities import pool
from isospan.quantities.fields import BUILTIN_QUANTITIES, Spacing, divergence, kinetic_energy, strain_rate, vorticity

ARRAY = "array:"
PASSED = "passed from Python: "
"""Marks a function that cannot be imported by a name, so that a later run does not use another function."""

Function = Callable[..., Any]


@dataclass(frozen=True)
class Quantity:
    """One named quantity: a function of the fields, or an array of the files.

    Attributes:
        name: its name.
        text: what the user wrote, from which the quantity is found again.
        function: of fields (B, C, H, W), and of dx and periodic where it has these parameters.
        variable: name of the array in the files, where it is an array.
    """

    name: str
    text: str
    function: Function | None = None
    variable: str | None = None


def parse_quantities(
    wanted: Mapping[str, str | Function],
    *,
    variables: Sequence[str] = (),
    left_out: Mapping[str, str] | None = None,
    load: Callable[[str], Any] = load_object,
) -> tuple[Quantity, ...]:
    """Find what each quantity refers to.

    Args:
        wanted: {name: how}. ``how`` is a function, the name of a built-in quantity, ``module:function`` or
            ``array:VARIABLE``. Where it is empty, the name is that of a built-in quantity, or else of a variable.
        variables: names of the arrays in the files.
        left_out: why the other variables of the files cannot be quantities, by name.
        load: imports ``module:function``.

    Raises:
        NameMismatchError: the name of a quantity is not valid.
        ShapeError: a variable does not have the sample dimension.
        OptionError: a quantity refers to nothing, or to a function that cannot be imported.
        DegenerateDataError: there is no quantity.

    Example:
        >>> parse_quantities({"laplacian": "", "T": "array:air_temperature"}, variables=["air_temperature"])[1].variable
        'air_temperature'
    """
    check_not_empty(wanted, what="quantities")
    check_quantity_names(wanted)
    return tuple(_find(name, how, list(variables), left_out or {}, load) for name, how in wanted.items())


def variables_of(wanted: Mapping[str, str | Function]) -> list[str]:
    """Return the names that can only refer to a variable of the files.

    Example:
        >>> variables_of({"laplacian": "", "T": "array:heat", "age": "", "own": "module:function"})
        ['heat', 'age']
    """
    texts = [how or name for name, how in wanted.items() if isinstance(how, str)]
    named = [text.removeprefix(ARRAY) for text in texts if text.startswith(ARRAY) or ":" not in text]
    return [name for name in named if name not in BUILTIN_QUANTITIES]


def as_text(how: str | Function) -> str:
    """Return what was asked for as text: a function as ``module:function``, or marked where that does not import it.

    Example:
        >>> import math
        >>> as_text("laplacian"), as_text(math.sqrt), as_text(lambda x: x)
        ('laplacian', 'math:sqrt', 'passed from Python: <lambda>')
    """
    if isinstance(how, str):
        return how
    return reference_to(how) or PASSED + getattr(how, "__qualname__", type(how).__name__)


@dataclass(frozen=True)
class Targets:
    """Computes the quantities of a batch, pooled to their resolutions n.

    Attributes:
        quantities: what to compute.
        dx: distance of grid points.
        periodic: whether the fields are periodic.
        n: pooled resolution by name; quantities with None or without an entry are not pooled.

    Example:
        >>> import torch
        >>> targets = Targets(parse_quantities({"gradient_x": ""}), n={"gradient_x": 2})
        >>> targets(Samples(torch.zeros(3, 1, 8, 8)))["gradient_x"].shape
        torch.Size([3, 1, 2, 2])
    """

    quantities: tuple[Quantity, ...]
    dx: Spacing = 1.0
    periodic: bool = False
    n: Mapping[str, int | None] | None = None

    def __repr__(self) -> str:
        n = self.n or {}
        texts = [f"{name} n={n[name]}" if n.get(name) else name for name in self.names]
        return f"Targets({shorten(', '.join(texts), 150, placeholder=' …')}, dx={self.dx}, periodic={self.periodic})"

    @property
    def names(self) -> list[str]:
        """Names of the quantities."""
        return [quantity.name for quantity in self.quantities]

    @property
    def several(self) -> bool:
        """Whether there is more than one quantity, so that the covariance of the targets is needed."""
        return len(self.quantities) > 1

    def shapes(self, samples: Samples) -> dict[str, tuple[int, ...]]:
        """Return the shape of one target of each quantity. Reads the first sample."""
        return {name: tuple(y.shape[1:]) for name, y in self(samples[0:1]).items()}

    def pooled_to(self, n: Mapping[str, int | None]) -> "Targets":
        """Return the same quantities, pooled to the resolutions {name: n}."""
        return replace(self, n=dict(n))

    def functions(self, names: Collection[str]) -> "Targets":
        """Return the quantities of these names that are functions of the fields."""
        return replace(self, quantities=tuple(q for q in self.quantities if q.function and q.name in names))

    def differentiable(self, fields: Tensor) -> "Targets":
        """Return the quantities that have a gradient by the fields (B, C, H, W).

        Functions of the user may compute with NumPy, or under ``torch.no_grad()``. Each is called with two fields.

        Example:
            >>> import torch
            >>> parsed = parse_quantities({"square": torch.square, "numpy": lambda x: torch.from_numpy(x.numpy() ** 2)})
            >>> Targets(parsed).differentiable(torch.ones(2, 1, 4, 4)).names
            ['square']
        """
        return replace(self, quantities=tuple(q for q in self.quantities if self._has_gradient(q, fields[:2])))

    def _has_gradient(self, quantity: Quantity, fields: Tensor) -> bool:
        if quantity.function is None:
            return False
        with torch.enable_grad():
            try:
                return self._compute(quantity, Samples(fields.detach().clone().requires_grad_())).requires_grad
            except IsospanError:  # such as from x.numpy() of a tensor that requires a gradient
                return False

    def __call__(self, batch: Samples) -> dict[str, Tensor]:
        """Return the pooled quantities: {name: (B, C, n, n)} for fields, {name: (B, n)} for series."""
        pooled = {name: n for name, n in (self.n or {}).items() if n}
        return {name: pool(y, pooled[name]) if name in pooled else y for name, y in self.unpooled(batch).items()}

    def unpooled(self, batch: Samples) -> dict[str, Tensor]:
        """Return the quantities: {name: (B, C, H, W)} for fields, {name: (B, S)} for series; numbers have S = 1."""
        return {quantity.name: self._compute(quantity, batch) for quantity in self.quantities}

    def _compute(self, quantity: Quantity, batch: Samples) -> Tensor:
        fields, arrays = batch.tensors()
        if quantity.function is None:
            return _with_axis(arrays[str(quantity.variable)])
        y = _computed(quantity.name, quantity.function, fields, {"dx": self.dx, "periodic": self.periodic})
        check_floating(y, what=f"Quantity {quantity.name!r}")
        if y.dim() == 0 or len(y) != len(fields):
            raise ShapeError(
                f"Quantity {quantity.name!r} must have one row for each of the {len(fields)} samples of a batch, got "
                f"shape {tuple(y.shape)}. Let its function return (B, C, H, W), (B, S) or (B,)."
            )
        return _with_axis(y)


def _find(
    name: str, how: str | Function, variables: list[str], left_out: Mapping[str, str], load: Callable[[str], Any]
) -> Quantity:
    if callable(how):
        return Quantity(name, as_text(how), function=how)
    text = how or name
    if text.startswith(PASSED):
        raise OptionError(
            f"The function of quantity {name!r} must be importable, got {text!r}. Define it at the top of a module, "
            "and train with that or with 'module:function'."
        )
    if text in BUILTIN_QUANTITIES:
        return Quantity(name, text, function=BUILTIN_QUANTITIES[text])
    if text in variables or text in left_out:
        text = ARRAY + text
    if text.startswith(ARRAY):
        return Quantity(name, text, variable=_variable(text.removeprefix(ARRAY), variables, left_out))
    if ":" in text:
        return Quantity(name, text, function=_function(text, load))
    raise OptionError(
        f"There is no quantity {text!r}. Built in are {', '.join(sorted(BUILTIN_QUANTITIES))}. The file has the "
        f"variables {', '.join(variables) or 'none'}. Write your own function as module:function."
    )


def _variable(variable: str, variables: list[str], left_out: Mapping[str, str]) -> str:
    if variable in left_out:
        raise ShapeError(
            f"A quantity must have one entry for each sample, but the variable {variable!r} {left_out[variable]}. "
            "Write it for the samples of the fields."
        )
    if variable not in variables:
        raise OptionError(f"There is no variable {variable!r}. The file has {', '.join(variables) or 'none'}.")
    return variable


def _function(reference: str, load: Callable[[str], Any]) -> Function:
    found = load(reference)
    if not callable(found):
        raise OptionError(f"{reference!r} must be a function of fields (B, C, H, W), got {type(found).__name__}.")
    return found


def _computed(name: str, function: Function, fields: Tensor, grid: Mapping[str, object]) -> Tensor:
    """Call the function of a quantity. Its errors are raised with the name of the quantity."""
    try:
        return _call(function, fields, grid)
    except IsospanError as error:
        raise type(error)(f"Quantity {name!r}: {error}{_other_input(function, fields)}") from error
    except Exception as error:  # a user's function can raise anything
        raise OptionError(
            f"The function of quantity {name!r} must accept fields of shape {tuple(fields.shape)}, but it raised "
            f"{type(error).__name__}: {error} ({_line_of(error, function)}). Fix the function."
        ) from error


def _other_input(function: Function, fields: Tensor) -> str:
    """What to do where a quantity of flows is given fields other than a velocity."""
    twin = f"{getattr(function, '__name__', '')}_from_vorticity"
    if fields.shape[1] == 2 or function not in (divergence, kinetic_energy, strain_rate, vorticity):
        return ""
    other = f", or use {twin!r} for a vorticity" if twin in BUILTIN_QUANTITIES else ""
    return f" Pass both components as the field, variable=['u', 'v']{other}."


def _line_of(error: Exception, function: Function) -> str:
    """The line of the function's file that raised an error, or else the innermost line."""
    frames = traceback.extract_tb(error.__traceback__)
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    frame = next((frame for frame in reversed(frames) if frame.filename == file), frames[-1])
    return f"{frame.filename}, line {frame.lineno}: {frame.line}"


def _call(function: Function, fields: Tensor, grid: Mapping[str, object]) -> Tensor:
    """Call a function with the fields, and with those of dx and periodic that it accepts."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a C function, such as torch.sin
        return function(fields)
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    return partial(function, **{key: value for key, value in grid.items() if takes_all or key in named})(fields)


def _with_axis(y: Tensor) -> Tensor:
    """Return numbers (B,) as (B, 1), and fields (B, H, W) as (B, 1, H, W)."""
    return y[:, None] if y.dim() in (1, 3) else y
