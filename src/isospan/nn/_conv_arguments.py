"""Arguments of convolutions: torch takes a number or a tuple of one, and names for paddings."""

from typing import Literal

from isospan._core.checks import check_choice
from isospan.errors import OptionError

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def whole(value: int | tuple[int], *, least: int, what: str) -> int:
    """A whole number of at least ``least``, from itself or a tuple of it."""
    number = value[0] if isinstance(value, tuple | list) and len(value) == 1 else value
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise OptionError(f"{what} must be a whole number of at least {least}, got {value!r}.")
    return number


def padding_sides(padding: int | tuple[int] | str, *, kernel_size: int, stride: int, dilation: int) -> tuple[int, int]:
    """Numbers of entries to pad on the left and on the right.

    Raises:
        OptionError: an unknown name, or "same" with a stride.
    """
    if not isinstance(padding, str):
        number = whole(padding, least=0, what="padding")
        return number, number
    check_choice(padding, ("valid", "same"), what="padding")
    if padding == "valid":
        return 0, 0
    if stride != 1:
        raise OptionError(f"padding='same' keeps the length, so the stride must be 1, got {stride}. Pass a number.")
    total = dilation * (kernel_size - 1)
    return total // 2, total - total // 2
