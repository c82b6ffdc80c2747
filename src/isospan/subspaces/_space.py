"""The solution of one solve: bases, decoders and target directions of every quantity."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from isospan._core.checks import check_names


@dataclass(frozen=True, eq=False)
class Space(Mapping[str, tuple[Tensor, Tensor, Tensor]]):
    """Subspaces of named quantities: a mapping name -> (W, A, V), in that order everywhere.

    Attributes:
        W: bases {name: (k, D)}, orthonormal rows.
        A: decoders {name: (k, P)}: the centred quantity is read as ``(z - z_mean) @ W.T @ A``.
        V: principal target directions {name: (P,)}, unit length.

    Raises:
        NameMismatchError: W, A and V name different quantities.

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
        check_names(self.W, self.A, what="A", against="W")
        check_names(self.W, self.V, what="V", against="W")

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
        moved = ({name: t.to(target) for name, t in part.items()} for part in (self.W, self.A, self.V))
        return Space(*moved)
