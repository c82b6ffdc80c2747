"""The isotypic components in the irrep basis, as plain integers, which tracing takes as constants."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isospan.representations import Representation, left_multiplication


class Component(NamedTuple):
    """The isotypic component of one irrep: coordinates start to stop, ``multiplicity`` times ``dim`` of them."""

    start: int
    stop: int
    multiplicity: int
    dim: int
    is_trivial: bool

    def of(self, z: Tensor) -> Tensor:
        """The copies (..., multiplicity, dim) of coordinates z (..., D) in the irrep basis."""
        return z[..., self.start : self.stop].unflatten(-1, (self.multiplicity, self.dim))


def components_of(rep: Representation) -> tuple[Component, ...]:
    """The isotypic components, in the order of the irrep basis."""
    return tuple(
        Component(c.slice.start, c.slice.stop, c.multiplicity, c.irrep.size, c.irrep.is_trivial) for c in rep.isotypic
    )


def by_component(z: Tensor, components: Sequence[Component]) -> list[Tensor]:
    """The copies (..., multiplicity, dim) of each irrep in coordinates z (..., D).

    One split makes them, since the gradient of each slice would be as large as z.
    """
    parts = z.split([part.stop - part.start for part in components], dim=-1)
    return [z.unflatten(-1, (part.multiplicity, part.dim)) for z, part in zip(parts, components, strict=True)]


def copy_index(rep: Representation) -> np.ndarray:
    """The index of the copy that each coordinate in the irrep basis belongs to, (D,)."""
    return np.repeat(np.arange(len(rep.irreps)), [irrep.size for irrep in rep.irreps])


def mean_of_copies(values: Tensor, components: Sequence[Component]) -> Tensor:
    """Means (..., number of copies) over the coordinates (..., D) of each copy."""
    return torch.cat([part.mean(-1) for part in by_component(values, components)], dim=-1)


def norms(X: Tensor) -> Tensor:
    """Norms (..., m) of copies (..., m, d). All derivatives at a copy that is zero are zero."""
    if X.shape[-1] == 1:
        return X.squeeze(-1).abs()
    is_zero = (X == 0).all(-1)
    return torch.linalg.vector_norm(X.masked_fill(is_zero.unsqueeze(-1), 1.0), dim=-1).masked_fill(is_zero, 0.0)


def scalar_matrix(C: Tensor) -> Tensor:
    """The real matrix (..., s m, s n) of scalars C (..., m, n, s) with s coordinates, which come before the copies."""
    if C.shape[-1] == 1:
        return C.squeeze(-1)
    return left_multiplication(C.unbind(-1)).movedim((0, 1), (-4, -2)).flatten(-4, -3).flatten(-2)


def invariant_count(rep: Representation) -> int:
    """Number m of trivial copies. They are the first m coordinates in the irrep basis."""
    first = rep.isotypic[0]
    return first.multiplicity if first.irrep.is_trivial else 0
