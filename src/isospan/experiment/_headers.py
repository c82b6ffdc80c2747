"""Fields that a file of a run holds, checked before anything is made of them."""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from isospan.errors import FileFormatError

LARGEST = 2**31
"""Sizes are below this, so that products of a few fit in 64 bits."""


def check_fields(record: Any, fields: Mapping[str, tuple[Callable[[Any], bool], str]], *, of: str) -> None:
    """Require that a record of a file has these fields, each of its kind.

    Args:
        record: what was read.
        fields: {name: (whether a value is of the kind, what it must be in words)}.
        of: what the record is, for the error.

    Raises:
        FileFormatError: it is no dict, or a field is missing or of another kind.

    Example:
        >>> check_fields({"width": 8}, {"width": (is_count, "a whole number of at least 1")}, of="network")
    """
    if not isinstance(record, Mapping):
        raise FileFormatError(f"The {of} must be described by a dict, got {_short(record)}. {_REMEDY}")
    for name, (holds, expected) in fields.items():
        if name not in record:
            raise FileFormatError(f"The {of} must have the field {name!r}, got {_short(list(record))}. {_REMEDY}")
        if not holds(record[name]):
            raise FileFormatError(
                f"The field {name!r} of the {of} must be {expected}, got {_short(record[name])}. {_REMEDY}"
            )


def is_count(value: Any) -> bool:
    """Whether it is a whole number from 1 to below :data:`LARGEST`."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < LARGEST


def is_number(value: Any) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def is_text(value: Any) -> bool:
    """Whether it is a text."""
    return isinstance(value, str)


def is_optional(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return whether a value is None or of a kind.

    Example:
        >>> is_optional(is_count)(None), is_optional(is_count)(0)
        (True, False)
    """
    return lambda value: value is None or holds(value)


def are_all(holds: Callable[[Any], bool], *, count: int | None = None) -> Callable[[Any], bool]:
    """Return whether a value is a list of ``count`` entries of a kind.

    Example:
        >>> are_all(is_count, count=2)([8, 9]), are_all(is_text)(["u", 3])
        (True, False)
    """
    return lambda value: (
        isinstance(value, list | tuple) and count in (None, len(value)) and all(holds(entry) for entry in value)
    )


def is_dict_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return whether a value is a dict whose values are of a kind.

    Example:
        >>> is_dict_of(is_text)({"heat": "laplacian"})
        True
    """
    return lambda value: isinstance(value, Mapping) and all(holds(entry) for entry in value.values())


_REMEDY = "Pass the directory of a finished run."


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
