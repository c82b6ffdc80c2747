"""The progress of a run: a live bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from isospan._core.text import duration
from isospan.cli._messages import console, in_options
from isospan.cli._tables import sizes_table

LINE_SECONDS = 10.0
HEIGHTS = "▁▂▃▄▅▆▇█"
WIDE = 110
"""Least number of columns for the long bar. With 80, the long bar would cut off the losses."""


class _Progress(Progress):
    """Bars with one line of text below."""

    below = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the bars, and the line if there is one."""
        yield from super().get_renderables()
        if self.below:
            yield Text(self.below, no_wrap=True, overflow="ellipsis")


class TerminalReporter:
    """Shows the stages of a run, one bar over the steps of all networks with the remaining time, and the losses.

    Implements :class:`isospan.experiment.Reporter`. Prints nothing on ranks other than 0.
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
        """Print the name of a stage."""
        self.progress.console.print(in_options(text), markup=False, soft_wrap=True)

    def sized(self, sizes: Any) -> None:
        """Show the sizes."""
        self.progress.console.print(sizes_table(sizes))

    def planned(self, networks: Mapping[str, int]) -> None:
        """Make one bar over the steps of all networks, so that the remaining time is that of the run."""
        self.before = {name: sum(list(networks.values())[:i]) for i, name in enumerate(networks)}
        self.begin("training", sum(networks.values()), "steps")

    def stepped(self, network: str, epoch: int, step: int, total: int, losses: Mapping[str, float]) -> None:
        """Advance the bar and show the losses."""
        self.advance(self.before[network] + step, f"{network}, epoch {epoch}", format_losses(losses))

    def monitored(self, network: str, monitor: Any) -> None:
        """Draw the rotation of the subspaces below the bar."""
        if self.live:
            self.progress.below = drift_line(monitor.to_dict()["angles"])

    def generated(self, done: int, total: int) -> None:
        """Advance the bar of simulated fields."""
        if self.bar is None or self.total != total:
            self.begin("simulating", total, "fields")
        self.advance(done, "simulating")

    def edited(self, done: int, total: int) -> None:
        """Advance the bar of an edit through the decoder."""
        if self.bar is None:
            self.begin("editing", total, "passes of the decoder")
        self.advance(done, "editing")

    def begin(self, description: str, total: int, unit: str) -> None:
        """Start a bar with a total in some unit."""
        if self.bar is not None:
            self.progress.remove_task(self.bar)
        self.bar = self.progress.add_task(description, total=total, losses="")
        self.total, self.unit, self.first, self.started = total, unit, 0, 0.0

    def advance(self, done: int, description: str, losses: str = "") -> None:
        """Advance the bar; without a terminal, print a line every ten seconds."""
        self.progress.update(self.bar, completed=done, description=description, losses=losses)
        now = time.monotonic()
        if not self.started:  # the first step is slower, so the estimate leaves it out
            self.first, self.started, self.last_line = done, now, now
        if not self.live and (done == self.total or now - self.last_line > LINE_SECONDS):
            self.last_line = now
            left = (now - self.started) / max(1, done - self.first) * (self.total - done)
            text = f"{description}: {done} of {self.total} {self.unit}, {duration(left)} left"
            console.print(f"{text}, {losses}" if losses else text, markup=False, soft_wrap=True)


def drift_line(angles: Mapping[str, list[list[float]]], *, last: int = 12) -> str:
    """Draw the largest angle in degrees of each of the last solves as a bar of eight heights, full at 90°.

    Example:
        >>> drift_line({"energy": [[], [10.0, 85.0], [2.0, 40.0], [0.5, 3.0]]})
        'rotated by  energy █▄▁ 3°'
    """
    parts = []
    for name, rows in angles.items():
        largest = [max(row) for row in rows if row]
        if largest:
            bars = "".join(HEIGHTS[min(int(angle / 90 * len(HEIGHTS)), len(HEIGHTS) - 1)] for angle in largest[-last:])
            parts.append(f"{name} {bars} {largest[-1]:.0f}°")
    return "  ".join(["rotated by", *parts]) if parts else ""


def format_losses(losses: Mapping[str, float]) -> str:
    """Return the main losses, and the R² of the guidance, as text.

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
