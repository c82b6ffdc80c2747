"""Second moments of latents and targets, which can be updated and merged."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from math import isfinite, prod
from typing import TYPE_CHECKING, Any, Self, cast

import torch
from torch import Tensor, nn

from isospan._core.checks import (
    as_device,
    as_floating,
    as_names,
    check_count,
    check_finite,
    check_flag,
    check_named,
    check_names,
    check_not_empty,
    check_number,
)
from isospan._core.labels import check_classes, infer_classes
from isospan._core.missing import Missing, check_missing
from isospan._core.processes import Ranks
from isospan._core.samples import checked_samples
from isospan._core.states import EXTRA, KeepsPrecision, as_bytes, from_bytes
from isospan.errors import DegenerateDataError, DtypeError, FileFormatError, OptionError, ShapeError
from isospan.moments._batch import add_batch_, add_means_, add_rows_, sum_over_ranks_
from isospan.moments._chunks import aligned_chunks, reduce_chunks
from isospan.moments._partial import (
    Rows,
    State,
    add_weighted_,
    columns_of,
    decay_,
    filled,
    latent_state,
    merge_,
    present,
    slices,
    sum_states_,
)

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

    Class labels, integers or booleans (B,), enter as the indicators (B, C) of their classes; P = C is their number.

    With ``missing="skip"`` samples may lack quantities: those with NaN in an entry, or with a negative label. Count,
    mean and covariance of the latents are of all samples. What concerns a quantity is of the samples that have it,
    about their means of z and y: ``y_mean``, ``var_y``, ``cov_zy``, and the covariance of the latents in
    :meth:`labelled`. The covariance of two quantities is of the samples that have both. This takes memory for Q + 1
    matrices (D, D).

    Args:
        latent_dim: latent dimension D.
        target_dims: number of entries P of each target, by name.
        target_covariance: also collect the covariance (ΣP, ΣP) of all targets with each other.
        missing: ``"raise"`` an error where a quantity has NaN, or ``"skip"`` the samples, quantity by quantity.
        device: of the buffers.

    Attributes:
        label_count: sum of the weights of the samples that have each quantity (Q,), with ``missing="skip"``.

    Raises:
        ShapeError: a dimension is not a whole number of at least 1.
        OptionError: ``missing`` is something else.

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
    missing: Missing
    count: Tensor
    z_mean: Tensor
    scatter_zz: Tensor
    target_mean: Tensor
    scatter_zy: Tensor
    scatter_yy: Tensor
    label_count: Tensor
    label_mean: Tensor  # of the latents (Q, D)
    label_scatter: Tensor  # of the latents (Q, D, D)
    overlaps: nn.ModuleList  # of pairs of quantities, whose entries side by side stand as latents; z as their target

    def __init__(
        self,
        latent_dim: int,
        target_dims: Mapping[str, int],
        *,
        target_covariance: bool = False,
        missing: Missing = "raise",
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
        check_missing(missing)
        self.missing = missing
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
        if missing == "skip":
            Q = len(self.target_dims)
            shapes |= {"label_count": (Q,), "label_mean": (Q, latent_dim), "label_scatter": (Q, latent_dim, latent_dim)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64, device=device))
        if missing == "skip":
            sizes = [self.target_dims[i] + self.target_dims[j] for i, j in self._pairs()]
            self.overlaps = nn.ModuleList(Moments(P, {"latents": latent_dim}, device=device) for P in sizes)

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        z: Tensor,
        y: Mapping[str, Tensor],
        *,
        target_covariance: bool = False,
        precision: torch.dtype = torch.float64,
        missing: Missing = "raise",
        classes: Mapping[str, int] | None = None,
        weights: Tensor | None = None,
    ) -> Self:
        """Return the moments of one data set in memory, on its device.

        ``precision`` is the dtype of the products of latents and quantities, and is not used with
        ``target_covariance``. ``torch.float32`` takes less than half of the time. The error of a cross-covariance is
        then about 1e-7 times the product of the standard deviations, as from the rounding of float32 data, and the
        error of a mean of float64 quantities about 1e-8 of their standard deviation. Everything else is float64. With
        ``weights`` or ``missing="skip"`` all is float64.

        Args:
            z: latents (B, D), B ≥ 2.
            y: quantities {name: (B, ...)}; integers or booleans (B,) are class labels.
            target_covariance: as above.
            precision: as above.
            missing: as above.
            classes: number of classes {name: C} of quantities of labels. By default it is taken from the labels, and
                the log says so; that takes each class 0 to C - 1, twice on average.
            weights: of the samples (B,), at least 0; by default 1 each. A sample of weight 3 counts as three, one of
                weight 0 is left out whatever its values.

        Raises:
            ShapeError, NonFiniteError, NameMismatchError, DtypeError, OptionError: as in :meth:`update`.
            DegenerateDataError: fewer than two samples.
        """
        classes = infer_classes(y, classes)
        known: Any = {"classes": classes, "missing": missing, "weights": weights}
        z, flat, given = checked_samples(z, y, **known, finite=False)
        if precision not in (torch.float32, torch.float64):
            raise DtypeError(f"precision must be torch.float32 or torch.float64, got {precision!r:.80}.")
        dims = {name: t.shape[1] for name, t in flat.items()}
        moments = cls(z.shape[1], dims, target_covariance=target_covariance, missing=missing, device=z.device)
        if missing == "skip" or given is not None:
            return moments.add_(z, flat, weights=given)
        state = dict(moments.named_buffers())
        add_batch_(state, z.detach(), flat, precision=torch.float64 if target_covariance else precision)
        squares = moments.scatter_zz.diagonal().sum() + moments.scatter_yy.sum()
        if not isfinite(float(moments.z_mean.sum() + moments.target_mean.sum() + squares)):
            checked_samples(z, y, **known)
        return moments

    @classmethod
    def of_batches(
        cls,
        batches: Iterable[tuple[Tensor, Mapping[str, Tensor]]],
        *,
        target_covariance: bool = False,
        missing: Missing = "raise",
        classes: Mapping[str, int] | None = None,
    ) -> Self:
        """Return the moments of an iterable of (z, y) batches; the memory does not depend on their number.

        Args:
            batches: pairs (z, y).
            target_covariance: as above.
            missing: as above.
            classes: number of classes {name: C} of quantities of integer labels: the first batch may lack some.

        Raises:
            OptionError: ``batches`` is not an iterable of pairs.
            DegenerateDataError: there is no batch, or an empty one.
            ShapeError, NonFiniteError, NameMismatchError: as in :meth:`update`.
        """
        moments: Self | None = None
        for z, y in _pairs(batches):
            if moments is None:
                known = check_classes(classes, y, of="the quantities")
                z, flat, _ = checked_samples(z, y, classes=known, missing=missing, min_samples=1)
                dims = {name: t.shape[1] for name, t in flat.items()}
                options: Any = {"target_covariance": target_covariance, "missing": missing, "device": z.device}
                moments = cls(z.shape[1], dims, **options)
            moments.update(z, y)
        if moments is None:
            raise DegenerateDataError("The stream of batches is empty. Pass at least one (z, y) batch.")
        return moments

    @classmethod
    def from_dask(
        cls, z: Any, y: Mapping[str, Any], *, target_covariance: bool = False, missing: Missing = "raise"
    ) -> Self:
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
        moments = reduce_chunks(cls(z.shape[1], dims, target_covariance=target_covariance, missing=missing), z, y)
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
    def update(self, z: Tensor, y: Mapping[str, Tensor], *, weights: Tensor | None = None) -> Self:
        """Add a batch of latents (B, D) and targets {name: (B, ...)}, B ≥ 1; after an error, the moments are unchanged.

        Targets of integers or booleans (B,) are class labels 0 to P - 1.

        Args:
            z: latents (B, D).
            y: targets by name.
            weights: of the samples (B,), at least 0; by default 1 each.

        Raises:
            ShapeError: sizes differ from those given at construction, or between z, y and the weights.
            NonFiniteError: z or y contain NaN or infinity; of y, with ``missing="skip"``, infinity.
            NameMismatchError: y names other quantities.
            DtypeError: integers that are no class labels (B,).
            OptionError: a label outside its classes, or a negative weight.
        """
        classes = self.target_dims
        z, flat, given = checked_samples(z, y, classes=classes, missing=self.missing, weights=weights, min_samples=1)
        self._check_dims(z, flat)
        return self.add_(z, {name: flat[name] for name in self.target_dims}, weights=given)

    @torch.no_grad()
    def add_(self, z: Tensor, flat: Mapping[str, Tensor], *, weights: Tensor | None = None) -> Self:
        """Add a batch as :meth:`update` does, of targets {name: (B, P)} in their order, without any check."""
        if self.missing == "raise" and weights is None:
            add_batch_(cast("dict[str, Tensor]", self._buffers), z.detach(), flat)
            return self
        for state, rows in zip(self.states(), self.rows(z, flat, weights=weights), strict=True):
            add_weighted_(state, *rows)
        return self

    def states(self) -> list[State]:
        """Return what is updated and merged alike, as views of the buffers.

        It is count, means and scatters of all; with ``missing="skip"``, those of the latents, of each quantity, and of
        each pair of quantities whose covariance is held.
        """
        whole = cast("dict[str, Tensor]", dict(self._buffers))
        if self.missing == "raise":
            return [whole]
        own = [self._state_of(name) for name in self.target_dims]
        return [latent_state(whole), *own, *(dict(pair.named_buffers()) for pair in self._overlaps())]

    def rows(self, z: Tensor, flat: Mapping[str, Tensor], *, weights: Tensor | None = None) -> list[Rows]:
        """Return what a batch adds to each of :meth:`states`, of targets {name: (B, P)} in their order."""
        z, y = z.detach(), {name: values.detach() for name, values in flat.items()}
        weights = z.new_ones(len(z), dtype=torch.float64) if weights is None else weights
        if self.missing == "raise":
            return [Rows(z, torch.cat(list(y.values()), 1), weights)]
        masks = present(y)
        y = filled(y, masks)
        own = [Rows(z, y[name], weights * masks[name]) for name in y]
        both = [Rows(torch.cat([y[i], y[j]], 1), z, weights * masks[i] * masks[j]) for i, j in self._pairs()]
        return [Rows(z, z[:, :0], weights), *own, *both]

    def labelled(self, name: str) -> "Moments":
        """Return the moments of the latents and one quantity, over the samples that have it, as views.

        Example:
            >>> import torch
            >>> z, y = torch.randn(100, 3), torch.randn(100, 1)
            >>> y[10:] = torch.nan  # a tenth has labels
            >>> moments = Moments.of(z, {"a": y}, missing="skip")
            >>> float(moments.count), float(moments.labelled("a").count)
            (100.0, 10.0)
            >>> torch.allclose(moments.labelled("a").cov_zz, z[:10].double().T.cov(correction=0))
            True
        """
        name = as_names([name], self.names, of="The moments hold")[0]
        return Moments._of_state(self._state_of(name), {name: self.target_dims[name]}, self.target_covariance)

    def overlap(self, i: str, j: str) -> "Moments":
        """Return the joint moments of two quantities over the samples that have both; needs ``target_covariance=True``.

        Their entries side by side stand as the latents (P_i + P_j), and the latents as the target "latents" (D).
        """
        if self.missing == "skip" and self.target_covariance:
            pairs = self._pairs()
            if (i, j) in pairs:
                return self._overlaps()[pairs.index((i, j))]
            P = self.target_dims[j]
            state = dict(self._overlaps()[pairs.index((j, i))].named_buffers())
            order = torch.arange(len(state["z_mean"]), device=self.count.device).roll(-P)
            state |= {"z_mean": state["z_mean"][order], "scatter_zy": state["scatter_zy"][order]}
            state["scatter_zz"] = state["scatter_zz"][order][:, order]
            return Moments._of_state(state, {"latents": self.latent_dim}, False)
        C, scatter_zy, n = self.cov_yy, self.split(self.scatter_zy), self._positive_count()
        mean, names = self.y_mean, (i, j)
        state = {
            "count": n,
            "z_mean": torch.cat([mean[a] for a in names]),
            "scatter_zz": n * torch.cat([torch.cat([C[a, b] for b in names], 1) for a in names]),
            "target_mean": self.z_mean,
            "scatter_zy": torch.cat([scatter_zy[a] for a in names], 1).mT,
            "scatter_yy": self.scatter_zz.diagonal(),
        }
        return Moments._of_state(state, {"latents": self.latent_dim}, False)

    @classmethod
    def _of_state(cls, state: State, target_dims: Mapping[str, int], target_covariance: bool) -> "Moments":
        """Moments that hold these very tensors."""
        moments = Moments.__new__(Moments)
        nn.Module.__init__(moments)
        moments.target_dims, moments.target_covariance, moments.missing = dict(target_dims), target_covariance, "raise"
        for name, tensor in state.items():
            moments.register_buffer(name, tensor)
        return moments

    def _state_of(self, name: str) -> State:
        i, columns = list(self.target_dims).index(name), dict(slices(self.target_dims))[name]
        own = columns_of(cast("dict[str, Tensor]", dict(self._buffers)), columns)
        if self.missing == "raise":
            return {"count": self.count, "z_mean": self.z_mean, "scatter_zz": self.scatter_zz} | own
        latents = {"count": self.label_count[i], "z_mean": self.label_mean[i], "scatter_zz": self.label_scatter[i]}
        return latents | own

    def _overlaps(self) -> "list[Moments]":
        return cast("list[Moments]", list(self.overlaps))

    def _pairs(self) -> list[tuple[str, str]]:
        """The pairs of quantities whose covariance is held for the samples that have both."""
        return list(combinations(self.target_dims, 2)) if self.target_covariance else []

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
            OptionError: only one of the two has the covariance of the targets, or skips what is missing.
        """
        check_moments(other, what="The other moments")
        check_names(self.names, other.names, what="The other moments", against="these moments")
        if self.target_covariance != other.target_covariance:
            raise OptionError(
                "Moments that are merged must both hold the covariance of the targets or both not, got "
                f"target_covariance={self.target_covariance} and {other.target_covariance}. Collect both alike."
            )
        if self.missing != other.missing:
            raise OptionError(
                f"Moments that are merged must both skip what is missing or both not, got missing={self.missing!r} and "
                f"{other.missing!r}. Collect both alike."
            )
        if list(self.target_dims.items()) != list(other.target_dims.items()) or self.latent_dim != other.latent_dim:
            raise ShapeError(
                f"Moments must agree in D and in the order and sizes of quantities, got D = {self.latent_dim}, "
                f"{self.target_dims} and D = {other.latent_dim}, {other.target_dims}."
            )
        if not float(other.count) > 0:
            return self
        if self.missing == "skip":
            same = other if other.count.device == self.count.device else copy.deepcopy(other).to(self.count.device)
            for own, added in zip(self.states(), same.states(), strict=True):
                merge_(own, added)
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
            sizes = sizes if self.missing == "raise" else (*sizes, self.missing)
            ranks.check_equal(sizes, what="The latent dimension, target dimensions and target_covariance of moments")
            self.sum_(ranks)
        return self

    @torch.no_grad()
    def sum_(self, ranks: Ranks, *, also: Sequence[Tensor] = ()) -> Self:
        """Do what :meth:`all_reduce_` does, for equal sizes; sum float64 tensors ``also`` in the first message."""
        if self.missing == "raise":
            sum_over_ranks_(dict(self.named_buffers()), ranks, also=also)
        else:
            sum_states_(self.states(), ranks, also=also)
        return self

    @torch.no_grad()
    def decay_(self, factor: float) -> Self:
        """Multiply the weight of all samples so far by a factor in [0, 1]."""
        factor = check_number(factor, what="The decay factor", most=1.0)
        for state in self.states():
            decay_(state, factor)
        return self

    @property
    def cov_zz(self) -> Tensor:
        """Covariance (D, D) of the latents, normalised by the count."""
        return self.scatter_zz / self._positive_count()

    @property
    def cov_zy(self) -> dict[str, Tensor]:
        """Cross-covariance (D, P) of the latents with each quantity."""
        counts = self._counts()
        return {name: scatter / counts[name] for name, scatter in self.split(self.scatter_zy).items()}

    @property
    def cov_yy(self) -> dict[tuple[str, str], Tensor]:
        """Covariance (P_i, P_j) of each pair of quantities; needs ``target_covariance=True``."""
        if not self.target_covariance:
            raise OptionError(
                "This needs the covariance of the targets, which these moments do not hold. Collect them with "
                "Moments(..., target_covariance=True)."
            )
        if self.missing == "skip":
            return self._overlapping_cov_yy()
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
        return diagonal / (self._positive_count() if self.missing == "raise" else self._entry_counts())

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
        offset = torch.zeros_like(row)
        if shift is not None:
            check_named(self.names, shift, what="The shift", against="these moments")
            offset = self._row(shift, what="The shift")
            scaled.target_mean -= offset
        scaled.target_mean *= row
        scaled.scatter_zy *= row
        scaled.scatter_yy *= torch.outer(row, row) if self.target_covariance else row**2
        for pair, (i, j) in zip(scaled._overlaps(), self._pairs(), strict=True) if self.missing == "skip" else ():
            both, moved = (torch.cat([self.split(t)[i], self.split(t)[j]]) for t in (row, offset))
            pair.z_mean -= moved
            pair.z_mean *= both
            pair.scatter_zz *= torch.outer(both, both)
            pair.scatter_zy *= both[:, None]
        return scaled

    def get_extra_state(self) -> Tensor:
        """Return the sizes as JSON bytes in a tensor, since a state_dict holds only tensors."""
        return as_bytes({name: getattr(self, name) for name in self._sizes()})

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
        own = from_bytes(self.get_extra_state(), self._sizes(), what="moments")
        record = from_bytes(state, self._sizes(), what="moments")
        check_named(self.names, record["target_dims"], what="The state to load", against="these moments")
        if record != own:
            raise ShapeError(
                f"The state to load must be of {own}, got {record}. Make the moments with the sizes of the state."
            )
        return record

    def _sizes(self) -> tuple[str, ...]:
        return SIZES if self.missing == "raise" else (*SIZES, "missing")

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

    def _counts(self) -> dict[str, Tensor]:
        """The weight of the samples that have each quantity, positive: what is of none is zero."""
        if self.missing == "raise":
            return dict.fromkeys(self.target_dims, self._positive_count())
        self._positive_count()
        return dict(zip(self.target_dims, self.label_count.clamp(min=torch.finfo(torch.float64).tiny), strict=True))

    def _entry_counts(self) -> Tensor:
        """The counts of :meth:`_counts` for each entry (ΣP,)."""
        counts = self._counts()
        return torch.cat([counts[name].expand(P) for name, P in self.target_dims.items()])

    def _overlapping_cov_yy(self) -> dict[tuple[str, str], Tensor]:
        found, counts = {}, self._counts()
        for name, columns in slices(self.target_dims):
            found[name, name] = self.scatter_yy[columns, columns] / counts[name]
        for (i, j), pair in zip(self._pairs(), self._overlaps(), strict=True):
            P = self.target_dims[i]
            found[i, j] = pair.scatter_zz[:P, P:] / pair.count.clamp(min=torch.finfo(torch.float64).tiny)
            found[j, i] = found[i, j].mT
        return found

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
