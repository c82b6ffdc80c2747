"""Losses and subspace solver against their floors and beside spacelearn's exact solver.

``python -m benchmarks.losses_and_subspaces [--spacelearn DIR]``: DIR holds the package ``spacelearn``, unless it is
installed. The bars: ``combined_loss``, forward and backward, takes at most 2 floors with the variance form of isotropy
(4 at the smallest size) and a quarter of spacelearn's time with the singular-value form (a third at the largest size);
``solve_subspaces`` takes a third of spacelearn's time and at most 2 products plus one truncated decomposition a
quantity. One thread, float32, medians of interleaved repeats. The peak memory of a solver that is fed a stream is the
same for N samples and for 10 N; a figure shows it.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks import memory
from benchmarks.timing import machine, medians, one_thread, print_table, silenced
from isospan.compat.spacelearn._solve import solve_from_moments, solve_subspaces
from isospan.guided.losses import combined_loss
from isospan.linalg import top_left_singular
from isospan.moments import Moments

RESULTS = Path(__file__).parent / "results"


class Size(NamedTuple):
    """Samples, latent dimension, quantities, subspace dimension, entries of a quantity."""

    B: int
    D: int
    Q: int
    k: int
    P: int

    @property
    def repeats(self) -> int:
        """How often each call is timed."""
        return 5 if self.B > 2000 else 30

    @property
    def loss_bars(self) -> tuple[float, float]:
        """Largest multiple of the floor, least multiple of our speed to spacelearn's."""
        return (4.0 if self.B < 1000 else 2.0), (3.0 if self.B > 2000 else 4.0)


SIZES = [Size(256, 128, 4, 8, 64), Size(1024, 256, 4, 16, 256), Size(2048, 512, 8, 32, 1024)]
STREAM_LENGTHS = (2000, 6000, 20_000)
Data = tuple[Tensor, dict[str, Tensor]]


def related(size: Size) -> Data:
    """Latents of falling variance, and quantities that depend on them linearly, with noise."""
    g = torch.Generator().manual_seed(0)
    fall = lambda n: torch.arange(1, n + 1) ** -0.5  # noqa: E731
    Z = torch.randn(size.B, size.D, generator=g) * fall(size.D)

    def quantity() -> Tensor:
        signal = Z @ torch.randn(size.D, size.P, generator=g) * fall(size.P)
        return signal + 0.3 * torch.randn(size.B, size.P, generator=g)

    return Z, {f"q{i}": quantity() for i in range(size.Q)}


def noise(size: Size) -> Data:
    """Independent latents and quantities: spectra without gaps, the hardest case of a truncated decomposition."""
    g = torch.Generator().manual_seed(0)
    Z = torch.randn(size.B, size.D, generator=g)
    return Z, {f"q{i}": torch.randn(size.B, size.P, generator=g) for i in range(size.Q)}


def loss_floor(Z: Tensor, W: dict[str, Tensor], A: dict[str, Tensor]) -> Callable[[], None]:
    """The matrix products of a forward and backward pass, in the cheapest forms known to us.

    Coordinates in the subspaces and in their complement; decoding and its gradient; the Gram matrices of both sets of
    coordinates, and the products of their gradients; the way back to Z.
    """
    W_all = torch.cat(list(W.values()))
    K, D = W_all.shape
    k = [len(W_q) for W_q in W.values()]
    N, H_S, H_X = torch.randn(D - K, D), torch.randn(K, K), torch.randn(D - K, D)

    def products() -> None:
        S, X = Z @ W_all.mT, Z @ N.mT
        for S_q, A_q in zip(S.split(k, dim=1), A.values(), strict=True):
            _ = (S_q @ A_q) @ A_q.mT
        _ = S.mT @ S, S @ H_S, X.mT @ X
        _ = X @ H_X, S @ W_all

    return products


def step(loss: Callable[..., Tensor], Z: Tensor, *args: dict[str, Tensor]) -> None:
    Z.grad = None
    loss(Z, *args).backward()


def time_losses(size: Size, spacelearn: object | None) -> dict[str, float]:
    Z, Y = related(size)
    space = solve_subspaces(Z, Y, k=size.k)
    args = (Z.clone().requires_grad_(), space.W, space.A, Y, space.W)
    calls = {
        "floor": loss_floor(Z, space.W, space.A),
        "isospan, variance": partial(step, partial(combined_loss, isotropy="variance"), *args),
        "isospan, singular": partial(step, combined_loss, *args),
    }
    if spacelearn is not None:
        calls["spacelearn"] = partial(step, spacelearn.combined_loss, *args)
    with silenced():
        seconds = medians(calls, repeats=size.repeats, warm_up=2)
    print_table(f"combined_loss {tuple(size)}", seconds, floor="floor")
    floors, times = size.loss_bars
    _print_bar("variance form over floor", seconds["isospan, variance"] / seconds["floor"], at_most=floors)
    if spacelearn is not None:
        _print_bar(
            "spacelearn over singular form", seconds["spacelearn"] / seconds["isospan, singular"], at_least=times
        )
    return seconds


