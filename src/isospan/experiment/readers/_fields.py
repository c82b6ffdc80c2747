"""Opening fields in NumPy, NetCDF, HDF5 and Zarr files: found by name and checked."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from isospan._core.files import PathLike
from isospan.errors import DegenerateDataError, OptionError, ShapeError
from isospan.experiment.readers._sources import FieldArray, FieldSource, LazyArray
from isospan.experiment.readers._variables import Variable, choose_variables, open_variables


def open_fields(
    paths: PathLike | Sequence[PathLike],
    *,
    variable: str | Sequence[str] | None = None,
    sample_dim: str | int | None = None,
    fill: float | None = None,
    quantities: Sequence[str] = (),
    dtype: torch.dtype | None = None,
) -> FieldSource:
    """Open fields in files, to be read in slices of samples.

    =============================== ==========================================================================
    ``.npy``                        one array, mapped into memory; its name is ``variable``, or ``field``
    ``.npz``                        arrays by name, mapped into memory if not compressed, else read into it
    ``.nc .nc4 .netcdf``            variables by name, through xarray and netCDF4
    ``.h5 .hdf5``                   datasets of the root by name, through xarray and h5netcdf
    ``.zarr``                       variables by name, through xarray and zarr
    =============================== ==========================================================================

    Damage is detected as far as the format allows: by the checksum of a ``.npz`` file, which is read once; by the sizes
    in the header of a ``.npy`` or classic NetCDF file; and by the sizes and checksums of compressed chunks. In NetCDF
    files the default fill value of a type (9.96921e+36 for floats, -2147483647 for int32) marks entries that were never
    written. They are read as NaN, as is the ``_FillValue`` of a variable. Integers of one byte have no default.

    The fields are ``variable``, by default the only real array of at least three dimensions. The other real arrays with
    the sample dimension are in ``source.quantities``. Coordinates and bounds of NetCDF files are left out.

    Args:
        paths: one file, or several whose samples are joined in this order.
        variable: name of the fields; several names become channels.
        sample_dim: the dimension of the samples, by name (NetCDF, HDF5, Zarr) or number; by default the first of
            ``variable``.
        fill: replaces NaN and infinity; by default they are an error.
        quantities: names of arrays that are not chosen as the fields while there is another candidate.
        dtype: type of the tensors; by default float32 where that is exact, else float64: for float64 and for integers
            of 32 bits.

    Returns:
        A :class:`FieldSource`. Only the first sample has been read, as a check.

    Raises:
        FileFormatError: a file is missing, damaged or of an unknown kind; it lacks the variable, or this does not hold
            real numbers; or the library for it is not installed.
        ShapeError: the fields have fewer than three dimensions, or their shapes differ between files or channels.
        DegenerateDataError: there are no samples or no entries.
        NonFiniteError: the first sample has NaN or infinite entries, and ``fill`` is not given.
        OptionError: ``sample_dim`` is not a dimension, ``fill`` is not finite, or no files are given.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> path = Path(tempfile.mkdtemp()) / "run.npz"
        >>> np.savez(path, u=np.zeros((10, 8, 8)), forcing=np.arange(10.0))
        >>> source = open_fields(path)
        >>> source.shape, source.names, source.fields[0:4].shape, source.quantities["forcing"][2:4]
        ((1, 8, 8), ('u', 'forcing'), torch.Size([4, 1, 8, 8]), tensor([2., 3.], dtype=torch.float64))
    """
    wanted = (variable,) if isinstance(variable, str) else tuple(variable or ())
    with ExitStack() as opened:
        files: list[_File] = []
        for path in as_list(paths):
            files.append(_open(path, wanted or _variables_of(files), quantities, sample_dim, opened))
        _check_agreement(files)
        shared = [name for name in files[0].parts if all(name in file.parts for file in files)]
        parts = {name: [file.parts[name] for file in files] for name in shared}
        arrays = {name: FieldArray(name, parts[name], dtype, fill) for name in shared}  # type: ignore[arg-type]
        left_out = {name: why for file in files for name, why in file.left_out.items()}
        left_out |= {name: "is not in all the files" for name in set(files[0].parts) - set(shared)}
        source = FieldSource(arrays, files[0].variables, sample_dim=files[0].sample_dim, left_out=left_out)
        source.fields[0:1]  # a check
        return replace(source, closer=opened.pop_all().close)


def as_list(paths: PathLike | Sequence[PathLike]) -> list[Path]:
    """Return one path or several as a list.

    Raises:
        OptionError: there are none.
    """
    listed = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not listed:
        raise OptionError("There must be at least one file, got none. Pass .npz, .npy, NetCDF, HDF5 or Zarr files.")
    return [Path(path) for path in listed]


@dataclass(frozen=True)
class _File:
    path: Path
    variables: tuple[str, ...]
    parts: Mapping[str, LazyArray]
    sample_dim: str | int
    left_out: Mapping[str, str]


def _variables_of(files: Sequence[_File]) -> tuple[str, ...]:
    """The variables chosen in the first file: those of the others have the same names."""
    return files[0].variables if files else ()


def _open(
    path: Path, wanted: tuple[str, ...], quantities: Sequence[str], sample_dim: str | int | None, opened: ExitStack
) -> _File:
    found = open_variables(path, opened, name=wanted[0] if wanted else "field")
    variables = choose_variables(path, found, wanted, quantities)
    dim = found[variables[0]].dimension(sample_dim)
    for name in variables:
        if dim is None or dim not in found[name].dims:
            raise OptionError(_no_dimension(path, name, found[name], sample_dim))
    n = found[variables[0]].length(dim)
    real = {name: variable for name, variable in found.items() if variable.is_real}
    parts = {name: variable.along(dim) for name, variable in real.items() if variable.length(dim) == n}
    left_out = {name: _why_left_out(variable, dim, n) for name, variable in real.items() if name not in parts}
    return _File(path, variables, parts, dim if isinstance(dim, int) else str(dim), left_out)


def _no_dimension(path: Path, name: str, variable: Variable, sample_dim: str | int | None) -> str:
    if variable.dims == tuple(range(len(variable.dims))):
        return (
            f"sample_dim must be a number from 0 to {len(variable.dims) - 1} for {name!r} of shape {variable.shape} in "
            f"{path}, got {sample_dim!r}. NumPy files do not name their dimensions."
        )
    return (
        f"Variable {name!r} of {path} has no dimension {sample_dim!r}; it has {', '.join(map(str, variable.dims))}. "
        "Pass one of these as sample_dim."
    )


def _why_left_out(variable: Variable, dim: str | int, n: int | None) -> str:
    if isinstance(dim, int):
        return f"has shape {variable.shape}, not {n} samples along dimension {dim}"
    return f"has the dimensions {', '.join(map(str, variable.dims)) or 'none'}, not the sample dimension {dim!r}"


def _check_agreement(files: Sequence[_File]) -> None:
    """Require that every array has the same sample shape in all files, and that no field is empty."""
    first = files[0]
    for file in files:
        for name in file.variables:
            if name not in file.parts:
                raise ShapeError(
                    f"Variables that become channels must have the same samples, got {name!r} of {file.path} with "
                    f"other samples than {file.variables[0]!r}. Pass variables of one grid and time axis."
                )
            if 0 in file.parts[name].shape:
                raise DegenerateDataError(
                    f"Variable {name!r} must have entries, got shape {file.parts[name].shape} in {file.path}. Leave "
                    "the file out."
                )
        for name in set(first.parts) & set(file.parts):
            expected, got = first.parts[name].shape[1:], file.parts[name].shape[1:]
            if expected != got:
                raise ShapeError(
                    f"Samples of {name!r} must have the same shape in all files, got {expected} in {first.path} and "
                    f"{got} in {file.path}. Open such files one by one, or interpolate to one grid."
                )
    grids = {name: first.parts[name].shape[-2:] for name in first.variables}
    if len(set(grids.values())) > 1:
        raise ShapeError(f"Variables that become channels must have one grid, got {grids}. Interpolate to one grid.")
