"""Spectra of the variance of quantities, at full resolution and pooled, from memory or from a stream."""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol, cast, get_args

import torch
from torch import Tensor

from isospan._core.checks import (
    KEEP_FLOAT64,
    LARGEST,
    as_tensor,
    check_choice,
    check_finite,
    check_floating,
    check_names,
    check_not_empty,
)
from isospan.errors import DegenerateDataError, NameMismatchError, ShapeError
from isospan.linalg import gram_spectrum, symmetric_spectrum
from isospan.quantities._pooling import PoolingMode, pool_quantity
from isospan.sizing._scatter import Scatter

Quantities = Mapping[str, Tensor] | Iterable[Mapping[str, Tensor]]
"""{name: (N, ...)} in memory, or an iterable of such batches, which is read once."""

CHUNK = 1024
"""Samples of data in memory that are converted to float64 at a time."""

CONSTANT = 64 * torch.finfo(torch.float64).eps
"""Deviations below this fraction of the largest value are rounding: the quantity is constant."""


class Spectra(Protocol):
    """What sizing asks of one quantity; both spectra are squared singular values of centred data, descending."""

    def full(self) -> Tensor:
        """The spectrum at full resolution."""
        ...

    def pooled(self, bins: Collection[int]) -> dict[int, Tensor]:
        """The spectrum after pooling to n bins along each spatial axis, for several n from one pass."""
        ...


def spectra_of(Y: Quantities, *, mode: PoolingMode = "avg", pool_bins: Collection[int] = ()) -> Mapping[str, Spectra]:
    """Prepare the spectra of every quantity.

    Args:
        Y: quantities in memory, or a stream of batches.
        mode: how :meth:`Spectra.pooled` pools.
        pool_bins: the n that it may be asked for. Maxima cannot be pooled from second moments, so a stream keeps the
            moments of each n.
    """
    check_choice(mode, get_args(PoolingMode), what="pooling mode")
    if isinstance(Y, Mapping):
        return _held(cast("Mapping[str, Tensor]", Y), mode)
    if isinstance(Y, Tensor | str) or not isinstance(Y, Iterable):
        raise NameMismatchError(
            f"Quantities must be a dict of name: tensor or batches of them, got {type(Y).__name__}."
        )
    return _streamed(Y, mode, pool_bins)


def _held(Y: Mapping[str, Tensor], mode: PoolingMode) -> dict[str, "_Held"]:
    Y = {name: as_tensor(y) for name, y in Y.items()}
    _check_batch(Y)
    return {name: _Held(name, y, mode) for name, y in Y.items()}


def _streamed(
    batches: Iterable[Mapping[str, Tensor]], mode: PoolingMode, pool_bins: Collection[int]
) -> dict[str, "_Streamed"]:
    streamed: dict[str, _Streamed] = {}
    for arrays in batches:
        batch = {name: as_tensor(y) for name, y in arrays.items()} if isinstance(arrays, Mapping) else arrays
        _check_batch(batch, against=streamed)
        for name, y in batch.items():
            kept = streamed.get(name) or _Streamed(name, y, mode, pool_bins)
            streamed[name] = kept.update(y)
    if not streamed:
        raise DegenerateDataError("The stream of batches is empty. Pass at least one dict of name: tensor.")
    return streamed


class _Held:
    """A quantity in memory: from the smaller of its Gram matrices, over samples or over features."""

    def __init__(self, name: str, y: Tensor, mode: PoolingMode) -> None:
        self.name, self.y = name, y.detach()
        self.mode: PoolingMode = mode
        _check_count(name, len(y))
        self.largest = _largest_magnitude(self.y)

    def full(self) -> Tensor:
        return self._checked(self.y.reshape(len(self.y), -1))

    def pooled(self, bins: Collection[int]) -> dict[int, Tensor]:
        parts: dict[int, list[Tensor]] = {n: [] for n in bins}
        for chunk in self.y.split(CHUNK):
            exact = chunk.double()
            for n, pooled in parts.items():
                pooled.append(pool_quantity(self.name, exact, n, self.mode).flatten(1))
        return {n: self._checked(torch.cat(pooled), n) for n, pooled in parts.items()}

    def _checked(self, rows: Tensor, n: int | None = None) -> Tensor:
        spectrum = _spectrum_of_rows(rows)
        variance = float(spectrum.sum()) / rows.numel()
        return _check_varies(self.name, spectrum, variance, self.largest, n)