def time_solver(size: Size, make: Callable[[Size], Data], spacelearn: object | None) -> dict[str, float]:
    Z, Y = make(size)
    C = {name: ((Z - Z.mean(0)).mT @ (y - y.mean(0))).double() for name, y in Y.items()}
    calls = {
        "product": lambda: [Z.mT @ y for y in Y.values()],
        "product, float64": partial(lambda z, ys: [z.mT @ y for y in ys], Z.double(), [y.double() for y in Y.values()]),
        "truncated decompositions": lambda: [top_left_singular(matrix, size.k) for matrix in C.values()],
        "isospan": partial(solve_subspaces, Z, Y, k=size.k),
    }
    if spacelearn is not None:
        calls["spacelearn"] = partial(spacelearn.solve_subspaces, Z, Y, k=size.k)
    with silenced():
        seconds = medians(calls, repeats=min(size.repeats, 15 if size.B < 2000 else 3))
    print_table(f"solve_subspaces {tuple(size)}, {make.__name__}", seconds, floor="product")
    floor = 2 * seconds["product"] + seconds["truncated decompositions"]
    _print_bar("time over 2 products and decompositions", seconds["isospan"] / floor, at_most=1.0)
    if spacelearn is not None:
        _print_bar("spacelearn over isospan", seconds["spacelearn"] / seconds["isospan"], at_least=3.0)
    return seconds


def _print_bar(what: str, value: float, *, at_most: float | None = None, at_least: float | None = None) -> None:
    held = value <= at_most if at_most is not None else value >= (at_least or 0.0)
    bar = f"at most {at_most}" if at_most is not None else f"at least {at_least}"
    print(f"  {what}: {value:.2f} ({bar}) {'held' if held else 'MISSED'}")


def batches(count: int) -> Iterator[Data]:
    """A stream of batches of 100 samples, made as they are read."""
    for start in range(0, count, 100):
        g = torch.Generator().manual_seed(start)
        z = torch.randn(100, 128, generator=g)
        yield z, {"q": z.repeat(1, 8) + torch.randn(100, 1024, generator=g)}


def measure_memory(kind: str, count: int) -> None:
    def call() -> None:
        if kind == "streamed":
            solve_from_moments(Moments.of_batches(batches(count)), 16)
        else:
            held = list(batches(count))
            solve_subspaces(torch.cat([z for z, _ in held]), {"q": torch.cat([y["q"] for _, y in held])}, k=16)

    memory.print_rise(lambda: solve_from_moments(Moments.of_batches(batches(200)), 16), call)


def load_spacelearn(path: str | None) -> object | None:
    """Return spacelearn set to its exact solver, from a directory or the environment, or None."""
    if path is not None:
        sys.path.insert(0, path)
    try:
        import spacelearn
        from spacelearn.settings import config
    except ImportError:
        print("spacelearn is not installed")
        return None
    config.solver_mode = "svd"
    return spacelearn


def main(spacelearn_path: str | None = None) -> None:
    one_thread()
    spacelearn = load_spacelearn(spacelearn_path)
    print(machine())
    results = {}
    for size in SIZES:
        key = " ".join(map(str, size))
        results[f"combined_loss {key}"] = time_losses(size, spacelearn)
        for make in (related, noise):
            results[f"solve_subspaces {key} {make.__name__}"] = time_solver(size, make, spacelearn)
    RESULTS.mkdir(exist_ok=True)
    print("\nmemory of a solve beyond that of the process")
    peaks = memory.peaks("benchmarks.losses_and_subspaces", STREAM_LENGTHS)
    samples = "samples of 128 latents and 1024 targets, float32"
    memory.plot(peaks, STREAM_LENGTHS, RESULTS / "subspaces_memory.png", samples=samples)
    report = {"machine": machine(), "seconds": results, "samples": STREAM_LENGTHS, "peak_mebibytes": peaks}
    text = json.dumps(report, indent=1)
    (RESULTS / "losses_and_subspaces.json").write_text(text + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spacelearn", metavar="DIR", help="directory that holds the package spacelearn")
    parser.add_argument(
        "--memory", nargs=2, metavar=("KIND", "N"), help="print the peak memory of one solve, and no more"
    )
    options = parser.parse_args()
    measure_memory(options.memory[0], int(options.memory[1])) if options.memory else main(options.spacelearn)
