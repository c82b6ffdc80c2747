"""Spectra of the variance of quantities, at full resolution and pooled, from memory or from a stream."""

from collections.abc import Collection, Iterable, Mapping
from typing import cast, get_args

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
    naming_quantity,
)
from isospan.errors import DegenerateDataError, NameMismatchError, ShapeError
from isospan.linalg import add_gram_, gram_spectrum, mirror_, symmetric_spectrum
from isospan.quantities import PoolingMode, pool

Quantities = Mapping[str, Tensor] | Iterable[Mapping[str, Tensor]]
"""{name: (N, ...)} in memory, or an iterable of such batches, which is read once."""

CHUNK = 1024
"""Samples of data in memory that are converted to float64 at a time."""

CONSTANT = 64 * torch.finfo(torch.float64).eps
"""Deviations below this fraction of the largest value are rounding: the quantity is constant."""


def spectra_of(
    y: Quantities, *, mode: PoolingMode = "avg", resolutions: Collection[int] = ()
) -> "Mapping[str, Spectra]":
    """Return the spectra of every quantity: squared singular values of centred data, descending.

    Each has ``full()``, at full resolution, and ``pooled(resolutions)``, after pooling to n cells along each spatial
    axis, for several n from one pass.

    Args:
        y: quantities in memory, or a stream of batches.
        mode: how ``pooled`` pools.
        resolutions: the n that it may be asked for. Maxima cannot be pooled from second moments, so a stream keeps the
            moments of each n.
    """
    check_choice(mode, get_args(PoolingMode), what="pooling mode")
    if isinstance(y, Mapping):
        batch = _checked_batch(cast("Mapping[str, Tensor]", y))
        return {name: _InMemory(name, array, mode) for name, array in batch.items()}
    if isinstance(y, (Tensor, str)) or not isinstance(y, Iterable):
        raise NameMismatchError(
            f"Quantities must be a dict of name: tensor or batches of them, got {type(y).__name__}."
        )
    streamed: dict[str, _Streamed] = {}
    for arrays in y:
        for name, array in _checked_batch(arrays, against=streamed).items():
            kept = streamed.get(name) or _Streamed(name, array, mode, resolutions)
            streamed[name] = kept.update(array)
    if not streamed:
        raise DegenerateDataError("The stream of batches is empty. Pass at least one dict of name: tensor.")
    return streamed


class _InMemory:
    """A quantity in memory: from the smaller of its Gram matrices, over samples or over features."""

    def __init__(self, name: str, y: Tensor, mode: PoolingMode) -> None:
        self.name, self.y = name, y.detach()
        self.mode: PoolingMode = mode
        _check_count(name, len(y))
        self.largest = _largest_magnitude(self.y)

    def full(self) -> Tensor:
        return self._checked(self.y.reshape(len(self.y), -1))

    def pooled(self, resolutions: Collection[int]) -> dict[int, Tensor]:
        parts: dict[int, list[Tensor]] = {n: [] for n in resolutions}
        for chunk in self.y.split(CHUNK):
            exact = chunk.double()
            for n, pooled in parts.items():
                pooled.append(_pool(self.name, exact, n, self.mode))
        return {n: self._checked(torch.cat(pooled), n) for n, pooled in parts.items()}

    def _checked(self, rows: Tensor, n: int | None = None) -> Tensor:
        spectrum = _spectrum_of_rows(rows)
        variance = float(spectrum.sum()) / rows.numel()
        return _check_varies(self.name, spectrum, variance, self.largest, n)


