"""The samples of a run: from files, in memory where they fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isospan.errors import OptionError
from isospan.experiment._config import PathLike
from isospan.experiment.readers import FieldSource, open_fields
from isospan.experiment.samples import Rows, Samples

IN_MEMORY_BYTES = 2**30
"""What is larger stays on disk, and is read in pieces again and again."""


@dataclass(frozen=True, eq=False)
class Source:
    """Fields, and what else there is for each of them.

    Attributes:
        samples: the fields, perhaps with arrays that were passed along.
        channels: names of the variables that are the channels.
        arrays: further arrays of the files, by name, read only where a quantity asks for them.
        opened: the files, where there are any.
    """

    samples: Samples
    channels: tuple[str, ...] = ()
    arrays: Mapping[str, Rows] = field(default_factory=dict)
    opened: FieldSource | None = None

    @property
    def variables(self) -> list[str]:
        """Names of all that can be a quantity known only while training, the channels themselves included."""
        return [*self.samples.known, *self.arrays]

    @property
    def left_out(self) -> Mapping[str, str]:
        """Why further variables of the files cannot be quantities, by name."""
        return {} if self.opened is None else self.opened.left_out

    @property
    def description(self) -> str:
        """What was read, in a line; empty where there are no files."""
        if self.opened is None:
            return ""
        shape = " × ".join(map(str, self.opened.shape))
        names, dim = ", ".join(self.channels), self.opened.sample_dim
        return f"Read {len(self.samples)} samples of {shape} (C × H × W) of {names}, along dimension {dim}"

    @property
    def sample_coordinate(self) -> Any:
        """What counts the samples in NetCDF, HDF5 and Zarr files, an ``xarray.DataArray``; else None."""
        return None if self.opened is None else self.opened.sample_coordinate

    def with_known(self, names: Sequence[str]) -> Samples:
        """Return the fields with these arrays and no others, in memory where they fit."""
        arrays = {**self.samples.known, **self.arrays}
        return in_memory(Samples(self.samples.fields, {name: arrays[name] for name in names}))


def read_source(
    files: Sequence[PathLike],
    *,
    variable: str | Sequence[str] | None = None,
    sample_dim: str | int | None = None,
    fill: float | None = None,
    known: Sequence[str] = (),
) -> Source:
    """Open the fields in files; see :func:`isospan.experiment.readers.open_fields`.

    Raises:
        OptionError: there is no file.
        FileFormatError: a file cannot be read.
    """
    if not files:
        raise OptionError(
            "At least one file of fields is needed, got none. Pass .npz, .npy, NetCDF, HDF5 or Zarr files."
        )
    found = open_fields(list(files), variable=variable, sample_dim=sample_dim, fill=fill, known=known)
    return Source(Samples(found.fields), found.variables, found.arrays, found)


def in_memory(samples: Samples, *, limit: int | None = None) -> Samples:
    """Read samples into memory if they take no more than ``limit`` bytes, by default 1 GiB; else leave them on disk.

    Example:
        >>> import torch
        >>> in_memory(Samples(torch.zeros(3, 1, 8, 8))).in_memory
        True
    """
    fits = samples.bytes_each * len(samples) <= (IN_MEMORY_BYTES if limit is None else limit)
    return samples[0 : len(samples)] if fits else samples
