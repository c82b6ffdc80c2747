"""Writing files so that a reader never sees half of one, whenever the writer is killed."""

import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is flushed to disk and renamed onto ``path``.

    After an error what was written is removed, and what stood at ``path`` before is untouched. The temporary path is in
    a directory of its own, so that whatever else a writer makes beside it is found and removed too, even after a kill
    (:func:`remove_unfinished`). Whoever writes the file, it has the permissions of a new one.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with atomic_path(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    path = Path(path)
    room = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    room.mkdir(parents=True, exist_ok=True)
    temporary = room / path.name
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        shutil.rmtree(room, ignore_errors=True)


def remove_unfinished(directory: str | os.PathLike[str]) -> None:
    """Remove what killed writers left in a directory to which nobody is writing now."""
    for room in Path(directory).glob(".*.tmp"):
        if re.fullmatch(r"\..+\.\d+-\d+\.tmp", room.name) and room.is_dir():
            shutil.rmtree(room, ignore_errors=True)


def _flush(path: Path) -> None:
    """Bring a file, or the names in a directory, to the disk; Windows does the latter by itself."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)  # Windows flushes no file that is read-only
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
