"""Choosing the fields among the variables of a file."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from isospan.errors import FileFormatError, ShapeError

_ADD_SAMPLES = (
    "Write a single field as array[None]. Series (N, S) are not fields: train your own encoder on them in a plain "
    "loop, or pass its latents to `isospan probe`."
)


def is_real(dtype: Any) -> bool:
    """Whether entries of this type are real numbers: booleans, integers or floating point."""
    return np.dtype(dtype).kind in "biuf"


def choose_variables(
    path: Path, arrays: Mapping[str, Any], wanted: tuple[str, ...], quantities: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the wanted variables, checked; without any, the only one that can be the fields.

    Args:
        path: The file, for messages.
        arrays: Its variables, with dtype and shape.
        wanted: Names of the fields; may be empty.
        quantities: Names that are not chosen as the fields while there is another candidate.

    Returns:
        Names of real arrays of at least three dimensions, at least one.
    """
    for name in wanted:
        _check_variable(path, arrays, name)
    if wanted:
        return wanted
    candidates = [name for name, array in arrays.items() if is_real(array.dtype) and len(array.shape) >= 3]
    candidates = [name for name in candidates if name not in quantities] or candidates
    if len(candidates) != 1:
        raise FileFormatError(_explain(path, arrays, candidates))
    return (candidates[0],)


def _check_variable(path: Path, arrays: Mapping[str, Any], name: str) -> None:
    if name not in arrays:
        by_lower_case = {other.lower(): other for other in arrays}
        near = [by_lower_case[match] for match in get_close_matches(name.lower(), by_lower_case, n=3)]
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise FileFormatError(f"{path} has no variable {name!r}; it has {_contents(arrays)}.{hint}")
    array = arrays[name]
    if np.dtype(array.dtype).hasobject:
        raise FileFormatError(
            f"Variable {name!r} of {path} must hold numbers, got pickled Python objects. Loading these can run code. "
            "Save it as a numeric array."
        )
    if not is_real(array.dtype):
        raise FileFormatError(
            f"Variable {name!r} of {path} must hold real numbers, got {array.dtype}. "
            "Save it as numbers; a complex one as its real and imaginary parts."
        )
    if len(array.shape) < 3:
        raise ShapeError(
            f"Fields must have a dimension for samples and two for space, got {name!r} of {path} with shape "
            f"{tuple(array.shape)}. {_ADD_SAMPLES}"
        )


def _explain(path: Path, arrays: Mapping[str, Any], candidates: list[str]) -> str:
    if candidates:
        return (
            f"{path} must have one variable that can be the fields, got {', '.join(candidates)}. Name one with "
            "variable=NAME. The others are then arrays by name."
        )
    pickled = any(np.dtype(array.dtype).hasobject for array in arrays.values())
    return (
        f"{path} must have a real variable with a dimension for samples and two for space, got "
        f"{_contents(arrays)}. {_ADD_SAMPLES}"
        + (" Pickled objects are not loaded, since that can run code." if pickled else "")
    )


def _contents(arrays: Mapping[str, Any]) -> str:
    described = [f"{name} {tuple(array.shape)} {array.dtype}" for name, array in arrays.items()]
    return ", ".join(described) or "none at all"
