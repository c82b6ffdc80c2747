"""The weight of guidance against the task, by the force of each on the latents."""

import torch
from torch import Tensor

from isospan._core.checks import check_number
from isospan._core.processes import Ranks
from isospan._core.states import KeepsPrecision
from isospan._core.warnings import warn

MEMORY = 0.9
"""Share of the running mean of the log force ratio that a step leaves."""
UNMEASURED_STEPS = 10
"""Steps without a gradient norm of the task after which something is wrong."""
UNMEASURED_RATIO = 0.01
"""Weight over strength until a norm has been measured; guidance trains with it only after these steps."""


class ForceBalance(KeepsPrecision):
    r"""Weight w with which guidance pulls at the latents ``strength`` times as hard as the task.

    .. math:: w = \text{strength} \cdot \exp \Bigl\langle \log
        \frac{\| \partial L_\text{task} / \partial z \|}{\| \partial L_\text{guide} / \partial z \|} \Bigr\rangle

    Both gradients arrive during ``backward`` anyway: the one of the guidance at its own branch of z, the sum of both
    at z. So measuring costs two norms and no pass. Any scale of the loss cancels, and its sign does not enter.

    The first step only measures: the gradient of the guidance stops at its branch, since its weight would have to have
    the unit of the task.

    Of processes that share a batch, each sees the gradients of its part, and the squares have to be summed. That is not
    done in the backward pass, where one process may be alone or early: what a process measures waits until it is asked
    for by :meth:`waiting`, and the sum is given to :meth:`remember_`.

    Args:
        strength: dimensionless, at least 0.
        ranks: the processes that share a batch.

    Example:
        >>> import torch
        >>> balance, z = ForceBalance(strength=0.5), torch.ones(4, requires_grad=True)
        >>> for _ in range(2):
        ...     branch, weight = z.clone(), balance.weight()
        ...     balance.watch(z, branch, weight)
        ...     (300 * z.sum() + weight * branch.sum()).backward()
        >>> round(float(balance.weight()))
        150
    """

    log_ratio: Tensor
    measured: Tensor
    watched: Tensor

    def __init__(self, strength: float, ranks: Ranks | None = None) -> None:
        super().__init__()
        self.strength: float = check_number(strength, what="strength (0 switches guidance off)")
        self.ranks: Ranks = ranks or Ranks()
        self._waiting: list[Tensor] = []
        self._warned = False
        self.register_buffer("log_ratio", torch.zeros((), dtype=torch.float64))
        for counter in ("measured", "watched"):
            self.register_buffer(counter, torch.zeros((), dtype=torch.int64))

    def weight(self) -> Tensor:
        """Return w, a scalar without gradient."""
        return self.strength * torch.where(self.measured > 0, self.log_ratio.exp(), UNMEASURED_RATIO)

    def watch(self, z: Tensor, branch: Tensor, weight: Tensor) -> None:
        """Measure both forces in the backward pass to come.

        Args:
            z: latents that the task reads, requiring a gradient.
            branch: a function of z (such as ``z.clone()``) that only the guidance reads.
            weight: of the guidance in the loss.

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
                guidance = from_guidance.pop()
                task = gradient.detach() - (0 if only_measures else guidance)
                self._measured(torch.stack([_norm(task), _norm(guidance) / weight]).square())

        branch.register_hook(at_branch)
        z.register_hook(at_latents)

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

    def _measured(self, squares: Tensor) -> None:
        if self.ranks.size > 1:
            self._waiting.append(squares)
        else:
            self.remember_(squares)

    def waiting(self) -> Tensor:
        """Hand over what was measured since the last call: squared norms (2,) of the forces of task and guidance."""
        squares = torch.stack([self.log_ratio.new_zeros(2), *self._waiting]).sum(0)
        self._waiting.clear()
        return squares

    @torch.no_grad()
    def remember_(self, squares: Tensor) -> None:
        """Take squared norms into the running mean of the log, in which one large force does not count for long.

        Where either is zero or not finite, nothing is changed.
        """
        log = (squares[0] / squares[1]).log() / 2
        valid = log.isfinite()
        self.measured += valid
        self.watched += squares.isfinite().all() & (squares[1] > 0)
        share = (1 / self.measured.clamp(min=1)).clamp(min=1 - MEMORY)
        self.log_ratio += torch.where(valid, share * (log - self.log_ratio), 0.0)


def _norm(x: Tensor) -> Tensor:
    """In float64, which neither half precision nor a weight of next to nothing leaves."""
    return torch.linalg.vector_norm(x, dtype=torch.float64)
