"""Checks of the fields in the header of a file, before they are used."""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from isospan.errors import FileFormatError

LARGEST = 2**31
"""Sizes are below this, so that products of a few fit in 64 bits."""


def check_fields(record: Any, fields: Mapping[str, tuple[Callable[[Any], bool], str]], *, of: str) -> None:
    """Require that a record is a dict with these fields, each with a valid value.

    Args:
        record: the record read from a file.
        fields: {name: (check of a value, description of a valid value)}.
        of: name of the record, for the message.

    Raises:
        FileFormatError: the record is not a dict, or a field is missing or not valid.

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
    """Whether a value is an integer n with 1 ≤ n < :data:`LARGEST`."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < LARGEST


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def is_text(value: Any) -> bool:
    """Whether a value is a str."""
    return isinstance(value, str)


def is_optional(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a check that also accepts None.

    Example:
        >>> is_optional(is_count)(None), is_optional(is_count)(0)
        (True, False)
    """
    return lambda value: value is None or holds(value)


def are_all(holds: Callable[[Any], bool], *, count: int | None = None) -> Callable[[Any], bool]:
    """Return a check for a list of ``count`` valid entries.

    Example:
        >>> are_all(is_count, count=2)([8, 9]), are_all(is_text)(["u", 3])
        (True, False)
    """
    return lambda value: (
        isinstance(value, (list, tuple)) and count in (None, len(value)) and all(holds(entry) for entry in value)
    )


def is_dict_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a check for a dict of valid values.

    Example:
        >>> is_dict_of(is_text)({"heat": "laplacian"})
        True
    """
    return lambda value: isinstance(value, Mapping) and all(holds(entry) for entry in value.values())


_REMEDY = "Pass the directory of a finished run."


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
