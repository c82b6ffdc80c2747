"""Who receives the progress of a run. The command line draws it; by default it is logged."""

import logging
from collections.abc import Mapping
from typing import Protocol

from isospan.experiment._sizes import Sizes
from isospan.experiment.samples._shards import Shard
from isospan.guided._monitor import SubspaceMonitor

logger = logging.getLogger("isospan")


class Reporter(Protocol):
    """Hears of every stage and step of a run."""

    def stage(self, text: str) -> None:
        """A stage of the run begins."""
        ...

    def sized(self, sizes: Sizes) -> None:
        """The sizes are known."""
        ...

    def planned(self, networks: Mapping[str, int]) -> None:
        """These networks will be trained, in this order, each for so many steps."""
        ...

    def stepped(self, network: str, epoch: int, step: int, total: int, losses: Mapping[str, float]) -> None:
        """A step of a network was taken."""
        ...

    def moved(self, network: str, monitor: SubspaceMonitor) -> None:
        """The subspaces of a network were solved again, or an epoch ended; the monitor has one row more."""
        ...


class LoggingReporter:
    """Logs stages, and steps now and then, to the logger ``isospan``; other processes than the first, as details.

    Example:
        >>> LoggingReporter().stage("Sizing the quantities")
    """

    def __init__(self) -> None:
        self.level = logging.INFO if Shard.own().rank == 0 else logging.DEBUG

    def stage(self, text: str) -> None:
        """Log a stage."""
        logger.log(self.level, "%s", text)

    def sized(self, sizes: Sizes) -> None:
        """Log the sizes."""
        logger.log(self.level, "n, k of each quantity: %s; D = %d", dict(sizes.dims), sizes.latent_dim)

    def planned(self, networks: Mapping[str, int]) -> None:
        """Log how much there is to do."""
        logger.log(self.level, "Steps to train: %s", dict(networks))

    def stepped(self, network: str, epoch: int, step: int, total: int, losses: Mapping[str, float]) -> None:
        """Log every tenth of a network's steps."""
        if step == total or step % max(1, total // 10) == 0:
            values = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
            logger.log(self.level, "%s: epoch %d, step %d of %d, %s", network, epoch, step, total, values)

    def moved(self, network: str, monitor: SubspaceMonitor) -> None:
        """Log R² of each quantity."""
        row = monitor.rows[-1]
        logger.log(self.level, "%s: R² after step %d: %s", network, row["step"], row["r2"])
