"""Named arrays with one row a sample, in files or in memory, read in slices."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isospan._core.files import PathLike
from isospan.errors import DtypeError, NameMismatchError
from isospan.experiment.readers._fields import as_list
from isospan.experiment.readers._sources import FieldArray, LazyArray
from isospan.experiment.readers._variables import is_real, open_variables
from isospan.experiment.readers._xarray_files import ENGINES, LazyVariable


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
        OptionError: no files are given, or ``fill`` is not finite.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "run.npz"
        >>> np.savez(path, energy=np.zeros((10, 4)), label=np.arange(10), name=np.array("run"))
        >>> {name: (array.shape, array.dtype) for name, array in open_arrays(path).items()}
        {'energy': ((10, 4), torch.float64), 'label': ((10,), torch.float64)}
    """
    found: dict[str, FieldArray] = {}
    with ExitStack() as opened:
        for path in as_list(paths):
            for name, part in _real_arrays(path, sample_dim, opened):
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
        OptionError: ``fill`` is not finite.

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
        dim = sample_dim if isinstance(sample_dim, str) else values.dims[sample_dim or 0]
        part: LazyArray = LazyVariable(values, dim)
    else:  # np.moveaxis reads a whole dataset of h5py, even from 0 to 0
        part = np.moveaxis(values, sample_dim, 0) if isinstance(sample_dim, int) and sample_dim else values
    return FieldArray(name, [part], fill=fill)


def _real_arrays(path: Path, sample_dim: str | int | None, opened: ExitStack) -> Iterator[tuple[str, LazyArray]]:
    """The real arrays of a file, with the samples in the first dimension."""
    for name, variable in open_variables(path, opened, name=path.stem).items():
        numbered = path.suffix.lower() not in ENGINES
        dim = variable.dimension(None if numbered and isinstance(sample_dim, str) else sample_dim)
        if variable.is_real and dim is not None:
            yield name, variable.along(dim)
