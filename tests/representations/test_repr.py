"""What a shell shows of groups, representations and what they consist of: one line, never a table of numbers."""

import pytest

from isospan.groups import O3, SO2, CyclicGroup, DihedralGroup, SymmetricGroup
from isospan.representations import HomBasis, IrrepBasisTransform

SHOWN = {
    "group": (lambda: DihedralGroup(60), "DihedralGroup(60)"),
    "product": (lambda: SO2() * CyclicGroup(2), "SO2() * CyclicGroup(2)"),
    "subgroup": (lambda: DihedralGroup(6).subgroup([DihedralGroup(6).generators[0]]), "<r> in DihedralGroup(6)"),
    "Cayley graph": (lambda: DihedralGroup(60).graph, "CayleyGraph(order=120, generators=2)"),
    "words": (lambda: DihedralGroup(60).tree, "WordTree(order=120)"),
    "factor": (lambda: O3().factors[0], "O3()"),
    "element": (lambda: SymmetricGroup(5).generators[0], "(0 1 2 3 4)"),
    "irrep": (lambda: O3().irrep(1, 1), "Irrep(l=1, odd, group=O3(), dimension=3, real)"),
    "representation": (
        lambda: 2 * CyclicGroup(3).regular_representation,
        "Representation('2 regular', group=CyclicGroup(3), size=6)",
    ),
    "block": (
        lambda: (2 * CyclicGroup(3).regular_representation).blocks[0],
        "Block(multiplicity=2, size=3, group=CyclicGroup(3))",
    ),
    "action": (lambda: CyclicGroup(3).irrep(1).action, "Action(group=CyclicGroup(3), size=2)"),
    "part": (
        lambda: CyclicGroup(3).regular_representation.blocks[0].parts[0],
        "Part(irrep=Irrep(psi_0, group=CyclicGroup(3), dimension=1, real), multiplicity=1, columns=slice(0, 1, None))",
    ),
    "Hom basis": (
        lambda: HomBasis(CyclicGroup(3).regular_representation, CyclicGroup(3).irrep(1)),
        "HomBasis(regular -> psi_1, dimension=2)",
    ),
    "Hom block": (
        lambda: HomBasis(CyclicGroup(3).regular_representation, CyclicGroup(3).irrep(1)).blocks[0],
        "HomBlock(psi_1, 1 x 1 x 2, 0:2)",
    ),
    "transform": (
        lambda: IrrepBasisTransform(CyclicGroup(3).regular_representation),
        "IrrepBasisTransform('regular', group=CyclicGroup(3), size=3)",
    ),
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_repr_is_one_line(name):
    build, text = SHOWN[name]
    assert repr(build()) == text
