"""Reading of files that may be damaged, and atomic writing."""

import os
import platform
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from isospan.errors import FileFormatError, FileWriteError


def _host() -> str:
    """Return a name within which process numbers are unique: of the host, and of the PID namespace if known."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", platform.node()) or "localhost"
    try:
        return f"{host}-{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # not on Linux, or without /proc
        return host


PathLike = str | os.PathLike[str]
"""The path of a file or directory."""

HOST = _host()
WRITERS_DIRECTORY = re.compile(r"\..+\.(?P<host>[A-Za-z0-9-]+)\.(?P<process>\d+)-\d+\.tmp")


@contextmanager
def explained(
    path: str | os.PathLike[str], *, what: str = "cannot be read", remedy: str | Callable[[Exception], str]
) -> Iterator[None]:
    """Raise every exception inside the block as a FileFormatError that names the file.

    For damaged files, libraries raise exceptions of many types: zlib.error, KeyError, RecursionError, MemoryError.

    Example:
        >>> with explained("x.npy", remedy="Write it again."):
        ...     {}["header"]
        Traceback (most recent call last):
        isospan.errors.FileFormatError: x.npy cannot be read (KeyError: 'header'). Write it again.
    """
    try:
        yield
    except FileFormatError:
        raise
    except Exception as error:
        to_do = remedy if isinstance(remedy, str) else remedy(error)
        raise FileFormatError(f"{path} {what} ({type(error).__name__}: {error}). {to_do}") from error


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is flushed to disk and renamed onto ``path``.

    After an error the temporary path is removed, and ``path`` is unchanged. The temporary path is in a directory of
    its own, so that other files of a writer beside it are removed too. If the process is killed, the next writer to the
    same directory removes it. The file has the permissions of a new file.

    Raises:
        FileWriteError: the file cannot be written, such as on a full disk.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with atomic_path(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    try:
        path = Path(path)
    except TypeError as error:
        raise FileWriteError(f"A path must be a string or a pathlib.Path, got {path!r:.80}.") from error
    own = path.with_name(f".{path.name}.{HOST}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        remove_unfinished(path.parent, of_dead_writers=True)
        own.mkdir(parents=True, exist_ok=True)
        temporary = own / path.name
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except FileWriteError:  # from another file that is written inside the block
        raise
    except OSError as error:
        raise FileWriteError(
            f"{path} cannot be written ({error}). Free space on its disk, or write to another directory. What was "
            "there before is unchanged."
        ) from error
    finally:
        shutil.rmtree(own, ignore_errors=True)


def remove_unfinished(directory: str | os.PathLike[str], *, of_dead_writers: bool = False) -> None:
    """Remove the temporary directories of killed writers.

    Nobody may be writing to the directory, unless ``of_dead_writers``: then only those of processes of this host that
    have ended are removed.
    """
    for left in Path(directory).glob(".*.tmp"):
        found = WRITERS_DIRECTORY.fullmatch(left.name)
        has_ended = found and found["host"] == HOST and not _is_alive(int(found["process"]))
        if found and (has_ended or not of_dead_writers) and left.is_dir():
            shutil.rmtree(left, ignore_errors=True)


def _is_alive(process: int) -> bool:
    """Whether a process of this host runs; True if that is unknown."""
    if os.name == "nt":  # os.kill would end the process
        return True
    with suppress(PermissionError, OverflowError):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
    return True


def _flush(path: Path) -> None:
    """Flush a file, or the names in a directory, to the disk; on Windows, directories need no flush."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)  # Windows cannot flush a read-only file
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
