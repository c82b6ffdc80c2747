"""The samples of a run, read from files, and kept in memory if small enough."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isospan._core.files import PathLike
from isospan.experiment.readers import FieldSource, open_fields
from isospan.experiment.samples import Rows, Samples

IN_MEMORY_BYTES = 2**30
"""Larger samples stay on disk, and every pass reads them again."""


@dataclass(frozen=True, eq=False)
class Source:
    """The fields of a run, and the arrays that can be quantities.

    Attributes:
        samples: the fields, with the arrays that were passed in memory.
        opened: the files; None for samples in memory.
    """

    samples: Samples
    opened: FieldSource | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the variables that are the channels."""
        return () if self.opened is None else self.opened.variables

    @property
    def arrays(self) -> Mapping[str, Rows]:
        """Arrays that can be quantities, the channels included. Only those that are quantities are read."""
        return self.samples.quantities if self.opened is None else self.opened.arrays

    @property
    def variables(self) -> list[str]:
        """Names of these arrays."""
        return list(self.arrays)

    @property
    def left_out(self) -> Mapping[str, str]:
        """Why the other variables of the files cannot be quantities, by name."""
        return {} if self.opened is None else self.opened.left_out

    @property
    def description(self) -> str:
        """One line on the files; empty without files."""
        if self.opened is None:
            return ""
        shape = " × ".join(map(str, self.opened.shape))
        names, dim = ", ".join(self.channels), self.opened.sample_dim
        return f"Read {len(self.samples)} samples of {shape} (C × H × W) of {names}, along dimension {dim}"

    @property
    def sample_coordinate(self) -> Any:
        """The sample coordinate of NetCDF, HDF5 and Zarr files, an ``xarray.DataArray``; else None."""
        return None if self.opened is None else self.opened.sample_coordinate

    def __repr__(self) -> str:
        return f"Source({self.samples!r}, {len(self.arrays)} arrays in files)"

    def with_quantities(self, names: Sequence[str]) -> Samples:
        """Return the fields with these arrays only, in memory if small enough."""
        return in_memory(Samples(self.samples.fields, {name: self.arrays[name] for name in names}))


def read_source(
    files: Sequence[PathLike],
    *,
    variable: str | Sequence[str] | None = None,
    sample_dim: str | int | None = None,
    fill: float | None = None,
    quantities: Sequence[str] = (),
) -> Source:
    """Open the fields in files; see :func:`isospan.experiment.readers.open_fields`.

    Raises:
        OptionError: no file is given.
        FileFormatError: a file cannot be read.
    """
    found = open_fields(list(files), variable=variable, sample_dim=sample_dim, fill=fill, quantities=quantities)
    return Source(Samples(found.fields), found)


def in_memory(samples: Samples, *, limit: int | None = None) -> Samples:
    """Read samples into memory if they take at most ``limit`` bytes, by default 1 GiB; else leave them on disk.

    Example:
        >>> import torch
        >>> in_memory(Samples(torch.zeros(3, 1, 8, 8))).in_memory
        True
    """
    fits = samples.bytes_each * len(samples) <= (IN_MEMORY_BYTES if limit is None else limit)
    return samples[0 : len(samples)] if fits else samples
