"""Named arrays with one row a sample, in files or in memory, read in slices."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isospan._core.numpy_files import open_npy, open_npz
from isospan.errors import DtypeError, FileFormatError, NameMismatchError, OptionError
from isospan.experiment.readers._fields import check_exists
from isospan.experiment.readers._sources import FieldArray, LazyArray
from isospan.experiment.readers._variables import is_real
from isospan.experiment.readers._xarray_files import ENGINES, LazyVariable, open_dataset

PathLike = str | os.PathLike[str]


def open_arrays(
    paths: PathLike | Sequence[PathLike], *, sample_dim: str | int | None = None, fill: float | None = None
) -> dict[str, FieldArray]:
    """Open all real arrays in files, to be read in slices of samples.

    :func:`open_fields` lists the kinds of files. An array of a ``.npy`` file has the name of the file.

    Args:
        paths: one file, or several whose arrays have different names.
        sample_dim: the dimension of the samples, by name (NetCDF, HDF5, Zarr) or number; by default the first of each
            array. Arrays without it are left out.
        fill: replaces NaN and infinity; by default they are an error.

    Returns:
        {name: array}, each of shape (N, ...) with its own N, as float32 where that is exact, else as float64.

    Raises:
        FileFormatError: a file is missing, damaged or of an unknown kind.
        NameMismatchError: two files hold arrays of the same name.
        OptionError: no files are given, or `fill` is not finite.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "run.npz"
        >>> np.savez(path, energy=np.zeros((10, 4)), label=np.arange(10), name=np.array("run"))
        >>> {name: (array.shape, array.dtype) for name, array in open_arrays(path).items()}
        {'energy': ((10, 4), torch.float64), 'label': ((10,), torch.float64)}
    """
    listed = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not listed:
        raise OptionError("open_arrays needs at least one file, got none.")
    found: dict[str, FieldArray] = {}
    with ExitStack() as opened:
        for path in map(Path, listed):
            for name, part in _real_arrays(path, sample_dim, opened).items():
                if name in found:
                    raise NameMismatchError(
                        f"Files must hold arrays of different names, got {name!r} in {path} and in a file before it. "
                        "Rename one of them."
                    )
                found[name] = FieldArray(name, [part], fill=fill)
        opened.pop_all()  # the files stay open as long as their arrays are used
    return found


def as_array(name: str, values: Any, *, sample_dim: str | int | None = None, fill: float | None = None) -> FieldArray:
    """Return an array of torch, NumPy, xarray or Dask as one that is read in slices.

    An array on disk, or of Dask, is read or computed one slice at a time.

    Raises:
        DtypeError: its entries are not real numbers, or it has no dimension.
        OptionError: `fill` is not finite.

    Example:
        >>> as_array("z", torch.arange(6).view(3, 2))[1:3]
        tensor([[2., 3.],
                [4., 5.]], dtype=torch.float64)
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    values = values if hasattr(values, "dtype") else np.asarray(values)
    if not is_real(values.dtype) or not len(values.shape):
        raise DtypeError(
            f"The array {name!r} must hold real numbers and have one row for each sample, got {values.dtype} of shape "
            f"{tuple(values.shape)}."
        )
    if hasattr(values, "dims"):
        part: LazyArray = LazyVariable(values, _dimension(values.dims, sample_dim))
    else:  # np.moveaxis reads a whole dataset of h5py, even from 0 to 0
        part = np.moveaxis(values, sample_dim, 0) if isinstance(sample_dim, int) and sample_dim else values
    return FieldArray(name, [part], fill=fill)


def _real_arrays(path: Path, sample_dim: str | int | None, opened: ExitStack) -> Mapping[str, LazyArray]:
    """The real arrays of a file, with the samples in the first dimension."""
    check_exists(path)
    suffix = path.suffix.lower()
    if suffix in ENGINES:
        data = {str(name): array for name, array in opened.enter_context(open_dataset(path)).data_vars.items()}
        real = {name: array for name, array in data.items() if is_real(array.dtype) and array.ndim}
        dims = {name: _dimension(array.dims, sample_dim) for name, array in real.items()}
        return {name: LazyVariable(array, dims[name], path) for name, array in real.items() if dims[name] in array.dims}
    if suffix not in (".npy", ".npz"):
        raise FileFormatError(
            f"{path} must end in .npy, .npz, {', '.join(ENGINES)}, got {suffix!r}. Save the arrays in one of these "
            "formats."
        )
    arrays = open_npz(path) if suffix == ".npz" else open_npy(path, path.stem)
    axis = sample_dim if isinstance(sample_dim, int) else 0
    return {
        name: array.along(axis) for name, array in arrays.items() if is_real(array.dtype) and 0 <= axis < array.ndim
    }


def _dimension(dims: Sequence[Any], sample_dim: str | int | None) -> Any:
    if isinstance(sample_dim, str):
        return sample_dim
    at = sample_dim or 0
    return dims[at] if 0 <= at < len(dims) else None
