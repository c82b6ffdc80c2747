"""The guidance loss of a training loop: running moments, subspaces, closed-form decoders, balance."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack

from isospan._core.checks import as_floating, as_tensor, check_partition, working_dtype
from isospan._core.missing import Missing, weighted_samples
from isospan.errors import NotSolvedError, OptionError, ShapeError
from isospan.guided._balance import GradientBalance, lead_of
from isospan.guided._batch import Batch, Shapes, joint_batch
from isospan.guided._running import PRODUCTS, READING_RIDGE, Decoders, RunningSolution
from isospan.guided._schedules import Schedule
from isospan.guided._terms import inputs_of_terms, weighted_terms
from isospan.guided.losses._combined import checked_weights
from isospan.subspaces import LatentSpace, Method

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class SpaceObjective(RunningSolution):
    r"""Guide a latent space: each quantity becomes readable from its own linear subspace.

    Every training batch enters the running moments. They decay exponentially with the number of samples, so they do not
    depend on how a stream of samples is cut into batches. At the steps of the schedule the bases W are solved from the
    moments. The decoders A are fitted to the moments in closed form (variable projection: the gradient is that of the
    best decoders): at every step until the moments fill three quarters of the memory, then whenever a quarter of it has
    arrived. With the running means and the standardised quantities
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
        decoders: ``"refit"`` between solves, or ``"frozen"``.
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
        super().__init__(
            k,
            latent_dim,
            schedule=schedule,
            method=method,
            orthogonal=orthogonal,
            separation=separation,
            decoders=decoders,
            memory=memory,
            ridge=ridge,
            missing=missing,
            classes=classes,
            process_group=process_group,
        )
        checked_weights(weights)
        self.weights: dict[str, float] = {"alignment": 1.0} if weights is None else dict(weights)
        self.terms: dict[str, Tensor] = {}
        self.balance: GradientBalance = GradientBalance(strength, self.ranks)
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
        observed = self._observed if torch.compiler.is_compiling() else self._observe_and_read
        return self._guidance(z, observed(z, y, weights=weights))

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
        observed = self._observed if torch.compiler.is_compiling() else self._observe_and_read
        inputs = observed(z, y, balanced=True, to_latents=to_latents, weights=weights)
        guidance = self._guidance(z, inputs)
        if not inputs:
            return task_loss + guidance
        inputs["losses"].append(self.terms["total"])
        self.terms.update(task=task_loss.detach(), weight=inputs["weight"])
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
        moments = batch.joint or self._make_moments(batch.shapes)
        if batch.joint is None:
            batch.add_to(moments, z)
        W = self._solved(moments, ridge=self.ridge)
        space = self._space_of(moments, batch.shapes, W if self.ridge == self.reading_ridge else None)
        self._allocate(batch.shapes)
        self.moments = moments
        self.recent.clear()
        self.in_period.zero_()
        self.filled.zero_()
        self._set_bases(W)
        return space

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Count an epoch, and solve where the schedule says so."""
        self.synchronize()
        self.epoch.add_(1)
        self._add_recent()
        is_due = self.schedule.due_at_epoch(int(self.epoch)) and self.moments is not None
        if is_due and float(self.moments.count) > 0 and (self.solved or self.missing == "raise" or self._vary()):
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
        return self._space_of(self._present_moments(), self.shapes)

    def _allocate(self, shapes: Shapes) -> None:
        super()._allocate(shapes)
        if shapes:
            self.balance.lead = lead_of(sum(self.solution.sizes.values()), self.latent_dim)

    def _checked(
        self, z: Tensor, y: Mapping[str, Tensor], *, weights: Tensor | None = None, min_samples: int = 2
    ) -> Batch:
        if weights is not None and any(weight for term, weight in self.weights.items() if term != "alignment"):
            raise OptionError(
                f"Weights of samples concern the alignment alone, got the terms {self.weights}. Train by the alignment "
                "alone, or without weights of samples."
            )
        return super()._checked(z, y, weights=weights, min_samples=min_samples)

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

    @torch._disable_dynamo  # torch.compiler.disable, which would load the compiler already with isospan
    def _observed(self, *args: Any, **options: Any) -> dict[str, Any]:
        """All that looks at values or sends messages, where a compiler breaks its graph; it does so nowhere else."""
        return self._observe_and_read(*args, **options)

    def _observe_and_read(
        self,
        z: Tensor,
        y: Mapping[str, Tensor],
        *,
        balanced: bool = False,
        to_latents: Callable[[Tensor], Tensor] | None = None,
        weights: Tensor | None = None,
    ) -> dict[str, Any]:
        """Update the state in training mode; return the inputs of the loss, or nothing before the first solve.

        Where the guidance is ``balanced``, its weight comes along, and the backward pass measures both gradients at z.
        """
        z, plain = as_tensor(z), peek_interpreter_stack() is None  # a gradient of torch.func runs no hooks
        measured = (
            balanced
            and self.training
            and plain
            and getattr(z, "requires_grad", False)
            and self.balance.is_due(int(self.step))
        )
        branch = z.clone() if measured else z
        latents = branch if to_latents is None else as_tensor(to_latents(branch))
        latents, y, weights = weighted_samples(latents, y, weights)
        check = self._joint if self.training else self._checked
        batch = check(latents, y, weights=weights, min_samples=1)
        if self.training:
            with torch.no_grad():
                self._observe(latents, batch) if plain else self._observe_untransformed(latents, batch)
        if not self.solved:
            return {}
        inputs = inputs_of_terms(latents, batch, self.weights, self.moments, self.solution, self.ranks)
        if balanced:
            inputs["weight"] = self.balance.weight(working_dtype(latents))
            inputs["losses"] = losses = []
            if measured:
                self.balance.measure(z, branch, inputs["weight"], loss=lambda: losses[0] / sum(self.weights.values()))
        return inputs

    def _guidance(self, z: Tensor, inputs: Mapping[str, Any]) -> Tensor:
        """Return the loss, and keep its terms for logging; zero before the first solve."""
        loss, self.terms = weighted_terms(as_tensor(z), inputs, self.weights)
        return loss
