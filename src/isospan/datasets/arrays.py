"""Named arrays of a user, one row a sample: from files of any kind or from memory, read in slices."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isospan.datasets._variables import is_real
from isospan.datasets._xarray_files import ENGINES, LazyVariable, open_dataset
from isospan.datasets.numpy_files import open_npy, open_npz
from isospan.datasets.readers import check_exists
from isospan.datasets.sources import FieldArray, Part
from isospan.errors import DtypeError, FileFormatError, NameMismatchError, OptionError

PathLike = str | os.PathLike[str]


def open_arrays(
    paths: PathLike | Sequence[PathLike], *, sample_dim: str | int | None = None, fill: float | None = None
) -> dict[str, FieldArray]:
    """Open all arrays of real numbers in files, to be read in slices of samples.

    The files are those that :func:`open_fields` reads. An array of a ``.npy`` file has the name of the file.

    Args:
        paths: a file, or several that hold arrays of different names.
        sample_dim: the dimension that counts samples, by name (NetCDF, HDF5, Zarr) or number; by default the first of
            each array. Arrays without it are left out.
        fill: what to put in the place of NaN and infinity; by default they are an error.

    Returns:
        {name: array}, each of shape (N, ...) with its own N. What float32 cannot hold is read as float64.

    Raises:
        FileFormatError: a file is missing, damaged or of an unknown kind.
        NameMismatchError: two files hold an array of one name.
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
            for name, part in _parts(path, sample_dim, opened).items():
                if name in found:
                    raise NameMismatchError(
                        f"Files must hold arrays of different names, got {name!r} in {path} and in a file before it. "
                        "Rename one of them."
                    )
                found[name] = FieldArray(name, [part], fill=fill)
        opened.pop_all()  # the files stay open as long as their arrays are used
    return found


def as_array(name: str, values: Any, *, sample_dim: str | int | None = None, fill: float | None = None) -> FieldArray:
    """Return something array-like as an array that is read in slices: of torch, NumPy, xarray or Dask.

    What is not in memory is read, or computed, a slice at a time.

    Raises:
        DtypeError: its entries are not real numbers.
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
            f"The array {name!r} must hold real numbers, a row for each sample, got {values.dtype} of shape "
            f"{tuple(values.shape)}."
        )
    if hasattr(values, "dims"):
        part: Part = LazyVariable(values, _dimension(values.dims, sample_dim))
    else:  # moving an axis to where it is would read all of a dataset of h5py
        part = np.moveaxis(values, sample_dim, 0) if isinstance(sample_dim, int) and sample_dim else values
    return FieldArray(name, [part], fill=fill)


def _parts(path: Path, sample_dim: str | int | None, opened: ExitStack) -> Mapping[str, Part]:
    """The real arrays of a file, with their samples in front."""
    check_exists(path)
    suffix = path.suffix.lower()
    if suffix in ENGINES:
        data = {str(name): array for name, array in opened.enter_context(open_dataset(path)).data_vars.items()}
        real = {name: array for name, array in data.items() if is_real(array.dtype) and array.ndim}
        dims = {name: _dimension(array.dims, sample_dim) for name, array in real.items()}
        return {name: LazyVariable(array, dims[name], path) for name, array in real.items() if dims[name] in array.dims}
    if suffix not in (".npy", ".npz"):
        raise FileFormatError(
            f"{path} is of an unknown kind {suffix!r}. Known are .npy, .npz, {', '.join(ENGINES)}; save the arrays "
            "as one."
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
