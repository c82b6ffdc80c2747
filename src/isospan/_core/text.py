"""Numbers, times and differences of settings as text."""

from collections.abc import Mapping
from math import isfinite
from typing import Any


def number(value: float, *, digits: int = 2) -> str:
    """Return a number as text, with a true minus sign and no negative zero; NaN and infinity give a dash.

    Example:
        >>> number(-1.234), number(-0.001), number(float("nan"))
        ('−1.23', '0.00', '–')
    """
    if not isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return (text if float(text) else text.lstrip("-")).replace("-", "−")


def duration(seconds: float) -> str:
    """Return a time as text, in its two largest units.

    Example:
        >>> duration(7.2), duration(125), duration(7300), duration(float("nan"))
        ('7 s', '2 min 05 s', '2 h 01 min', '–')
    """
    if not isfinite(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def differences(one: Mapping[str, Any], other: Mapping[str, Any], *, where: tuple[str, str]) -> str:
    """Return the settings that differ, as text.

    Example:
        >>> differences({"lr": 0.1, "seed": 0}, {"lr": 0.2, "seed": 0}, where=("then", "now"))
        'lr: 0.1 then, 0.2 now'
    """
    names = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    return "; ".join(f"{name}: {one.get(name)!r} {where[0]}, {other.get(name)!r} {where[1]}" for name in names)
