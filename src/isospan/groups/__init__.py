"""Groups, their elements and their irreps."""

from isospan.groups._families import (
    O2,
    O3,
    SO2,
    SO3,
    AlternatingGroup,
    CyclicGroup,
    DihedralGroup,
    IcosahedralGroup,
    KleinFourGroup,
    OctahedralGroup,
    QuaternionGroup,
    SymmetricGroup,
    TetrahedralGroup,
)
from isospan.groups._finite import DirectProductGroup, FiniteGroup, GroupElement
from isospan.groups._lie import LieElement, LieGroup

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
