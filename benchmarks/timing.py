"""Times of interleaved repeats on one thread."""

import contextlib
import io
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping

import torch

Call = Callable[[], object]


def one_thread() -> None:
    """Pin this process to one thread of one core, as far as the system lets it."""
    torch.set_num_threads(1)
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def timed(calls: Mapping[str, Call], *, repeats: int = 5, warm_up: int = 1) -> dict[str, list[float]]:
    """Return the seconds of each repeat of each call. Repeats are interleaved: a slow moment of the machine hits all.

    Seconds are those that the calling thread computed. On an idle machine that is the time passed; on a shared one it
    leaves out what others took.

    Args:
        calls: what to time, by name.
        repeats: how often each is timed.
        warm_up: rounds that are not timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warm_up + repeats):
        for name, call in calls.items():
            start = time.thread_time()
            call()
            if turn >= warm_up:
                seconds[name].append(time.thread_time() - start)
    return seconds


def medians(calls: Mapping[str, Call], *, repeats: int = 5, warm_up: int = 1) -> dict[str, float]:
    """Return the median seconds of each call, see :func:`timed`."""
    seconds = timed(calls, repeats=repeats, warm_up=warm_up)
    return {name: statistics.median(values) for name, values in seconds.items()}


def lower_quartiles(calls: Mapping[str, Call], *, repeats: int = 9, warm_up: int = 1) -> dict[str, float]:
    """Return the lower quartile of the seconds of each call: on a busy machine, caches and clocks only add to them."""
    seconds = timed(calls, repeats=repeats, warm_up=warm_up)
    return {name: statistics.quantiles(values, n=4)[0] for name, values in seconds.items()}


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Swallow what a predecessor prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def print_table(title: str, seconds: Mapping[str, float], *, floor: str | None = None) -> None:
    """Print seconds, and multiples of the call that is the floor."""
    width = max(map(len, seconds))
    print(f"\n{title}")
    for name, value in seconds.items():
        multiple = f"{value / seconds[floor]:9.2f} x" if floor else ""
        print(f"  {name:<{width}}  {value:10.4f} s{multiple}")


def machine() -> str:
    """One line that says what the timings were taken on."""
    return f"{platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} thread"
