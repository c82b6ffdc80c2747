"""Samples to train on: fields and arrays of quantities, in memory or read in slices."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from isospan._core.checks import KEEP_FLOAT64, check_finite, check_floating, working_dtype
from isospan.errors import DegenerateDataError, OptionError, ShapeError
from isospan.experiment.samples._shards import Shard

READ_AHEAD = 4096
READ_AHEAD_BYTES = 2**28
BATCH = 256
BATCH_BYTES = 2**24
CHUNKS_MIXED = 8


@runtime_checkable
class Rows(Protocol):
    """Rows of tensors: a :class:`torch.Tensor`, or an object with a length whose slices are tensors."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Read the rows of a slice with step 1."""
        ...


@dataclass(frozen=True, eq=False)
class Samples:
    """N fields (N, C, H, W), and arrays (N, ...) of their quantities by name.

    Args:
        fields: the fields, a tensor or :class:`Rows`.
        quantities: arrays of N rows, available in training only.

    Raises:
        ShapeError: an array does not have N rows.

    Example:
        >>> samples = Samples(torch.zeros(10, 1, 8, 8), {"age": torch.arange(10.0)})
        >>> len(samples), samples[2:4].quantities["age"]
        (10, tensor([2., 3.]))
    """

    fields: Rows
    quantities: Mapping[str, Rows] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that every array has a row for each field."""
        for name, rows in self.quantities.items():
            if len(rows) != len(self.fields):
                raise ShapeError(
                    f"The array {name!r} must have one row for each of the {len(self.fields)} fields, got {len(rows)}. "
                    "Pass arrays of the same samples."
                )

    def __len__(self) -> int:
        """Return N."""
        return len(self.fields)

    def __getitem__(self, rows: slice) -> "Samples":
        """Read a slice of samples, with step 1, into memory."""
        rows = consecutive(rows, len(self))
        return self.map(lambda values: values[rows])

    def __repr__(self) -> str:
        arrays = {"fields": self.fields, **self.quantities}
        shapes = ", ".join(f"{name} {_shape(rows)}" for name, rows in arrays.items())
        return f"Samples({shorten(shapes, 150, placeholder=' …')}, in_memory={self.in_memory})"

    @property
    def in_memory(self) -> bool:
        """Whether the fields and all arrays are tensors."""
        return all(isinstance(rows, Tensor) for rows in (self.fields, *self.quantities.values()))

    @property
    def bytes_each(self) -> int:
        """Bytes of one sample. Reads the first one."""
        fields, quantities = self[0:1].tensors()
        return sum(values.numel() * values.element_size() for values in (fields, *quantities.values()))

    def tensors(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the fields and the arrays by name. The samples must be in memory."""
        return _tensor(self.fields), {name: _tensor(values) for name, values in self.quantities.items()}

    def map(self, change: Callable[[Any], Rows]) -> "Samples":
        """Return the samples with ``change`` applied to the fields and to each array.

        Example:
            >>> Samples(torch.zeros(2, 1, 4, 4)).map(lambda values: values[:, :, ::2]).fields.shape
            torch.Size([2, 1, 2, 4])
        """
        return Samples(change(self.fields), {name: change(values) for name, values in self.quantities.items()})

    def to(self, device: torch.device | str) -> "Samples":
        """Return the samples on a device. They must be in memory."""
        return self.map(lambda values: _tensor(values).to(device))

    def take(self, rows: Tensor) -> "Samples":
        """Return these rows. The samples must be in memory."""
        return self.map(lambda values: _tensor(values)[rows])


def consecutive(rows: slice, n: int) -> slice:
    """Return a slice of n rows with non-negative bounds.

    Raises:
        OptionError: its step is not 1.

    Example:
        >>> consecutive(slice(-3, None), 10)
        slice(7, 10, None)
    """
    first, last, step = rows.indices(n)
    if step != 1:
        raise OptionError(f"Slices of samples must have step 1, got step {step}. Read them and select rows afterwards.")
    return slice(first, max(first, last))


def read_batches(samples: Samples, batch_size: int | None = None) -> Iterator[Samples]:
    """Read all samples in order, in batches in memory: by default of 256 samples, fewer where these exceed 16 MiB."""
    yield from (samples[rows] for rows in slices(samples, batch_size))


def slices(samples: Samples, batch_size: int | None = None) -> list[slice]:
    """Return the slices of samples that :func:`read_batches` reads.

    Example:
        >>> slices(Samples(torch.zeros(5, 1, 4, 4)), 3)
        [slice(0, 3, None), slice(3, 5, None)]
    """
    batch_size = batch_size or within(BATCH_BYTES, samples, most=BATCH)
    firsts = range(0, len(samples), batch_size)
    return [slice(first, min(first + batch_size, len(samples))) for first in firsts]


