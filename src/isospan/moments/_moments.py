"""Second moments of latents and targets, which can be updated and merged."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite, prod
from typing import TYPE_CHECKING, Any, Self, cast

import torch
from torch import Tensor

from isospan._core.checks import (
    as_device,
    as_floating,
    check_count,
    check_finite,
    check_flag,
    check_latents,
    check_named,
    check_names,
    check_not_empty,
    check_number,
    check_targets,
)
from isospan._core.processes import Ranks
from isospan._core.states import EXTRA, KeepsPrecision, as_bytes, from_bytes
from isospan.errors import DegenerateDataError, DtypeError, FileFormatError, OptionError, ShapeError
from isospan.moments._batch import add_batch_, add_means_, add_rows_, sum_over_ranks_
from isospan.moments._chunks import aligned_chunks, reduce_chunks

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

ROUNDING = 64 * torch.finfo(torch.float64).eps
"""Largest standard deviation of a constant, relative to its mean, from the rounding of a float64 mean."""

SIZES = ("latent_dim", "target_covariance", "target_dims")
"""Entries of the extra state of moments."""


class Moments(KeepsPrecision):
    r"""Count, means and centred second moments of latents z (D,) and targets y (P,), in float64.

    With weights that sum to n,

    .. math:: C_{zz} = \tfrac1n \sum (z-\bar z)(z-\bar z)^\top, \quad C_{zy} = \tfrac1n \sum (z-\bar z)(y-\bar y)^\top .

    Batches are combined by Chan's formula. The result does not depend on their order or sizes, and an offset in the
    data costs no digits. The state is in buffers: it moves with ``.to(device)``, is saved by ``state_dict``, and stays
    float64 under ``.half()`` or ``.float()``.

    Args:
        latent_dim: latent dimension D.
        target_dims: number of entries P of each target, by name.
        target_covariance: also collect the covariance (ΣP, ΣP) of all targets with each other.
        device: of the buffers.

    Raises:
        ShapeError: a dimension is not a whole number of at least 1.

    Source: Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979.

    Example:
        >>> import torch
        >>> z, y = torch.randn(100, 3), torch.randn(100, 2)
        >>> m = Moments(3, {"a": 2}).update(z[:30], {"a": y[:30]}).update(z[30:], {"a": y[30:]})
        >>> torch.allclose(m.cov_zy["a"], (z - z.mean(0)).T.double() @ (y - y.mean(0)).double() / 100)
        True
    """

    target_dims: dict[str, int]
    target_covariance: bool
    count: Tensor
    z_mean: Tensor
    scatter_zz: Tensor
    target_mean: Tensor
    scatter_zy: Tensor
    scatter_yy: Tensor

    def __init__(
        self,
        latent_dim: int,
        target_dims: Mapping[str, int],
        *,
        target_covariance: bool = False,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        check_not_empty(target_dims, what="target_dims")
        latent_dim = check_count(latent_dim, what="latent_dim", error=ShapeError)
        self.target_dims = {
            name: check_count(P, what=f"The dimension of quantity {name!r}", error=ShapeError)
            for name, P in target_dims.items()
        }
        self.target_covariance = check_flag(target_covariance, what="target_covariance")
        device = None if device is None else as_device(device)
        total = sum(self.target_dims.values())
        shapes = {
            "count": (),
            "z_mean": (latent_dim,),
            "scatter_zz": (latent_dim, latent_dim),
            "target_mean": (total,),
            "scatter_zy": (latent_dim, total),
            "scatter_yy": (total, total) if target_covariance else (total,),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64, device=device))

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        z: Tensor,
        y: Mapping[str, Tensor],
        *,
        target_covariance: bool = False,
        precision: torch.dtype = torch.float64,
    ) -> Self:
        """Return the moments of one data set in memory, on its device.

        ``precision`` is the dtype of the products of latents and quantities, and is not used with
        ``target_covariance``. ``torch.float32`` takes less than half of the time. The error of a cross-covariance is
        then about 1e-7 times the product of the standard deviations, as from the rounding of float32 data, and the
        error of a mean of float64 quantities about 1e-8 of their standard deviation. Everything else is float64.
        """
        z = check_latents(z, finite=False)
        flat = check_targets(y, batch=len(z), device=z.device, finite=False)
        if precision not in (torch.float32, torch.float64):
            raise DtypeError(f"precision must be torch.float32 or torch.float64, got {precision!r:.80}.")
        dims = {name: t.shape[1] for name, t in flat.items()}
        moments = cls(z.shape[1], dims, target_covariance=target_covariance, device=z.device)
        state = dict(moments.named_buffers())
        add_batch_(state, z.detach(), flat, precision=torch.float64 if target_covariance else precision)
        squares = moments.scatter_zz.diagonal().sum() + moments.scatter_yy.sum()
        if not isfinite(float(moments.z_mean.sum() + moments.target_mean.sum() + squares)):
            check_latents(z)
            check_targets(y, batch=len(z), device=z.device)
        return moments

    @classmethod
    def of_batches(
        cls, batches: Iterable[tuple[Tensor, Mapping[str, Tensor]]], *, target_covariance: bool = False
    ) -> Self:
        """Return the moments of an iterable of (z, y) batches; the memory does not depend on their number.

        Raises:
            OptionError: ``batches`` is not an iterable of pairs.
            DegenerateDataError: there is no batch, or an empty one.
            ShapeError, NonFiniteError, NameMismatchError: as in :meth:`update`.
        """
        moments: Self | None = None
        for z, y in _pairs(batches):
            if moments is None:
                z = check_latents(z, min_samples=1)
                flat = check_targets(y, batch=len(z), device=z.device)
                dims = {name: t.shape[1] for name, t in flat.items()}
                moments = cls(z.shape[1], dims, target_covariance=target_covariance, device=z.device)
            moments.update(z, y)
        if moments is None:
            raise DegenerateDataError("The stream of batches is empty. Pass at least one (z, y) batch.")
        return moments

    @classmethod
    def from_dask(cls, z: Any, y: Mapping[str, Any], *, target_covariance: bool = False) -> Self:
        """Return the moments of Dask arrays z (N, D) and y {name: (N, ...)}, which may be larger than memory.

        The worker that holds a chunk of samples computes its moments. Only moments are sent between workers, and merged
        in a tree. If the chunks of z and y differ, y is rechunked like z. The scheduler is that of Dask's settings:
        threads, processes or a cluster.

        Raises:
            ShapeError: the arrays have different numbers of samples.
            DegenerateDataError: there are no samples.
            DtypeError: they are not Dask arrays, or not of real floating point.
            NonFiniteError: a chunk contains NaN or infinity.
            MissingPackageError: dask is not installed.

        Example:
            >>> import dask.array as da
            >>> z = da.random.default_rng(0).normal(size=(1000, 3), chunks=(300, 3))
            >>> Moments.from_dask(z, {"a": z[:, :2] ** 2})
            Moments(latent_dim=3, target_dims={'a': 2}, count=1000)
        """
        z, y = aligned_chunks(z, y)
        dims = {name: prod(array.shape[1:]) for name, array in y.items()}
        moments = reduce_chunks(cls(z.shape[1], dims, target_covariance=target_covariance), z, y)
        if not float(moments.count) > 0:
            raise DegenerateDataError(f"The arrays hold no samples, got latents of shape {z.shape}. Pass at least one.")
        return moments

    @property
    def latent_dim(self) -> int:
        """Latent dimension D."""
        return len(self.z_mean)

    @property
    def names(self) -> list[str]:
        """Names of the quantities."""
        return list(self.target_dims)

    @torch.no_grad()
    def update(self, z: Tensor, y: Mapping[str, Tensor]) -> Self:
        """Add a batch of latents (B, D) and targets {name: (B, ...)}, B ≥ 1; after an error, the moments are unchanged.

        Raises:
            ShapeError: sizes differ from those given at construction, or between z and y.
            NonFiniteError: z or y contain NaN or infinity.
            NameMismatchError: y names other quantities.
        """
        z = check_latents(z, min_samples=1)
        flat = check_targets(y, batch=len(z), device=z.device)
        self._check_dims(z, flat)
        return self.add_(z, {name: flat[name] for name in self.target_dims})

    @torch.no_grad()
    def add_(self, z: Tensor, flat: Mapping[str, Tensor]) -> Self:
        """Add a batch as :meth:`update` does, of targets {name: (B, P)} in their order, without any check."""
        add_batch_(cast("dict[str, Tensor]", self._buffers), z.detach(), flat)
        return self

    @torch.no_grad()
    def add_rows_(self, rows: Tensor) -> Self:
        """Add a small batch (B, D + ΣP) in float64, latents beside the targets in their order, without any check."""
        add_rows_(cast("dict[str, Tensor]", self._buffers), rows)
        return self

    @torch.no_grad()
    def merge(self, other: "Moments") -> Self:
        """Add the moments of another data set of the same quantities.

        Raises:
            NameMismatchError, ShapeError: the quantities, their order or their sizes differ.
            OptionError: only one of the two has the covariance of the targets.
        """
        check_moments(other, what="The other moments")
        check_names(self.names, other.names, what="The other moments", against="these moments")
        if self.target_covariance != other.target_covariance:
            raise OptionError(
                "Moments that are merged must both hold the covariance of the targets or both not, got "
                f"target_covariance={self.target_covariance} and {other.target_covariance}. Collect both alike."
            )
        if list(self.target_dims.items()) != list(other.target_dims.items()) or self.latent_dim != other.latent_dim:
            raise ShapeError(
                f"Moments must agree in D and in the order and sizes of quantities, got D = {self.latent_dim}, "
                f"{self.target_dims} and D = {other.latent_dim}, {other.target_dims}."
            )
        if not float(other.count) > 0:
            return self
        state, part = dict(self.named_buffers()), {n: t.to(self.count.device) for n, t in other.named_buffers()}
        for name in ("scatter_zz", "scatter_zy", "scatter_yy"):
            state[name] += part[name]
        add_means_(state, part["z_mean"], part["target_mean"], float(other.count))
        return self

    @torch.no_grad()
    def all_reduce_(self, group: "ProcessGroup | None" = None) -> Self:
        """Replace the moments on every process by those of the data of all processes of the group.

        All processes of the group must call this, also those without samples. Afterwards all have the same moments.
        Without ``torch.distributed``, nothing changes.

        Raises:
            ShapeError: on all processes, if their moments are of different quantities or sizes.
        """
        ranks = Ranks(group)
        if ranks.size > 1:
            sizes = (self.latent_dim, list(self.target_dims.items()), self.target_covariance)
            ranks.check_equal(sizes, what="The latent dimension, target dimensions and target_covariance of moments")
            sum_over_ranks_(dict(self.named_buffers()), ranks)
        return self

    @torch.no_grad()
    def decay_(self, factor: float) -> Self:
        """Multiply the weight of all samples so far by a factor in [0, 1]."""
        factor = check_number(factor, what="The decay factor", most=1.0)
        for buffer in (self.count, self.scatter_zz, self.scatter_zy, self.scatter_yy):
            buffer.mul_(factor)
        return self

    @property
    def cov_zz(self) -> Tensor:
        """Covariance (D, D) of the latents, normalised by the count."""
        return self.scatter_zz / self._positive_count()

    @property
    def cov_zy(self) -> dict[str, Tensor]:
        """Cross-covariance (D, P) of the latents with each quantity."""
        count = self._positive_count()
        return {name: scatter / count for name, scatter in self.split(self.scatter_zy).items()}

    @property
    def cov_yy(self) -> dict[tuple[str, str], Tensor]:
        """Covariance (P_i, P_j) of each pair of quantities; needs ``target_covariance=True``."""
        if not self.target_covariance:
            raise OptionError(
                "This needs the covariance of the targets, which these moments do not hold. Collect them with "
                "Moments(..., target_covariance=True)."
            )
        columns = self.split(self.scatter_yy / self._positive_count())
        return {(i, j): row.mT for j, column in columns.items() for i, row in self.split(column.mT).items()}

    @property
    def var_y(self) -> dict[str, Tensor]:
        """Variance (P,) of each entry of each quantity."""
        return self.split(self.target_variance)

    @property
    def target_variance(self) -> Tensor:
        """Variance (ΣP,) of each entry of all quantities, in the order of ``target_mean``."""
        diagonal = self.scatter_yy.diagonal() if self.target_covariance else self.scatter_yy
        return diagonal / self._positive_count()

    @property
    def y_mean(self) -> dict[str, Tensor]:
        """Mean (P,) of each quantity."""
        return self.split(self.target_mean)

    @torch.no_grad()
    def scaled(self, factors: Mapping[str, Tensor], *, shift: Mapping[str, Tensor] | None = None) -> Self:
        """Return the moments of the same latents and of (y - shift) · factor; both have shape () or (P,)."""
        check_named(self.names, factors, what="The factors", against="these moments")
        row = self._row(factors, what="The factor")
        scaled = copy.deepcopy(self)
        if shift is not None:
            check_named(self.names, shift, what="The shift", against="these moments")
            scaled.target_mean -= self._row(shift, what="The shift")
        scaled.target_mean *= row
        scaled.scatter_zy *= row
        scaled.scatter_yy *= torch.outer(row, row) if self.target_covariance else row**2
        return scaled

    def get_extra_state(self) -> Tensor:
        """Return the sizes as JSON bytes in a tensor, since a state_dict holds only tensors."""
        return as_bytes({name: getattr(self, name) for name in SIZES})

    def set_extra_state(self, state: Tensor) -> None:
        """Set the order of the quantities to that of a state."""
        self.target_dims = self._checked_record(state)["target_dims"]

    def check_state(self, state: Mapping[str, Tensor], *, strict: bool = True) -> None:
        """Require a state of the same quantities.

        Raises:
            FileFormatError: it is not a state of this version, or its count is negative.
            NameMismatchError: the state is of other quantities.
            ShapeError: the state has another latent dimension, target dimension or ``target_covariance``.
            NonFiniteError: a tensor contains NaN or infinity.
        """
        if strict or EXTRA in state:
            self._checked_record(state.get(EXTRA))
        super().check_state(state, strict=strict)
        if "count" in state and float(state["count"]) < 0:
            raise FileFormatError(f"The state to load must have a count of at least 0, got {float(state['count']):g}.")

    def _checked_record(self, state: Tensor | None) -> dict[str, Any]:
        own = from_bytes(self.get_extra_state(), SIZES, what="moments")
        record = from_bytes(state, SIZES, what="moments")
        check_named(self.names, record["target_dims"], what="The state to load", against="these moments")
        if record != own:
            raise ShapeError(
                f"The state to load must be of {own}, got {record}. Make the moments with the sizes of the state."
            )
        return record

    def split(self, stacked: Tensor) -> dict[str, Tensor]:
        """Split the last axis (ΣP) of a tensor by quantity.

        Raises:
            ShapeError: it has another length.
        """
        if not isinstance(stacked, Tensor):
            raise DtypeError(f"What is split must be a torch.Tensor, got {type(stacked).__name__}.")
        if stacked.dim() == 0 or stacked.shape[-1] != len(self.target_mean):
            raise ShapeError(
                f"What is split must have a last axis of {len(self.target_mean)} entries, those of {self.target_dims}, "
                f"got shape {tuple(stacked.shape)}."
            )
        return dict(zip(self.target_dims, stacked.split(list(self.target_dims.values()), dim=-1), strict=True))

    def extra_repr(self) -> str:
        """Return the dimensions and the number of samples."""
        return f"latent_dim={self.latent_dim}, target_dims={self.target_dims}, count={float(self.count):g}"

    def _row(self, values: Mapping[str, Tensor], *, what: str) -> Tensor:
        """Return the values () or (P,) of all quantities side by side, (ΣP,)."""
        parts = []
        for name, P in self.target_dims.items():
            value = as_floating(values[name], what=f"{what} of quantity {name!r}")
            if value.shape not in ((), (1,), (P,)):
                raise ShapeError(f"{what} of quantity {name!r} must have shape () or ({P},), got {tuple(value.shape)}.")
            parts.append(value.to(self.count).expand(P))
        row = torch.cat(parts)
        check_finite(row, what=what)
        return row

    def _positive_count(self) -> Tensor:
        if not float(self.count) > 0:
            raise DegenerateDataError("The moments have seen no samples. Call update(z, y) first.")
        return self.count

    def _check_dims(self, z: Tensor, flat: Mapping[str, Tensor]) -> None:
        check_named(self.names, flat, what="Targets", against="the moments")
        got = {name: flat[name].shape[1] for name in self.target_dims}
        if z.shape[1] != self.latent_dim or got != self.target_dims:
            raise ShapeError(
                f"The moments hold D = {self.latent_dim} and targets of {self.target_dims} entries, got "
                f"D = {z.shape[1]} and {got}. Pool every batch to the same size."
            )


def check_moments(moments: Moments, *, what: str = "moments") -> None:
    """Require moments.

    Raises:
        DtypeError: ``moments`` is something else.
    """
    if not isinstance(moments, Moments):
        raise DtypeError(
            f"{what} must be isospan.moments.Moments, got {type(moments).__name__}. Make them with Moments.of(z, y)."
        )


def varies(variance: Tensor, mean: Tensor) -> bool:
    r"""Return whether any entry varies by more than the rounding of its mean, both in float64.

    .. math:: \sigma^2 > (64\, \epsilon)^2\, \mu^2

    Example:
        >>> mean = torch.tensor(273.15, dtype=torch.float64)
        >>> varies(mean * 1e-32, mean), varies(mean * 1e-12, mean)
        (False, True)
    """
    return bool((variance > ROUNDING**2 * mean.square()).any())


def _pairs(batches: Iterable[tuple[Tensor, Mapping[str, Tensor]]]) -> Iterator[Sequence[Any]]:
    """Yield the batches, and require that each is a pair."""
    if not isinstance(batches, Iterable) or isinstance(batches, (str, Tensor, Mapping)):
        raise OptionError(f"batches must be an iterable of pairs (z, y), got {type(batches).__name__}.")
    for pair in batches:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise OptionError(f"Every batch must be a pair (z, y), got {type(pair).__name__}.")
        yield pair
