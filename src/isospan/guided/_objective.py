"""The guidance loss of a training loop: running moments, re-solved subspaces, refitted decoders, balance."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import ceil, prod
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, get_args

import torch
from torch import Tensor

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
    check_targets,
    working_dtype,
)
from isospan._core.processes import Ranks
from isospan._core.states import EXTRA, KeepsPrecision, as_bytes, check_entries, from_bytes
from isospan.errors import DimensionError, FileFormatError, NotSolvedError, OptionError, ShapeError
from isospan.guided._balance import ForceBalance
from isospan.guided._batch import Batch, Shapes, joint_batch
from isospan.guided._schedules import ExponentialSchedule, Schedule, check_schedule
from isospan.guided._solution import Solution
from isospan.guided.losses._combined import checked_weights, combined_loss
from isospan.moments import Moments, sum_over_ranks_
from isospan.subspaces import LatentSpace, Method, decoders_from_moments, solve_from_moments
from isospan.subspaces._fitting import default_separation, space_of_bases, standardised_bases, target_scales
from isospan.subspaces._solve import checked_separation, needs_target_covariance

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

logger = logging.getLogger("isospan")

Decoders = Literal["refit", "frozen"]
BLOCKS = 8
"""Blocks of samples that the running moments hold; all samples of a block weigh the same."""


class SpaceObjective(KeepsPrecision):
    r"""Guide a latent space: each quantity shall be readable from its own linear subspace.

    At every training step the running moments take in the batch and decay exponentially with the number of samples, so
    they do not depend on how a stream of samples is cut into batches; at the steps of the schedule the bases W are
    solved again from the moments; the decoders A are refitted in closed form at every step (variable
    projection: the gradient sees the best decoder, not an old one). With the standardised quantities
    :math:`\tilde y = (y - \bar y) / \sigma_y` the loss is

    .. math:: L = \frac1Q \sum_q \operatorname{mean} \bigl( (z - \bar z) W_q^\top A_q - \tilde y_q \bigr)^2 ,

    the unexplained share of each quantity's variance, which has no unit. It is zero before the first solve, and for a
    batch of one sample, which has no variance.

    All state is in float64 buffers: ``state_dict`` holds everything that continuing bit for bit needs.

    Under ``torch.distributed`` each process passes its part of the batch, and the loss is that of the whole. What
    changes the state is called by all processes, in the same order: :meth:`forward` and :meth:`total` in training mode,
    :meth:`solve`, :meth:`end_epoch` and :meth:`settle`. All else, also :meth:`forward` in evaluation mode, concerns one
    process alone. The gradient of every process is such that its *average*, which DDP and FSDP take, is that of the
    whole batch.

    Args:
        k: subspace dimension of each quantity, at most D; of a quantity of P < k entries, P of it are used.
        latent_dim: D.
        shapes: shape of one target of each quantity, where it is known. All buffers then exist from construction; else
            they are made with the first batch. ``torch.optim.swa_utils.AveragedModel`` needs them: pass ``shapes``, or
            make the average after the first batch. Its buffers are those of the live model. So solve again for the
            averaged one, ``averaged.module.objective.solve(z, y)`` with its own latents, as for batch norms.
        schedule: when to re-solve the bases.
        method: what the bases maximise; see :func:`isospan.subspaces.solve_subspaces`.
        orthogonal: keep the subspaces of different quantities mutually orthogonal.
        separation: weight of the excess leakage that an orthogonal regression avoids; by default 1 there, else 0.
        decoders: ``"refit"`` at every step, or ``"frozen"`` between solves.
        weights: weights of the terms "alignment", "disentanglement", "isotropy" and "stability". The last is for
            logging: bases are solved and not trained, so it adds to the loss but has no gradient.
        strength: pull of the guidance on the latents over that of the task in :meth:`total`, dimensionless; by default
            0.3, and 1.2 with ``orthogonal``, where what quantities share has to be held in the subspace of each.
        memory: number of samples that the running moments weigh in the long run, at least 8 and rounded down to a
            multiple of it; by default 25 max(D, 64). Each eighth of it that has arrived multiplies the weight of all
            before by 7/8. That holds within a batch too: of a global batch that is larger than the memory, the first
            samples weigh less than the last, and the log says so once.
        ridge: of solvers and decoders, relative to the mean variance.
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
        ...     loss = objective.total((z.norm(dim=1) - 1).square().mean(), z, {"energy": x[:, :3] ** 2})
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
    in_block: Tensor  # samples since the running moments were last multiplied
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
        strength: float | None = None,
        memory: int | None = None,
        ridge: float = 1e-3,
        process_group: "ProcessGroup | None" = None,
    ) -> None:
        super().__init__()
        check_not_empty(k, what="k")
        check_not_reserved(k)
        self.k = check_k(k, k)
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
        self.resolve_steps: list[int] = []
        self._told_of_memory = False
        self.terms: dict[str, Tensor] = {}
        for counter in ("step", "epoch", "in_block"):
            self.register_buffer(counter, torch.zeros((), dtype=torch.int64))
        self.ranks: Ranks = Ranks(process_group)
        self.balance: ForceBalance = ForceBalance(
            (1.2 if orthogonal else 0.3) if strength is None else strength, self.ranks
        )
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
        return cls(k, latent_dim, **{"method": "covariance", "decoders": "frozen", "weights": terms} | options)

    def forward(self, z: Tensor, y: Mapping[str, Tensor]) -> Tensor:
        """Return the guidance loss of a batch, with gradient to z; in training mode the state takes in the batch.

        Args:
            z: latents (B, D).
            y: quantities {name: (B, ...)}, in their units.

        Raises:
            NameMismatchError: y names other quantities than k.
            NonFiniteError: z or y contain NaN or infinity; the state is unchanged. What one process refuses in
                training is raised by all.
            DegenerateDataError: no sample, or a quantity that has been constant so far.
        """
        return self._guidance(z, self._taken_in(z, y))

    def total(
        self,
        task_loss: Tensor,
        z: Tensor,
        y: Mapping[str, Tensor],
        *,
        read: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        r"""Return task loss plus guidance, balanced by the force of each on the latents.

        .. math:: L = L_\text{task} + w L_\text{guide}

        The weight follows ``ForceBalance`` (``guided/_balance.py``): guidance pulls at the latents ``strength``
        times as hard as the task, with whatever else the caller adds to the loss. So it is small while the task's
        decoder is young, and the same for a task loss in other units, of another scale or negative, and under a
        gradient scaler. A backward in which either gradient is zero or not finite leaves the weight as it is.

        The attribute ``terms`` then holds ``task``, ``weight`` (w), the terms of the guidance, and ``total``: their
        weighted sum :math:`L_\text{guide}` alone, without the task.

        The z to pass is the tensor that the task's decoder reads: the force of the task is measured there. A model or a
        step that is compiled as a whole gives a copy, which no task pulls at; compile encoder and decoder instead.

        The errors of :meth:`forward` are raised, too.

        Warns:
            NumericalWarning: the task had no gradient at z in the first steps.

        Args:
            task_loss: a scalar that depends on z.
            z: the very tensor that the task reads on: latents (B, D), or what they are read from.
            y: quantities {name: (B, ...)}, in their units.
            read: from z to latents (B, D), where the task reads more than these, such as all tokens (B, T, D):
                ``lambda z: z.mean(1)``. A mean that was taken before is not what the task reads, and has no gradient.

        Raises:
            DtypeError, ShapeError: the task loss is no real tensor without dimensions; the state is unchanged.
            OptionError: ``read`` cannot be called.
        """
        task_loss = as_floating(task_loss, what="task_loss")
        if task_loss.dim():
            raise ShapeError(
                f"task_loss must be a scalar, got shape {tuple(task_loss.shape)}. Take its mean or sum over samples."
            )
        if read is not None and not callable(read):
            raise OptionError(f"read must be a function from z to latents (B, D), got {read!r:.80}.")
        inputs = self._taken_in(z, y, balanced=True, read=read)
        weight = inputs.pop("weight", task_loss.new_ones(()))
        guidance = self._guidance(z, inputs)
        if inputs:
            self.terms = self.terms | {"task": task_loss.detach(), "weight": weight}
        return task_loss + weight * guidance

    @torch.no_grad()
    def solve(self, z: Tensor, y: Mapping[str, Tensor]) -> LatentSpace:
        """Solve bases and decoders from a reference set, which also replaces the running moments.

        The bases are rotated within their subspaces onto the previous ones, so coordinates keep their meaning. A
        reference set that cannot be solved does not change the objective. Of several processes, each passes its shard.

        Returns:
            The latent space of the reference set.
        """
        batch = self._joint(z, y)
        moments = self._make_moments(batch.shapes).update(z, batch.flat) if batch.whole is None else batch.whole
        W = self._solved(moments)
        self._allocate(batch.shapes)
        self.moments = moments
        self.in_block.zero_()
        self._take(W)
        W = {name: W_q.clone() for name, W_q in self.solution.W.items()}
        return space_of_bases(self.moments, W, shapes=self.shapes, ridge=self.ridge)

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Count an epoch; re-solve where the schedule says so."""
        self.settle()
        self.epoch += 1
        if self.schedule.due_at_epoch(int(self.epoch)) and self.moments is not None and float(self.moments.count) > 0:
            self._take(self._solved(self.moments))

    def settle(self) -> None:
        """Bring into the state what processes would tell each other at the next batch.

        All of them call it before ``state_dict`` inside an epoch; at the end of one it is done.
        """
        if self.ranks.size > 1:
            forces = self.balance.waiting()
            self.ranks.sum_([forces])
            self.balance.remember_(forces)

    @property
    def solved(self) -> bool:
        """Whether there are subspaces yet."""
        return self.solution is not None and int(self.solution.solves) > 0

    @property
    def space(self) -> LatentSpace:
        """What the running moments give now: subspaces, decoders, means and scales.

        It is solved afresh when read, turned onto the present bases, and leaves the objective as it is.
        """
        if not self.solved:
            raise NotSolvedError(
                f"There are no subspaces yet, after {int(self.step)} steps. Train until the first step of the schedule "
                f"({self.schedule}), or call solve(z, y)."
            )
        return solve_from_moments(self.moments, shapes=self.shapes, **self._how_to_solve())

    def get_extra_state(self) -> Tensor:
        """Shapes and re-solves as JSON bytes, so that a state_dict holds nothing but tensors."""
        return as_bytes(
            {
                "latent_dim": self.latent_dim,
                "target_covariance": needs_target_covariance(self.method, self.separation),
                "k": self.k,
                "shapes": self.shapes,
                "resolve_steps": self.resolve_steps,
            }
        )

    def set_extra_state(self, state: Tensor) -> None:
        """Make the buffers that the rest of the state_dict fills, in the order of quantities that it has."""
        record = self._checked_record(state)
        self.k, self.resolve_steps = record["k"], record["resolve_steps"]
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
            expected |= {f"{name}.{key}": buffer for key, buffer in part.named_buffers()}
        check_entries(expected, state, strict=strict)

    def _checked_record(self, state: Tensor | None) -> dict[str, Any]:
        """What a state says of itself, with shapes as tuples; raises what :meth:`check_state` does."""
        record = from_bytes(
            state, ("latent_dim", "target_covariance", "k", "shapes", "resolve_steps"), what="a guidance objective"
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
        shapes, steps = record["shapes"], record["resolve_steps"]
        if not isinstance(steps, list) or not all(isinstance(step, int) for step in steps):
            raise FileFormatError(f"The state to load must have a list of resolve_steps, got {steps!r:.80}.")
        shapes = {} if shapes == {} else self._checked_shapes(shapes)
        if shapes and self.shapes and shapes != self.shapes:
            raise ShapeError(f"The state to load must have targets of the shapes {self.shapes}, got {shapes}.")
        return record | {"shapes": {name: shapes[name] for name in record["k"] if shapes}}

    def _checked(self, z: Tensor, y: Mapping[str, Tensor], *, min_samples: int = 2) -> Batch:
        """Flattened targets and their shapes, which the objective does not know before it has taken in a batch."""
        z = check_latents(z, min_samples=min_samples)
        if z.shape[1] != self.latent_dim:
            raise ShapeError(
                f"The objective has latent_dim = {self.latent_dim}, got latents of shape {tuple(z.shape)}."
            )
        check_named(self.k, y, what="Targets", against="k")
        flat = check_targets(y, batch=len(z), device=z.device)
        shapes = {name: tuple(y[name].shape[1:]) for name in self.k}
        if self.shapes and shapes != self.shapes:
            raise ShapeError(
                f"Targets must keep their shapes {self.shapes}, got {shapes}. Pool every batch to the same size."
            )
        return Batch({name: flat[name] for name in self.k}, shapes)

    def _joint(self, z: Tensor, y: Mapping[str, Tensor], *, min_samples: int = 2) -> Batch:
        """The checked batch, and the sums of all processes that share it."""
        if self.ranks.size == 1:
            return self._checked(z, y, min_samples=min_samples)
        forces = self.balance.waiting()
        check = partial(self._checked, z, y, min_samples=0)
        try:
            return joint_batch(
                *(check, self._make_moments, z.detach(), self.ranks),
                known=self.shapes,
                also=[forces],
                min_samples=min_samples,
            )
        finally:  # a batch that is refused has carried the forces of the one before
            self.balance.remember_(forces)

    def _checked_shapes(self, shapes: Mapping[str, Sequence[int]]) -> Shapes:
        check_named(self.k, shapes, what="shapes", against="k")
        return {name: check_shape(shapes[name], what=f"The shape of quantity {name!r}") for name in self.k}

    def _make_moments(
        self, shapes: Mapping[str, tuple[int, ...]], *, device: torch.device | str | None = None
    ) -> Moments:
        return Moments(
            self.latent_dim,
            {name: torch.Size(shape).numel() for name, shape in shapes.items()},
            target_covariance=needs_target_covariance(self.method, self.separation),
            device=self.step.device if device is None else device,
        )

    def _allocate(self, shapes: Shapes) -> None:
        """Make empty buffers for targets of these shapes, where there are none; for no shapes, none."""
        if shapes == self.shapes and self.moments is not None and list(self.moments.names) == list(self.k):
            return
        self.shapes = shapes
        self.register_module("moments", self._make_moments(shapes) if shapes else None)
        solution = Solution(self.k, self.latent_dim, self.moments.target_dims) if shapes else None
        self.register_module("solution", solution and solution.to(self.step.device))

    def _used_k(self) -> dict[str, int]:
        """Subspace dimensions, as far as the shapes are known at most the entries of the quantity."""
        return {name: min(k, torch.Size(self.shapes[name]).numel()) if self.shapes else k for name, k in self.k.items()}

    @torch.no_grad()
    def _observe(self, z: Tensor, batch: Batch) -> None:
        """Add the batch to the running moments, which lose weight at the start of every block of samples."""
        self._allocate(batch.shapes)
        n = len(z) if batch.whole is None else int(batch.whole.count)
        if n > self.memory and not self._told_of_memory:
            self._told_of_memory = True
            logger.warning(
                "A batch of %d samples is larger than memory = %d, so its first samples weigh next to nothing in the "
                "running moments. Pass memory=%d or more to SpaceObjective.",
                *(n, self.memory, BLOCKS * ceil(n / BLOCKS)),
            )
        pieces = self._pieces(n)
        if batch.whole is None:
            add_pieces_(self.moments, pieces, z, batch.flat)
        elif len(pieces) == 1:
            self.moments.decay_(pieces[0].factor).merge(batch.whole)
        else:  # of the samples of this process, those before the start of a block weigh less
            counts = self.ranks.gather(len(z))
            part = self._make_moments(batch.shapes)
            add_pieces_(part, pieces, z, batch.flat, first=sum(counts[: self.ranks.rank]))
            sum_over_ranks_(dict(part.named_buffers()), self.ranks)
            self.moments.decay_(prod(piece.factor for piece in pieces)).merge(part)
        self.in_block.copy_((self.in_block + n) % self._block)
        self.step += 1
        if self.schedule.due_at_step(int(self.step)):
            self._take(self._solved(self.moments))
        elif self.solved and self.decoders == "refit":
            self._refit()

    @property
    def _block(self) -> int:
        """Samples of a block, all of which weigh the same."""
        return self.memory // BLOCKS

    def _pieces(self, n: int) -> list["Piece"]:
        """The next n samples, cut where a block starts; what came before is multiplied there, to less than the memory.

        So the weight of a sample depends on its number in the stream alone.
        """
        start, filled, count = 0, int(self.in_block) % self._block, float(self.moments.count)
        pieces = []
        while start < n:
            stop = min(n, start + self._block - filled)
            limit = self.memory / max(count, 1.0)
            factor = (1 - 1 / BLOCKS) * min(1.0, limit) if filled == 0 else 1.0
            pieces.append(Piece(factor, start, stop))
            start, filled, count = stop, 0, count * factor + stop - start
        return pieces

    def _take(self, W: Mapping[str, Tensor]) -> None:
        """Make these the bases, with decoders from the running moments."""
        self.solution.replace_bases(W)
        self._refit()
        if self.ranks.size > 1:  # unlike machines round differently
            self.ranks.broadcast_([*self.solution.W.values(), *self.solution.A.values()])
        self.resolve_steps.append(int(self.step))

    def _solved(self, moments: Moments) -> dict[str, Tensor]:
        return standardised_bases(moments, **self._how_to_solve())

    def _how_to_solve(self) -> dict[str, Any]:
        return {
            "k": self.k,
            "method": self.method,
            "orthogonal": self.orthogonal,
            "separation": self.separation,
            "previous": self.solution.W if self.solved else None,
            "ridge": self.ridge,
        }

    def _refit(self) -> None:
        A = decoders_from_moments(self.moments, self.solution.W, ridge=self.ridge)
        scale = target_scales(self.moments)
        self.solution.replace_decoders({name: A[name] / scale[name] for name in self.k})

    def _guidance(self, z: Tensor, inputs: Mapping[str, Any]) -> Tensor:
        """The loss, and its terms for logging; zero before the first solve."""
        if not inputs:
            self.terms = {}
            return (as_tensor(z) * 0).sum()
        terms = combined_loss(**inputs, weights=self.weights, return_terms=True)
        self.terms = {name: value.detach() for name, value in terms.items()}
        return terms["total"]

    @torch._disable_dynamo  # torch.compiler.disable, which would load the compiler already with isospan
    def _taken_in(
        self,
        z: Tensor,
        y: Mapping[str, Tensor],
        *,
        balanced: bool = False,
        read: Callable[[Tensor], Tensor] | None = None,
    ) -> dict[str, Any]:
        """Take in a batch where the state trains; return what the loss is made of, nothing before the first solve.

        All that looks at values or sends messages is here, so a compiler breaks its graph here and nowhere else. Where
        the guidance is to be ``balanced``, its weight comes along, and both forces on z are watched.
        """
        z = as_tensor(z)
        branch = z.clone() if balanced and isinstance(z, Tensor) else z
        latents = as_tensor(branch if read is None else read(branch))
        batch = self._joint(latents, y, min_samples=1) if self.training else self._checked(latents, y, min_samples=1)
        if self.training:
            observe = lambda z, *y: self._observe(z, batch._replace(flat=dict(zip(batch.flat, y, strict=True))))  # noqa: E731
            _Untransformed.apply(observe, latents.detach(), *batch.flat.values())
        n = len(latents) if batch.whole is None else float(batch.whole.count)
        if not self.solved or n < 2:
            return {}
        inputs = self._inputs(latents, batch)
        if not balanced:
            return inputs
        weight = self.balance.weight().to(working_dtype(latents))
        if self.training and z.requires_grad:
            self.balance.watch(z, branch, weight)
        return inputs | {"weight": weight}

    def _inputs(self, z: Tensor, batch: Batch) -> dict[str, Any]:
        """Arguments of the loss, in its precision and without units.

        The running mean is taken off in the precision of the targets, so that one far from zero costs no digits.
        """
        dtype, W_prev = working_dtype(z), self.solution.W_prev
        scale, mean = target_scales(self.moments), self.moments.y_mean
        # copies, which a solve between forward and backward does not change
        cast = lambda tensors: {name: t.to(dtype, copy=True) for name, t in tensors.items()}  # noqa: E731
        inputs = {
            "Z": z.to(dtype),
            "W": cast(self.solution.W),
            "A": cast(self.solution.A),
            "Y": {name: ((y - mean[name].to(y.dtype)) / scale[name]).to(dtype) for name, y in batch.flat.items()},
            "W_prev": None if W_prev is None else cast(W_prev),
        }
        if batch.whole is None:
            return inputs
        shift = {name: mean[name].to(y.dtype).double() for name, y in batch.flat.items()}
        standard = batch.whole.scaled({name: 1 / s for name, s in scale.items()}, shift=shift)
        return inputs | {"Z": self.ranks.for_average(inputs["Z"]), "whole": standard}


class _Untransformed(torch.autograd.Function):
    """Calls a function with the tensors that ``torch.func`` transforms, as they were before: it may change buffers."""

    @staticmethod
    def forward(function: Callable[..., None], *tensors: Tensor) -> None:
        function(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: None) -> None:
        """Nothing has a gradient."""


class Piece(NamedTuple):
    """Samples of one block: what all before them is multiplied by, their first number in the batch, and one past."""

    factor: float
    start: int
    stop: int


def add_pieces_(
    moments: Moments, pieces: Sequence[Piece], z: Tensor, y: Mapping[str, Tensor], *, first: int = 0
) -> None:
    """Add to moments those samples of every piece that are here; the first of these has the number ``first``."""
    for factor, start, stop in pieces:
        moments.decay_(factor)
        rows = slice(max(start - first, 0), max(stop - first, 0))
        if len(z[rows]):
            moments.update(z[rows], {name: y_q[rows] for name, y_q in y.items()})
