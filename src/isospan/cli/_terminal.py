"""How a run is shown: a live bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from isospan.cli._messages import console, in_options
from isospan.cli._tables import sizes_table

LINE_SECONDS = 10.0
HEIGHTS = "▁▂▃▄▅▆▇█"
WIDE = 110
"""Columns from which there is room for a long bar; at 80 a short one leaves room for the losses."""


class _Progress(Progress):
    """Bars, and a line below them."""

    below = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars, and the line where there is one."""
        yield from super().get_renderables()
        if self.below:
            yield Text(self.below, no_wrap=True, overflow="ellipsis")


class TerminalReporter:
    """Shows a run: its stages, a bar over the steps of all networks with the time left, and the losses.

    Follows :class:`isospan.experiment.Reporter`. Silent where the console is: on other ranks than 0.
    """

    def __init__(self) -> None:
        self.live = console.is_terminal and not console.quiet
        self.progress = _Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=10 if console.width < WIDE else 40),
            TextColumn("{task.percentage:.0f}%"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            TextColumn("{task.fields[losses]}"),
            console=console,
            disable=not self.live,
        )
        self.bar: Any = None
        self.total, self.unit, self.before = 0, "", dict[str, int]()
        self.first, self.started, self.last_line = 0, 0.0, 0.0

    def __enter__(self) -> "TerminalReporter":
        """Start drawing."""
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing."""
        if self.live:  # rich 13 ends one that is disabled with an empty line
            self.progress.stop()

    def stage(self, text: str) -> None:
        """Name a part of the run."""
        self.progress.console.print(in_options(text), markup=False, soft_wrap=True)

    def sized(self, sizes: Any) -> None:
        """Show the sizes."""
        self.progress.console.print(sizes_table(sizes))

    def planned(self, networks: Mapping[str, int]) -> None:
        """Make one bar over the steps of all networks, so that the time left is that of the whole run."""
        self.before = {name: sum(list(networks.values())[:i]) for i, name in enumerate(networks)}
        self.begin("training", sum(networks.values()), "steps")

    def stepped(self, network: str, epoch: int, step: int, total: int, losses: Mapping[str, float]) -> None:
        """Move the bar on and show the losses."""
        self.advance(self.before[network] + step, f"{network}, epoch {epoch}", format_losses(losses))

    def moved(self, network: str, monitor: Any) -> None:
        """Draw by how much the subspaces moved, below the bar."""
        if self.live:
            self.progress.below = drift_line(monitor.to_dict()["angles"])

    def generated(self, done: int, total: int) -> None:
        """Move the bar of simulated fields on."""
        if self.bar is None or self.total != total:
            self.begin("simulating", total, "fields")
        self.advance(done, "simulating")

    def begin(self, description: str, total: int, unit: str) -> None:
        """Start a bar over so many of a unit."""
        if self.bar is not None:
            self.progress.remove_task(self.bar)
        self.bar = self.progress.add_task(description, total=total, losses="")
        self.total, self.unit, self.first, self.started = total, unit, 0, 0.0

    def advance(self, done: int, description: str, losses: str = "") -> None:
        """Move the bar on; without a terminal, write a line now and then."""
        self.progress.update(self.bar, completed=done, description=description, losses=losses)
        now = time.monotonic()
        if not self.started:  # the first step also loads and warms up; it is no measure of the others
            self.first, self.started, self.last_line = done, now, now
        if not self.live and (done == self.total or now - self.last_line > LINE_SECONDS):
            from isospan.reports.duration import duration

            self.last_line = now
            left = (now - self.started) / max(1, done - self.first) * (self.total - done)
            text = f"{description}: {done} of {self.total} {self.unit}, {duration(left)} left"
            console.print(f"{text}, {losses}" if losses else text, markup=False, soft_wrap=True)


def drift_line(angles: Mapping[str, list[list[float]]], *, last: int = 12) -> str:
    """Draw the largest angle (degrees) of each of the last solves as a bar of eight heights, full at 90°.

    Example:
        >>> drift_line({"energy": [[], [10.0, 85.0], [2.0, 40.0], [0.5, 3.0]]})
        'moved by  energy █▄▁ 3°'
    """
    parts = []
    for name, rows in angles.items():
        moved = [max(row) for row in rows if row]
        if moved:
            bars = "".join(HEIGHTS[min(int(angle / 90 * len(HEIGHTS)), len(HEIGHTS) - 1)] for angle in moved[-last:])
            parts.append(f"{name} {bars} {moved[-1]:.0f}°")
    return "  ".join(["moved by", *parts]) if parts else ""


def format_losses(losses: Mapping[str, float]) -> str:
    """Write the losses that matter, and the R² that the guidance amounts to.

    Example:
        >>> format_losses({"task": 0.1234, "guidance": 0.25, "alignment": 0.25})
        'task 0.123 guidance 0.250 R² 0.750'
    """
    parts = [f"task {losses['task']:.3g}"]
    if "guidance" in losses:
        parts.append(f"guidance {losses['guidance']:.3f}")
    if "alignment" in losses:
        parts.append(f"R² {1 - losses['alignment']:.3f}")
    return " ".join(parts)
