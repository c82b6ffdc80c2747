"""Commands on files several times larger than the memory that the kernel lets them have."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from isospan.experiment import TrainConfig, audit, size, train
from isospan.experiment.samples import Samples

xarray = pytest.importorskip("xarray")
pytest.importorskip("zarr")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and RLIMIT_DATA")

LIMIT = 96 * 2**20
"""A third and less of the data below, of 190 MiB and more."""
SMALL_CHUNKS = {
    "isospan.experiment._data.IN_MEMORY_BYTES": 2**20,
    "isospan.experiment._sizes.BYTES": 2**23,
    "isospan.experiment.samples._samples.READ_AHEAD_BYTES": 2**23,
    "isospan.experiment.samples._samples.BATCH_BYTES": 2**21,
}
"""How much is read at a time, as much smaller than it is as the data are smaller than what a user has."""

CHANNELS, ROWS = 8, 6400


def run(*commands, limit=LIMIT, **changes):
    """Run the last command under the limit, after the others without it."""
    script = Path(__file__).with_name("limited.py")
    texts = json.dumps({**SMALL_CHUNKS, **changes}), json.dumps([[str(a) for a in command] for command in commands])
    command = [sys.executable, "-W", "ignore", str(script), str(limit), *texts]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """Eight channels of 32 × 32, from eight waves each: 200 MiB."""
    rng = np.random.default_rng(0)
    waves = np.sin(np.arange(1, 9)[:, None, None] * np.linspace(0, 2, 32)[:, None] + np.arange(32) / 5)
    x = rng.standard_normal((CHANNELS, ROWS, 8), np.float32) @ waves.reshape(8, -1).astype(np.float32)
    x = x.reshape(CHANNELS, ROWS, 32, 32)
    folder = tmp_path_factory.mktemp("flow")
    for name, rows in (("small", 600), ("large", ROWS)):
        dataset = xarray.Dataset({f"u{i}": (["row", "y", "x"], u[:rows]) for i, u in enumerate(x)})
        dataset.to_netcdf(folder / f"{name}.nc")
    return torch.from_numpy(x).transpose(0, 1), folder / "small.nc", folder / "large.nc"


VARIABLES = [option for i in range(CHANNELS) for option in ("--variable", f"u{i}")]


def test_sizes_of_fields(flow, tmp_path, monkeypatch):
    x, small, large = flow
    options = [*VARIABLES, "-q", "local_mean", "--max-bins", 2, "--overwrite", "--out", tmp_path / "sizes.png"]
    done = run(["size", small, *options], ["size", large, *options])
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.setattr("isospan.experiment._sizes.BYTES", SMALL_CHUNKS["isospan.experiment._sizes.BYTES"])
    sizes = size(TrainConfig(quantities={"local_mean": ""}, max_bins=2), samples=x)
    n, k = sizes.dims["local_mean"]
    assert f"local_mean │ {n} │ {k}" in " ".join(done.stdout.split("Sizing")[-1].split())
    whole = run(
        ["size", small, *options], ["size", large, *options], **{"isospan.experiment._data.IN_MEMORY_BYTES": 2**40}
    )
    assert whole.returncode != 0  # the limit is one: the same command cannot have all of it in memory
    assert "alloc" in whole.stderr or "MemoryError" in whole.stderr


class OnDisk:
    """Rows in memory that pass for rows on disk, so that they are read in the order in which those are."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, rows):
        return self.rows[rows].contiguous()


@pytest.mark.usefixtures("figures")
def test_training(flow, tmp_path, monkeypatch):
    x, small, large = flow
    options = "-q local_mean --no-baseline --epochs 1 --batch-size 64 --max-bins 2 --test-fraction 0.5".split()
    done = run(*(["train", path, *VARIABLES, *options, "--out", tmp_path / path.stem] for path in (small, large)))
    assert done.returncode == 0, done.stdout + done.stderr
    for name, value in SMALL_CHUNKS.items():
        monkeypatch.setattr(name, value)
    config = TrainConfig(
        quantities={"local_mean": ""}, baseline=False, epochs=1, batch_size=64, max_bins=2, test_fraction=0.5,
        out=tmp_path / "memory",
    )  # fmt: skip
    expected = train(config, samples=Samples(OnDisk(x)))
    metrics = json.loads((tmp_path / "large" / "metrics.json").read_text())
    # threads of the libraries may sum in another order
    assert metrics["guided"]["subspace_r2"] == pytest.approx(expected.guided.evaluation.subspace_r2, rel=1e-4)
    assert metrics["nmse"] == pytest.approx({"guided": expected.guided.nmse}, rel=1e-4)


def test_latents(tmp_path):
    """Latents in a Zarr store and quantities in a NetCDF file: 190 MiB."""
    rng = np.random.default_rng(1)
    z = rng.standard_normal((200_000, 128), np.float32)
    flow = rng.standard_normal((200_000, 8, 16), np.float32) + z[:, :8, None]
    y = {"flow": flow, "heat": z[:, 0] + rng.standard_normal(200_000, np.float32)}
    commands = []
    for name, rows in (("small", 3000), ("large", len(z))):
        latents, quantities = tmp_path / f"{name}.zarr", tmp_path / f"{name}.nc"
        encoding = {"z": {"chunks": (1000, 128), "compressors": None}}
        xarray.Dataset({"z": (["row", "d"], z[:rows])}).to_zarr(latents, consolidated=False, encoding=encoding)
        dims = {"flow": ["row", "y", "x"], "heat": ["row"]}
        xarray.Dataset({key: (dims[key], values[:rows]) for key, values in y.items()}).to_netcdf(quantities)
        commands.append(["probe", latents, quantities, "--out", tmp_path / name])
    done = run(*commands)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = audit(z, y).evaluation
    metrics = json.loads((tmp_path / "large" / "metrics.json").read_text())["guided"]
    assert metrics["n_samples"] == expected.n_samples == 40_000
    for key in ("subspace_r2", "rank_k_probe_r2", "linear_probe_r2", "decoder_r2"):
        assert metrics[key] == pytest.approx(getattr(expected, key), rel=1e-9)
