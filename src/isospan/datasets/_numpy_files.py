"""Arrays in ``.npy`` and ``.npz`` files, mapped into memory where the file allows it."""

import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from isospan.errors import FileFormatError

LOCAL_HEADER = struct.Struct("<26xHH")
"""The part of a zip member's local header that tells the lengths of its name and of its extra field."""

PICKLED = np.empty(0, dtype=object)
"""Stands for an array of pickled Python objects: listed, so that an error can name it, but never loaded."""


def open_npy(path: Path, name: str) -> dict[str, np.ndarray]:
    """The array of a ``.npy`` file, mapped, under the given name."""
    with _explained(path), path.open("rb") as stream:
        return {name: _map(path, stream, 0)}


def open_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a ``.npz`` file: mapped if it is not compressed, held in memory if it is."""
    with _explained(path), zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        return {info.filename.removesuffix(".npy"): _open_member(path, archive, info) for info in members}


def _open_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as stream:
        if info.compress_type == zipfile.ZIP_STORED:
            return _map(path, stream, _content_offset(path, info))
        has_objects = _read_header(stream)[2].hasobject
    with archive.open(info) as stream:
        return PICKLED if has_objects else np.lib.format.read_array(stream, allow_pickle=False)


def _map(path: Path, stream: IO[bytes], offset: int) -> np.ndarray:
    """Map the array whose header the stream begins with, and which lies at this offset of the file."""
    shape, fortran, dtype = _read_header(stream)
    if dtype.hasobject:
        return PICKLED
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", offset + stream.tell(), shape, "F" if fortran else "C")


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def _content_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Where the bytes of a zip member begin: behind its local header, whose extra field may differ from the central."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        name_length, extra_length = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    return info.header_offset + LOCAL_HEADER.size + name_length + extra_length


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise FileFormatError(
            f"{path} cannot be read: {error}. The file may be damaged or cut short; write or copy it again."
        ) from error
