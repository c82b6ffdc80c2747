"""The demonstration: decaying turbulence, of which the network sees the vorticity."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isospan._core.files import PathLike
from isospan.datasets import cached, decaying_turbulence
from isospan.experiment import TrainConfig
from isospan.experiment.outputs import write_decoded
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


def write_held_out(path: Path, samples: Samples) -> None:
    """Write the last 16 of the held-out samples to a ``.npz`` file, as input for ``decode`` and ``edit``.

    Example:
        >>> import tempfile, numpy as np, torch
        >>> path = Path(tempfile.mkdtemp()) / "held_out.npz"
        >>> write_held_out(path, Samples(torch.zeros(20, 1, 8, 8)))
        >>> np.load(path)["vorticity"].shape
        (4, 1, 8, 8)
    """
    _, held_out = hold_out(samples, HELD_OUT / SAMPLES)
    fields, _ = held_out[max(0, len(held_out) - 16) :].tensors()
    write_decoded(path, {"vorticity": fields.numpy()})
