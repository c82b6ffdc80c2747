"""Reporters receive the progress of a run. The command draws it; the default logs it."""

import logging
from collections.abc import Mapping
from typing import Protocol

from isospan.experiment._sizes import Sizes
from isospan.experiment.samples import Shard
from isospan.guided import SubspaceMonitor

logger = logging.getLogger("isospan")


class Reporter(Protocol):
    """Receives every stage and step of a run."""

    def stage(self, text: str) -> None:
        """Report that a stage of the run begins."""
        ...

    def sized(self, sizes: Sizes) -> None:
        """Report the sizes of the quantities."""
        ...

    def planned(self, networks: Mapping[str, int]) -> None:
        """Report the networks to train, in order, with their numbers of steps."""
        ...

    def stepped(self, network: str, epoch: int, step: int, total: int, losses: Mapping[str, float]) -> None:
        """Report a step of a network and its losses."""
        ...

    def monitored(self, network: str, monitor: SubspaceMonitor) -> None:
        """Report a new row of the monitor, after a solve or an epoch of a network."""
        ...


class LoggingReporter:
    """Logs stages and some of the steps to the logger ``isospan``, at INFO in the first process, at DEBUG in others.

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
        """Log the numbers of steps."""
        logger.log(self.level, "Steps to train: %s", dict(networks))

    def stepped(self, network: str, epoch: int, step: int, total: int, losses: Mapping[str, float]) -> None:
        """Log every tenth of a network's steps."""
        if step == total or step % max(1, total // 10) == 0:
            values = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
            logger.log(self.level, "%s: epoch %d, step %d of %d, %s", network, epoch, step, total, values)

    def monitored(self, network: str, monitor: SubspaceMonitor) -> None:
        """Log R² of each quantity."""
        row = monitor.rows[-1]
        logger.log(self.level, "%s: R² after step %d: %s", network, row["step"], row["r2"])