def shuffled_batches(
    samples: Samples,
    batch_size: int,
    *,
    generator: torch.Generator,
    read_ahead: int | None = None,
    shard: Shard | None = None,
) -> Iterator[Samples]:
    """Read all samples once, in random order, in batches. A last batch of a single sample is left out.

    With a ``shard``, only its rows of each batch are read. The batches do not depend on it.

    Samples in memory are permuted all together. Others are read in contiguous chunks in random order: 8 chunks fill a
    buffer of ``read_ahead`` samples, which is permuted. The default is 4096 samples, fewer where these exceed 256 MiB.

    Example:
        >>> samples = Samples(torch.arange(9.0).view(9, 1, 1, 1))
        >>> generator = torch.Generator().manual_seed(0)
        >>> [len(batch) for batch in shuffled_batches(samples, 4, generator=generator)]
        [4, 4]
    """
    rest, shard = None, shard or Shard()
    read_ahead = read_ahead or within(READ_AHEAD_BYTES, samples, most=READ_AHEAD)
    for buffer in _buffers(samples, generator, read_ahead):
        buffer = buffer if rest is None else concatenate([rest, buffer])
        order = torch.randperm(len(buffer), generator=generator)
        full = len(buffer) - len(buffer) % batch_size
        yield from (buffer.take(rows[shard.rows(len(rows))]) for rows in order[:full].split(batch_size) if len(rows))
        rest = buffer.take(order[full:])
    if rest is not None and len(rest) > 1:
        yield rest[shard.rows(len(rest))]


def within(limit: int, samples: Samples, *, most: int) -> int:
    """Return how many samples fit into ``limit`` bytes, at least one and at most ``most``.

    Example:
        >>> within(1000, Samples(torch.zeros(3, 1, 4, 4)), most=100)
        15
    """
    return max(1, min(most, limit // max(1, samples.bytes_each)))


def steps_per_epoch(n_samples: int, batch_size: int) -> int:
    """Return the number of batches of :func:`shuffled_batches`.

    Raises:
        OptionError: the batch size is below 2.
        DegenerateDataError: there are fewer than two samples.
    """
    if batch_size < 2:
        raise OptionError(f"batch_size must be at least 2, since the objective centres each batch, got {batch_size}.")
    if n_samples < 2:
        raise DegenerateDataError(f"At least 2 samples are needed to train, got {n_samples}. Pass more samples.")
    return n_samples // batch_size + (n_samples % batch_size > 1)


def fields_of(samples: Samples) -> Tensor:
    """Return the fields (N, C, H, W) of samples in memory."""
    return samples.tensors()[0]


def field_statistics(
    samples: Samples, *, batch_size: int | None = None, of: Callable[[Samples], Tensor] = fields_of
) -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation (C,) of every channel of the fields, or of what ``of`` returns.

    One pass sums in float64, about the mean of the first batch. The result is float64 for float64 fields, else float32.

    Raises:
        NonFiniteError: the fields hold NaN or infinity.
        DegenerateDataError: a channel is constant.

    Example:
        >>> field_statistics(Samples(torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)))
        (tensor([2.]), tensor([1.]))
    """
    count, first, shifted, squares = 0, torch.zeros(()), torch.zeros(()), torch.zeros(())
    dtype = torch.float32
    for batch in read_batches(samples, batch_size):
        fields = _checked(of(batch))
        x, dtype = fields.double().transpose(0, 1).flatten(1), working_dtype(fields)
        first = x.mean(1) if count == 0 else first
        xc = x - first[:, None]
        count, shifted, squares = count + xc.shape[1], shifted + xc.sum(1), squares + xc.square().sum(1)
    variance = squares / max(count, 1) - (shifted / max(count, 1)) ** 2
    if not count or bool((variance <= 0).any()):
        raise DegenerateDataError(
            f"Every channel of the fields must vary, got variances {variance.tolist()}. Leave out constant channels. "
            f"{KEEP_FLOAT64}"
        )
    return (first + shifted / count).to(dtype), variance.sqrt().to(dtype)


def fingerprint(*parts: Samples, batch_size: int | None = None) -> str:
    """Return a checksum of the fields and arrays of samples, in one pass.

    Example:
        >>> fingerprint(Samples(torch.zeros(3, 1, 2, 2))) == fingerprint(Samples(torch.ones(3, 1, 2, 2)))
        False
    """
    digest = hashlib.blake2b(digest_size=8)
    for batch in (batch for samples in parts for batch in read_batches(samples, batch_size)):
        fields, quantities = batch.tensors()
        for name, values in {"": fields, **quantities}.items():
            digest.update(f"{name} {tuple(values.shape)}".encode())
            digest.update(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def concatenate(parts: list[Samples]) -> Samples:
    """Join samples in memory, one after the other."""
    fields, quantities = zip(*[part.tensors() for part in parts], strict=True)
    arrays = {name: torch.cat([values[name] for values in quantities]) for name in quantities[0]}
    return Samples(torch.cat(fields), arrays)


def _buffers(samples: Samples, generator: torch.Generator, read_ahead: int) -> Iterator[Samples]:
    if samples.in_memory or len(samples) <= read_ahead:
        yield samples[0 : len(samples)]
        return
    chunk = max(1, read_ahead // CHUNKS_MIXED)
    firsts = torch.arange(0, len(samples), chunk)
    for group in firsts[torch.randperm(len(firsts), generator=generator)].split(CHUNKS_MIXED):
        yield concatenate([samples[first : first + chunk] for first in group.tolist()])


def _checked(x: Tensor) -> Tensor:
    check_floating(x, what="Fields")
    if x.dim() != 4:
        raise ShapeError(
            f"Fields must have shape (N, C, H, W), got {tuple(x.shape)}. Add a channel axis with x[:, None]."
        )
    check_finite(x, what="Fields")
    return x


def _shape(rows: Rows) -> tuple[int, ...]:
    return tuple(getattr(rows, "shape", [len(rows)]))


def _tensor(rows: Rows) -> Tensor:
    if not isinstance(rows, Tensor):
        raise OptionError("The samples must be in memory, and are read in slices. Read them with samples[first:last].")
    return rows
