"""Arrays in ``.npy`` and ``.npz`` files, read at their first use, and memory-mapped if not compressed."""

import os
import struct
import zipfile
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import IO
from zlib import crc32

import numpy as np

from isospan._core.files import explained
from isospan.errors import FileFormatError

LOCAL_HEADER = struct.Struct("<26xHH")
"""The lengths of the name and of the extra field in the local header of a zip member."""

MOST_DEFLATED = 1032
"""Largest compression ratio of deflate: two bits for 258 bytes."""

REMEDY = "The file may be damaged or cut short; write or copy it again."
PIECE = 2**20


@dataclass(frozen=True, eq=False)
class FileArray:
    """An array of a NumPy file with samples along ``axis``. Only its header is read at construction.

    Attributes:
        path: of the file.
        header: shape, whether in Fortran order, and dtype, from the header of the file.
        offset: of the first entry in the ``.npy`` file, or in the member of a ``.npz`` file.
        member: of the ``.npz`` file.
        axis: dimension of the samples, first in slices.
    """

    path: Path
    header: tuple[tuple[int, ...], bool, np.dtype]
    offset: int
    member: zipfile.ZipInfo | None = None
    axis: int = 0

    @property
    def dtype(self) -> np.dtype:
        """Type of the entries."""
        return self.header[2]

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.header[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of samples and shape of one."""
        rest = list(self.header[0])
        return (rest.pop(self.axis), *rest)

    def along(self, axis: int) -> "FileArray":
        """Return the same array with its samples along another dimension."""
        return replace(self, axis=axis)

    def __getitem__(self, samples: slice) -> np.ndarray:
        """Read a slice of samples."""
        return np.moveaxis(self.values, self.axis, 0)[samples]

    @cached_property
    def values(self) -> np.ndarray:
        """All entries: memory-mapped, or in memory if compressed. The checksum of a ``.npz`` file is verified.

        Raises:
            FileFormatError: the entries are damaged, or their number differs from the header.
        """
        with explained(self.path, remedy=REMEDY):
            if self.dtype.hasobject:
                raise ValueError("pickled Python objects are refused, since loading them can run code")
            if self.member is None:
                return self._mapped(self.offset, self.path.stat().st_size - self.offset)
            self._check_size(self.member.file_size - self.offset)
            if self.member.compress_type == zipfile.ZIP_STORED:
                return self._stored(self.member)
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stream:
                values = np.lib.format.read_array(stream, allow_pickle=False)
                stream.read()  # to the end, where the checksum is compared
                return values

    def _stored(self, member: zipfile.ZipInfo) -> np.ndarray:
        start = _content_offset(self.path, member)
        if _checksum(self.path, start, member.file_size) != member.CRC:
            raise ValueError(f"the checksum of {member.filename} differs")
        return self._mapped(start + self.offset, member.file_size - self.offset)

    def _mapped(self, offset: int, size: int) -> np.ndarray:
        self._check_size(size)
        shape, fortran, dtype = self.header
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.memmap(self.path, dtype, "r", offset, shape, "F" if fortran else "C")

    def _check_size(self, size: int) -> None:
        """Require the size in the header, at most that of the best compression and, if compressed, of the memory."""
        declared = prod(self.header[0]) * self.dtype.itemsize
        if declared != size:
            raise ValueError(
                f"the header declares {declared} bytes of {self.dtype} {self.header[0]}, and it has {size}"
            )
        member = self.member
        if member is None or member.compress_type == zipfile.ZIP_STORED:
            return
        if member.compress_type == zipfile.ZIP_DEFLATED and size > MOST_DEFLATED * (member.compress_size + 1):
            raise ValueError(f"{member.filename} declares {size} bytes, more than {member.compress_size} can stand for")
        if (memory := physical_memory()) and size > memory:
            raise FileFormatError(
                f"{member.filename} of {self.path} declares {size} bytes, and the memory has {memory}. Save it with "
                "numpy.savez, uncompressed: then it is read in slices."
            )


def open_npy(path: Path, name: str) -> dict[str, FileArray]:
    """Return the array of a ``.npy`` file under a name."""
    with explained(path, remedy=REMEDY), path.open("rb") as stream:
        return {name: FileArray(path, _read_header(stream), stream.tell())}


def open_npz(path: Path) -> dict[str, FileArray]:
    """Return the arrays of a ``.npz`` file by name."""
    arrays: dict[str, FileArray] = {}
    with explained(path, remedy=REMEDY), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as stream:  # requires the same name in the local and the central header
                if member.filename.endswith(".npy"):
                    name = member.filename.removesuffix(".npy")
                    if name in arrays:
                        raise ValueError(f"two arrays are called {name!r}")
                    arrays[name] = FileArray(path, _read_header(stream), stream.tell(), member)
    return arrays


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if any(n < 0 for n in shape):
        raise ValueError(f"the header declares a negative size, {shape}")
    return shape, fortran, dtype


def _content_offset(path: Path, member: zipfile.ZipInfo) -> int:
    """Return the offset of a zip member's content. The extra fields of its local and central header may differ."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        name_length, extra_length = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    return member.header_offset + LOCAL_HEADER.size + name_length + extra_length


def _checksum(path: Path, start: int, size: int) -> int:
    """Return the CRC-32 of ``size`` bytes of a file from ``start``."""
    checksum = 0
    with path.open("rb") as file:
        file.seek(start)
        while size > 0 and (piece := file.read(min(size, PIECE))):
            checksum, size = crc32(piece, checksum), size - len(piece)
    return checksum


def physical_memory() -> int:
    """Return the bytes of memory of the machine, or 0 if unknown."""
    names = ("SC_PHYS_PAGES", "SC_PAGE_SIZE")
    known = getattr(os, "sysconf_names", {})  # Windows has none
    return prod(max(0, os.sysconf(name)) for name in names) if all(name in known for name in names) else 0
