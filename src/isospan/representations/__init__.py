"""Representations of groups on vectors, their decomposition into irreps, and the maps between them."""

from isospan.representations.blocks import Action, Block
from isospan.representations.constructions import conjugate_by, directsum, sym2, tensor
from isospan.representations.decomposition import Part
from isospan.representations.hom_basis import HomBasis, HomBlock
from isospan.representations.irrep import Irrep
from isospan.representations.isotypic import IsotypicComponent, Source
from isospan.representations.orthogonalize import orthogonalize
from isospan.representations.representation import Representation, check_same_group
from isospan.representations.spectral import SpectralTransform
from isospan.representations.symmetry import SymmetryGroup

__all__ = [
    "Action",
    "Block",
    "HomBasis",
    "HomBlock",
    "Irrep",
    "IsotypicComponent",
    "Part",
    "Representation",
    "Source",
    "SpectralTransform",
    "SymmetryGroup",
    "check_same_group",
    "conjugate_by",
    "directsum",
    "orthogonalize",
    "sym2",
    "tensor",
]
