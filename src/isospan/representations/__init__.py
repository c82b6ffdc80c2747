"""Representations of groups on vectors, their decomposition into irreps, and the maps between them."""

from isospan.representations.blocks import Action, Block
from isospan.representations.constructions import conjugate_by, directsum, sym2, tensor
from isospan.representations.decomposition import Part
from isospan.representations.irrep import Irrep
from isospan.representations.isotypic import IsotypicComponent, Source
from isospan.representations.representation import Representation

__all__ = [
    "Action",
    "Block",
    "Irrep",
    "IsotypicComponent",
    "Part",
    "Representation",
    "Source",
    "conjugate_by",
    "directsum",
    "sym2",
    "tensor",
]
