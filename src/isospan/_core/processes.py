"""Communication between the processes of a global batch, through ``torch.distributed``."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch import distributed as dist

from isospan.errors import IsospanError, OptionError, ShapeError


class Ranks:
    """The processes of a group; a single one if ``torch.distributed`` is not initialised.

    Every method but ``size`` and ``rank`` is a collective: all processes of the group must call it, in the same order.

    Args:
        group: process group; by default all processes.

    Raises:
        OptionError: ``group`` is not a process group, or this process is not in it.

    Example:
        >>> Ranks().size
        1
    """

    def __init__(self, group: "dist.ProcessGroup | None" = None) -> None:
        if group is not None and not _is_group(group):
            raise OptionError(
                f"process_group must be a torch.distributed.ProcessGroup, got {group!r:.80}. Make one with "
                "dist.new_group."
            )
        if group is not None and dist.get_rank(group) < 0:
            raise OptionError(
                "This process must be in its process_group, and is not. Make a group of it with dist.new_group."
            )
        self.group = group

    @property
    def size(self) -> int:
        """Number of processes."""
        return dist.get_world_size(self.group) if dist.is_available() and dist.is_initialized() else 1

    @property
    def rank(self) -> int:
        """Rank of this process, from 0."""
        return dist.get_rank(self.group) if self.size > 1 else 0

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one dtype and device by their sums over the processes, in one message."""
        flat = torch.cat([t.flatten() for t in tensors])
        dist.all_reduce(flat, group=self.group)
        _unpack_(flat, tensors)

    def broadcast_(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one dtype and device by those of the first process, in one message."""
        flat = torch.cat([t.flatten() for t in tensors])
        dist.broadcast(flat, src=0 if self.group is None else dist.get_global_rank(self.group, 0), group=self.group)
        _unpack_(flat, tensors)

    def gather(self, item: Any) -> list[Any]:
        """Return the item of every process, by rank."""
        if self.size == 1:
            return [item]
        items = [None] * self.size
        dist.all_gather_object(items, item, group=self.group)
        return items

    def check_equal(self, item: object, *, what: str) -> None:
        """Raise a ShapeError on all processes unless their items are equal."""
        items = self.gather(item)
        different = [rank for rank, other in enumerate(items) if other != items[0]]
        if different:
            raise ShapeError(
                f"{what} must be the same on every process, got {items[0]} on rank 0 and {items[different[0]]} on rank "
                f"{different[0]}. Pass the same quantities, in the same order and shapes, everywhere."
            )

    def raise_first(self, error: IsospanError | None) -> None:
        """Raise on all processes the error of the lowest rank that has one."""
        for rank, raised in enumerate(self.gather(None if error is None else (type(error), str(error)))):
            if raised is not None:
                kind, message = raised
                raise kind(f"On rank {rank}: {message}") from error

    def for_average(self, x: Tensor) -> Tensor:
        """Return x with its gradient multiplied by the number of processes.

        DDP and FSDP average gradients over the processes. The gradient of a loss of the global batch is their sum.
        """
        return _MultipliedGradient.apply(x, self.size)  # type: ignore[return-value]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return this object, since a process group cannot be copied."""
        return self


def _is_group(group: Any) -> bool:
    """Whether this is a process group, or the placeholder of torch for a group without this process."""
    if not dist.is_available():
        return False
    return isinstance(group, dist.ProcessGroup) or group is dist.GroupMember.NON_GROUP_MEMBER


class _MultipliedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: int) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


def _unpack_(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))
