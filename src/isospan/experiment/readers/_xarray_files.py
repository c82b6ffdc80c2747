"""Variables in NetCDF, HDF5 and Zarr files, through xarray, read lazily."""

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from isospan._core.files import explained
from isospan._core.numpy_files import physical_memory
from isospan.errors import FileFormatError
from isospan.experiment.readers._classic_netcdf import check_classic

REMEDY = "The file may be damaged, or its suffix may be wrong. Write or copy it again."

NETCDF = (".nc", ".nc4", ".netcdf")
HDF5_SUFFIXES = (".h5", ".hdf5")
HDF5 = {"engine": "h5netcdf", "phony_dims": "access"}  # unnamed dimensions become phony_dim_0, ...
ENGINES: dict[str, dict[str, Any]] = {
    **{suffix: {"engine": "netcdf4"} for suffix in NETCDF},
    **dict.fromkeys(HDF5_SUFFIXES, HDF5),
    ".zarr": {"engine": "zarr", "consolidated": False},  # not every store has these metadata
}


@dataclass(frozen=True, eq=False)
class LazyVariable:
    """A variable of a file with the samples in its first dimension, read in slices."""

    data: Any
    sample_dim: Hashable
    path: Path | str = "memory"

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of samples, then the lengths of the other dimensions in the order of the file."""
        sizes = self.data.sizes
        return (sizes[self.sample_dim], *(n for dim, n in sizes.items() if dim != self.sample_dim))

    @property
    def dtype(self) -> np.dtype:
        """Type of the entries after decoding."""
        return self.data.dtype

    def __getitem__(self, samples: slice) -> np.ndarray:
        """Read a slice of samples."""
        what = f"cannot be read at samples {samples.start} to {samples.stop}"
        try:
            with explained(f"Variable {self.data.name!r} of {self.path}", what=what, remedy=_remedy):
                return self.data.isel({self.sample_dim: samples}).transpose(self.sample_dim, ...).values
        except FileFormatError as error:
            if isinstance(error.__cause__, MemoryError) and self._bytes(samples) <= physical_memory():
                raise error.__cause__ from None  # a memory limit of the process, not damage
            raise

    def __repr__(self) -> str:
        return f"LazyVariable({self.data.name!r}, shape={self.shape}, dtype={self.dtype}, path={str(self.path)!r})"

    def _bytes(self, samples: slice) -> int:
        n, *sample = self.shape
        return len(range(*samples.indices(n))) * prod(sample) * self.dtype.itemsize


def join_coordinates(parts: Sequence[LazyVariable]) -> Any:
    """The sample coordinate of all files, an ``xarray.DataArray``; the indices where a file has no coordinate."""
    xarray, dim = import_module("xarray"), parts[0].sample_dim
    if any(dim not in part.data.coords for part in parts):
        return xarray.DataArray(np.arange(sum(part.shape[0] for part in parts)), dims=[dim], name=dim)
    coordinates = [part.data[dim].reset_coords(drop=True) for part in parts]
    return xarray.concat(coordinates, dim, combine_attrs="drop_conflicts")


def open_dataset(path: Path) -> Any:
    """Open a file as an ``xarray.Dataset`` of lazy variables. Bounds and grid mappings count as coordinates.

    In NetCDF files, entries that were never written are NaN, like those of a declared fill value.
    """
    suffix = path.suffix.lower()
    try:
        with explained(path, remedy=_remedy):
            if suffix in NETCDF:
                check_classic(path)
            return _opened(path, suffix)
    except FileFormatError as error:
        if isinstance(error.__cause__, ImportError) or "unrecognized engine" in str(error):
            raise FileFormatError(
                f"Reading {path} needs xarray and the libraries of its format, and one of them is missing "
                f"({error.__cause__}). Install them: pip install 'isospan[fields]'."
            ) from error
        raise


def _remedy(error: Exception) -> str:
    """What to do about an error of the file libraries; by default the file counts as damaged."""
    if "dimension_names" in str(error) or "_ARRAY_DIMENSIONS" in str(error):
        return (
            "The store does not name the dimensions of its arrays. Write it with xarray, or pass dimension_names to "
            "zarr.create_array."
        )
    if "undefined filter" in str(error):  # of HDF5, such as the LZF of h5py
        return (
            "The variable is compressed by a filter that this HDF5 library lacks, such as LZF of h5py. Write it again "
            "with compression='gzip'."
        )
    return REMEDY


def _opened(path: Path, suffix: str) -> Any:
    xarray = import_module("xarray")
    options = HDF5 if suffix in NETCDF and _has_foreign_floats(path) else ENGINES[suffix]
    if options is HDF5:
        _check_root(path)
    raw = xarray.open_dataset(path, cache=False, decode_cf=False, **options)
    if suffix in NETCDF:
        _declare_fill_values(raw)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "variable .* has multiple fill values")  # each of them marks a missing entry
        dataset = xarray.decode_cf(raw, decode_times=False, decode_coords="all")
    # a Zarr store is a directory, whose entries have no order
    return dataset[sorted(dataset.data_vars)] if suffix == ".zarr" else dataset


def _check_root(path: Path) -> None:
    """Read the attributes of the root: where these are damaged, h5netcdf raises and cannot close the file."""
    with import_module("h5py").File(path) as file:
        dict(file.attrs)


def _has_foreign_floats(path: Path) -> bool:
    """Whether an HDF5 file holds floats of other than 4 or 8 bytes: netCDF4 ends the process on these."""
    h5py = import_module("h5py")
    if not h5py.is_hdf5(path):
        return False
    with h5py.File(path) as file:
        types = [item.dtype for item in file.values() if hasattr(item, "dtype")]
        return any(dtype.kind == "f" and dtype.itemsize not in (4, 8) for dtype in types)


def _declare_fill_values(dataset: Any) -> None:
    """Declare the default fill value of NetCDF for variables without one. Types of one byte have no default."""
    fill_values = import_module("netCDF4").default_fillvals
    for variable in dataset.data_vars.values():
        kind = variable.dtype.str[1:]
        if (
            "_FillValue" not in variable.attrs
            and kind in fill_values
            and variable.dtype.kind in "iuf"
            and kind[1:] != "1"
        ):
            variable.attrs["_FillValue"] = variable.dtype.type(fill_values[kind])
