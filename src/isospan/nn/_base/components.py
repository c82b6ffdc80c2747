"""Indices of the copies of irreps in the symmetry-adapted basis: plain numbers, which tracing takes as constants."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isospan.representations import Representation


class Component(NamedTuple):
    """All copies of one irrep: coordinates start to stop, ``multiplicity`` times ``dim`` of them."""

    start: int
    stop: int
    multiplicity: int
    dim: int
    is_trivial: bool

    def of(self, z: Tensor) -> Tensor:
        """The copies (..., multiplicity, dim) of spectral coordinates z (..., D)."""
        return z[..., self.start : self.stop].unflatten(-1, (self.multiplicity, self.dim))


def components_of(rep: Representation) -> tuple[Component, ...]:
    """The copies of every irrep, in the order of the symmetry-adapted basis."""
    return tuple(
        Component(c.slice.start, c.slice.stop, c.multiplicity, c.irrep.size, c.irrep.is_trivial) for c in rep.isotypic
    )


def by_component(z: Tensor, copies: Sequence[Component]) -> list[Tensor]:
    """The copies (..., multiplicity, dim) of every irrep in spectral coordinates z (..., D).

    They are cut apart at once: the gradients of slices would be added up, each as large as z.
    """
    parts = z.split([part.stop - part.start for part in copies], dim=-1)
    return [z.unflatten(-1, (part.multiplicity, part.dim)) for z, part in zip(parts, copies, strict=True)]


def copy_index(rep: Representation) -> np.ndarray:
    """The number of the copy that each spectral coordinate belongs to, (D,)."""
    return np.repeat(np.arange(len(rep.irreps)), [irrep.size for irrep in rep.irreps])


def mean_of_copies(values: Tensor, copies: Sequence[Component]) -> Tensor:
    """Means (..., number of copies) over the coordinates (..., D) of each copy."""
    return torch.cat([part.mean(-1) for part in by_component(values, copies)], dim=-1)


def norms(X: Tensor) -> Tensor:
    """Norms (..., m) of copies (..., m, d); every derivative at a copy that is zero is zero."""
    if X.shape[-1] == 1:
        return X.squeeze(-1).abs()
    is_zero = (X == 0).all(-1)
    return torch.linalg.vector_norm(X.masked_fill(is_zero.unsqueeze(-1), 1.0), dim=-1).masked_fill(is_zero, 0.0)


def trivial_component(copies: Sequence[Component]) -> Component:
    """The copies of the trivial irrep, none of them where there are none."""
    return next((part for part in copies if part.is_trivial), Component(0, 0, 0, 1, True))


def is_trivial_copy(copies: Sequence[Component]) -> np.ndarray:
    """1.0 for every copy of the trivial irrep and 0.0 for every other, (number of copies,)."""
    return np.concatenate([np.full(part.multiplicity, float(part.is_trivial)) for part in copies])
