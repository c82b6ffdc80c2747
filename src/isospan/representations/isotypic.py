"""Isotypic components: all copies of one irrep, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from isospan.representations.blocks import Block

if TYPE_CHECKING:
    from isospan.representations.irrep import Irrep


@dataclass(frozen=True, eq=False)
class Source:
    """Where copies of an irrep come from: ``columns`` of the basis of ``rep.blocks[block]``, for each of its copies."""

    block: int
    columns: slice
    multiplicity: int


@dataclass(frozen=True, eq=False)
class IsotypicComponent:
    """All copies of one irrep in a representation.

    In the spectral basis the component takes the coordinates ``slice``, one copy after another, so that
    ``z[..., slice].reshape(..., multiplicity, irrep.size)`` has a copy a row. The copies come from the blocks in the
    order of ``sources``; those of a block by its own copies first, then by their multiplicity in each.

    Example:
        >>> from isospan.groups import SymmetricGroup
        >>> (2 * SymmetricGroup(3).regular_representation).isotypic[2]
        IsotypicComponent(4 x psi_2, dimension 2, 4:12)
    """

    irrep: Irrep
    multiplicity: int
    slice: slice
    sources: tuple[Source, ...]

    @property
    def size(self) -> int:
        """Number of dimensions: multiplicity times the irrep's."""
        return self.multiplicity * self.irrep.size

    def __repr__(self) -> str:
        return (
            f"IsotypicComponent({self.multiplicity} x {self.irrep.name}, dimension {self.irrep.size}, "
            f"{self.slice.start}:{self.slice.stop})"
        )


def isotypic_components(blocks: Sequence[Block]) -> tuple[IsotypicComponent, ...]:
    """Gather the parts of all blocks by irrep, in the order of the group's list of irreps."""
    irreps = {part.irrep.key: part.irrep for block in blocks for part in block.parts}
    components, start = [], 0
    for key in sorted(irreps):
        sources = tuple(
            Source(b, part.columns, part.multiplicity)
            for b, block in enumerate(blocks)
            for part in block.parts
            if part.irrep.key == key
        )
        multiplicity = sum(source.multiplicity * blocks[source.block].copies for source in sources)
        stop = start + multiplicity * irreps[key].size
        components.append(IsotypicComponent(irreps[key], multiplicity, slice(start, stop), sources))
        start = stop
    return tuple(components)


def spectral_order(blocks: Sequence[Block], components: Sequence[IsotypicComponent]) -> np.ndarray:
    """Positions (D,) of the spectral coordinates among those of the blocks, which follow one another copy by copy."""
    offsets = np.cumsum([0, *(block.indices.size for block in blocks)])
    order = []
    for component in components:
        for source in component.sources:
            block = blocks[source.block]
            starts = offsets[source.block] + block.size * np.arange(block.copies)
            order.append((starts[:, None] + np.arange(source.columns.start, source.columns.stop)).ravel())
    return np.concatenate(order)
