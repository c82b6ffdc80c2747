"""What the simulations share: the symbol of the Laplacian, and how many fields are worked on at once."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager

import torch
from torch import Tensor

from isospan.errors import OptionError
from isospan.quantities.fields._grid import wave_numbers

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)``, in samples, each time more of them are ready."""

CACHE_SIZED_BYTES = 1 << 18
"""Fields advanced together, in bytes: as many as the caches of one core hold, the fastest batch for the transforms."""


def check_time(duration: float, max_step: float | None) -> None:
    """Require that time runs forward."""
    if not duration >= 0:
        raise OptionError(f"duration must not be negative; got {duration}.")
    if max_step is not None and not max_step > 0:
        raise OptionError(f"max_step must be positive, or None for the default; got {max_step}.")


def chunk_length(size: int) -> int:
    """Number of float64 fields of ``size`` x ``size`` that are advanced together."""
    return max(1, CACHE_SIZED_BYTES // (8 * size * size))


def squared_wave_number(grid: Tensor, spacing: float) -> Tensor:
    """k^2 = kx^2 + ky^2, the symbol of minus the Laplacian for `torch.fft.rfft2` of such fields (..., H, W)."""
    ky, kx = wave_numbers(grid, spacing)
    return kx**2 + ky**2


def simulate_chunks(simulate: Callable[[Tensor], None], chunks: Sequence[Tensor]) -> Iterator[int]:
    """Call ``simulate(chunk)`` for all chunks, and yield how many of their items are ready each time one is.

    As many chunks run at once as torch would use threads, each on one: a batch that fits into the caches of a core is
    too small to be shared between cores, and where these are busy with other things, sharing takes many times longer.
    The chunks do not know of each other, so the results are the same for every number of threads.
    """
    with _one_thread_an_operation() as workers, ThreadPoolExecutor(workers) as pool:
        sizes = {pool.submit(simulate, chunk): len(chunk) for chunk in chunks}
        done = 0
        try:
            for future in as_completed(sizes):
                future.result()
                done += sizes[future]
                yield done
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_an_operation() -> Iterator[int]:
    """Let torch use one thread an operation for a while; yields how many it used before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
