"""Arrays of any origin are the rows that they hold, in a precision that keeps them."""

import numpy as np
import pytest
import torch

from isospan.errors import DtypeError, FileFormatError, NameMismatchError, NonFiniteError, OptionError
from isospan.experiment.readers import as_array, open_arrays

xarray = pytest.importorskip("xarray")
dask = pytest.importorskip("dask.array")

X = np.random.default_rng(0).standard_normal((7, 3))


@pytest.mark.parametrize(
    "values",
    [X, torch.from_numpy(X), torch.from_numpy(X).requires_grad_(), dask.from_array(X, chunks=2), X.tolist(),
     xarray.DataArray(X, dims=["row", "d"]), xarray.DataArray(X, dims=["row", "d"]).chunk(row=2)],
    ids=["numpy", "torch", "grad", "dask", "list", "xarray", "xarray of dask"],
)  # fmt: skip
def test_arrays_of_every_kind_are_read_in_slices(values):
    array = as_array("x", values)
    assert array.shape == (7, 3)
    assert torch.equal(array[2:6], torch.from_numpy(X[2:6]))


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [("float16", "float32"), ("float32", "float32"), ("bool", "float32"), ("int16", "float32"), ("int32", "float64"),
     ("int64", "float64"), ("float64", "float64")],
)  # fmt: skip
def test_what_float32_cannot_hold_is_float64(dtype, kept):
    assert as_array("x", np.ones(3, dtype)).dtype == getattr(torch, kept)


def test_half_precision_of_torch():
    assert torch.equal(as_array("x", torch.ones(3, dtype=torch.bfloat16))[0:3], torch.ones(3))


def test_the_dimension_of_the_samples_comes_first():
    assert torch.equal(as_array("x", X.T, sample_dim=1)[0:7], torch.from_numpy(X))
    assert torch.equal(as_array("x", xarray.DataArray(X.T, dims=["d", "row"]), sample_dim="row")[0:7], torch.tensor(X))


@pytest.mark.parametrize("values", [np.array(["a"]), np.ones(3, complex), np.float64(3.0)])
def test_what_is_no_row_of_real_numbers_is_refused(values):
    with pytest.raises(DtypeError, match="'x' must hold real numbers and have one row for each sample"):
        as_array("x", values)


def test_nan_is_an_error_or_filled():
    with pytest.raises(NonFiniteError, match="'x' must be finite"):
        as_array("x", [1.0, float("nan")])[0:2]
    assert as_array("x", [1.0, float("nan")], fill=0)[0:2].tolist() == [1, 0]


def test_files_of_all_kinds_and_what_is_not_of_the_samples(tmp_path):
    dataset = xarray.Dataset({"x": (["d", "row"], X.T), "y": ("row", X[:, 0]), "grid": ("d", X[0])})
    dataset.to_netcdf(tmp_path / "a.nc")
    np.save(tmp_path / "z.npy", X)
    arrays = open_arrays([tmp_path / "a.nc", tmp_path / "z.npy"], sample_dim="row")
    assert {name: array.shape for name, array in arrays.items()} == {"x": (7, 3), "y": (7,), "z": (7, 3)}
    assert torch.equal(arrays["x"][1:3], arrays["z"][1:3])
    np.savez(tmp_path / "z.npz", z=X)
    with pytest.raises(NameMismatchError, match=r"got 'z' in .*z\.npz and in a file before it"):
        open_arrays([tmp_path / "z.npy", tmp_path / "z.npz"])


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(OptionError, match="got none"):
        open_arrays([])
    with pytest.raises(FileFormatError, match="does not exist"):
        open_arrays(tmp_path / "x.npy")
    (tmp_path / "x.csv").write_text("1")
    with pytest.raises(FileFormatError, match=r"must end in .* got '\.csv'"):
        open_arrays(tmp_path / "x.csv")
