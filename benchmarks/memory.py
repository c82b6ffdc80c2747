"""Peak memory of a call, each in a process of its own, over the number of samples, streamed and held."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.timing import one_thread


def peak_mebibytes() -> float:
    """Peak resident memory of this process so far (VmHWM), which sees what torch allocates."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def print_rise(warm_up: Callable[[], object], call: Callable[[], object]) -> None:
    """Print by how much a call raised the peak, after a small one that loads the libraries."""
    one_thread()
    warm_up()
    before = peak_mebibytes()
    call()
    print(peak_mebibytes() - before)


def peaks(module: str, counts: Sequence[int]) -> dict[str, list[float]]:
    """What ``python -m MODULE --memory KIND COUNT`` prints, for the kinds "streamed" and "held"."""
    rises: dict[str, list[float]] = {"streamed": [], "held": []}
    for kind, values in rises.items():
        for count in counts:
            command = [sys.executable, "-m", module, "--memory", kind, str(count)]
            values.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        print(f"  {kind:<9} peak MiB at N = {tuple(counts)}: {[round(v) for v in values]}")
    return rises


def plot(rises: dict[str, list[float]], counts: Sequence[int], path: Path, *, samples: str) -> None:
    """Write the figure of :func:`peaks`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.2), layout="constrained")
    ax = figure.subplots()
    for kind, values in rises.items():
        ax.plot(counts, values, marker="o", label=f"{kind} samples")
    ax.set(xscale="log", xlabel=samples, ylabel="peak memory of the call, MiB", ylim=(0, None))
    ax.set_xticks(counts, [str(count) for count in counts])
    ax.minorticks_off()
    ax.legend(frameon=False)
    figure.savefig(path, dpi=160)
    print(f"  {path}")
