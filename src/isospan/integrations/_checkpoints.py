"""Checkpoints that survive a kill at any moment: written to another file, flushed, then renamed."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isospan._core.checks import check_count, check_same_run
from isospan._core.files import PathLike, remove_unfinished
from isospan._core.processes import Ranks
from isospan._core.trees import load_tree, save_tree
from isospan.errors import FileFormatError, FileWriteError, OptionError

logger = logging.getLogger("isospan")

KIND = "training checkpoint"


class Checkpoints:
    """The newest checkpoints of one training run, in a directory of its own.

    Under ``torch.distributed`` every process calls every method. Only rank 0 writes and removes files, and all ranks
    read the checkpoint that rank 0 finds.

    Args:
        directory: created with the first checkpoint; all processes must see it.
        keep: number of checkpoints to keep, at least 1. If the newest is damaged, an older one is used.
        every_steps: a training loop saves every ``every_steps`` steps, and after each epoch; None for the latter only.
        run: settings that must be equal to resume the run: plain numbers, strings, lists and dicts.

    Example:
        >>> import tempfile
        >>> checkpoints = Checkpoints(tempfile.mkdtemp(), run={"seed": 0})
        >>> for step in (10, 20, 30):
        ...     checkpoints.save(step, {"step": step})
        >>> checkpoints.latest(), [path.name for path in checkpoints.paths()]
        ({'step': 30}, ['000020.safetensors', '000030.safetensors'])
    """

    directory: Path
    keep: int
    every_steps: int | None
    run: dict[str, Any]

    def __init__(
        self,
        directory: PathLike,
        *,
        keep: int = 2,
        every_steps: int | None = None,
        run: Mapping[str, Any] | None = None,
    ) -> None:
        if keep < 1:
            raise OptionError(f"keep must be at least 1, got {keep}. With 2, one file may be damaged.")
        if every_steps is not None:
            check_count(every_steps, what="every_steps")
        self.directory, self.keep, self.every_steps, self.run = Path(directory), keep, every_steps, dict(run or {})

    def __repr__(self) -> str:
        settings = f"keep={self.keep}, every_steps={self.every_steps}"
        return f"Checkpoints({str(self.directory)[-80:]!r}, {settings}, {len(self.paths())} saved)"

    def paths(self) -> list[Path]:
        """The files in the directory, oldest first."""
        found = [path for path in self.directory.glob("*.safetensors") if path.stem.isdigit()]
        return sorted(found, key=lambda path: int(path.stem))

    def due(self, step: int) -> bool:
        """Whether a training loop saves after this step, inside an epoch."""
        return self.every_steps is not None and step % self.every_steps == 0

    def save(self, number: int, state: Mapping[str, Any]) -> None:
        """Write a state under an increasing number. Remove old states, and unfinished files of killed processes.

        If the state cannot be written, for example on a full disk, a warning is logged and the old states are kept.

        Raises:
            FileWriteError: the state cannot be written, and there is no older one.
        """
        if Ranks().rank != 0:
            return
        path = self._path(number)
        try:
            save_tree(path, {"run": self.run, "state": dict(state)}, kind=KIND)
        except FileWriteError as error:
            if not self.paths():
                raise
            logger.warning("The checkpoint was not saved, and the previous one is kept: %s", error)
            return
        for old in [other for other in self.paths() if other != path][: -self.keep + 1 or None]:
            old.unlink(missing_ok=True)
        remove_unfinished(self.directory)

    def latest(self) -> dict[str, Any] | None:
        """Read the newest readable state; None where there is no file.

        A damaged file is logged, and the previous one is used.

        Raises:
            FileFormatError: none of the files can be read, or a rank cannot read the one of rank 0.
            OptionError: the files are of a run with other settings.
        """
        number, saved = self._newest() if Ranks().rank == 0 else (None, None)
        number = Ranks().gather(number)[0]
        if number is None:
            return None
        saved = self._load(number) if saved is None else saved
        check_same_run(self._path(number), saved["run"], self.run)
        return saved["state"]

    def clear(self) -> None:
        """Remove all states."""
        if Ranks().rank == 0:
            for path in self.paths():
                path.unlink(missing_ok=True)
            remove_unfinished(self.directory)

    def _path(self, number: int) -> Path:
        return self.directory / f"{number:06d}.safetensors"

    def _newest(self) -> tuple[int | None, dict[str, Any] | None]:
        """Number and content of the newest readable file; else the newest number and None."""
        numbers = [int(path.stem) for path in reversed(self.paths())]
        for number in numbers:
            try:
                return number, load_tree(self._path(number), kind=KIND)
            except FileFormatError as error:
                logger.warning("A checkpoint was skipped: %s", error)
        return (numbers[0] if numbers else None), None

    def _load(self, number: int) -> dict[str, Any]:
        try:
            return load_tree(self._path(number), kind=KIND)
        except FileFormatError as error:
            raise FileFormatError(
                f"At least one of the checkpoints in {self.directory} must be readable by every process: {error} Or "
                "train from the start, in a directory that every process sees."
            ) from error
