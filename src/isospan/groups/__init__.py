"""Groups, their elements and their irreps."""

from isospan.groups.element import GroupElement
from isospan.groups.families import (
    AlternatingGroup,
    CyclicGroup,
    DihedralGroup,
    KleinFourGroup,
    QuaternionGroup,
    SymmetricGroup,
)
from isospan.groups.finite import FiniteGroup
from isospan.groups.point_groups import IcosahedralGroup, OctahedralGroup, TetrahedralGroup
from isospan.groups.products import DirectProductGroup

__all__ = [
    "AlternatingGroup",
    "CyclicGroup",
    "DihedralGroup",
    "DirectProductGroup",
    "FiniteGroup",
    "GroupElement",
    "IcosahedralGroup",
    "KleinFourGroup",
    "OctahedralGroup",
    "QuaternionGroup",
    "SymmetricGroup",
    "TetrahedralGroup",
]
