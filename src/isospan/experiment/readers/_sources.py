"""Fields read from files in slices: named arrays whose first dimension counts the samples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from textwrap import shorten
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from isospan._core.missing import Missing
from isospan.errors import NonFiniteError, OptionError
from isospan.experiment.readers._xarray_files import LazyVariable, join_coordinates
from isospan.experiment.samples._samples import consecutive


class LazyArray(Protocol):
    """An array (samples, ...) of one file, read in slices of samples."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of samples, then the shape of one sample."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Type of the entries."""
        ...

    def __getitem__(self, samples: slice, /) -> np.ndarray:
        """Read a slice of samples."""
        ...


@dataclass(frozen=True, eq=False)
class FieldArray:
    """A named array of one or several files, joined along the samples. Its slices are tensors.

    Samples (H, W) get a channel dimension: (1, H, W).

    Args:
        name: name of the variable.
        parts: its array in each file, of shapes (n_i, ...) that differ only in n_i.
        dtype: type of the tensors; by default float32 where that is exact, else float64.
        fill: replaces NaN and infinity; with None they are an error.
        missing: ``"skip"`` lets NaN through, by which samples lack the variable.

    Raises:
        OptionError: ``fill`` is not a finite number of this type.
        NonFiniteError: while reading, if entries are NaN or infinite and ``fill`` is None.

    Example:
        >>> array = FieldArray("u", (np.zeros((3, 4, 5), np.float32), np.ones((2, 4, 5), np.float32)))
        >>> array.shape, array[2:4].flatten(1)[:, 0]
        ((5, 1, 4, 5), tensor([0., 1.]))
    """

    name: str
    parts: Sequence[LazyArray]
    dtype: torch.dtype = None  # type: ignore[assignment]  # chosen in __post_init__
    fill: float | None = None
    missing: Missing = "raise"

    def __post_init__(self) -> None:
        """Choose the type, and check that ``fill`` is finite."""
        if self.dtype is None:
            object.__setattr__(self, "dtype", _lossless(self.parts))
        if self.fill is not None and not torch.tensor(self.fill, dtype=self.dtype).isfinite():
            raise OptionError(
                f"fill must be a finite number of {self.dtype}, got {self.fill}. Pass "
                "fill=VALUE with a number such as 0 or the mean of the field."
            )

    def __len__(self) -> int:
        """Number of samples."""
        return sum(part.shape[0] for part in self.parts)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of samples and shape of one."""
        sample = self.parts[0].shape[1:]
        return (len(self), 1, *sample) if len(sample) == 2 else (len(self), *sample)

    def __getitem__(self, samples: slice) -> Tensor:
        """Read a slice of samples, and nothing else."""
        samples = consecutive(samples, len(self))
        first, last = samples.start, samples.stop
        target = np.float64 if self.dtype == torch.float64 else np.float32
        values = np.empty((last - first, *self.parts[0].shape[1:]), target)
        with np.errstate(over="ignore"):  # overflow gives infinity, which _finite reports
            self._read_into(values, first, last)
        return self._finite(torch.from_numpy(values), first).reshape(-1, *self.shape[1:]).to(self.dtype)

    def _read_into(self, values: np.ndarray, first: int, last: int) -> None:
        """Fill values with the samples from first to last, which may be in several parts."""
        starts = accumulate((part.shape[0] for part in self.parts), initial=0)
        for part, (start, stop) in zip(self.parts, pairwise(starts), strict=True):
            low, high = max(first, start), min(last, stop)
            if low < high:
                values[low - first : high - first] = part[low - start : high - start]

    def _finite(self, values: Tensor, first: int) -> Tensor:
        bad = torch.isinf(values) if self.missing == "skip" else ~torch.isfinite(values)
        if not bad.any():
            return values
        if self.fill is None:
            are, remedy = (
                ("NaN or infinite (masked land, missing measurements)", "cut out the region where it is defined")
                if len(self.shape) > 2
                else ("NaN or infinite", "leave these samples out")
            )
            raise NonFiniteError(
                f"Variable {self.name!r} must be finite; {int(bad.sum())} of {bad.numel()} entries in samples {first} "
                f"to {first + len(values) - 1} are {are}. Pass fill=VALUE to replace them, or {remedy}."
            )
        return values.masked_fill(bad, self.fill)

    def __repr__(self) -> str:
        return f"FieldArray({self.name!r}, shape={self.shape}, dtype={self.dtype}, {len(self.parts)} file(s))"


