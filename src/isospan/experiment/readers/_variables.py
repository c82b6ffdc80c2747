"""The variables of a file with their axes by name, and the choice of the fields among them."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from isospan._core.numpy_files import open_npy, open_npz
from isospan.errors import FileFormatError, ShapeError
from isospan.experiment.readers._sources import LazyArray
from isospan.experiment.readers._xarray_files import ENGINES, HDF5_SUFFIXES, LazyVariable, open_dataset

_ADD_SAMPLES = (
    "Write a single field as array[None]. Series (N, S) are not fields: train your own encoder on them in a plain "
    "loop, or pass its latents to `isospan probe`."
)


@dataclass(frozen=True, eq=False)
class Variable:
    """A variable of a file.

    Attributes:
        dims: names of its dimensions; in NumPy files, which name none, their numbers.
        shape: its shape.
        dtype: type of its entries.
        along: returns it as an array with the samples, along one of the dimensions, first.
    """

    dims: tuple[Hashable, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    along: Callable[[Any], LazyArray]

    @property
    def is_real(self) -> bool:
        """Whether its entries are real numbers."""
        return is_real(self.dtype)

    def dimension(self, sample_dim: str | int | None) -> Any:
        """Return the dimension of the samples, by name or number, by default the first; None if there is none such."""
        if isinstance(sample_dim, str):
            return sample_dim if sample_dim in self.dims else None
        at = sample_dim or 0
        return self.dims[at] if 0 <= at < len(self.dims) else None

    def length(self, dim: Hashable) -> int | None:
        """Return the length of a dimension; None if there is none such."""
        return self.shape[self.dims.index(dim)] if dim in self.dims else None


def open_variables(path: Path, opened: ExitStack, *, name: str) -> dict[str, Variable]:
    """Open a file of any kind, and return its variables by name.

    Args:
        path: path of the file.
        opened: closes the file, where it must be closed.
        name: name of the array of a ``.npy`` file.

    Raises:
        FileFormatError: the file is missing, damaged or of an unknown kind.
    """
    _check_exists(path)
    suffix = path.suffix.lower()
    if suffix in ENGINES:
        data = opened.enter_context(open_dataset(path)).data_vars.items()
        return {str(name): Variable(x.dims, x.shape, x.dtype, partial(LazyVariable, x, path=path)) for name, x in data}
    if suffix not in (".npy", ".npz"):
        raise FileFormatError(
            f"{path} must end in .npy, .npz, {', '.join(ENGINES)}, got {suffix!r}. Save the arrays in one of these "
            "formats."
        )
    arrays = open_npz(path) if suffix == ".npz" else open_npy(path, name)
    return {name: Variable(tuple(range(x.ndim)), x.header[0], x.dtype, x.along) for name, x in arrays.items()}


def is_real(dtype: Any) -> bool:
    """Whether entries of this type are real numbers: booleans, integers or floating point."""
    return np.dtype(dtype).kind in "biuf"


def choose_variables(
    path: Path, arrays: Mapping[str, Variable], wanted: tuple[str, ...], quantities: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the wanted variables, checked; without any, the only one that can be the fields.

    Args:
        path: the file, for messages.
        arrays: its variables.
        wanted: names of the fields; may be empty.
        quantities: names that are not chosen as the fields while there is another candidate.

    Returns:
        Names of real arrays of at least three dimensions, at least one.
    """
    for name in wanted:
        _check_variable(path, arrays, name)
    if wanted:
        return wanted
    candidates = [name for name, array in arrays.items() if array.is_real and len(array.shape) >= 3]
    candidates = [name for name in candidates if name not in quantities] or candidates
    if len(candidates) != 1:
        raise FileFormatError(_explain(path, arrays, candidates))
    return (candidates[0],)


def _check_variable(path: Path, arrays: Mapping[str, Variable], name: str) -> None:
    if name not in arrays:
        by_lower_case = {other.lower(): other for other in arrays}
        near = [by_lower_case[match] for match in get_close_matches(name.lower(), by_lower_case, n=3)]
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise FileFormatError(f"{path} has no variable {name!r}; it has {_contents(path, arrays)}.{hint}")
    array = arrays[name]
    if np.dtype(array.dtype).hasobject:
        raise FileFormatError(
            f"Variable {name!r} of {path} must hold numbers, got pickled Python objects. Loading these can run code. "
            "Save it as a numeric array."
        )
    if not array.is_real:
        raise FileFormatError(
            f"Variable {name!r} of {path} must hold real numbers, got {array.dtype}. "
            "Save it as numbers; a complex one as its real and imaginary parts."
        )
    if len(array.shape) < 3:
        raise ShapeError(
            f"Fields must have a dimension for samples and two for space, got {name!r} of {path} with shape "
            f"{tuple(array.shape)}. {_ADD_SAMPLES}"
        )


def _explain(path: Path, arrays: Mapping[str, Variable], candidates: list[str]) -> str:
    if candidates:
        return (
            f"{path} must have one variable that can be the fields, got {', '.join(candidates)}. Name one with "
            "variable=NAME. The others are then arrays by name."
        )
    pickled = any(np.dtype(array.dtype).hasobject for array in arrays.values())
    return (
        f"{path} must have a real variable with a dimension for samples and two for space, got "
        f"{_contents(path, arrays)}. {_ADD_SAMPLES}"
        + (" Pickled objects are not loaded, since that can run code." if pickled else "")
    )


def _contents(path: Path, arrays: Mapping[str, Variable]) -> str:
    described = [f"{name} {tuple(array.shape)} {array.dtype}" for name, array in arrays.items()]
    note = " (datasets in groups are not read; copy them to the root)" if path.suffix.lower() in HDF5_SUFFIXES else ""
    return (", ".join(described) or "none at all") + note


def _check_exists(path: Path) -> None:
    """Require that a file exists; the error suggests similar names."""
    if path.exists():
        return
    there = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, there, n=3)
    hint = f"Did you mean {' or '.join(near)}?" if near else "Check the path."
    raise FileFormatError(f"{path} does not exist. {hint}")
