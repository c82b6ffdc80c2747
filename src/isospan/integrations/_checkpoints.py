"""Checkpoints that survive a kill at any moment: written beside, flushed, renamed, the last two kept."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist

from isospan._core.checks import check_count
from isospan._core.files import remove_unfinished
from isospan._core.processes import Ranks
from isospan._core.trees import load_tree, save_tree
from isospan.errors import FileFormatError, FileWriteError, OptionError

logger = logging.getLogger("isospan")

KIND = "training checkpoint"


class Checkpoints:
    """A directory of the newest states of one training run, to which only that run writes.

    Under ``torch.distributed`` every process calls every method: only rank 0 writes and removes, and all ranks read the
    state that rank 0 finds.

    Args:
        directory: made when the first state is saved; with several processes, one that all of them see.
        keep: how many states to keep, at least 1; an older one stands in for a damaged newer one.
        every_steps: how often a training loop saves inside an epoch, besides at its end; None for never.
        run: what must be the same for a run to be continued: plain numbers, strings, lists and dicts.

    Example:
        >>> import tempfile
        >>> checkpoints = Checkpoints(tempfile.mkdtemp(), run={"seed": 0})
        >>> for step in (10, 20, 30):
        ...     checkpoints.save(step, {"step": step})
        >>> checkpoints.latest(), [path.name for path in checkpoints.paths()]
        ({'step': 30}, ['000020.safetensors', '000030.safetensors'])
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        keep: int = 2,
        every_steps: int | None = None,
        run: Mapping[str, Any] | None = None,
    ) -> None:
        if keep < 1:
            raise OptionError(f"keep must be at least 1, got {keep}. 2 survive a damaged file.")
        if every_steps is not None:
            check_count(every_steps, what="every_steps")
        self.directory, self.keep, self.every_steps, self.run = Path(directory), keep, every_steps, dict(run or {})

    def paths(self) -> list[Path]:
        """The files there are, oldest first."""
        found = [path for path in self.directory.glob("*.safetensors") if path.stem.isdigit()]
        return sorted(found, key=lambda path: int(path.stem))

    def due(self, step: int) -> bool:
        """Whether a training loop saves after this step although its epoch continues."""
        return self.every_steps is not None and step % self.every_steps == 0

    def save(self, number: int, state: Mapping[str, Any]) -> None:
        """Write a state under a number that grows; remove all but the newest, and what killed writers left.

        Where it cannot be written, such as on a full disk, that is logged and the states before it are kept.

        Raises:
            FileWriteError: it cannot be written, and there is none before it.
        """
        if _rank() != 0:
            return
        path = self._path(number)
        try:
            save_tree(path, {"run": self.run, "state": dict(state)}, kind=KIND)
        except FileWriteError as error:
            if not self.paths():
                raise
            logger.warning("Checkpoint not saved, the one before it is kept: %s", error)
            return
        for old in [other for other in self.paths() if other != path][: -self.keep + 1 or None]:
            old.unlink(missing_ok=True)
        remove_unfinished(self.directory)

    def latest(self) -> dict[str, Any] | None:
        """Read the newest state that is whole; None where there is none at all.

        A damaged file is logged and the one before it used.

        Raises:
            FileFormatError: there are files, and none can be read; or a rank cannot read the one of rank 0.
            OptionError: they are of a run with other settings.
        """
        number, saved = self._newest() if _rank() == 0 else (None, None)
        number = _from_rank_0(number)
        if number is None:
            return None
        saved = self._load(number) if saved is None else saved
        check_same_run(self._path(number), saved["run"], self.run)
        return saved["state"]

    def clear(self) -> None:
        """Remove all states, to start from the beginning."""
        if _rank() == 0:
            for path in self.paths():
                path.unlink(missing_ok=True)
            remove_unfinished(self.directory)

    def _path(self, number: int) -> Path:
        return self.directory / f"{number:06d}.safetensors"

    def _newest(self) -> tuple[int | None, dict[str, Any] | None]:
        """Number and content of the newest file that is whole; where none is, the newest number and None."""
        numbers = [int(path.stem) for path in reversed(self.paths())]
        for number in numbers:
            try:
                return number, load_tree(self._path(number), kind=KIND)
            except FileFormatError as error:
                logger.warning("Checkpoint skipped: %s", error)
        return (numbers[0] if numbers else None), None

    def _load(self, number: int) -> dict[str, Any]:
        try:
            return load_tree(self._path(number), kind=KIND)
        except FileFormatError as error:
            raise FileFormatError(
                f"None of the checkpoints in {self.directory} can be read, or not by every process: {error} Or train "
                "from the start, in a directory that every process sees."
            ) from error


def check_same_run(path: Path, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Require that a checkpoint is of a run with these settings."""
    changed = [
        f"{name}: {saved.get(name)!r} then, {now.get(name)!r} now"
        for name in sorted({*saved, *now})
        if saved.get(name) != now.get(name)
    ]
    if changed:
        raise OptionError(
            f"{path} is of a run with other settings ({'; '.join(changed)}). Resume with the same ones, or train "
            "from the start in another directory."
        )


def _rank() -> int:
    return dist.get_rank() if Ranks().size > 1 else 0


def _from_rank_0(number: int | None) -> int | None:
    """What rank 0 has, on every rank."""
    return Ranks().gather(number)[0] if Ranks().size > 1 else number