class _Streamed:
    """A quantity that arrives in batches: from its scatter over features, whatever the number of samples."""

    def __init__(self, name: str, y: Tensor, mode: PoolingMode, resolutions: Collection[int]) -> None:
        self.name, self.shape = name, tuple(y.shape[1:])
        self.mode: PoolingMode = mode
        self.largest = 0.0
        blank = y.new_zeros(1, *self.shape)
        self.scatter = Scatter(blank.numel(), y.device)
        sizes = {n: self._pool(blank, n).numel() for n in resolutions}  # a layout that cannot be pooled fails here
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

    def pooled(self, resolutions: Collection[int]) -> dict[int, Tensor]:
        if self.mode == "max":
            return {n: self._checked(self.scatter_of_maxima[n].matrix, n) for n in resolutions}
        S = self.scatter.matrix
        return {n: self._checked(self._average(S, n), n) for n in resolutions}

    def _average(self, S: Tensor, n: int) -> Tensor:
        r"""Averaging is linear, :math:`\bar y = M y`, so the scatter of the averages is :math:`M S M^\top`."""
        half = self._pool(S.reshape(-1, *self.shape), n)
        return self._pool(half.mT.reshape(-1, *self.shape), n)

    def _pool(self, y: Tensor, n: int) -> Tensor:
        return _pool(self.name, y, n, self.mode)

    def _checked(self, S: Tensor, n: int | None = None) -> Tensor:
        _check_count(self.name, self.scatter.count)
        variance = float(S.trace()) / (self.scatter.count * len(S))
        return _check_varies(self.name, symmetric_spectrum(S), variance, self.largest, n)


Spectra = _InMemory | _Streamed


class Scatter:
    r"""Count, mean and :math:`S = \sum_i (x_i - \bar x)(x_i - \bar x)^\top` of rows, in float64, batch by batch.

    Example:
        >>> import torch
        >>> x = torch.randn(10, 3)
        >>> S = Scatter(3).add(x[:4]).add(x[4:]).matrix
        >>> torch.allclose(S, torch.cov(x.double().T, correction=0) * 10)
        True
    """

    def __init__(self, features: int, device: torch.device | str = "cpu") -> None:
        self.count = 0
        self.mean = torch.zeros(features, dtype=torch.float64, device=device)
        self._upper = torch.zeros(features, features, dtype=torch.float64, device=device)

    def add(self, rows: Tensor) -> "Scatter":
        """Add rows (B, P) by Chan's formula: the distance of the means enters as one more centred row."""
        if len(rows) == 0:
            return self
        x = rows.detach().to(self._upper)
        mean, total = x.mean(0), self.count + len(x)
        shift = mean - self.mean
        between = shift * (self.count * len(x) / total) ** 0.5
        centred = torch.cat([x - mean, between[None]])
        add_gram_(self._upper, centred)
        self.mean += shift * (len(x) / total)
        self.count = total
        return self

    @property
    def matrix(self) -> Tensor:
        """S (P, P)."""
        return mirror_(self._upper)


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


def _pool(name: str, y: Tensor, n: int, mode: PoolingMode) -> Tensor:
    with naming_quantity(name):
        return pool(y, n, mode=mode).flatten(1)


def _largest_magnitude(y: Tensor) -> float:
    """The largest magnitude of all entries, 0 where there is none."""
    return max(abs(float(bound)) for bound in y.detach().aminmax()) if y.numel() else 0.0


def _checked_batch(arrays: Mapping[str, Tensor], *, against: Mapping[str, object] | None = None) -> dict[str, Tensor]:
    """Return the quantities of a batch as finite tensors (N, ...) with the same N."""
    check_not_empty(arrays, what="Quantities")
    batch = {name: as_tensor(y) for name, y in arrays.items()}
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
    return batch


def _check_count(name: str, count: int) -> None:
    if count < 2:
        raise DegenerateDataError(f"A variance needs at least 2 samples, got {count} of quantity {name!r}.")


def _check_varies(name: str, spectrum: Tensor, variance: float, largest: float, n: int | None) -> Tensor:
    if variance <= (CONSTANT * largest) ** 2:
        if n is None:
            how, remedy = "", f"Leave it out. {KEEP_FLOAT64}"
        else:
            how, remedy = f" pooled to n = {n}", "Use a larger n or another mode."
        raise DegenerateDataError(f"Quantity {name!r}{how} is constant over the samples. {remedy}")
    return spectrum
