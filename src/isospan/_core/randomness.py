"""Random numbers from a seed, without a change of the global state."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch's global generators inside the block, and restore them; for the CPU, only that of the CPU.

    Example:
        >>> with seeded(0):
        ...     first = torch.rand(1)
        >>> with seeded(0):
        ...     torch.equal(torch.rand(1), first)
        True
    """
    kind = torch.device(device).type
    seed_generators = torch.default_generator.manual_seed if kind == "cpu" else torch.manual_seed
    with torch.random.fork_rng(range(torch.cuda.device_count()) if kind == "cuda" else []):
        seed_generators(seed)
        yield


def generator_of(*seeds: int) -> torch.Generator:
    """Return a generator from any number of seeds, such as a seed and an index, so that indices have any order.

    Example:
        >>> bool(torch.rand(1, generator=generator_of(0, 1)) == torch.rand(1, generator=generator_of(1, 0)))
        False
    """
    words = np.random.SeedSequence([seed % 2**64 for seed in seeds]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))
