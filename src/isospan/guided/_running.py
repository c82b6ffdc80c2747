"""What a guidance objective learns from the stream of batches: running moments, bases and decoders, and their state."""

import copy
import logging
from collections.abc import Callable, Mapping
from functools import partial
from math import ceil, prod
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from isospan._core.checks import (
    check_choice,
    check_count,
    check_flag,
    check_k,
    check_latents,
    check_named,
    check_not_empty,
    check_not_reserved,
    check_ridge,
)
from isospan._core.labels import check_classes, encoded
from isospan._core.missing import Missing, check_missing
from isospan._core.processes import Ranks
from isospan._core.samples import checked_samples
from isospan.errors import DimensionError, OptionError, ShapeError
from isospan.guided._batch import Batch, Shapes, usual_batch
from isospan.guided._partial import observe_
from isospan.guided._schedules import ExponentialSchedule, Schedule, check_schedule
from isospan.guided._segments import BLOCKS, Segment, add_segments_, segments_of
from isospan.guided._state import ObjectiveState
from isospan.moments import Moments, varies
from isospan.subspaces import LatentSpace, Method
from isospan.subspaces._fitting import space_of_bases
from isospan.subspaces._solve import (
    checked_separation,
    default_separation,
    standardised_bases,
)

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

logger = logging.getLogger("isospan")

Decoders = Literal["refit", "frozen"]
READING_RIDGE = 1e-3
"""Ridge of the space that an objective returns, as of the solvers."""
PRODUCTS = 40
"""Products with the Hessian in a solve of orthogonal subspaces while training, which improves on the bases before it.

With D = 48, four quantities of k = 9 and batches of 32, they take 0.04 s and leave 0.1 % of the criterion. The optimum
takes 0.7 s.
"""
FILLED = 0.75
"""Share of the memory from which the running moments change slowly."""
PERIOD = 2
"""Blocks of samples after which the decoders are refitted then."""


