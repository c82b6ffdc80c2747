"""What the commands show: a live bar on a terminal, plain lines elsewhere, tables, and errors without tracebacks."""

import logging
import os
import re
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

LINE_SECONDS = 10.0
HEIGHTS = "▁▂▃▄▅▆▇█"
WIDE = 110
"""Columns from which there is room for a long bar; at 80 a short one leaves room for the losses."""

SHOWN_DIGITS = 5e-4
"""A difference that three digits do not show is none."""

OPTIONS = {
    r"variable=\['u', 'v'\]": "--variable u --variable v",
    r"variable=\.\.\.": "--variable NAME",
    r"fill=VALUE": "--fill VALUE",
    r"resume=True": "--resume",
    r"Pass fit=\(z, y\) of other data": "Pass files of more samples",
    r"(with|got) (periodic|orthogonal)=False": r"\1 --no-\2",
    r"(periodic|orthogonal)=(True|False)": lambda found: f"{'no ' * (found[2] == 'False')}--{found[1]}",
    r"\(lr=([^)]*)\)": r"(--learning-rate \1)",
    r"latent='auto'": "--latent auto",
    r"^latent must": "--latent must",
    r"^(epochs|device|batch_size|strength) must": lambda found: f"--{found[1].replace('_', '-')} must",
    r"\bsample_dim\b": "--sample-dim",
    r"\b(bin|k)_thresholds?\b": r"--\1-threshold",
    r"\bn_thresholds\b": "--bin-threshold",
    r"Each of --": "--",
    r"\bmax_bins\b": "--max-bins",
}
"""How arguments of the Python functions are written on the command line, as patterns in messages."""

console = Console(highlight=False, quiet=os.environ.get("RANK", "0") != "0")
errors = Console(stderr=True, highlight=False)


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


def in_options(text: str) -> str:
    """Write what a message says of arguments as options.

    Example:
        >>> in_options("sample_dim must be a number. Pass fill=VALUE, or take latent='auto' with orthogonal=False.")
        '--sample-dim must be a number. Pass --fill VALUE, or take --latent auto with --no-orthogonal.'
    """
    for pattern, option in OPTIONS.items():
        text = re.sub(pattern, option, text)
    return text


def sizes_table(sizes: Any) -> Table:
    """Bins and directions of each quantity, and what is left free."""
    table = _table("quantity", "n", "k")
    for name, (n, k) in sizes.dims.items():
        table.add_row(name, "–" if n is None else str(n), str(k))
    used = sum(sizes.k.values())
    table.add_row("free", "", str(max(0, sizes.latent_dim - used)), end_section=True)
    table.add_row("D", "", str(sizes.latent_dim))
    return table


def results_table(result: Any) -> Table:
    """R² of each quantity from its own subspace beside the best probes, and the reconstruction error."""
    guided, unguided = result.guided.evaluation, result.unguided.evaluation if result.unguided else None
    table = _table("held-out R²", "own subspace", "best probe", *(["without guidance"] if unguided else []))
    for name in guided.names:
        row = [guided.own_r2[name], guided.ceiling_r2[name], *([unguided.ceiling_r2[name]] if unguided else [])]
        table.add_row(name, *map(_score, row))
    error = [_error(result.guided.nmse), "", *([_error(result.unguided.nmse)] if result.unguided else [])]
    table.add_section()
    table.add_row("reconstruction error (NMSE)", *error)
    return table


def evaluation_table(evaluation: Any) -> Table:
    """R² of each quantity by the stored decoder, beside the probes that could be fitted."""
    columns = {
        "stored decoder": evaluation.decode_r2,
        "own subspace": evaluation.own_r2,
        "best probe of rank k": evaluation.ceiling_r2,
        "best probe": evaluation.probe_r2,
    }
    known = {heading: r2 for heading, r2 in columns.items() if any(value == value for value in r2.values())}
    table = _table(f"R² on {evaluation.n_samples} samples", *known)
    for name in evaluation.names:
        table.add_row(name, *(_score(r2[name]) for r2 in known.values()))
    return table


def probe_note(evaluation: Any) -> str:
    """What it means where a probe that sees more scores less; empty where none does."""
    best = (evaluation.ceiling_r2, evaluation.probe_r2)
    if not any(r2[name] < evaluation.own_r2[name] - SHOWN_DIGITS for r2 in best for name in evaluation.names):
        return ""
    return "A best probe below the own subspace overfits: it has more to fit, and is scored on samples it has not seen."


def _score(value: float) -> str:
    return f"{value:.3f}" if value == value else "–"


def _error(value: float) -> str:
    return f"{value:.4f}" if value < 1000 else f"{value:.2g}"


@contextmanager
def clean_errors(*, debug: bool, interrupted: str = "") -> Iterator[None]:
    """Show an error of isospan or of a file as one message and exit with code 2; warnings as one line each.

    Of several processes only the first that fails says why: the others fail since it did, or for the same reason.

    Args:
        debug: let the error through, with its traceback.
        interrupted: what to do after an interrupt.
    """
    import typer

    from isospan.errors import IsospanError

    with _notes():
        try:
            yield
        except KeyboardInterrupt:
            if _first_to_fail():
                errors.print(f"Interrupted. {interrupted}".rstrip())
            raise typer.Exit(130) from None
        except Exception as error:
            known = isinstance(error, IsospanError | OSError)
            if debug or (not known and _first_to_fail()):
                raise
            if known and _first_to_fail():
                errors.print(f"[bold red]Error{_whose()}:[/]", end=" ")
                errors.print(in_options(str(error)), markup=False, soft_wrap=True)
            raise typer.Exit(2) from None


def _first_to_fail() -> bool:
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return True
    from isospan.experiment.processes import first_to_fail

    return first_to_fail()


def _whose() -> str:
    return f" on rank {os.environ['RANK']}" if console.quiet else ""


@contextmanager
def _notes() -> Iterator[None]:
    """Warnings of isospan and what it logs appear as lines that do not tear the bar."""
    from isospan.errors import NumericalWarning

    logger = logging.getLogger("isospan")
    shown = RichHandler(console=errors, show_time=False, show_path=False)
    handler = logging.NullHandler() if console.quiet else shown
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", NumericalWarning)
            warnings.showwarning = lambda message, *_args, **_kwargs: logger.warning("%s", in_options(str(message)))
            yield
    finally:
        logger.removeHandler(handler)


def _table(first: str, *columns: str) -> Table:
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table
