"""The weight of guidance against the task, from the norms of both gradients at the latents."""

from collections.abc import Callable
from math import exp, isfinite, log, sqrt
from typing import Any

import torch
from torch import Tensor

from isospan._core.checks import check_number
from isospan._core.processes import Ranks
from isospan._core.states import KeepsPrecision
from isospan._core.warnings import warn

MEMORY = 0.9
"""Weight of the past in the exponential moving average of the log ratio of the norms, so that about ten steps count."""
HEAD_START = 100
"""Measured steps over which guidance leads: the encoder takes shape before the decoder, whose gradient is small then.

On seven sets of fields and vectors 100 gave the same as a constant weight of 0.05 to 0.1 at initialisation, which would
have the unit of the task. Without it, three-body trajectories are read with an R² of 0.72 instead of 0.84.
"""
SETTLED = 100
"""Measured steps after which only some steps are measured."""
EVERY = 5
"""Of how many steps one is then measured, which stands for all of them: a prime, as batches may alternate."""
LARGEST_LOG = 700.0
"""Largest logarithm whose exponential is within float64."""
UNMEASURED_STEPS = 10
"""Steps without a gradient norm of the task after which something is wrong."""
UNMEASURED_RATIO = 0.01
"""Weight over strength until a norm has been measured; guidance trains with it only after these steps."""


MOST_FREE = 4
"""The largest D/K that counts: beyond, one quantity of pure noise would cost the task too much."""


def lead_of(K: int, latent_dim: int) -> float:
    r"""Factor :math:`\sqrt{D/K}` of the weight, from 1 to 2, for K guided dimensions of D: the task keeps the others.

    Example:
        >>> lead_of(4, 16), lead_of(1, 16), lead_of(20, 16)
        (2.0, 2.0, 1.0)
    """
    return sqrt(min(max(latent_dim / K, 1), MOST_FREE))


