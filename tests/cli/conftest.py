"""Running commands in this process, and the two real inputs on a small cut."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from typer.testing import CliRunner, Result

from isospan.cli import app


@pytest.fixture
def isospan() -> Callable[..., Result]:
    """Run a command; the exit code is 0 unless ``code`` says otherwise."""

    def run(*arguments: object, code: int = 0) -> Result:
        result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawing, which takes longer than all else on a small cut."""
    monkeypatch.setattr("isospan.experiment.reports.write_report", lambda summary, out: Path(out) / "report.html")


@pytest.fixture(scope="session")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty smooth periodic fields u, and a number a sample."""
    noise = torch.randn(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    path = tmp_path_factory.mktemp("data") / "flow.npz"
    np.savez(path, u=F.interpolate(noise, size=(16, 16), mode="bilinear").numpy()[:, 0], age=np.arange(40.0))
    return path


@pytest.fixture(scope="session")
def climate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 48 of 240 years of A1B_north_america.nc: near-surface air temperature, 37 x 49."""
    xarray = pytest.importorskip("xarray")
    sample_data = pytest.importorskip("iris_sample_data")
    path = tmp_path_factory.mktemp("climate") / "air_temperature.nc"
    with xarray.open_dataset(Path(sample_data.path) / "A1B_north_america.nc", decode_times=False) as dataset:
        dataset.isel(time=slice(0, 48)).to_netcdf(path)
    return path
