"""The solution of one solve: bases, decoders and target directions of every quantity."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from isospan._core.checks import as_device, as_floating, check_dtype, check_named, check_not_empty
from isospan.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Space(Mapping[str, tuple[Tensor, Tensor, Tensor]]):
    """Subspaces of named quantities: a mapping name -> (W, A, V), in that order everywhere.

    Attributes:
        W: bases {name: (k, D)}, orthonormal rows.
        A: decoders {name: (k, P)}: the centred quantity is read as ``(z - z_mean) @ W.T @ A``.
        V: principal target directions {name: (P,)}, unit length.

    Raises:
        NameMismatchError: W, A and V name different quantities.
        ShapeError, DtypeError: these are no real matrices and vectors of fitting sizes.

    Example:
        >>> import torch
        >>> space = Space(W={"a": torch.eye(3)[:1]}, A={"a": torch.ones(1, 2)}, V={"a": torch.ones(2) / 2**0.5})
        >>> list(space), "a" in space, len(space)
        (['a'], True, 1)
        >>> W, A, V = space["a"]
        >>> W.shape, A.shape, V.shape
        (torch.Size([1, 3]), torch.Size([1, 2]), torch.Size([2]))
    """

    W: dict[str, Tensor]
    A: dict[str, Tensor]
    V: dict[str, Tensor]

    def __post_init__(self) -> None:
        check_not_empty(self.W, what="W")
        for what, dims in (("W", 2), ("A", 2), ("V", 1)):
            part = getattr(self, what)
            check_named(self.W, part, what=what, against="W")
            part = {name: as_floating(tensor, what=f"{what} of quantity {name!r}") for name, tensor in part.items()}
            for name, tensor in part.items():
                if tensor.dim() != dims:
                    raise ShapeError(f"{what} of quantity {name!r} must have {dims} axes, got {tuple(tensor.shape)}.")
            object.__setattr__(self, what, part)
        for name, (W, A, V) in self.items():
            if len(W) != len(A) or A.shape[1:] != V.shape:
                raise ShapeError(
                    f"Quantity {name!r} needs W (k, D), A (k, P) and V (P,), got {tuple(W.shape)}, {tuple(A.shape)} "
                    f"and {tuple(V.shape)}."
                )

    def __getitem__(self, name: str) -> tuple[Tensor, Tensor, Tensor]:
        return self.W[name], self.A[name], self.V[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.W)

    def __len__(self) -> int:
        return len(self.W)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: W {tuple(W.shape)}, A {tuple(self.A[name].shape)}" for name, W in self.W.items())
        return f"Space({shapes})"

    def to(self, target: torch.dtype | torch.device | str) -> "Space":
        """Return the space in another dtype or on another device."""
        if isinstance(target, torch.dtype):
            check_dtype(target, what="dtype")
        else:
            target = as_device(target)
        moved = ({name: t.to(target) for name, t in part.items()} for part in (self.W, self.A, self.V))
        return Space(*moved)
