"""One run at a time in a directory."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TextIO

from isospan._core.files import PathLike
from isospan._core.processes import Ranks
from isospan.errors import OptionError
from isospan.experiment.samples import Shard

try:
    import fcntl
except ImportError:  # Windows has no fcntl
    fcntl = None

logger = logging.getLogger("isospan")


@contextmanager
def run_lock(out: PathLike) -> Iterator[None]:
    """Lock a directory for this run inside the block. All processes of the run enter it.

    The operating system releases the lock when the process ends, also when it is killed. Where the file system has no
    locks, a warning is logged and the run continues.

    Raises:
        OptionError: another run has locked the directory, or it cannot be written to.

    Example:
        >>> import tempfile
        >>> with run_lock(tempfile.mkdtemp()):
        ...     pass
    """
    file, error = None, None
    if Shard.own().rank == 0:
        try:
            file = _locked(Path(out))
        except OptionError as refusal:
            error = refusal
    if Ranks().size > 1:
        Ranks().raise_first(error)
    elif error is not None:
        raise error
    with file or nullcontext():
        yield


def _locked(directory: Path) -> TextIO:
    """Return the locked file; the lock ends when it is closed."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / ".lock").open("a")
    except OSError as error:
        raise OptionError(
            f"out must be a directory that can be created and written to, got {directory} ({error}). Choose another."
        ) from error
    try:
        if fcntl is None:
            raise OSError("the operating system has no fcntl")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise OptionError(
            f"Only one run at a time can write to a directory, and another is writing to {directory}. Wait until it "
            "ends, or choose another directory."
        ) from error
    except OSError as error:
        logger.warning("%s cannot be locked (%s). Do not start another run in it.", directory, error)
    return file