class RunningSolution(ObjectiveState):
    """Running moments of a stream of batches, and the bases and decoders that are solved from them.

    The arguments are those of :class:`isospan.guided.SpaceObjective`, which adds the loss and its balance.
    """

    memory: int

    def __init__(
        self,
        k: Mapping[str, int],
        latent_dim: int,
        *,
        schedule: Schedule | None,
        method: Method,
        orthogonal: bool,
        separation: float | None,
        decoders: Decoders,
        memory: int | None,
        ridge: float,
        missing: Missing,
        classes: Mapping[str, int] | None,
        process_group: "ProcessGroup | None",
    ) -> None:
        super().__init__()
        check_not_empty(k, what="k")
        check_not_reserved(k)
        check_missing(missing)
        self.missing: Missing = missing
        self.classes: dict[str, int] = check_classes(classes, k, of="the quantities")
        self.k: dict[str, int] = {
            name: min(k_q, self.classes.get(name, k_q + 1) - 1) for name, k_q in check_k(k, k).items()
        }
        check_flag(orthogonal, what="orthogonal")
        check_choice(decoders, get_args(Decoders), what="decoders")
        self.latent_dim: int = check_count(latent_dim, what="latent_dim", error=DimensionError)
        self.memory = check_count(25 * max(self.latent_dim, 64) if memory is None else memory, what="memory")
        if self.memory < BLOCKS:
            raise OptionError(
                f"memory must be at least {BLOCKS} samples, got {memory}. By default it is 25 max(D, 64)."
            )
        self.memory -= self.memory % BLOCKS
        too_large = {name: k_q for name, k_q in self.k.items() if k_q > self.latent_dim}
        if too_large:
            raise DimensionError(
                f"k must be at most D = {self.latent_dim}, got {too_large}. Use a smaller k or larger D."
            )
        self.schedule: Schedule = ExponentialSchedule() if schedule is None else check_schedule(schedule)
        self.method: Method = method
        self.orthogonal = orthogonal
        separation = default_separation(method, orthogonal, len(self.k)) if separation is None else separation
        self.separation: float = checked_separation(method, orthogonal, separation)
        self.decoders = decoders
        self.ridge: float = check_ridge(ridge)
        self._warned_of_memory = False
        self._make_empty()
        self.ranks: Ranks = Ranks(process_group)

    @property
    def reading_ridge(self) -> float:
        """Ridge of :attr:`space`, relative to the mean variance: 0.001, or ``ridge`` if that is smaller."""
        return min(self.ridge, READING_RIDGE)

    def _checked(
        self, z: Tensor, y: Mapping[str, Tensor], *, weights: Tensor | None = None, min_samples: int = 2
    ) -> Batch:
        """Flattened targets and their shapes, which the objective does not know before it has taken in a batch."""
        if weights is None and self.missing == "raise":
            usual = usual_batch(z, y, self.shapes, self.latent_dim)
            if usual is not None and len(z) >= min_samples:
                return usual
        z = check_latents(z, min_samples=min_samples, finite=False)
        if z.shape[1] != self.latent_dim:
            raise ShapeError(
                f"The objective has latent_dim = {self.latent_dim}, got latents of shape {tuple(z.shape)}."
            )
        check_named(self.k, y, what="Targets", against="k")
        y = encoded(y, self.classes, missing=self.missing)
        known: Any = {"classes": self.classes, "missing": self.missing, "weights": weights}
        _, flat, weights = checked_samples(z, y, **known, min_samples=min_samples)
        shapes = {name: tuple(y[name].shape[1:]) for name in self.k}
        if self.shapes and shapes != self.shapes:
            raise ShapeError(
                f"Targets must keep their shapes {self.shapes}, got {shapes}. Pool every batch to the same size."
            )
        return Batch({name: flat[name] for name in self.k}, shapes, weights=weights)

    def _observe(self, z: Tensor, batch: Batch) -> None:
        """Take the batch into the state.

        Once the memory is nearly full, the running moments change little from batch to batch. The samples of a period
        are then collected, and the moments, means, scales and decoders of the loss change where the next one starts.
        Where samples have weights or lack quantities, all of this changes at every step.
        """
        if batch.shapes is not self.shapes:
            self._allocate(batch.shapes)
        at = float(self.in_period) if self.missing == "raise" and batch.weights is None else None
        if at is None or not at.is_integer():  # also without weights, while a block ends within a sample
            return self._observe_weighted(z, batch)
        recent, period = self.recent, PERIOD * (self.memory // BLOCKS)
        n, collected = z.shape[0] if batch.joint is None else int(batch.joint.count), int(recent.count)
        position = (int(at) + collected) % period
        starts = position == 0 or position + n > period
        filled = collected > 0 or self._is_filled()
        step = int(self.step.add_(1))
        collects = filled and not starts and batch.joint is None and not self.schedule.due_at_step(step)
        if collects and batch.rows is not None and recent.collect(batch.rows, start=collected):
            return
        self._warn_of_memory(n)
        self._add(z, batch)
        self._solve_or_refit(refits=starts or not filled)

    def _observe_weighted(self, z: Tensor, batch: Batch) -> None:
        """Take a batch whose samples have weights or may lack quantities into the state."""
        self.step.add_(1)
        weight = len(z) if batch.weights is None else batch.weights.sum()
        self._warn_of_memory(int(weight if batch.joint is None else batch.joint.count))
        self._add_recent()
        options: Any = {"memory": self.memory, "period": PERIOD * (self.memory // BLOCKS), "ranks": self.ranks}
        empty = partial(self._make_moments, batch.shapes)
        observe_(self.moments, self.in_period, z, batch, **options, empty=empty)
        self._solve_or_refit(refits=True)

    def _solve_or_refit(self, *, refits: bool) -> None:
        """Solve the bases where that is due, or else refit the decoders."""
        if self._is_due():
            self._set_bases(self._solved(self.moments, ridge=self.ridge, budget=PRODUCTS))
        elif self.solved and refits:
            self.solution.refit(self.moments, ridge=self.ridge, decoders=self.decoders == "refit")

    def _is_filled(self) -> bool:
        """Whether the running moments change slowly: from when they first fill most of the memory."""
        if not self.filled and self.solved and float(self.moments.count) >= FILLED * self.memory:
            self.filled.fill_(1)
        return bool(self.filled)

    def _warn_of_memory(self, n: int) -> None:
        """Log once that a batch is larger than the memory."""
        if n > self.memory and not self._warned_of_memory:
            self._warned_of_memory = True
            logger.warning(
                "A batch of %d samples is larger than memory = %d, so its first samples weigh next to nothing in the "
                "running moments. Pass memory=%d or more to SpaceObjective.",
                *(n, self.memory, BLOCKS * ceil(n / BLOCKS)),
            )

    def _add(self, z: Tensor, batch: Batch) -> None:
        """Add the collected samples and the batch to the running moments."""
        if batch.joint is None and batch.rows is not None:
            return self._add_rows(self.recent.take(batch.rows))
        self._add_recent()
        n = len(z) if batch.joint is None else int(batch.joint.count)
        segments = self._segments_of(n)
        if batch.joint is None:
            add_segments_(self.moments, segments, z, batch)
        elif len(segments) == 1:
            self.moments.decay_(segments[0].factor).merge(batch.joint)
        else:  # of the samples of this process, those before the start of a block weigh less
            counts = self.ranks.gather(len(z))
            shard = self._make_moments(batch.shapes)
            add_segments_(shard, segments, z, batch, first=sum(counts[: self.ranks.rank]))
            shard.sum_(self.ranks)
            self.moments.decay_(prod(segment.factor for segment in segments)).merge(shard)
        self._count_in_period(n)

    def _add_recent(self) -> None:
        """Add the collected samples to the running moments."""
        if self.recent is not None and int(self.recent.count):
            self._add_rows(self.recent.take())

    def _add_rows(self, rows: Tensor) -> None:
        add_segments_(self.moments, self._segments_of(len(rows)), rows, Batch({}, self.shapes, rows=rows))
        self._count_in_period(len(rows))

    def _segments_of(self, n: int) -> list[Segment]:
        """Cut the next n samples where a block starts."""
        return segments_of(n, in_block=int(self.in_period), count=float(self.moments.count), memory=self.memory)

    def _count_in_period(self, n: int) -> None:
        self.in_period.fill_((int(self.in_period) + n) % (PERIOD * (self.memory // BLOCKS)))

    @torch.no_grad()
    def _present_moments(self) -> Moments:
        """Return the running moments with the collected samples; the state does not change."""
        if not int(self.recent.count):
            return self.moments
        whole, rows = copy.deepcopy(self.moments), self.recent.rows[: int(self.recent.count)]
        segments = self._segments_of(len(rows))
        return add_segments_(whole, segments, rows, Batch({}, self.shapes, rows=rows))

    def _observe_untransformed(self, z: Tensor, batch: Batch) -> None:
        """Update the state by tensors as they were before ``torch.func`` transformed them."""

        def observe(z: Tensor, *tensors: Tensor) -> None:
            flat = dict(zip(batch.flat, tensors, strict=False))
            self._observe(z, batch._replace(flat=flat, weights=None if batch.weights is None else tensors[-1]))

        weights = [] if batch.weights is None else [batch.weights]
        _Untransformed.apply(observe, z.detach(), *batch.flat.values(), *weights)

    def _is_due(self) -> bool:
        """Whether to solve after this step. The first solve waits while a quantity is constant, for a block at most."""
        step = int(self.step)
        if self.solved or (self.missing == "raise" and float(self.moments.count) > self.memory // BLOCKS):
            return self.schedule.due_at_step(step)
        return any(self.schedule.due_at_step(n) for n in range(1, step + 1)) and self._vary()

    def _vary(self) -> bool:
        """Whether each quantity varies; with ``missing="skip"`` also if over a block of its labels it has not."""
        moments = self.moments
        vary = {name: varies(variance, moments.y_mean[name]) for name, variance in moments.var_y.items()}
        if self.missing == "raise":
            return all(vary.values())
        block = self.memory // BLOCKS
        return all(vary[name] or float(moments.labelled(name).count) > block for name in vary)

    def _set_bases(self, W: Mapping[str, Tensor]) -> None:
        """Use these bases, with decoders from the running moments."""
        self.solution.replace_bases(W)
        self.solution.refit(self.moments, ridge=self.ridge)
        if self.ranks.size > 1:  # unlike machines round differently
            self.ranks.broadcast_(self.solution.learnt)
        self.solve_steps.append(int(self.step))

    def _solved(self, moments: Moments, *, ridge: float, budget: int | None = None) -> dict[str, Tensor]:
        return standardised_bases(
            moments,
            self.k,
            method=self.method,
            orthogonal=self.orthogonal,
            separation=self.separation,
            previous=self.solution.W if self.solved else None,
            ridge=ridge,
            budget=budget,
            classes=self.classes,
        )

    def _space_of(self, moments: Moments, shapes: Shapes, W: Mapping[str, Tensor] | None = None) -> LatentSpace:
        ridge = self.reading_ridge
        W = self._solved(moments, ridge=ridge) if W is None else W
        return space_of_bases(moments, W, shapes=shapes, ridge=ridge, classes=self.classes)


class _Untransformed(torch.autograd.Function):
    """Calls a function with the tensors that ``torch.func`` transforms, as they were before: it may change buffers."""

    @staticmethod
    def forward(function: Callable[..., None], *tensors: Tensor) -> None:
        function(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: None) -> None:
        """Nothing has a gradient."""
