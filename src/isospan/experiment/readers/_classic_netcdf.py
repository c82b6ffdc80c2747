"""Checking a classic NetCDF file (CDF-1, CDF-2, CDF-5) against the sizes that its header declares.

The NetCDF library reads the missing end of a truncated file as zeros.

Source: NetCDF Classic Format Specification, https://docs.unidata.ucar.edu/nug/current/file_format_specifications.html
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, TypeVar

T = TypeVar("T")
ENTRY_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
"""Bytes of an entry: byte, char, short, int, float, double; in CDF-5 also ubyte, ushort, uint, int64, uint64."""

MAGIC = b"CDF"


@dataclass(frozen=True)
class _Variable:
    begin: int
    size: int
    is_record: bool


def check_classic(path: Path) -> None:
    """Require that a classic file has the declared length, and that its variables do not overlap.

    Raises:
        ValueError: it has another length, or variables overlap.
    """
    with path.open("rb") as file:
        if file.read(3) == MAGIC:
            _check(*_Header(file).read(), path.stat().st_size)


def _check(records: int | None, variables: list[_Variable], header: int, length: int) -> None:
    """Compare the declared byte ranges with the length of the file. ``records`` is None for an unknown number."""
    fixed = sorted((v.begin, v.begin + v.size) for v in variables if not v.is_record)
    of_record = sorted((v.begin, v.begin + v.size) for v in variables if v.is_record and records != 0)
    end = header
    for first, last in [*fixed, *of_record]:
        if first < end:
            raise ValueError(f"the header declares a variable at byte {first}, before the end of what precedes it")
        end = last
    if of_record and records is None:
        return
    if of_record and records:
        sizes = [last - first for first, last in of_record]
        step = sizes[0] if len(sizes) == 1 else sum(map(_padded, sizes))
        end += (records - 1) * step
    if not end <= length <= _padded(end):
        raise ValueError(f"the header declares {end} bytes, and the file has {length}")


def _padded(size: int) -> int:
    return -(-size // 4) * 4


class _Header:
    """Reads a header in order. Numbers are big-endian; counts have 8 bytes in version 5, offsets in 2 and 5."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, version = file, file.read(1)[0]
        if version not in (1, 2, 5):
            raise ValueError(f"version {version} of the classic format is unknown")
        self.count = struct.Struct(">q" if version == 5 else ">i")
        self.offset = struct.Struct(">i" if version == 1 else ">q")

    def read(self) -> tuple[int | None, list[_Variable], int]:
        """Number of records, variables, and length of the header."""
        records = self._number(self.count)
        dims = self._list(self._dimension)
        self._list(self._attribute)
        variables = self._list(lambda: self._variable(dims))
        return None if records == -1 else records, variables, self.file.tell()

    def _number(self, form: struct.Struct) -> int:
        return form.unpack(self.file.read(form.size))[0]

    def _list(self, item: Callable[[], T]) -> list[T]:
        self._number(struct.Struct(">i"))  # the kind of the list
        return [item() for _ in range(self._number(self.count))]

    def _name(self) -> None:
        self._skip(self._number(self.count))

    def _skip(self, size: int) -> None:
        if size < 0:
            raise ValueError("the header is damaged")
        self.file.seek(_padded(size), 1)

    def _dimension(self) -> int:
        self._name()
        return self._number(self.count)

    def _attribute(self) -> None:
        self._name()
        entry = ENTRY_BYTES[self._number(struct.Struct(">i"))]
        self._skip(entry * self._number(self.count))

    def _variable(self, dims: list[int]) -> _Variable:
        self._name()
        shape = [dims[self._number(self.count)] for _ in range(self._number(self.count))]
        self._list(self._attribute)
        entry = ENTRY_BYTES[self._number(struct.Struct(">i"))]
        self._number(self.count)  # size of the variable, wrong above 4 GiB
        is_record = bool(shape) and shape[0] == 0
        return _Variable(self._number(self.offset), entry * prod(shape[is_record:]), is_record)