class _Streamed:
    """A quantity that arrives in batches: from its scatter over features, whatever the number of samples."""

    def __init__(self, name: str, y: Tensor, mode: PoolingMode, pool_bins: Collection[int]) -> None:
        self.name, self.shape = name, tuple(y.shape[1:])
        self.mode: PoolingMode = mode
        self.largest = 0.0
        blank = y.new_zeros(1, *self.shape)
        self.scatter = Scatter(blank.numel(), y.device)
        sizes = {n: self._pool(blank, n).numel() for n in pool_bins}  # a layout that cannot be pooled fails here
        self.scatter_of_maxima = {n: Scatter(size, y.device) for n, size in sizes.items() if mode == "max"}

    def update(self, y: Tensor) -> "_Streamed":
        """Add a batch."""
        if tuple(y.shape[1:]) != self.shape:
            raise ShapeError(
                f"Samples of quantity {self.name!r} must have one shape in all batches, got {self.shape} and then "
                f"{tuple(y.shape[1:])}."
            )
        self.largest = max(self.largest, _largest_magnitude(y))
        self.scatter.add(y.reshape(len(y), len(self.scatter.mean)))
        for n, scatter in self.scatter_of_maxima.items():
            scatter.add(self._pool(y.double(), n))
        return self

    def full(self) -> Tensor:
        return self._checked(self.scatter.matrix)

    def pooled(self, bins: Collection[int]) -> dict[int, Tensor]:
        if self.mode == "max":
            return {n: self._checked(self.scatter_of_maxima[n].matrix, n) for n in bins}
        S = self.scatter.matrix
        return {n: self._checked(self._average(S, n), n) for n in bins}

    def _average(self, S: Tensor, n: int) -> Tensor:
        r"""Averaging is linear, :math:`\bar y = M y`, so the scatter of the averages is :math:`M S M^\top`."""
        half = self._pool(S.reshape(-1, *self.shape), n)
        return self._pool(half.mT.reshape(-1, *self.shape), n)

    def _pool(self, y: Tensor, n: int) -> Tensor:
        return pool_quantity(self.name, y, n, self.mode).flatten(1)

    def _checked(self, S: Tensor, n: int | None = None) -> Tensor:
        _check_count(self.name, self.scatter.count)
        variance = float(S.trace()) / (self.scatter.count * len(S))
        return _check_varies(self.name, symmetric_spectrum(S), variance, self.largest, n)


def _spectrum_of_rows(rows: Tensor) -> Tensor:
    """Squared singular values of the centred rows (N, P)."""
    N, P = rows.shape
    if N <= P:
        x = rows.to(torch.float64, copy=True)
        x -= x.mean(0)
        return gram_spectrum(x)
    scatter = Scatter(P, rows.device)
    for chunk in rows.split(CHUNK):
        scatter.add(chunk)
    return symmetric_spectrum(scatter.matrix)


def _largest_magnitude(y: Tensor) -> float:
    """The largest magnitude of all entries, 0 where there is none."""
    return max(abs(float(bound)) for bound in y.detach().aminmax()) if y.numel() else 0.0


def _check_batch(batch: Mapping[str, Tensor], *, against: Mapping[str, object] | None = None) -> None:
    check_not_empty(batch, what="Quantities")
    if against:
        check_names(against, batch, what="Every batch", against="the first batch")
    for name, y in batch.items():
        check_floating(y, what=f"Quantity {name!r}")
        if y.dim() == 0 or 0 in y.shape[1:]:
            raise ShapeError(f"Quantity {name!r} must have shape (N, ...) with N samples, got {tuple(y.shape)}.")
        check_finite(y, what=f"Quantity {name!r}", most=LARGEST)
    counts = {name: len(y) for name, y in batch.items()}
    if len(set(counts.values())) > 1:
        raise ShapeError(f"All quantities must have the same number of samples, got {counts}.")


def _check_count(name: str, count: int) -> None:
    if count < 2:
        raise DegenerateDataError(f"A variance needs at least 2 samples, got {count} of quantity {name!r}.")


def _check_varies(name: str, spectrum: Tensor, variance: float, largest: float, n: int | None) -> Tensor:
    if variance <= (CONSTANT * largest) ** 2:
        if n is None:
            how, remedy = "", f"Leave it out. {KEEP_FLOAT64}"
        else:
            how, remedy = f" pooled to n = {n}", "Use more bins or another mode."
        raise DegenerateDataError(f"Quantity {name!r}{how} is constant over the samples. {remedy}")
    return spectrum
