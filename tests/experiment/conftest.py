"""Small fields, and small settings for runs of a second or two."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from isospan.experiment import TrainConfig

TINY = {"epochs": 2, "batch_size": 8, "width": 4, "max_bins": 3}


def smooth_fields(n: int = 40, *, channels: int = 1, size: tuple[int, int] = (16, 16), seed: int = 0) -> Tensor:
    noise = torch.randn(n, channels, 4, 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=size, mode="bilinear")


@pytest.fixture(autouse=True)
def _no_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than these runs; the tests of what a run writes ask for ``figures``."""
    if "figures" not in request.fixturenames:
        monkeypatch.setattr("isospan.experiment.reports.write_report", lambda summary, out: Path(out) / "report.html")


@pytest.fixture
def figures() -> None:
    """Let a run draw its figures."""


@pytest.fixture
def fields() -> Callable[..., Tensor]:
    return smooth_fields


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., TrainConfig]:
    def make(**changes: object) -> TrainConfig:
        settings = {"quantities": {"local_mean": "", "gradient_x": ""}, "out": tmp_path / "run", **TINY}
        return TrainConfig(**{**settings, **changes})

    return make


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    """A file with fields u, another field T, and a number a sample."""
    x = smooth_fields().numpy()[:, 0]
    path = tmp_path / "flow.npz"
    np.savez(path, u=x, T=2 * x + 1, age=np.arange(40.0))
    return path
