"""What ``print`` shows of a representation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isospan.representations.blocks import Block
    from isospan.representations.representation import Representation

MOST_BLOCKS = 6


def describe(rep: Representation) -> str:
    """Name, group and size; the blocks; and the irreps with their multiplicities and spectral coordinates."""
    kind = ", a permutation" if rep.is_permutation else ""
    head = f"Representation {rep.name!r} of {rep.group.name}, size {rep.size}{kind}"
    shown = ", ".join(_block_text(block) for block in rep.blocks[:MOST_BLOCKS])
    more = f", and {len(rep.blocks) - MOST_BLOCKS} more" if len(rep.blocks) > MOST_BLOCKS else ""
    width = max(len(f"{c.multiplicity} x {c.irrep.name}") for c in rep.isotypic)
    kinds = max(len(c.irrep.type) for c in rep.isotypic)
    rows = [
        f"{f'{c.multiplicity} x {c.irrep.name}':<{width}}   dimension {c.irrep.size}, {c.irrep.type:<{kinds}}   "
        f"{c.slice.start}:{c.slice.stop}"
        for c in rep.isotypic
    ]
    return "\n".join([head, f"  blocks   {len(rep.blocks)}: {shown}{more}", "  irreps   " + "\n           ".join(rows)])


def _block_text(block: Block) -> str:
    copies = "one" if block.copies == 1 else f"{block.copies} copies"
    return f"{copies} of {block.size} coordinates" if block.size > 1 else f"{copies} of 1 coordinate"
