"""Variables in NetCDF, HDF5 and Zarr files, through xarray; what is not asked for is not read."""

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from isospan._core.files import explained
from isospan.datasets._classic_netcdf import check_classic
from isospan.datasets.numpy_files import physical_memory
from isospan.errors import FileFormatError

REMEDY = "The file may be damaged, or of another kind than its name says; write or copy it again."

NETCDF = (".nc", ".nc4", ".netcdf")
HDF5 = {"engine": "h5netcdf", "phony_dims": "access"}  # unnamed dimensions become phony_dim_0, ...
ENGINES: dict[str, dict[str, Any]] = {
    **{suffix: {"engine": "netcdf4"} for suffix in NETCDF},
    **{suffix: HDF5 for suffix in (".h5", ".hdf5")},
    ".zarr": {"engine": "zarr", "consolidated": False},  # not in every store, and no slower on a disk
}


@dataclass(frozen=True, eq=False)
class LazyVariable:
    """A variable of a file with its samples in front, read slice by slice."""

    data: Any
    sample_dim: Hashable
    path: Path | str = "memory"

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of samples and of entries along the other dimensions, in their order in the file."""
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
                raise error.__cause__ from None  # the process may not have what the machine has: no damage
            raise

    def _bytes(self, samples: slice) -> int:
        n, *sample = self.shape
        return len(range(*samples.indices(n))) * prod(sample) * self.dtype.itemsize


def join_coordinates(parts: Sequence[LazyVariable]) -> Any:
    """The coordinate of the samples over all files, as an `xarray.DataArray`; their numbers where a file has none."""
    xarray, dim = import_module("xarray"), parts[0].sample_dim
    if any(dim not in part.data.coords for part in parts):
        return xarray.DataArray(np.arange(sum(part.shape[0] for part in parts)), dims=[dim], name=dim)
    coordinates = [part.data[dim].reset_coords(drop=True) for part in parts]
    return xarray.concat(coordinates, dim, combine_attrs="drop_conflicts")


def open_dataset(path: Path) -> Any:
    """Open a file as an `xarray.Dataset` of lazy variables; bounds and grid mappings count as coordinates.

    In NetCDF files, what was never written is missing, as what a variable declares to be.
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
                f"Reading {path} needs xarray and the libraries of its format, of which one is missing "
                f"({error.__cause__}). Install them: pip install 'isospan[fields]'."
            ) from error
        raise


def _remedy(error: Exception) -> str:
    """What to do about an error of the file libraries, which is damage unless they say otherwise."""
    if "dimension_names" in str(error) or "_ARRAY_DIMENSIONS" in str(error):
        return (
            "The store is whole, but does not name the dimensions of its arrays. Write it with xarray, or with "
            "dimension_names=... of zarr.create_array."
        )
    if "undefined filter" in str(error):  # of HDF5, such as the LZF of h5py
        return (
            "The variable is compressed by a filter that this HDF5 library does not have, such as LZF, which only h5py "
            "reads. Write it again with compression='gzip'."
        )
    return REMEDY


def _opened(path: Path, suffix: str) -> Any:
    xarray = import_module("xarray")
    options = HDF5 if suffix in NETCDF and _has_foreign_floats(path) else ENGINES[suffix]
    raw = xarray.open_dataset(path, cache=False, decode_cf=False, **options)
    if suffix in NETCDF:
        _declare_fill_values(raw)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "variable .* has multiple fill values")  # all of them are missing
        dataset = xarray.decode_cf(raw, decode_times=False, decode_coords="all")
    # a Zarr store is a directory, which lists its variables in no order
    return dataset[sorted(dataset.data_vars)] if suffix == ".zarr" else dataset


def _has_foreign_floats(path: Path) -> bool:
    """Whether an HDF5 file holds float16 or other floats that netCDF4 takes for texts, on which it ends the process."""
    h5py = import_module("h5py")
    if not h5py.is_hdf5(path):
        return False
    with h5py.File(path) as file:
        types = [item.dtype for item in file.values() if hasattr(item, "dtype")]
        return any(dtype.kind == "f" and dtype.itemsize not in (4, 8) for dtype in types)


def _declare_fill_values(dataset: Any) -> None:
    """Give variables without a fill value the one that NetCDF puts where nothing was written; bytes have none."""
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