class GradientBalance(KeepsPrecision):
    r"""Weight of guidance, from the norms of both gradients at the latents and the guidance loss.

    .. math:: w = \text{strength} \; \ell \, \Bigl(1 + \frac{h}{t}\Bigr) \exp \Bigl\langle \log
        \frac{\| \partial L_\text{task} / \partial z \| \sqrt{L_\text{guide}}}
        {\| \partial L_\text{guide} / \partial z \|} \Bigr\rangle

    with the number t of measured steps and an exponential moving average. The scale and the sign of the task loss do
    not matter, nor does a constant that is added to it. The root of the guidance loss, an unexplained share of
    variance, lowers the weight where much is read: the gradient of the guidance then shrinks with the error, as that of
    a squared error with a constant weight does.

    Both gradients arrive during ``backward`` anyway: that of the guidance at its own branch of z, the sum of both at z.
    So a measurement costs two norms and no further pass. After a hundred, one of five steps is measured. The first step
    only measures: the gradient of the guidance stops at its branch, since its weight would have to have the unit of the
    task.

    Processes that share a batch each see the gradients of their shard. The squared norms have to be summed, and a
    backward pass may not wait for other processes. So a measurement is pending until :meth:`pending` hands it over, and
    its sum over the processes goes to :meth:`update_`.

    Args:
        strength: dimensionless, at least 0.
        ranks: the processes that share a batch.
        head_start: h, in steps.

    Attributes:
        lead: the factor ℓ, of :func:`lead_of`; 1 before the number of guided dimensions is known.

    Example:
        >>> import torch
        >>> balance, z = GradientBalance(strength=0.5, head_start=0), torch.ones(4, requires_grad=True)
        >>> for _ in range(2):
        ...     branch, weight = z.clone(), balance.weight()
        ...     balance.measure(z, branch, weight, loss=lambda: torch.tensor(0.25))
        ...     (300 * z.sum() + weight * branch.sum()).backward()
        >>> round(float(balance.weight()))  # 0.5 · 300 · √0.25
        75
    """

    log_ratio: Tensor
    measured: Tensor
    watched: Tensor

    def __init__(self, strength: float, ranks: Ranks | None = None, *, head_start: float = HEAD_START) -> None:
        super().__init__()
        self.strength: float = check_number(strength, what="strength (0 switches guidance off)")
        self.ranks: Ranks = ranks or Ranks()
        self.head_start: float = check_number(head_start, what="head_start")
        self.lead: float = 1.0
        self._pending: list[Tensor] = []
        self._warned = False
        self._last: tuple[Any, ...] = (None,) * 4  # the weight before, as a number and as a tensor
        self.register_buffer("log_ratio", torch.zeros((), dtype=torch.float64))
        for counter in ("measured", "watched"):
            self.register_buffer(counter, torch.zeros((), dtype=torch.int64))

    def weight(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """Return w, a scalar without gradient."""
        steps = int(self.measured)
        ratio = exp(min(float(self.log_ratio), LARGEST_LOG)) * self.lead * (1 + self.head_start / max(steps, 1))
        w = self.strength * (ratio if steps else UNMEASURED_RATIO)
        if (w, dtype, self.log_ratio.device) != self._last[:3]:
            with torch.inference_mode(False):  # else it cannot be used with gradients later
                self._last = (w, dtype, self.log_ratio.device, self.log_ratio.new_tensor(w, dtype=dtype))
        return self._last[3]

    def is_due(self, step: int) -> bool:
        """Whether to measure in this step."""
        return step % EVERY == 0 or int(self.measured) < SETTLED

    def measure(self, z: Tensor, branch: Tensor, weight: Tensor, *, loss: Callable[[], Tensor]) -> None:
        """Measure the gradient norms of task and guidance in the next backward pass.

        Args:
            z: latents that the task reads, requiring a gradient.
            branch: a function of z (such as ``z.clone()``) that only the guidance reads.
            weight: of the guidance in the loss.
            loss: returns the guidance loss of this step, without its weight, when the backward pass runs.

        Warns:
            NumericalWarning: none of the first ten backward passes had a gradient of the task.
        """
        only_measures = not int(self.measured) and not self._is_blind()
        from_guidance: list[Tensor] = []

        def at_branch(gradient: Tensor) -> Tensor | None:
            from_guidance.append(gradient.detach())
            return torch.zeros_like(gradient) if only_measures else None

        def at_latents(gradient: Tensor) -> None:
            if from_guidance:
                handle.remove()  # latents that are parameters would collect a hook at every step
                guidance = from_guidance.pop()
                task = gradient.detach() - (0 if only_measures else guidance)
                self._record(torch.stack([_norm(task), _norm(guidance) / weight / loss().sqrt()]).square())

        branch.register_hook(at_branch)
        handle = z.register_hook(at_latents)

    def _is_blind(self) -> bool:
        """Whether the first steps showed no gradient of the task, so that guidance trains without one; warns once."""
        is_blind = bool(self.strength) and int(self.watched) >= UNMEASURED_STEPS
        if is_blind and not self._warned:
            self._warned = True
            warn(
                f"In {UNMEASURED_STEPS} steps no gradient of the task was seen at the latents, so guidance weighs "
                f"{UNMEASURED_RATIO:g} times its strength from now on. Pass as z the tensor that the task reads: a "
                "model compiled or wrapped as a whole returns a copy of it."
            )
        return is_blind

    def _record(self, squares: Tensor) -> None:
        if self.ranks.size > 1:
            self._pending.append(squares)
        else:
            self.update_(squares)

    def pending(self) -> Tensor:
        """Hand over the sum of the squared norms (2,) of task and guidance that were measured since the last call."""
        squares = torch.stack([self.log_ratio.new_zeros(2), *self._pending]).sum(0)
        self._pending.clear()
        return squares

    @torch.no_grad()
    def update_(self, squares: Tensor) -> None:
        """Take squared norms (2,) of task and guidance into the moving average, that of guidance over its loss.

        Where either is zero or not finite, nothing is changed.
        """
        task, guidance = squares.tolist()
        if isfinite(task) and isfinite(guidance) and guidance > 0:
            self.watched.add_(1)
            if task > 0:
                steps = 1 if int(self.measured) < SETTLED else EVERY
                self.measured.add_(steps)
                share = max(1 / int(self.measured), 1 - MEMORY**steps)
                self.log_ratio.add_(share * ((log(task) - log(guidance)) / 2 - float(self.log_ratio)))


def _norm(x: Tensor) -> Tensor:
    """Return the norm in float64, whose range holds that of half precision and of very small weights."""
    return torch.linalg.vector_norm(x, dtype=torch.float64)
