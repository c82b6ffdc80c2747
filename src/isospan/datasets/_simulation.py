"""Shared by the simulations: the symbol of the Laplacian, and parallel chunks of fields."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager

import torch
from torch import Tensor

from isospan._core.grids import wave_numbers

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` with numbers of samples, whenever more are ready."""

CACHE_SIZED_BYTES = 1 << 18
"""Bytes of the fields in a chunk. They fit into the caches of one core, which is fastest for the transforms."""


def chunk_length(size: int) -> int:
    """Return the number of float64 fields ``size`` × ``size`` in a chunk."""
    return max(1, CACHE_SIZED_BYTES // (8 * size * size))


def squared_wave_number(grid: Tensor, spacing: float) -> Tensor:
    """Return k^2 = kx^2 + ky^2, the symbol of minus the Laplacian for `torch.fft.rfft2` of fields (..., H, W)."""
    ky, kx = wave_numbers(grid, spacing)
    return kx**2 + ky**2


def simulate_chunks(simulate: Callable[[Tensor], None], chunks: Sequence[Tensor]) -> Iterator[int]:
    """Call ``simulate(chunk)`` for all chunks, and yield the number of finished items after each chunk.

    Each chunk runs in one thread, and as many run at once as torch has threads. A chunk that fits into the caches of a
    core is too small for several threads. The results do not depend on the number of threads.
    """
    with _single_threaded_operations() as workers, ThreadPoolExecutor(workers) as pool:
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
def _single_threaded_operations() -> Iterator[int]:
    """Let torch use one thread for each operation inside the block. Yields the previous number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
