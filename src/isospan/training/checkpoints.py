"""Checkpoints that survive a crash at any moment: written beside, renamed, the last two kept."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isospan.errors import FileFormatError, OptionError
from isospan.training.trees import load_tree, save_tree

logger = logging.getLogger("isospan")

KIND = "training checkpoint"


class Checkpoints:
    """A directory of the newest states of one training run.

    Args:
        directory: made when the first state is saved.
        keep: how many states to keep, at least 1; an older one stands in for a damaged newer one.
        run: what must be the same for a run to be continued: plain numbers, strings, lists and dicts.

    Example:
        >>> import tempfile
        >>> checkpoints = Checkpoints(tempfile.mkdtemp(), run={"seed": 0})
        >>> for epoch in (1, 2, 3):
        ...     _ = checkpoints.save(epoch, {"epoch": epoch})
        >>> checkpoints.latest(), [path.name for path in checkpoints.paths()]
        ({'epoch': 3}, ['000002.safetensors', '000003.safetensors'])
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, keep: int = 2, run: Mapping[str, Any] | None = None
    ) -> None:
        if keep < 1:
            raise OptionError(f"keep must be at least 1, got {keep}. 2 survive a damaged file.")
        self.directory, self.keep, self.run = Path(directory), keep, dict(run or {})

    def paths(self) -> list[Path]:
        """The files there are, oldest first."""
        found = [path for path in self.directory.glob("*.safetensors") if path.stem.isdigit()]
        return sorted(found, key=lambda path: int(path.stem))

    def save(self, number: int, state: Mapping[str, Any]) -> Path:
        """Write a state under a number that grows, then remove all but the newest."""
        path = self.directory / f"{number:06d}.safetensors"
        save_tree(path, {"run": self.run, "state": dict(state)}, kind=KIND)
        for old in [other for other in self.paths() if other != path][: -self.keep + 1 or None]:
            old.unlink(missing_ok=True)
        return path

    def latest(self) -> dict[str, Any] | None:
        """Read the newest state that is whole; None where there is none at all.

        A damaged file is logged and the one before it used.

        Raises:
            FileFormatError: there are files, and none can be read.
            OptionError: they are of a run with other settings.
        """
        paths = self.paths()
        for path in reversed(paths):
            try:
                saved = load_tree(path, kind=KIND)
            except FileFormatError as error:
                logger.warning("Checkpoint skipped: %s", error)
                continue
            check_same_run(path, saved["run"], self.run)
            return saved["state"]
        if paths:
            raise FileFormatError(
                f"None of the {len(paths)} checkpoints in {self.directory} can be read. Remove them and "
                "train from the start."
            )
        return None

    def clear(self) -> None:
        """Remove all states, to start from the beginning."""
        for path in self.paths():
            path.unlink(missing_ok=True)


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
