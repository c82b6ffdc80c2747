"""Names of quantities, and the names of files and variables made from them."""

import re
import unicodedata
from collections.abc import Callable, Iterable

from isospan._core.checks import check_not_reserved
from isospan.errors import NameMismatchError

LONGEST = 100
"""Most bytes of a name within a file name; most file systems allow 255 for all of it."""


def check_quantity_names(names: Iterable[object]) -> None:
    """Require names that fit on one line and into a file name.

    Raises:
        NameMismatchError: a name is not a str, is empty, is too long, is ``free``, or has a character that is not
            printable, such as a line break.

    Example:
        >>> check_quantity_names(["kinetic energy", "u/v", "../x", "涡度"])
    """
    names = list(names)
    for name in names:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise NameMismatchError(
                f"The name of a quantity must be a str of printable characters on one line, got {name!r}. Rename it."
            )
        if (size := len(file_name(name).encode())) > LONGEST:
            raise NameMismatchError(
                f"The name of a quantity must have at most {LONGEST} bytes in a file name, got {size} for {name!r}. "
                "Shorten it."
            )
    check_not_reserved(str(name) for name in names)


def file_name(name: str) -> str:
    """Return a name escaped for a file name; ``urllib.parse.unquote`` is the inverse.

    Example:
        >>> file_name("u/v"), file_name("../x"), file_name("kinetic energy")
        ('u%2Fv', '..%2Fx', 'kinetic energy')
    """
    return re.sub(r'[%/\\:*?"<>|]', _percent, name)


def netcdf_name(name: str) -> str:
    """Return a name that NetCDF allows: no slash, no space at the end, a letter, digit or _ at the beginning.

    Accents are composed (NFC): the NetCDF library does so when it writes a name, but not when it reads one.

    Example:
        >>> netcdf_name("u/v"), netcdf_name("energy"), netcdf_name("../x")
        ('u%2Fv', 'energy', '_%2E.%2Fx')
    """
    mapped = re.sub(r"[%/]|^[^0-9A-Za-z_\u0080-\U0010ffff]| $", _percent, unicodedata.normalize("NFC", name))
    return f"_{mapped}" if mapped.startswith("%") else mapped


def npz_name(name: str) -> str:
    """Return a name escaped for ``.npz`` files, whose readers cut .npy from its end.

    Different names stay different: a name that ends in the escape sequence has that escaped.

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
    """Return {name: written name}, with underscores added until all written names differ.

    Args:
        names: all different.
        write: the escape, such as :func:`file_name`.
        taken: written names that are in use.
        same: two names clash where this is equal, such as ``str.casefold`` for file names.

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
