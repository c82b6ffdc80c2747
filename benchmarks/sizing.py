"""Sizing at (2048, 4096): time against its floor and against spacelearn, and memory of streams.

The floor is one Gram product and the eigenvalues of its result. The bars: each exact call takes at most 2 floors, a
sweep of 11 x 5 thresholds at most 1.5 calls, and the peak memory of a stream is the same for N samples and for 10 N.
"""

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import memory
from benchmarks.timing import machine, medians, one_thread, print_table, silenced
from isospan.sizing import pooled_resolutions, solve_dims, subspace_dims, threshold_sweep

RESULTS = Path(__file__).parent / "results"
N, SIDE = 2048, 64
N_ETAS = [0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99]
K_ETAS = [0.7, 0.8, 0.9, 0.95, 0.99]
STREAM_LENGTHS = (1000, 3000, 10_000)


def smooth_fields(count: int, seed: int = 0) -> Tensor:
    """Random periodic fields (count, 1, 64, 64) with a steep spectrum, float32."""
    noise = torch.randn(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    k = torch.fft.fftfreq(SIDE) * SIDE
    return torch.fft.ifft2(torch.fft.fft2(noise) / (1 + k[:, None] ** 2 + k**2)).real.contiguous()


def floor(x: Tensor) -> Tensor:
    """One Gram product over the shorter side and its symmetric eigenvalues, in the precision of x."""
    return torch.linalg.eigvalsh(x @ x.mT)


def time_against_the_floor() -> dict[str, float]:
    fields = smooth_fields(N)
    rows = fields.flatten(1)
    Y = {"q": fields}
    seconds = medians(
        {
            "floor, float32": partial(floor, rows),
            "floor, float64": partial(floor, rows.double()),
            "subspace_dims": lambda: subspace_dims({"q": rows}),
            "pooled_resolutions": lambda: pooled_resolutions(Y),
            "solve_dims": lambda: solve_dims(Y),
            "threshold_sweep, 11 x 5": lambda: threshold_sweep(Y, n_thresholds=N_ETAS, k_thresholds=K_ETAS),
        }
    )
    print_table(f"({N}, {SIDE**2}) float32, {machine()}", seconds, floor="floor, float32")
    print(f"  a sweep costs {seconds['threshold_sweep, 11 x 5'] / seconds['solve_dims']:.2f} calls of solve_dims")
    return seconds


def time_against_spacelearn() -> dict[str, float]:
    try:
        import spacelearn
        from spacelearn.optim import k_per_q as their_k_per_q
        from spacelearn.settings import config
    except ImportError:
        print("\nspacelearn is not installed")
        return {}
    fields = smooth_fields(N)
    rows = fields.flatten(1)

    def theirs(mode: str, call: partial) -> object:
        config.solver_mode = mode
        with silenced():
            return call()

    their_k, their_dims = (
        partial(their_k_per_q, {"q": rows}, 0.9),
        partial(spacelearn.solve_dims, {"q": fields}, 16, 0.95, 0.9),
    )
    seconds = medians(
        {
            "subspace_dims, isospan": lambda: subspace_dims({"q": rows}),
            "k_per_q, spacelearn exact": lambda: theirs("svd", their_k),
            "k_per_q, spacelearn default": lambda: theirs("auto", their_k),
            "solve_dims, isospan": lambda: solve_dims({"q": fields}),
            "solve_dims, spacelearn exact": lambda: theirs("svd", their_dims),
        },
        repeats=3,
        warm_up=0,
    )
    print_table("beside spacelearn", seconds)
    print(f"  k: isospan {subspace_dims({'q': rows})}, spacelearn exact {theirs('svd', their_k)}", end="")
    print(f", spacelearn default {theirs('auto', their_k)}")
    return seconds


def batches(count: int) -> Iterator[dict[str, Tensor]]:
    """A stream of fields, made as they are read."""
    for start in range(0, count, 100):
        yield {"q": smooth_fields(100, seed=start)}


def measure_memory(kind: str, count: int) -> None:
    def call() -> None:
        Y = {"q": torch.cat([batch["q"] for batch in batches(count)])} if kind == "held" else batches(count)
        solve_dims(Y)

    memory.print_rise(lambda: solve_dims({"q": smooth_fields(20)}), call)


def main() -> None:
    one_thread()
    RESULTS.mkdir(exist_ok=True)
    seconds = time_against_the_floor() | time_against_spacelearn()
    print("\nmemory of solve_dims beyond that of the process")
    peaks = memory.peaks("benchmarks.sizing", STREAM_LENGTHS)
    memory.plot(peaks, STREAM_LENGTHS, RESULTS / "sizing_memory.png", samples="samples of 64 × 64, float32")
    results = {"machine": machine(), "seconds": seconds, "samples": STREAM_LENGTHS, "peak_mebibytes": peaks}
    (RESULTS / "sizing.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        measure_memory(sys.argv[2], int(sys.argv[3]))
    else:
        main()
