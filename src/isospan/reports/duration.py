"""How long something takes, in words."""

from math import isfinite


def duration(seconds: float) -> str:
    """Write a time in its two largest units.

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
