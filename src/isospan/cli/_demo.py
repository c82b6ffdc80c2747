"""The demonstration: decaying turbulence, of which the network sees the vorticity."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from isospan._core.files import PathLike, atomic_path
from isospan.datasets import cached, decaying_turbulence
from isospan.experiment import TrainConfig
from isospan.experiment.samples import Samples, hold_out

SIZE = 64
SAMPLES = 1600
HELD_OUT = 320
QUANTITIES = {
    "stream_function": "stream_function",
    "kinetic_energy": "kinetic_energy_from_vorticity",
    "strain_rate": "strain_rate_from_vorticity",
}


def demo_config(out: PathLike = "isospan-demo", **changes: Any) -> TrainConfig:
    """Return the settings of the demonstration.

    Example:
        >>> demo_config(epochs=2).epochs
        2
    """
    settings = {
        "quantities": QUANTITIES,
        "out": out,
        "periodic": True,
        "dx": 2 * math.pi / SIZE,
        "epochs": 24,
        "test_fraction": HELD_OUT / SAMPLES,
        "test_blocks": 1,
        "title": f"Decaying turbulence, {SIZE} × {SIZE}: vorticity in, {len(QUANTITIES)} quantities guided",
    }
    return TrainConfig(**{**settings, **changes})


def demo_samples(count: int = SAMPLES, *, progress: Callable[[int, int], None] | None = None) -> Samples:
    """Return vorticity fields (count, 1, 64, 64), from the cache after the first call."""
    return Samples(cached(decaying_turbulence, count, size=SIZE, progress=progress))


def held_out_path(out: PathLike) -> Path:
    """Return the path of the file that :func:`write_demo_fields` writes."""
    return Path(out) / "held_out.npz"


def write_demo_fields(out: PathLike, samples: Samples, *, count: int = 16) -> Path:
    """Write the last ``count`` held-out samples to a file, as input for ``decode`` and ``edit``.

    Example:
        >>> import tempfile, torch
        >>> write_demo_fields(tempfile.mkdtemp(), Samples(torch.zeros(20, 1, 8, 8))).name
        'held_out.npz'
    """
    _, held_out = hold_out(samples, HELD_OUT / SAMPLES)
    fields, _ = held_out[max(0, len(held_out) - count) :].tensors()
    path = held_out_path(out)
    with atomic_path(path) as temporary:
        np.savez(temporary, vorticity=fields.numpy())
    return path
