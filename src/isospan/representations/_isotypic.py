"""Isotypic components, the copies of one irrep: their sources among the blocks, their text and their picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from isospan.representations._blocks import Block
from isospan.representations._decomposition import IrrepT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BLOCKS = 6
"""Number of blocks that ``print`` shows."""


@dataclass(frozen=True, eq=False)
class Source:
    """Origin of copies of an irrep: ``columns`` of the basis of ``rep.blocks[block]``, in each copy of the block."""

    block: int
    columns: slice
    multiplicity: int


@dataclass(frozen=True, eq=False)
class IsotypicComponent(Generic[IrrepT]):
    """All copies of one irrep in a representation.

    In the irrep basis its coordinates are ``slice``, copy after copy: a row of
    ``z[..., slice].reshape(..., multiplicity, irrep.size)`` is a copy. The copies are in the order of ``sources``. Of a
    source, all copies of the irrep in the first copy of the block come first, then those in the second.

    Example:
        >>> from isospan.groups import SymmetricGroup
        >>> (2 * SymmetricGroup(3).regular_representation).isotypic[2]
        IsotypicComponent(4 x psi_2, dimension 2, 4:12)
    """

    irrep: IrrepT
    multiplicity: int
    slice: slice
    sources: tuple[Source, ...]

    @property
    def size(self) -> int:
        """Number of dimensions: the multiplicity times the dimension of the irrep."""
        return self.multiplicity * self.irrep.size

    def __repr__(self) -> str:
        return (
            f"IsotypicComponent({self.multiplicity} x {self.irrep.name}, dimension {self.irrep.size}, "
            f"{self.slice.start}:{self.slice.stop})"
        )


def isotypic_components(blocks: Sequence[Block]) -> tuple[IsotypicComponent[Any], ...]:
    """Gather the irreps of all blocks, in the order of the group's list of irreps."""
    irreps = {part.irrep.key: part.irrep for block in blocks for part in block.parts}
    components, start = [], 0
    for key in sorted(irreps):
        sources = tuple(
            Source(b, part.columns, part.multiplicity)
            for b, block in enumerate(blocks)
            for part in block.parts
            if part.irrep.key == key
        )
        multiplicity = sum(source.multiplicity * blocks[source.block].multiplicity for source in sources)
        stop = start + multiplicity * irreps[key].size
        components.append(IsotypicComponent(irreps[key], multiplicity, slice(start, stop), sources))
        start = stop
    return tuple(components)


def irrep_order(blocks: Sequence[Block], components: Sequence[IsotypicComponent[Any]]) -> np.ndarray:
    """Return the positions (D,) of the irrep-basis coordinates among those of the blocks, copy after copy."""
    offsets = np.cumsum([0, *(block.indices.size for block in blocks)])
    order = []
    for component in components:
        for source in component.sources:
            block = blocks[source.block]
            starts = offsets[source.block] + block.size * np.arange(block.multiplicity)
            order.append((starts[:, None] + np.arange(source.columns.start, source.columns.stop)).ravel())
    return np.concatenate(order)


def describe(blocks: Sequence[Block], components: Sequence[IsotypicComponent[Any]]) -> str:
    """Return text with the blocks, and the irreps with their multiplicities and coordinates in the irrep basis."""
    shown = ", ".join(_block_text(block) for block in blocks[:MOST_BLOCKS])
    more = f", and {len(blocks) - MOST_BLOCKS} more" if len(blocks) > MOST_BLOCKS else ""
    width = max(len(f"{c.multiplicity} x {c.irrep.name}") for c in components)
    types = max(len(c.irrep.type) for c in components)
    rows = [
        f"{f'{c.multiplicity} x {c.irrep.name}':<{width}}   dimension {c.irrep.size}, {c.irrep.type:<{types}}   "
        f"{c.slice.start}:{c.slice.stop}"
        for c in components
    ]
    return "\n".join([f"  blocks   {len(blocks)}: {shown}{more}", "  irreps   " + "\n           ".join(rows)])


def _block_text(block: Block) -> str:
    copies = "one" if block.multiplicity == 1 else f"{block.multiplicity} copies"
    return f"{copies} of {block.size} coordinates" if block.size > 1 else f"{copies} of 1 coordinate"


def plot_components(components: Sequence[IsotypicComponent[Any]], ax: Axes | None, *, title: str) -> Axes:
    """Draw ρ in the irrep basis: a shaded square is an isotypic component, a filled square a copy of its irrep."""
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
    for number, component in enumerate(components):
        _draw_component(ax, component, color=f"C{number % 10}")
    size = components[-1].slice.stop
    ax.set(xlim=(0, size), ylim=(size, 0), aspect="equal", title=title)
    ax.set(xlabel="coordinate in the irrep basis", ylabel="coordinate in the irrep basis")
    ax.legend(loc="upper right", frameon=False, fontsize="small")
    return ax


def _draw_component(ax: Axes, component: IsotypicComponent[Any], *, color: str) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    start, d = component.slice.start, component.irrep.size
    label = f"{component.multiplicity} x {component.irrep.name} ({component.irrep.type}, {d})"
    ax.add_patch(Rectangle((start, start), component.size, component.size, color=color, alpha=0.2, lw=0, label=label))
    corners = range(start, component.slice.stop, d)
    ax.add_collection(PatchCollection([Rectangle((c, c), d, d) for c in corners], facecolor=color, edgecolor="white"))
