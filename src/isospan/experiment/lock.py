"""One run at a time in a directory."""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from isospan._distributed import Ranks
from isospan.errors import OptionError
from isospan.training.parts import Part

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

logger = logging.getLogger("isospan")


@contextmanager
def only_run(out: str | os.PathLike[str]) -> Iterator[None]:
    """Keep a directory to this run inside the block; all processes of the run enter it.

    The lock belongs to the operating system, which releases it however the process ends, so a run that was killed never
    stands in the way of the next. Where the file system has no locks, that is logged and the run goes on.

    Raises:
        OptionError: another run has the directory.

    Example:
        >>> import tempfile
        >>> with only_run(tempfile.mkdtemp()):
        ...     pass
    """
    with ExitStack() as stack:
        error = None
        if Part.own().rank == 0:
            try:
                stack.enter_context(_locked(Path(out)))
            except OptionError as refusal:
                error = refusal
        if Ranks().size > 1:
            Ranks().raise_first(error)
        elif error is not None:
            raise error
        yield


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("a") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OptionError(
                    f"One run at a time writes to a directory, and another is writing to {directory}. Wait for it to "
                    "end, or take another directory."
                ) from error
            except OSError as error:
                logger.warning("%s cannot be locked (%s): start no other run in it.", directory, error)
        yield
