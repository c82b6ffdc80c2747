"""Names of quantities: which there can be, and what files and variables are called after them."""

import re
import unicodedata
from collections.abc import Callable, Iterable

from isospan._core.checks import check_not_reserved
from isospan.errors import NameMismatchError

LONGEST = 100
"""Bytes of a name in a file name, which most file systems limit to 255 in all."""


def check_quantity_names(names: Iterable[object]) -> None:
    """Require names that can be shown on one line and stand in a file name.

    Raises:
        NameMismatchError: a name is no text, empty, has a character that is not printable, such as a line break, is too
            long, or is ``free``.

    Example:
        >>> check_quantity_names(["kinetic energy", "u/v", "../x", "涡度"])
    """
    names = list(names)
    for name in names:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise NameMismatchError(
                f"The name of a quantity must be a text of printable characters on one line, got {name!r}. Rename it."
            )
        if (size := len(file_name(name).encode())) > LONGEST:
            raise NameMismatchError(
                f"The name of a quantity must take at most {LONGEST} bytes in the name of a file, got {size} of "
                f"{name!r}. Shorten it."
            )
    check_not_reserved(str(name) for name in names)


def file_name(name: str) -> str:
    """Write a name as a part of a file name; ``urllib.parse.unquote`` takes it back.

    Example:
        >>> file_name("u/v"), file_name("../x"), file_name("kinetic energy")
        ('u%2Fv', '..%2Fx', 'kinetic energy')
    """
    return re.sub(r'[%/\\:*?"<>|]', _percent, name)


def netcdf_name(name: str) -> str:
    """Write a name as NetCDF allows it: without slashes or spaces at the end, beginning with a letter, digit or _.

    Accents are composed (NFC), as the library composes them when it writes, but not when it looks a name up.

    Example:
        >>> netcdf_name("u/v"), netcdf_name("energy"), netcdf_name("../x")
        ('u%2Fv', 'energy', '_%2E.%2Fx')
    """
    mapped = re.sub(r"[%/]|^[^0-9A-Za-z_\u0080-\U0010ffff]| $", _percent, unicodedata.normalize("NFC", name))
    return f"_{mapped}" if mapped.startswith("%") else mapped


def npz_name(name: str) -> str:
    """Write a name as ``.npz`` files hold it, which cut .npy from its end.

    No two names become the same: the escape is escaped where a name ends in it.

    Example:
        >>> npz_name("u/v"), npz_name("u.npy"), npz_name("u%2Enpy")
        ('u/v', 'u%2Enpy', 'u%252Enpy')
    """
    return re.sub(r"\.(?=npy\Z)|%(?=(?:25)*2Enpy\Z)", _percent, name)


def apart(
    names: Iterable[str],
    write: Callable[[str], str],
    *,
    taken: Iterable[str] = (),
    same: Callable[[str], str] = str,
) -> dict[str, str]:
    """Return {name: how it is written}, with underscores added to what is taken already.

    Args:
        names: all different.
        write: such as :func:`file_name`.
        taken: what is written already.
        same: what is the same for two that count as one, such as ``str.casefold`` for file names.

    Example:
        >>> apart(["T", "t"], file_name, same=str.casefold)
        {'T': 'T', 't': 't_'}
    """
    used, written = {same(text) for text in taken}, {}
    for name in names:
        text = write(name)
        while same(text) in used:
            text += "_"
        used.add(same(text))
        written[name] = text
    return written


def _percent(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"
