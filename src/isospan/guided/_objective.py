"""The guidance loss of a training loop: running moments, subspaces, decoders fitted at every step, balance."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import ceil, prod
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack

from isospan._core.checks import (
    as_floating,
    as_tensor,
    check_choice,
    check_count,
    check_flag,
    check_k,
    check_latents,
    check_named,
    check_not_empty,
    check_not_reserved,
    check_partition,
    check_ridge,
    check_shape,
    working_dtype,
)
from isospan._core.labels import check_classes, encoded
from isospan._core.missing import Missing, check_missing, weighted_samples
from isospan._core.processes import Ranks
from isospan._core.samples import checked_samples
from isospan._core.states import EXTRA, KeepsPrecision, as_bytes, check_entries, from_bytes, saved_buffers
from isospan.errors import DimensionError, FileFormatError, NotSolvedError, OptionError, ShapeError
from isospan.guided._alignment import alignment, error_of_moments
from isospan.guided._balance import GradientBalance, lead_of
from isospan.guided._batch import Batch, Shapes, joint_batch
from isospan.guided._partial import (
    error_of_labelled,
    is_plain,
    labels_vary,
    observe_,
    offset_of_targets,
    refit_,
    roots_of_weights,
)
from isospan.guided._schedules import ExponentialSchedule, Schedule, check_schedule
from isospan.guided._segments import BLOCKS, add_segments_, segments_of
from isospan.guided._solution import Solution
from isospan.guided.losses._combined import checked_weights, combined_loss
from isospan.moments import Moments, filled, present, sum_over_ranks_, varies
from isospan.subspaces import LatentSpace, Method
from isospan.subspaces._fitting import space_of_bases
from isospan.subspaces._solve import (
    checked_separation,
    default_separation,
    needs_target_covariance,
    standardised_bases,
    target_scales,
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


class SpaceObjective(KeepsPrecision):
    r"""Guide a latent space: each quantity becomes readable from its own linear subspace.

    At every training step the batch enters the running moments. They decay exponentially with the number of samples, so
    they do not depend on how a stream of samples is cut into batches. At the steps of the schedule the bases W are
    solved from the moments. The decoders A are fitted to the moments in closed form at every step (variable projection:
    the gradient is that of the best decoders). With the running means and the standardised quantities
    :math:`\tilde y = (y - \bar y) / \sigma_y` the loss is

    .. math:: L = \frac1Q \sum_q \operatorname{mean} \bigl( (z - \bar z) W_q^\top A_q - \tilde y_q \bigr)^2 ,

    the unexplained share of each quantity's variance, which has no unit. It is zero before the first solve.

    The bases and decoders of the loss read the latents through noise of variance ridge · tr(C_zz) / D. A quantity that
    is read along directions of small variance is then read badly. So the encoder learns to give it directions of large
    variance, along which an edit stays within the data. :attr:`space` reads without this noise.

    All state is in float64 buffers: ``state_dict`` holds everything that is needed to continue bit for bit.

    Under ``torch.distributed`` each process passes its shard of the batch, and the loss is that of the global batch.
    All processes call what changes the state, in the same order: :meth:`forward` and :meth:`total_loss` in training
    mode, :meth:`solve`, :meth:`end_epoch` and :meth:`synchronize`. Everything else, also :meth:`forward` in evaluation
    mode, concerns one process alone. The *average* of the gradients of the processes, which DDP and FSDP take, is the
    gradient of the global batch.

    Args:
        k: subspace dimension of each quantity, at most D. Of a quantity of P < k entries, P dimensions are used.
        latent_dim: D.
        shapes: shape of one target of each quantity, where it is known. All buffers then exist from construction; else
            they are made with the first batch. ``torch.optim.swa_utils.AveragedModel`` needs them: pass ``shapes``, or
            make the average after the first batch. Its buffers are those of the live model. So solve again for the
            averaged one, ``averaged.module.objective.solve(z, y)`` with its own latents, as for batch norms.
        schedule: when to solve the bases; by default at growing intervals from the first step on.
        method: what the bases maximise; see :func:`isospan.subspaces.solve_subspaces`.
        orthogonal: keep the subspaces of different quantities mutually orthogonal.
        separation: weight of the excess leakage that an orthogonal regression avoids; by default 1 there, else 0.
        decoders: ``"refit"`` at every step, or ``"frozen"`` between solves.
        weights: weights of the terms "alignment" (L above), "disentanglement", "isotropy" and "stability". The last is
            for logging: bases are solved and not trained, so it adds to the loss but has no gradient.
        strength: of the guidance against the task in :meth:`total_loss`, without a unit: see the formula there. More
            makes quantities more readable and costs task error; 0 switches guidance off.
        memory: number of samples that the running moments weigh in the long run, at least 8 and rounded down to a
            multiple of it; by default 25 max(D, 64). Each eighth of it that has arrived multiplies the weight of all
            before by 7/8. That holds within a batch too: of a global batch that is larger than the memory, the first
            samples weigh less than the last, and the log says so once. With weights of samples, their sum counts.
        ridge: variance of the noise in the loss, relative to the mean variance of the latents.
        missing: ``"raise"`` an error where a quantity has NaN; or ``"skip"`` these samples, quantity by quantity, and
            those with a negative label. Loss, moments and memory of a quantity are then of the samples that have it. A
            batch without a label of a quantity has no term for it. The first solve waits until all quantities vary.
        classes: number of classes {name: C} of the quantities that are class labels (B,), integers or booleans.
            They are guided as the indicators (B, C) of their classes. At most C - 1 dimensions are used.
        process_group: the processes that share a batch; by default all, where ``torch.distributed`` is initialised. A
            group of this process alone keeps the objective to itself.

    Example:
        >>> import torch
        >>> encoder = torch.nn.Linear(10, 8)
        >>> objective = SpaceObjective({"energy": 2}, latent_dim=8)
        >>> optimizer = torch.optim.Adam(encoder.parameters())
        >>> for _ in range(6):
        ...     x = torch.randn(32, 10)
        ...     z = encoder(x)
        ...     loss = objective.total_loss((z.norm(dim=1) - 1).square().mean(), z, {"energy": x[:, :3] ** 2})
        ...     optimizer.zero_grad()
        ...     loss.backward()
        ...     optimizer.step()
        >>> objective.space.decode(encoder(torch.randn(1, 10)))["energy"].shape
        torch.Size([1, 3])
    """

    memory: int
    k: dict[str, int]
    step: Tensor
    epoch: Tensor
    in_block: Tensor  # samples, or weight, since the running moments were last multiplied; (S,) with missing="skip"
    moments: Moments  # None before the shapes are known
    solution: Solution  # None before the shapes are known

    def __init__(
        self,
        k: Mapping[str, int],
        latent_dim: int,
        *,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
        schedule: Schedule | None = None,
        method: Method = "regression",
        orthogonal: bool = False,
        separation: float | None = None,
        decoders: Decoders = "refit",
        weights: Mapping[str, float] | None = None,
        strength: float = 0.5,
        memory: int | None = None,
        ridge: float = 0.02,
        missing: Missing = "raise",
        classes: Mapping[str, int] | None = None,
        process_group: "ProcessGroup | None" = None,
    ) -> None:
        super().__init__()
        check_not_empty(k, what="k")
        check_not_reserved(k)
        check_missing(missing)
        self.missing: Missing = missing
        self.classes: dict[str, int] = check_classes(classes, k, of="the quantities")
        self.k = {name: min(k_q, self.classes.get(name, k_q + 1) - 1) for name, k_q in check_k(k, k).items()}
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
        checked_weights(weights)
        self.weights: dict[str, float] = {"alignment": 1.0} if weights is None else dict(weights)
        self.ridge: float = check_ridge(ridge)
        self.shapes: Shapes = {}
        self.solve_steps: list[int] = []
        self._warned_of_memory = False
        self.terms: dict[str, Tensor] = {}
        for counter in ("step", "epoch"):
            self.register_buffer(counter, torch.zeros((), dtype=torch.int64))
        pairs = len(self.k) * (len(self.k) - 1) // 2 * needs_target_covariance(self.method, self.separation)
        clocks = () if missing == "raise" else (1 + len(self.k) + pairs,)
        self.register_buffer("in_block", torch.zeros(clocks, dtype=torch.float64))
        self.ranks: Ranks = Ranks(process_group)
        self.balance: GradientBalance = GradientBalance(strength, self.ranks)
        self.register_module("moments", None)
        self.register_module("solution", None)
        if shapes is not None:
            self._allocate(self._checked_shapes(shapes))
        if self.orthogonal:
            check_partition(self._used_k(), self.latent_dim)

    @classmethod
    def plain(cls, k: Mapping[str, int], latent_dim: int, **options: Any) -> Self:
        """Return the plain SPACE recipe: covariance subspaces, decoders frozen between solves, four terms."""
        terms = dict.fromkeys(("alignment", "disentanglement", "isotropy", "stability"), 1.0)
        return cls(
            k,
            latent_dim,
            **{"method": "covariance", "decoders": "frozen", "ridge": READING_RIDGE, "weights": terms} | options,
        )

    def forward(self, z: Tensor, y: Mapping[str, Tensor], *, weights: Tensor | None = None) -> Tensor:
        """Return the guidance loss of a batch, with gradient to z; in training mode the state takes in the batch.

        Args:
            z: latents (B, D).
            y: quantities {name: (B, ...)}, in their units; of ``classes``, labels (B,).
            weights: of the samples (B,), at least 0; by default 1 each.

        Raises:
            NameMismatchError: y names other quantities than k.
            NonFiniteError: z or y contain NaN or infinity; the state is unchanged. What one process refuses in
                training is raised by all.
            DegenerateDataError: no sample, or a quantity that is constant when the bases are solved. The first solve
                waits until all quantities vary, for at most an eighth of the memory.
        """
        return self._guidance(z, self._observed(z, y, weights=weights))

    def total_loss(
        self,
        task_loss: Tensor,
        z: Tensor,
        y: Mapping[str, Tensor],
        *,
        to_latents: Callable[[Tensor], Tensor] | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        r"""Return task loss plus guidance, balanced by the gradient norm of each at the latents.

        .. math:: L = L_\text{task} + w L_\text{guide}, \qquad
            \Bigl\| w \frac{\partial L_\text{guide}}{\partial z} \Bigr\| = \text{strength} \Bigl(1 + \frac{100}{t}\Bigr)
            \sqrt{\frac{D}{K} L_\text{guide}} \; \Bigl\| \frac{\partial L_\text{task}}{\partial z} \Bigr\|

        in the measured step t. So guidance leads in the first steps, leaves the latent to the task where the quantities
        are read, and is stronger where it takes few of the latent's dimensions: K is the sum of the subspace
        dimensions, between D/4 and D here. The gradient of the task includes whatever else the caller adds to the loss.
        So a task loss in other units, of another scale or negative changes nothing, nor does a gradient scaler. A
        backward pass in which either gradient is zero or not finite does not change the weight.

        The attribute ``terms`` then holds ``task``, ``weight`` (w), the terms of the guidance, and ``total``: their
        weighted sum :math:`L_\text{guide}` alone, without the task.

        The z to pass is the tensor that the task's decoder reads: the gradient of the task is measured there. A model
        or a step that is compiled as a whole returns a copy, which has no gradient of the task; compile encoder and
        decoder instead.

        The errors of :meth:`forward` are raised, too.

        Warns:
            NumericalWarning: the task had no gradient at z in the first steps.

        Args:
            task_loss: a scalar that depends on z.
            z: the very tensor that the task reads: latents (B, D), or what ``to_latents`` makes latents of.
            y: quantities {name: (B, ...)}, in their units; of ``classes``, labels (B,).
            weights: of the samples in the guidance (B,), at least 0; by default 1 each.
            to_latents: from z to latents (B, D), where the task reads more than these, such as all tokens (B, T, D):
                ``lambda z: z.mean(1)``. A mean that was taken before is not what the task reads, and has no gradient.

        Raises:
            DtypeError, ShapeError: the task loss is no real tensor without dimensions; the state is unchanged.
            OptionError: ``to_latents`` cannot be called.
        """
        task_loss = as_floating(task_loss, what="task_loss")
        if task_loss.dim():
            raise ShapeError(
                f"task_loss must be a scalar, got shape {tuple(task_loss.shape)}. Take its mean or sum over samples."
            )
        if to_latents is not None and not callable(to_latents):
            raise OptionError(f"to_latents must be a function from z to latents (B, D), got {to_latents!r:.80}.")
        inputs = self._observed(z, y, balanced=True, to_latents=to_latents, weights=weights)
        guidance = self._guidance(z, inputs)
        if not inputs:
            return task_loss + guidance
        inputs["losses"].append(guidance.detach())
        self.terms = self.terms | {"task": task_loss.detach(), "weight": inputs["weight"]}
        return task_loss + inputs["weight"] * guidance

    @torch.no_grad()
    def solve(self, z: Tensor, y: Mapping[str, Tensor], *, weights: Tensor | None = None) -> LatentSpace:
        """Solve bases and decoders from a reference set, which also replaces the running moments.

        The bases are rotated within their subspaces onto the previous ones, so coordinates keep their meaning. A
        reference set that cannot be solved does not change the objective. Of several processes, each passes its shard.

        Returns:
            The latent space of the reference set, as :attr:`space`.
        """
        z, y, weights = weighted_samples(z, y, weights)
        batch = self._joint(z, y, weights=weights)
        moments = batch.joint
        if moments is None:
            moments = self._make_moments(batch.shapes).update(z, batch.flat, weights=batch.weights)
        W = self._solved(moments, ridge=self.ridge)
        space = self._space_of(moments, batch.shapes, W if self.ridge == self.reading_ridge else None)
        self._allocate(batch.shapes)
        self.moments = moments
        self.in_block.zero_()
        self._set_bases(W)
        return space

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Count an epoch, and solve where the schedule says so."""
        self.synchronize()
        self.epoch += 1
        if self.schedule.due_at_epoch(int(self.epoch)) and self.moments is not None and float(self.moments.count) > 0:
            self._set_bases(self._solved(self.moments, ridge=self.ridge, budget=PRODUCTS))

    def synchronize(self) -> None:
        """Exchange between processes what they would exchange at the next batch.

        All of them call it before ``state_dict`` inside an epoch; at the end of an epoch it has been done.
        """
        if self.ranks.size > 1:
            squares = self.balance.pending()
            self.ranks.sum_([squares])
            self.balance.update_(squares)

    @property
    def solved(self) -> bool:
        """Whether there are subspaces yet."""
        return self.solution is not None and int(self.solution.solves) > 0

    @property
    def space(self) -> LatentSpace:
        """The latent space of the running moments: subspaces, decoders, means and scales.

        It is solved when read, without the noise of the loss, and rotated onto the present bases. The objective does
        not change.
        """
        if not self.solved:
            raise NotSolvedError(
                f"There are no subspaces yet, after {int(self.step)} steps. Train until the first step of the schedule "
                f"({self.schedule}), or call solve(z, y)."
            )
        return self._space_of(self.moments, self.shapes)

    def get_extra_state(self) -> Tensor:
        """Return shapes and the steps of solves as JSON bytes: a state_dict holds nothing but tensors."""
        return as_bytes(
            {
                "latent_dim": self.latent_dim,
                "target_covariance": needs_target_covariance(self.method, self.separation),
                "k": self.k,
                "shapes": self.shapes,
                "solve_steps": self.solve_steps,
            }
        )

    def set_extra_state(self, state: Tensor) -> None:
        """Make the buffers that the rest of the state_dict fills, in the order of quantities that it has."""
        record = self._checked_record(state)
        self.k, self.solve_steps = record["k"], record["solve_steps"]
        self._allocate(record["shapes"])

    def check_state(self, state: Mapping[str, Tensor], *, strict: bool = True) -> None:
        """Require a state of the same quantities, dimensions and options.

        Raises:
            FileFormatError: it is no state of this version.
            NameMismatchError: the state is of other quantities.
            DimensionError: it has other dimensions of the latents or subspaces.
            OptionError: it is of a method or separation that keeps other moments.
            ShapeError: its targets have other shapes than those seen or given here, or a tensor has another shape.
            NonFiniteError: a tensor contains NaN or infinity.
        """
        if not strict and EXTRA not in state:
            return super().check_state(state, strict=False)
        record = self._checked_record(state.get(EXTRA))
        parts: dict[str, KeepsPrecision] = {"balance": self.balance}
        if record["shapes"]:
            parts["moments"] = self._make_moments(record["shapes"], device="meta")
            parts["solution"] = Solution(record["k"], self.latent_dim, parts["moments"].target_dims)
        expected = {name: buffer for name, buffer in self.named_buffers(recurse=False)}
        for name, part in parts.items():
            own = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
            part.check_state(own, strict=strict)
            expected |= {f"{name}.{key}": buffer for key, buffer in saved_buffers(part).items()}
        check_entries(expected, state, strict=strict)

    def _checked_record(self, state: Tensor | None) -> dict[str, Any]:
        """What a state says of itself, with shapes as tuples; raises what :meth:`check_state` does."""
        record = from_bytes(
            state, ("latent_dim", "target_covariance", "k", "shapes", "solve_steps"), what="a guidance objective"
        )
        check_named(self.k, record["k"], what="The state to load", against="this objective")
        if (record["latent_dim"], record["k"]) != (self.latent_dim, self.k):
            raise DimensionError(
                f"The state to load must have latent_dim = {self.latent_dim} and the subspace dimensions k = {self.k}, "
                f"got {record['latent_dim']} and {record['k']}. Make the objective with those of the state."
            )
        if record["target_covariance"] != (needed := needs_target_covariance(self.method, self.separation)):
            raise OptionError(
                f"The state to load must be of a method and separation that {'need' if needed else 'do not need'} the "
                f"covariance of the targets, as method={self.method!r} and separation={self.separation:g} here. Make "
                "the objective with the options of the state."
            )
        shapes, steps = record["shapes"], record["solve_steps"]
        if not isinstance(steps, list) or not all(isinstance(step, int) for step in steps):
            raise FileFormatError(f"The state to load must have a list of solve_steps, got {steps!r:.80}.")
        shapes = {} if shapes == {} else self._checked_shapes(shapes)
        if shapes and self.shapes and shapes != self.shapes:
            raise ShapeError(f"The state to load must have targets of the shapes {self.shapes}, got {shapes}.")
        return record | {"shapes": {name: shapes[name] for name in record["k"] if shapes}}

    def _checked(
        self, z: Tensor, y: Mapping[str, Tensor], *, weights: Tensor | None = None, min_samples: int = 2
    ) -> Batch:
        """Flattened targets and their shapes, which the objective does not know before it has taken in a batch."""
        z = check_latents(z, min_samples=min_samples, finite=False)
        if z.shape[1] != self.latent_dim:
            raise ShapeError(
                f"The objective has latent_dim = {self.latent_dim}, got latents of shape {tuple(z.shape)}."
            )
        check_named(self.k, y, what="Targets", against="k")
        if weights is not None and any(weight for term, weight in self.weights.items() if term != "alignment"):
            raise OptionError(
                f"Weights of samples concern the alignment alone, got the terms {self.weights}. Train by the alignment "
                "alone, or without weights of samples."
            )
        y = encoded(y, self.classes, missing=self.missing)
        known: Any = {"classes": self.classes, "missing": self.missing, "weights": weights}
        _, flat, weights = checked_samples(z, y, **known, min_samples=min_samples)
        shapes = {name: tuple(y[name].shape[1:]) for name in self.k}
        if self.shapes and shapes != self.shapes:
            raise ShapeError(
                f"Targets must keep their shapes {self.shapes}, got {shapes}. Pool every batch to the same size."
            )
        return Batch({name: flat[name] for name in self.k}, shapes, weights=weights)

    def _joint(
        self, z: Tensor, y: Mapping[str, Tensor], *, weights: Tensor | None = None, min_samples: int = 2
    ) -> Batch:
        """Return the checked batch, with the moments of the global batch of several processes."""
        if self.ranks.size == 1:
            return self._checked(z, y, weights=weights, min_samples=min_samples)
        squares = self.balance.pending()
        check = partial(self._checked, z, y, weights=weights, min_samples=0)
        try:
            return joint_batch(
                *(check, self._make_moments, z.detach(), self.ranks),
                known=self.shapes,
                also=[squares],
                min_samples=min_samples,
            )
        finally:  # a batch that is refused has carried the measurement of the step before
            self.balance.update_(squares)

    def _checked_shapes(self, shapes: Mapping[str, Sequence[int]]) -> Shapes:
        check_named(self.k, shapes, what="shapes", against="k")
        return {name: check_shape(shapes[name], what=f"The shape of quantity {name!r}") for name in self.k}

    def _make_moments(
        self, shapes: Mapping[str, tuple[int, ...]], *, device: torch.device | str | None = None
    ) -> Moments:
        with torch.inference_mode(False):  # buffers that training changes later
            return Moments(
                self.latent_dim,
                {name: torch.Size(shape).numel() for name, shape in shapes.items()},
                target_covariance=needs_target_covariance(self.method, self.separation),
                missing=self.missing,
                device=self.step.device if device is None else device,
            )

    def _allocate(self, shapes: Shapes) -> None:
        """Make empty buffers for targets of these shapes, where there are none; for no shapes, none."""
        if shapes == self.shapes and self.moments is not None and list(self.moments.names) == list(self.k):
            return
        self.shapes = shapes
        self.register_module("moments", self._make_moments(shapes) if shapes else None)
        with torch.inference_mode(False):
            solution = Solution(self.k, self.latent_dim, self.moments.target_dims) if shapes else None
            self.register_module("solution", solution and solution.to(self.step.device))
        if shapes:
            self.balance.lead = lead_of(sum(self.solution.sizes.values()), self.latent_dim)

    def _used_k(self) -> dict[str, int]:
        """Subspace dimensions, as far as the shapes are known at most the entries of the quantity."""
        return {name: min(k, torch.Size(self.shapes[name]).numel()) if self.shapes else k for name, k in self.k.items()}

    @torch.no_grad()
    def _observe(self, z: Tensor, batch: Batch) -> None:
        """Add the batch to the running moments, which lose weight at the start of every block of samples."""
        self._allocate(batch.shapes)
        n = len(z) if batch.joint is None else int(batch.joint.count)
        if n > self.memory and not self._warned_of_memory:
            self._warned_of_memory = True
            logger.warning(
                "A batch of %d samples is larger than memory = %d, so its first samples weigh next to nothing in the "
                "running moments. Pass memory=%d or more to SpaceObjective.",
                *(n, self.memory, BLOCKS * ceil(n / BLOCKS)),
            )
        in_block = float(self.in_block) if self.missing == "raise" else 0.0
        if is_plain(batch, self.moments, in_block):
            self._add_plain_(z, batch, n, int(in_block))
        else:
            empty = partial(self._make_moments, batch.shapes)
            observe_(self.moments, self.in_block, z, batch, memory=self.memory, ranks=self.ranks, empty=empty)
        self.step.add_(1)
        if self._is_due():
            self._set_bases(self._solved(self.moments, ridge=self.ridge, budget=PRODUCTS))
        elif self.solved and self.decoders == "refit":
            self._refit()

    def _add_plain_(self, z: Tensor, batch: Batch, n: int, in_block: int) -> None:
        """Add a batch of n samples, all of weight 1 and with all quantities, to the running moments."""
        segments = segments_of(n, in_block=in_block, count=float(self.moments.count), memory=self.memory)
        if batch.joint is None:
            add_segments_(self.moments, segments, z, batch.flat)
        elif len(segments) == 1:
            self.moments.decay_(segments[0].factor).merge(batch.joint)
        else:  # of the samples of this process, those before the start of a block weigh less
            counts = self.ranks.gather(len(z))
            shard = self._make_moments(batch.shapes)
            add_segments_(shard, segments, z, batch.flat, first=sum(counts[: self.ranks.rank]))
            sum_over_ranks_(dict(shard.named_buffers()), self.ranks)
            self.moments.decay_(prod(segment.factor for segment in segments)).merge(shard)
        self.in_block.copy_((self.in_block + n) % (self.memory // BLOCKS))

    def _refit(self) -> None:
        """Fit the decoders to the running moments."""
        if self.missing == "skip":
            refit_(self.solution, self.moments, ridge=self.ridge)
        else:
            self.solution.refit(self.moments, ridge=self.ridge)

    def _is_due(self) -> bool:
        """Whether to solve after this step. The first solve waits while a quantity is constant, for a block at most."""
        step, moments = int(self.step), self.moments
        block = self.memory // BLOCKS
        if self.solved or (self.missing == "raise" and float(moments.count) > block):
            return self.schedule.due_at_step(step)
        if not any(self.schedule.due_at_step(n) for n in range(1, step + 1)):
            return False
        vary = {name: varies(variance, moments.y_mean[name]) for name, variance in moments.var_y.items()}
        return all(vary.values()) or (self.missing == "skip" and labels_vary(moments, block, vary))

    def _set_bases(self, W: Mapping[str, Tensor]) -> None:
        """Use these bases, with decoders from the running moments."""
        self.solution.replace_bases(W)
        self._refit()
        if self.ranks.size > 1:  # unlike machines round differently
            self.ranks.broadcast_([self.solution.bases, *self.solution.A.values()])
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

    @property
    def reading_ridge(self) -> float:
        """Ridge of :attr:`space`, relative to the mean variance: 0.001, or ``ridge`` if that is smaller."""
        return min(self.ridge, READING_RIDGE)

    def _space_of(self, moments: Moments, shapes: Shapes, W: Mapping[str, Tensor] | None = None) -> LatentSpace:
        ridge = self.reading_ridge
        W = self._solved(moments, ridge=ridge) if W is None else W
        return space_of_bases(moments, W, shapes=shapes, ridge=ridge, classes=self.classes)

    @torch._disable_dynamo  # torch.compiler.disable, which would load the compiler already with isospan
    def _observed(
        self,
        z: Tensor,
        y: Mapping[str, Tensor],
        *,
        balanced: bool = False,
        to_latents: Callable[[Tensor], Tensor] | None = None,
        weights: Tensor | None = None,
    ) -> dict[str, Any]:
        """Update the state in training mode; return the inputs of the loss, or nothing before the first solve.

        All that looks at values or sends messages is here, so a compiler breaks its graph here and nowhere else. Where
        the guidance is ``balanced``, its weight comes along, and the backward pass measures both gradients at z.
        """
        z = as_tensor(z)
        branch = z.clone() if balanced and isinstance(z, Tensor) else z
        latents = as_tensor(branch if to_latents is None else to_latents(branch))
        latents, y, weights = weighted_samples(latents, y, weights)
        check = self._joint if self.training else self._checked
        batch = check(latents, y, weights=weights, min_samples=1)
        if self.training:
            self._observe_untransformed(latents.detach(), batch)
        if not self.solved:
            return {}
        inputs = self._inputs(latents, batch)
        if balanced:
            inputs["weight"] = self.balance.weight().to(working_dtype(latents))
            inputs["losses"] = losses = []
            if self.training and z.requires_grad and peek_interpreter_stack() is None:
                self.balance.measure(z, branch, inputs["weight"], loss=lambda: losses[0] / sum(self.weights.values()))
        return inputs

    def _observe_untransformed(self, z: Tensor, batch: Batch) -> None:
        """Update the state by tensors as they were before ``torch.func`` transformed them."""
        if peek_interpreter_stack() is None:
            return self._observe(z, batch)
        observe = lambda z, *y: self._observe(z, batch._replace(flat=dict(zip(batch.flat, y, strict=True))))  # noqa: E731
        _Untransformed.apply(observe, z, *batch.flat.values())

    def _inputs(self, z: Tensor, batch: Batch) -> dict[str, Any]:
        """Return the inputs of the terms with a weight, as copies: a solve before the backward pass changes nothing."""
        others = {term: weight for term, weight in self.weights.items() if term != "alignment" and weight}
        count = len(z) if batch.joint is None else float(batch.joint.count)
        inputs: dict[str, Any] = {"count": count}
        if self.weights.get("alignment"):
            inputs["alignment"] = self._inputs_of_alignment(z, batch)
        if others and count >= 2:
            inputs["others"] = self._inputs_of_others(z, batch) | {"weights": others, "return_terms": True}
        return inputs

    def _inputs_of_alignment(self, z: Tensor, batch: Batch) -> dict[str, Any]:
        """Return the inputs of :func:`alignment`, standardised, each entry times the root of its weight in the loss."""
        dtype, moments, value = working_dtype(z), self.moments, None
        reader, factor = self.solution.reader(moments)
        if self.missing == "skip" or batch.weights is not None:
            return self._inputs_of_weighted_alignment(z, batch, reader, factor)
        if batch.joint is not None:
            z, value = self.ranks.for_average(z), error_of_moments(batch.joint, moments, reader, factor)
        targets = torch.cat(list(batch.flat.values()), 1)
        return {
            "z": z,
            "z_mean": moments.z_mean.clone(),
            "reader": reader.to(dtype),
            "targets": ((targets - moments.target_mean) * factor).to(dtype),
            "value": value,
        }

    def _inputs_of_weighted_alignment(self, z: Tensor, batch: Batch, reader: Tensor, factor: Tensor) -> dict[str, Any]:
        """Return the inputs of :func:`alignment` where samples have weights, or lack quantities."""
        dtype, moments, value = working_dtype(z), self.moments, None
        if batch.joint is not None:
            z, value = self.ranks.for_average(z), error_of_labelled(batch.joint, moments, reader, factor)
        flat, roots = roots_of_weights(moments, batch)
        targets = (torch.cat(list(flat.values()), 1) - moments.target_mean) * factor
        return {
            "z": z,
            "z_mean": moments.z_mean.clone(),
            "reader": reader.to(dtype),
            "targets": (targets - offset_of_targets(moments, reader)).to(dtype),
            "value": value,
            "roots": roots.to(dtype),
        }

    def _inputs_of_others(self, z: Tensor, batch: Batch) -> dict[str, Any]:
        """Return the inputs of :func:`combined_loss`, in its precision and without units."""
        dtype, W_prev = working_dtype(z), self.solution.W_prev
        if self.missing == "skip":  # the other terms do not read the quantities
            batch = batch._replace(flat=filled(batch.flat, present(batch.flat)))
        scale, mean = target_scales(self.moments), self.moments.y_mean
        cast = lambda tensors: {name: t.to(dtype, copy=True) for name, t in tensors.items()}  # noqa: E731
        inputs = {
            "z": z.to(dtype),
            "W": cast(self.solution.W),
            "A": cast(self.solution.A),
            "y": {name: ((y - mean[name].to(y.dtype)) / scale[name]).to(dtype) for name, y in batch.flat.items()},
            "W_prev": None if W_prev is None else cast(W_prev),
        }
        if batch.joint is None:
            return inputs
        shift = {name: mean[name].to(y.dtype).double() for name, y in batch.flat.items()}
        standard = batch.joint.scaled({name: 1 / s for name, s in scale.items()}, shift=shift)
        return inputs | {"z": self.ranks.for_average(inputs["z"]), "global_moments": standard}

    def _guidance(self, z: Tensor, inputs: Mapping[str, Any]) -> Tensor:
        """Return the loss, and keep its terms for logging; zero before the first solve."""
        terms: dict[str, Tensor] = {}
        loss = (as_tensor(z) * 0).sum()
        if "alignment" in inputs:
            count = 1 if "roots" in inputs["alignment"] else inputs["count"]
            terms["alignment"] = alignment(**inputs["alignment"], count=count)
            loss = self.weights["alignment"] * terms["alignment"]
        if "others" in inputs:
            others = combined_loss(**inputs["others"])
            loss = loss + others["total"]
            terms |= {term: value for term, value in others.items() if self.weights.get(term) and term != "alignment"}
        self.terms = {name: value.detach() for name, value in ({"total": loss} | terms).items()} if inputs else {}
        return loss


class _Untransformed(torch.autograd.Function):
    """Calls a function with the tensors that ``torch.func`` transforms, as they were before: it may change buffers."""

    @staticmethod
    def forward(function: Callable[..., None], *tensors: Tensor) -> None:
        function(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: None) -> None:
        """Nothing has a gradient."""
