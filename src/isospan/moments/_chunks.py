"""Moments of Dask arrays, which may be larger than memory."""

import copy
from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from torch import Tensor

from isospan._core.checks import as_tensor, check_not_empty
from isospan.errors import DegenerateDataError, DtypeError, MissingPackageError, ShapeError

FAN_IN = 8
"""Parts that are merged at a time; a worker has at most this many in memory."""


@runtime_checkable
class Mergeable(Protocol):
    """Moments to which a batch can be added, and which can be merged."""

    def update(self, z: Tensor, y: Mapping[str, Tensor]) -> Self:
        """Add a batch of latents (B, D) and quantities {name: (B, ...)}."""
        ...

    def merge(self, other: Any) -> Self:
        """Add the moments of other data."""
        ...


M = TypeVar("M", bound=Mergeable)


def aligned_chunks(z: Any, y: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return Dask arrays of latents (N, D) and quantities {name: (N, ...)} with chunks of the same samples.

    Raises:
        DtypeError: one is not a Dask array.
        ShapeError: the numbers of samples differ; or they are unknown, and the numbers of chunks differ.
    """
    check_not_empty(y, what="Targets")
    named = {"Latents z": z} | {f"Targets of quantity {name!r}": array for name, array in y.items()}
    for what, array in named.items():
        if not hasattr(array, "rechunk"):
            raise DtypeError(
                f"{what} must be a dask array, got {type(array).__name__}. Pass the .data of a chunked xarray, or "
                "dask.array.from_array(array)."
            )
    if z.ndim != 2:
        raise ShapeError(
            f"Latents z must have shape (N, D), got {z.shape}. Tokens (N, T, D) become samples with z.reshape(-1, "
            "z.shape[-1]), and a feature map becomes one latent with z.reshape(len(z), -1)."
        )
    arrays = {name: array.rechunk(dict.fromkeys(range(1, array.ndim), -1)) for name, array in y.items()}
    for name, array in arrays.items():
        known = not (isnan(array.shape[0]) or isnan(z.shape[0]))
        if array.shape[0] != z.shape[0] if known else array.numblocks[0] != z.numblocks[0]:
            raise ShapeError(
                f"Targets of quantity {name!r} must have the samples of the latents, got shape {array.shape} in "
                f"{array.numblocks[0]} chunks and {z.shape} in {z.numblocks[0]}. Take the same samples of both "
                "(compute_chunk_sizes() of dask where their number is unknown)."
            )
        arrays[name] = array.rechunk({0: z.chunks[0]}) if known else array
    return z.rechunk({1: -1}), arrays


def reduce_chunks(empty: M, z: Any, y: Mapping[str, Any]) -> M:
    """Return the moments of aligned Dask arrays: one part for each chunk, on its worker, merged in a tree."""
    try:
        from dask import delayed
    except ImportError as error:
        raise MissingPackageError("This needs dask. Install it with: pip install 'isospan[fields]'.") from error
    take, merge = delayed(_moments_of_chunk, pure=False), delayed(merged, pure=False)
    columns = {name: array.to_delayed().ravel() for name, array in y.items()}
    parts = [
        take(empty, block, {name: column[i] for name, column in columns.items()})
        for i, block in enumerate(z.to_delayed().ravel())
    ]
    while len(parts) > 1:
        parts = [merge(parts[i : i + FAN_IN]) for i in range(0, len(parts), FAN_IN)]
    return parts[0].compute()


def _moments_of_chunk(empty: M, z: np.ndarray, y: Mapping[str, np.ndarray]) -> M:
    """Return the moments of one chunk, which may be empty after a filter."""
    moments = copy.deepcopy(empty)
    return moments.update(as_tensor(z), {name: as_tensor(block) for name, block in y.items()}) if len(z) else moments


def merged(parts: Sequence[M]) -> M:
    """Return the moments of the data of all parts, which do not change."""
    if not isinstance(parts, Sequence) or not parts or not all(isinstance(part, Mergeable) for part in parts):
        raise DegenerateDataError(f"Moments to merge must be a list of at least one, got {parts!r:.80}.")
    whole = copy.deepcopy(parts[0])
    for part in parts[1:]:
        whole.merge(part)
    return whole
