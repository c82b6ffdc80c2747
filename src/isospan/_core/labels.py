"""Class labels, and their indicators, by which they are quantities like all others."""

import logging
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from isospan._core.checks import as_tensor, check_count, check_not_empty
from isospan._core.missing import Missing
from isospan.errors import DimensionError, DtypeError, NameMismatchError, OptionError

logger = logging.getLogger("isospan")


def is_label(y: Any) -> bool:
    """Return whether a quantity is class labels: a tensor or array (B,) of integers or booleans."""
    y = as_tensor(y)
    return isinstance(y, Tensor) and y.dim() == 1 and not y.is_floating_point() and not y.is_complex()


def check_classes(classes: Mapping[str, int] | None, names: Any, *, of: str) -> dict[str, int]:
    """Return the number of classes of some quantities, at least two each."""
    if classes is None:
        return {}
    if not isinstance(classes, Mapping) or not set(classes) <= set(names):
        raise NameMismatchError(
            f"classes must be a dict {{name: number of classes}} of {of} {sorted(names)}, got {classes!r:.120}."
        )
    return {
        name: check_count(C, what=f"The number of classes of {name!r}", error=DimensionError, least=2)
        for name, C in classes.items()
    }


def infer_classes(y: Mapping[str, Any], classes: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return the number of classes of every quantity of class labels, from the labels where ``classes`` has none.

    Booleans have two classes. Integers have C where each of 0 to C - 1 occurs, twice on average. Other integers may be
    numbers, such as years, or labels of which some classes do not occur: this is not guessed.

    Raises:
        DtypeError: integers that may be labels or numbers.
        NameMismatchError, DimensionError: ``classes`` has an unknown name, or a number below 2.

    Example:
        >>> infer_classes({"digit": torch.tensor([0, 2, 1, 1, 0, 2]), "is_round": torch.tensor([True, False] * 3)})
        {'digit': 3, 'is_round': 2}
    """
    check_not_empty(y, what="Targets")
    found = check_classes(classes, y, of="the quantities")
    inferred = {}
    for name, values in y.items():
        if name not in found and is_label(values):
            found[name] = 2 if as_tensor(values).dtype == torch.bool else _counted(name, as_tensor(values))
            inferred[name] = found[name]
    if inferred:
        logger.info("Integer and boolean quantities are class labels, with these numbers of classes: %s.", inferred)
    return {name: found[name] for name in y if name in found}


def _counted(name: str, y: Tensor) -> int:
    """C of integer labels 0 to C - 1; negative ones are missing."""
    values = y[y >= 0].unique()
    C = int(values[-1]) + 1 if len(values) else 0
    if 2 <= C == len(values) and 2 * C <= len(y):
        return C
    span = f"{len(values)} values from {int(values[0])} to {C - 1}" if len(values) else "no value of at least 0"
    raise DtypeError(
        f"Quantity {name!r} of {len(y)} integers must have each class 0 to C - 1 to count as class labels, twice on "
        f"average, got {span}. Say what it is: a number, {name!r}: y.float(); labels of C classes, of which some do "
        f"not occur, classes={{{name!r}: C}}; or labels of other values, y.unique(return_inverse=True)[1]."
    )


def encoded(y: Mapping[str, Any], classes: Mapping[str, int], *, missing: Missing = "raise") -> dict[str, Any]:
    """Return quantities with class labels (B,) as the indicators of their classes (B, C), in float32.

    This is the only place where labels become numbers. With ``missing="skip"`` a negative label has NaN indicators.
    Quantities of floating point, also of a name in ``classes``, do not change.

    Raises:
        DtypeError: integers of a quantity that has no number of classes, or that are no vector.
        OptionError: a label outside 0 to C - 1.

    Example:
        >>> encoded({"digit": torch.tensor([2, 0])}, {"digit": 3})["digit"]
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """
    check_not_empty(y, what="Targets")
    return {name: _indicators(name, values, classes, missing) for name, values in y.items()}


def _indicators(name: str, y: Any, classes: Mapping[str, int], missing: Missing) -> Any:
    y = as_tensor(y)
    if not isinstance(y, Tensor) or y.is_floating_point() or y.is_complex():
        return y
    C = classes.get(name, 0)
    if y.dim() != 1 or C < 2:
        raise DtypeError(
            f"Targets of quantity {name!r} must be floating point, got {y.dtype} of shape {tuple(y.shape)}. Convert "
            f"numbers with .float() or .double(); of class labels pass one integer a sample, shape (B,), and their "
            f"number classes={{{name!r}: C}}."
        )
    return indicators(y, C, name=name, missing=missing)


def indicators(y: Tensor, C: int, *, name: str, missing: Missing = "raise") -> Tensor:
    """Return the indicators (..., C) of labels (...,) 0 to C - 1."""
    y = y.long()
    low, high = (int(bound) for bound in y.aminmax()) if y.numel() else (0, 0)
    if high >= C or (low < 0 and missing == "raise"):
        remedy = 'Negative labels are missing with missing="skip". ' if low < 0 and missing == "raise" else ""
        raise OptionError(
            f"Labels of quantity {name!r} must be 0 to {C - 1}, for {C} classes, got {low} to {high}. {remedy}Number "
            "the classes from 0, or pass their number in classes."
        )
    hot = one_hot(y.clamp(min=0), C).float()
    return hot if low >= 0 else hot.masked_fill((y < 0)[..., None], float("nan"))


def as_scores(y: Any, C: int, *, name: str) -> Any:
    """Return classes, integers (...,) of a quantity of C classes, as their indicators (..., C); else the target.

    Example:
        >>> as_scores(2, 3, name="digit"), as_scores(0.5, 3, name="digit")
        (tensor([0., 0., 1.]), 0.5)
    """
    y = as_tensor(y)
    if isinstance(y, Integral) and (C == 2 or not isinstance(y, bool)):
        y = torch.tensor(int(y))
    if not isinstance(y, Tensor) or y.is_floating_point() or y.is_complex():
        return y
    return indicators(y, C, name=name)
