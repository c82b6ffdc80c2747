"""Choosing the fields among the variables of a file."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from isospan.errors import FileFormatError, ShapeError

_ADD_SAMPLES = (
    "A single field becomes array[None]. Series (N, S) are no fields: train an encoder of your own on them in a plain "
    "loop, or pass its latents to `isospan probe`."
)


def is_real(dtype: Any) -> bool:
    """Whether entries of this type are real numbers: booleans, integers or floating point."""
    return np.dtype(dtype).kind in "biuf"


def choose_variables(
    path: Path, arrays: Mapping[str, Any], wanted: tuple[str, ...], known: Sequence[str] = ()
) -> tuple[str, ...]:
    """The wanted variables, checked; or the only one that can be fields.

    Args:
        path: The file, for messages.
        arrays: Its variables: things with a dtype and a shape.
        wanted: Names asked for, perhaps none.
        known: Names of what is not the fields where another array can be.

    Returns:
        Names of real arrays of at least three dimensions, at least one.
    """
    for name in wanted:
        _check_variable(path, arrays, name)
    if wanted:
        return wanted
    candidates = [name for name, array in arrays.items() if is_real(array.dtype) and len(array.shape) >= 3]
    candidates = [name for name in candidates if name not in known] or candidates
    if len(candidates) != 1:
        raise FileFormatError(_explain(path, arrays, candidates))
    return (candidates[0],)


def _check_variable(path: Path, arrays: Mapping[str, Any], name: str) -> None:
    if name not in arrays:
        by_lower_case = {known.lower(): known for known in arrays}
        near = [by_lower_case[match] for match in get_close_matches(name.lower(), by_lower_case, n=3)]
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise FileFormatError(f"{path} has no variable {name!r}; it has {_contents(arrays)}.{hint}")
    array = arrays[name]
    if np.dtype(array.dtype).hasobject:
        raise FileFormatError(
            f"Variable {name!r} of {path} holds pickled Python objects, which are refused: loading them can run code. "
            "Save it as a numeric array."
        )
    if not is_real(array.dtype):
        raise FileFormatError(
            f"Variable {name!r} of {path} must hold real numbers, got {array.dtype}. "
            "Save it as numbers; a complex one as its real and imaginary parts."
        )
    if len(array.shape) < 3:
        raise ShapeError(
            f"Fields need a dimension for samples and two for space; {name!r} of {path} has shape "
            f"{tuple(array.shape)}. {_ADD_SAMPLES}"
        )


def _explain(path: Path, arrays: Mapping[str, Any], candidates: list[str]) -> str:
    if candidates:
        return (
            f"{path} has several variables that can be the fields: {', '.join(candidates)}. Name one with "
            "variable=NAME. The others of them come along by name."
        )
    pickled = any(np.dtype(array.dtype).hasobject for array in arrays.values())
    return (
        f"{path} has no variable of real numbers with a dimension for samples and two for space; it has "
        f"{_contents(arrays)}. {_ADD_SAMPLES}"
        + (" Pickled objects are refused: loading them can run code." if pickled else "")
    )


def _contents(arrays: Mapping[str, Any]) -> str:
    described = [f"{name} {tuple(array.shape)} {array.dtype}" for name, array in arrays.items()]
    return ", ".join(described) or "none at all"
