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
from isospan.groups.lie import LieGroup
from isospan.groups.lie_element import LieElement
from isospan.groups.lie_families import O2, O3, SO2, SO3
from isospan.groups.point_groups import IcosahedralGroup, OctahedralGroup, TetrahedralGroup
from isospan.groups.products import DirectProductGroup

__all__ = [
    "O2",
    "O3",
    "SO2",
    "SO3",
    "AlternatingGroup",
    "CyclicGroup",
    "DihedralGroup",
    "DirectProductGroup",
    "FiniteGroup",
    "GroupElement",
    "IcosahedralGroup",
    "KleinFourGroup",
    "LieElement",
    "LieGroup",
    "OctahedralGroup",
    "QuaternionGroup",
    "SymmetricGroup",
    "TetrahedralGroup",
]