def _lossless(parts: Sequence[LazyArray]) -> torch.dtype:
    """float32 for types that it represents exactly, such as float16 and int16; else float64.

    Rounding to float32 has a relative error of 6e-8: at an offset of 1e8 a deviation of 1 is lost.
    """
    types = (np.promote_types(part.dtype, np.float32) for part in parts)
    return torch.float32 if all(dtype == np.float32 for dtype in types) else torch.float64


@dataclass(frozen=True, eq=False)
class Channels:
    """Arrays on one grid, read as the channels of one array.

    Example:
        >>> u, v = (FieldArray(name, (np.zeros((3, 4, 5)),)) for name in "uv")
        >>> Channels((u, v))[0:2].shape
        torch.Size([2, 2, 4, 5])
    """

    arrays: Sequence[FieldArray]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.arrays[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of samples and shape of one."""
        n, _, *grid = self.arrays[0].shape
        return (n, sum(array.shape[1] for array in self.arrays), *grid)

    def __getitem__(self, samples: slice) -> Tensor:
        """Read consecutive samples."""
        return torch.cat([array[samples] for array in self.arrays], dim=1)

    def __repr__(self) -> str:
        return f"Channels({shorten(', '.join(array.name for array in self.arrays), 120)}, shape={self.shape})"


@dataclass(frozen=True, eq=False)
class FieldSource:
    """The fields of files, and their other arrays with the same samples, read in slices.

    Args:
        arrays: the arrays by name, all with the same number of samples.
        variables: names of the arrays that are the fields, each of one channel or more.
        closer: called to close the files.
        sample_dim: the dimension of the samples, by name, or by number in NumPy files.
        left_out: why the other real arrays of the files are not here, by name.

    Example:
        >>> source = FieldSource({"u": FieldArray("u", (np.zeros((5, 8, 8)),))}, ("u",))
        >>> len(source), source.shape, source.fields[1:3].shape
        (5, (1, 8, 8), torch.Size([2, 1, 8, 8]))
    """

    arrays: Mapping[str, FieldArray]
    variables: tuple[str, ...]
    closer: Callable[[], Any] = lambda: None
    sample_dim: str | int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all arrays."""
        return tuple(self.arrays)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample of the fields, (C, H, W)."""
        return self.fields.shape[1:]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one sample of every array."""
        return {name: array.shape[1:] for name, array in self.arrays.items()}

    @property
    def fields(self) -> FieldArray | Channels:
        """The fields (N, C, H, W), read in slices of samples."""
        chosen = [self.arrays[name] for name in self.variables]
        return chosen[0] if len(chosen) == 1 else Channels(chosen)

    @property
    def quantities(self) -> dict[str, FieldArray]:
        """The other arrays, by name."""
        return {name: array for name, array in self.arrays.items() if name not in self.variables}

    @property
    def sample_coordinate(self) -> Any:
        """The coordinate of the samples, an ``xarray.DataArray``; None for NumPy files."""
        parts = self.arrays[self.variables[0]].parts
        lazy = [part for part in parts if isinstance(part, LazyVariable)]
        return join_coordinates(lazy) if len(lazy) == len(parts) else None

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.fields)

    def close(self) -> None:
        """Close the files. The arrays cannot be read afterwards."""
        self.closer()

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {shape}" for name, shape in self.shapes.items())
        return f"FieldSource({len(self)} samples of {shorten(shapes, 150, placeholder=' …')})"

    def __enter__(self) -> Self:
        """Use as a context manager that closes the files."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the files."""
        self.close()
