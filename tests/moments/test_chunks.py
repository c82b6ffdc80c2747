"""Moments of dask arrays against those of the same data in memory."""

import sys

import dask
import dask.array as da
import numpy as np
import pytest
import torch

from isospan.compat.spacelearn._solve import solve_from_moments
from isospan.errors import (
    DegenerateDataError,
    DtypeError,
    MissingPackageError,
    NameMismatchError,
    NonFiniteError,
    ShapeError,
)
from isospan.moments import Moments, merged


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(203, 5)) + 1e6
    return z, {"b": (z[:, :2, None] + rng.normal(size=(203, 2, 1))).reshape(203, 2, 1), "a": z[:, 2]}


def in_memory(z, y, **options):
    return Moments.of(torch.tensor(z), {name: torch.tensor(t) for name, t in y.items()}, **options)


def chunked(z, y, rows, others=None):
    others = rows if others is None else others
    return da.from_array(z, chunks=(rows, 2)), {
        name: da.from_array(t, chunks=(others, *t.shape[1:])) for name, t in y.items()
    }


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize(("rows", "others"), [(203, None), (100, None), (7, None), ((1, 0, 202), None), (60, 33)])
def test_equals_one_shot(data, rows, others, scheduler):
    with dask.config.set(scheduler=scheduler):
        got = Moments.from_dask(*chunked(*data, rows, others), target_covariance=True)
    expected = in_memory(*data, target_covariance=True)
    assert got.target_dims == {"b": 2, "a": 1}
    for name, buffer in expected.named_buffers():
        # data with an offset of a million standard deviations are themselves rounded at 1e-10
        scale = float(buffer.abs().max())
        torch.testing.assert_close(got.get_buffer(name), buffer, rtol=0, atol=1e-9 * scale)
    spaces = [solve_from_moments(m, {"b": 1, "a": 1}, method="regression") for m in (got, expected)]
    for name in ("b", "a"):
        for kind in ("W", "A"):
            one, other = (getattr(space, kind)[name] for space in spaces)
            torch.testing.assert_close(one, other, rtol=0, atol=1e-9 * float(other.abs().max()))


def test_a_filter_leaves_chunks_of_unknown_size(data):
    z, y = data
    kept = y["a"] > 1e6
    arrays = chunked(z, y, 20)
    keep = arrays[1]["a"] > 1e6
    filtered = arrays[0][keep], {name: array[keep] for name, array in arrays[1].items()}
    got = Moments.from_dask(*filtered)
    expected = in_memory(z[kept], {name: t[kept] for name, t in y.items()})
    assert float(got.count) == kept.sum()
    torch.testing.assert_close(got.scatter_zy, expected.scatter_zy, rtol=0, atol=1e-9 * kept.sum())
    with pytest.raises(ShapeError, match="compute_chunk_sizes"):
        Moments.from_dask(filtered[0], {"a": da.ones(9, chunks=9)})
    with pytest.raises(DegenerateDataError, match="hold no samples"):
        Moments.from_dask(arrays[0][arrays[1]["a"] > np.inf], {"a": arrays[1]["a"][arrays[1]["a"] > np.inf]})


def test_data_of_another_byte_order(data):
    z, y = data
    swapped = z.astype(">f4"), {"a": y["a"].astype(">f4")}
    got = Moments.from_dask(*chunked(*swapped, 50))
    expected = in_memory(z.astype("f4"), {"a": y["a"].astype("f4")})
    torch.testing.assert_close(got.scatter_zy, expected.scatter_zy, rtol=1e-9, atol=0)


def test_bad_input(data):
    z, y = chunked(*data, 50)
    with pytest.raises(ShapeError, match="must have the samples of the latents"):
        Moments.from_dask(z, {"a": y["a"][:200]})
    with pytest.raises(ShapeError, match=r"shape \(N, D\)"):
        Moments.from_dask(y["b"], y)
    with pytest.raises(NameMismatchError, match="must be a dict"):
        Moments.from_dask(z, y["a"])
    with pytest.raises(DtypeError, match="Latents z must be a dask array, got ndarray"):
        Moments.from_dask(data[0], y)
    with pytest.raises(DtypeError, match="quantity 'b' must be a dask array, got ndarray"):
        Moments.from_dask(z, y | {"b": data[1]["b"]})
    with pytest.raises(NonFiniteError, match="quantity 'a'"):
        Moments.from_dask(z, y | {"a": da.where(y["a"] > 1e6, y["a"], np.nan)})


def test_without_dask(data, monkeypatch):
    z, y = chunked(*data, 50)
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(MissingPackageError, match="fields"):
        Moments.from_dask(z, y)


def test_merging_leaves_the_parts_as_they_were(data):
    """A scheduler may hand the same part to two tasks, or compute a task again."""
    z, y = data
    rows = [slice(0, 50), slice(50, 203)]
    parts = [in_memory(z[r], {name: q[r] for name, q in y.items()}) for r in rows]
    before = [{name: buffer.clone() for name, buffer in part.named_buffers()} for part in parts]
    once, again = merged(parts), merged(parts)
    assert float(once.count) == float(again.count) == 203
    for part, buffers in zip(parts, before, strict=True):
        assert all(torch.equal(buffer, buffers[name]) for name, buffer in part.named_buffers())
