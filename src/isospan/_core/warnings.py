"""Warnings at the line of the user."""

import sys
import warnings

from isospan.errors import NumericalWarning

_PASSED_THROUGH = ("isospan", "torch", "contextlib")


def warn(message: str) -> None:
    """Issue a :class:`NumericalWarning` at the nearest line outside of isospan and torch.

    Example:
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     warn("k was reduced.")
        >>> print(caught[0].message)
        k was reduced.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _PASSED_THROUGH:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, NumericalWarning, stacklevel=level)
