"""Variables in NetCDF, HDF5 and Zarr files, through xarray; what is not asked for is not read."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from isospan.errors import FileFormatError

NETCDF = {"engine": "netcdf4"}  # reads HDF5 of any origin too; unnamed dimensions become phony_dim_0, ...
ENGINES: dict[str, dict[str, Any]] = {
    **dict.fromkeys([".nc", ".nc4", ".netcdf", ".h5", ".hdf5"], NETCDF),
    ".zarr": {"engine": "zarr", "consolidated": False},  # not in every store, and no slower on a disk
}


@dataclass(frozen=True, eq=False)
class LazyVariable:
    """A variable of a file with its samples in front, read slice by slice."""

    data: Any
    sample_dim: Hashable

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
        try:
            return self.data.isel({self.sample_dim: samples}).transpose(self.sample_dim, ...).values
        except (OSError, RuntimeError, ValueError) as error:  # what the file libraries raise for damaged chunks
            raise FileFormatError(
                f"Variable {self.data.name!r} cannot be read at samples {samples.start} to {samples.stop}: {error}. "
                f"{_remedy(error, 'The file may be damaged; write or copy it again.')}"
            ) from error


def join_coordinates(parts: Sequence[LazyVariable]) -> Any:
    """The coordinate of the samples over all files, as an `xarray.DataArray`; their numbers where a file has none."""
    xarray, dim = import_module("xarray"), parts[0].sample_dim
    if any(dim not in part.data.coords for part in parts):
        return xarray.DataArray(np.arange(sum(part.shape[0] for part in parts)), dims=[dim], name=dim)
    coordinates = [part.data[dim].reset_coords(drop=True) for part in parts]
    return xarray.concat(coordinates, dim, combine_attrs="drop_conflicts")


def open_dataset(path: Path) -> Any:
    """Open a file as an `xarray.Dataset` of lazy variables; bounds and grid mappings count as coordinates."""
    options = {"cache": False, "decode_times": False, "decode_coords": "all", **ENGINES[path.suffix.lower()]}
    try:
        dataset = import_module("xarray").open_dataset(path, **options)
        # a Zarr store is a directory, which lists its variables in no order
        return dataset[sorted(dataset.data_vars)] if options["engine"] == "zarr" else dataset
    except (ImportError, ValueError, OSError, RuntimeError, KeyError, TypeError) as error:
        if isinstance(error, ImportError) or "unrecognized engine" in str(error):
            raise FileFormatError(
                f"Reading {path} needs xarray and the libraries of its format, of which one is missing ({error}). "
                "Install them: pip install 'isospan[fields]'."
            ) from error
        damaged = "The file may be damaged, or of another kind than its name says."
        raise FileFormatError(f"{path} cannot be read: {error}. {_remedy(error, damaged)}") from error


def _remedy(error: Exception, damaged: str) -> str:
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
    return damaged
