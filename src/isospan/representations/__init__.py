"""Representations of groups on vectors, their decomposition into irreps, and bases of equivariant maps."""

from isospan.representations._blocks import Action, Block
from isospan.representations._constructions import change_of_basis, direct_sum, symmetric_square, tensor_product
from isospan.representations._decomposition import Part
from isospan.representations._endomorphisms import endomorphisms, left_multiplication
from isospan.representations._hom_basis import HomBasis, HomBlock
from isospan.representations._irrep_basis import IrrepBasisTransform
from isospan.representations._isotypic import IsotypicComponent, Source
from isospan.representations._orthogonalize import orthogonalize
from isospan.representations._representation import Irrep, Representation, check_representation, check_same_group
from isospan.representations._symmetry import SymmetryGroup
from isospan.representations._words import WordTree

__all__ = [
    "Action",
    "Block",
    "HomBasis",
    "HomBlock",
    "Irrep",
    "IrrepBasisTransform",
    "IsotypicComponent",
    "Part",
    "Representation",
    "Source",
    "SymmetryGroup",
    "WordTree",
    "change_of_basis",
    "check_representation",
    "check_same_group",
    "direct_sum",
    "endomorphisms",
    "left_multiplication",
    "orthogonalize",
    "symmetric_square",
    "tensor_product",
]
