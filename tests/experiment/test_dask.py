"""Arrays of Dask under a cluster of two processes give what the same arrays in memory give."""

import numpy as np
import pytest
import torch

from isospan.experiment import TrainConfig, audit, size
from isospan.experiment.readers import as_array
from isospan.experiment.samples import Samples

xarray = pytest.importorskip("xarray")
distributed = pytest.importorskip("distributed")

N, D = 500, 6


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((N, D))
    flow = np.einsum("nk,khw->nhw", z[:, :3], rng.standard_normal((3, 16, 16))) + rng.standard_normal((N, 16, 16))
    dims = {"z": ["row", "d"], "flow": ["row", "y", "x"], "heat": ["row"]}
    arrays = {"z": z, "flow": flow, "heat": z[:, 0] ** 2 + z[:, 1]}
    return xarray.Dataset({name: (dims[name], array) for name, array in arrays.items()})


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, protocol="tcp", silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def tasks_done(client):
    """Numbers of tasks that each worker has in its memory or log: both have worked if neither is zero."""
    return list(client.run(lambda dask_worker: len(dask_worker.state.log)).values())


def test_latents_and_sizes_are_those_in_memory(data, client):
    chunked = data.chunk(row=120)
    quantities = ["flow", "heat"]
    expected = audit(data["z"].values, data[quantities]).evaluation
    got = audit(chunked["z"], chunked[quantities]).evaluation
    assert all(count > 0 for count in tasks_done(client))
    assert got.subspace_r2 == pytest.approx(expected.subspace_r2, rel=1e-12)
    torch.testing.assert_close(got.cross_r2, expected.cross_r2, rtol=1e-12, atol=0)
    config = TrainConfig(quantities={"gradient_x": ""}, max_bins=4)
    sizes = size(config, samples=Samples(as_array("flow", chunked["flow"])))
    assert sizes.dims == size(config, samples=torch.from_numpy(data["flow"].values)[:, None]).dims
