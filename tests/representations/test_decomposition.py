"""Decomposition into irreps: any group, any type, any basis."""

import time

import numpy as np
import pytest

from isospan.groups import (
    AlternatingGroup,
    CyclicGroup,
    DihedralGroup,
    DirectProductGroup,
    FiniteGroup,
    IcosahedralGroup,
    KleinFourGroup,
    OctahedralGroup,
    QuaternionGroup,
    SymmetricGroup,
    TetrahedralGroup,
)
from isospan.representations import change_of_basis, direct_sum

I8 = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, -1], [0, 0, 1, 0]])
W8 = np.array([[1.0, -1, -1, -1], [1, 1, -1, 1], [1, 1, 1, -1], [1, -1, 1, 1]]) / 2
GROUPS = [
    CyclicGroup(1),
    CyclicGroup(2),
    CyclicGroup(3),
    CyclicGroup(5),
    CyclicGroup(12),
    DihedralGroup(4),
    DihedralGroup(5),
    KleinFourGroup(),
    SymmetricGroup(3),
    SymmetricGroup(4),
    SymmetricGroup(5),
    AlternatingGroup(4),
    AlternatingGroup(5),
    TetrahedralGroup(),
    OctahedralGroup(),
    IcosahedralGroup(),
    QuaternionGroup(),
    FiniteGroup.from_matrices([I8, W8], name="binary tetrahedral"),
    FiniteGroup.from_permutations([np.roll(np.arange(7), -1), 2 * np.arange(7) % 7], name="7:3"),
    DirectProductGroup(CyclicGroup(3), QuaternionGroup()),
    CyclicGroup(2) * SymmetricGroup(3) * CyclicGroup(3),
]


def random_orthogonal(n, rng):
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def spectral_matrix(rep, g):
    matrix, start = np.zeros((rep.size, rep.size)), 0
    for irrep in rep.irreps:
        stop = start + irrep.size
        matrix[start:stop, start:stop] = irrep(g)
        start = stop
    return matrix


def assert_decomposed(rep, elements, *, atol=1e-10):
    Q = rep.change_of_basis
    np.testing.assert_allclose(Q.T @ Q, np.eye(rep.size), atol=atol)
    for g in elements:
        np.testing.assert_allclose(Q @ spectral_matrix(rep, g) @ Q.T, rep(g), atol=atol)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_random_conjugates_of_sums_of_all_irreps(group):
    """The multiplicities 1 to 3 come back, in order, with a change of basis right to 1e-10."""
    rng = np.random.default_rng(0)
    multiplicities = [int(m) for m in rng.integers(1, 4, len(group.irreps()))]
    plain = direct_sum([m * irrep for m, irrep in zip(multiplicities, group.irreps(), strict=True)])
    rep = change_of_basis(plain, random_orthogonal(plain.size, rng))
    assert [component.multiplicity for component in rep.isotypic] == multiplicities
    assert [component.irrep for component in rep.isotypic] == list(group.irreps())
    assert_decomposed(rep, [*group.generators, group.sample(generator=rng)])


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_multiplicities_in_the_regular_representation(group):
    rep = group.regular_representation
    expected = [irrep.size // len(irrep.endomorphism_basis) for irrep in group.irreps()]
    assert [component.multiplicity for component in rep.isotypic] == expected
    assert_decomposed(rep, group.generators)


def test_multiplicities_are_character_inner_products():
    G = OctahedralGroup()
    rep = G.irrep(3) & G.irrep(4) & G.irrep(2)
    for component in rep.isotypic:
        inner = np.mean([rep.character(g) * component.irrep.character(g) for g in G.elements])
        assert component.multiplicity == round(inner)
    assert_decomposed(rep, G.generators)


def test_equal_blocks_are_decomposed_once():
    G = IcosahedralGroup()
    rep = 43 * G.regular_representation
    (block,) = rep.blocks
    assert (block.multiplicity, block.size, rep.size) == (43, 60, 2580)
    assert [component.multiplicity for component in rep.isotypic] == [43, 129, 129, 172, 215]


def test_orbits_numbered_at_random_are_found():
    """A permutation representation with its points shuffled: blocks are its orbits."""
    G = SymmetricGroup(4)
    plain = 3 * G.regular_representation + 2 * G.quotient_representation(G.subgroup([G.generators[1]]))
    shuffle = np.eye(plain.size)[np.random.default_rng(0).permutation(plain.size)]
    rep = change_of_basis(plain, shuffle)
    assert sorted((block.multiplicity, block.size) for block in rep.blocks if block.size == 24) == [(3, 24)]
    assert sum(block.multiplicity for block in rep.blocks) == 5
    assert_decomposed(rep, G.generators)


def test_blocks_lead_to_the_irrep_basis():
    """x[..., indices] @ basis, block by block, then one fixed reordering, is x Q."""
    G = DihedralGroup(5)
    mixed = change_of_basis(G.irrep(2) + G.irrep(1), random_orthogonal(3, np.random.default_rng(0)))
    rep = G.regular_representation + mixed + 2 * G.regular_representation + mixed
    x = np.random.default_rng(1).standard_normal((7, rep.size))
    pieces = [(x[:, block.indices] @ block.basis).reshape(7, -1) for block in rep.blocks]
    z = np.concatenate(pieces, axis=1)[:, rep.irrep_order]
    np.testing.assert_allclose(z, x @ rep.change_of_basis, atol=1e-13)
    assert rep.block_order.tolist() == [i for block in rep.blocks for i in block.indices.ravel()]
    for component in rep.isotypic:
        copies = [
            (x[:, rep.blocks[source.block].indices] @ rep.blocks[source.block].basis)[..., source.columns].reshape(
                7, -1, component.irrep.size
            )
            for source in component.sources
        ]
        direct = z[:, component.slice].reshape(7, component.multiplicity, component.irrep.size)
        np.testing.assert_allclose(np.concatenate(copies, axis=1), direct, atol=1e-13)


def test_icosahedral_regular_representation_takes_less_than_two_seconds():
    """Measured at 0.03 s; the promise is 2 s, on a machine that may be shared."""
    start = time.process_time()
    rep = IcosahedralGroup().regular_representation
    assert len(rep.isotypic) == 5
    assert time.process_time() - start < 2


def test_a_block_of_200_coordinates_of_a_group_of_order_200_takes_little_time():
    G = DihedralGroup(100)
    G.irreps()
    rng = np.random.default_rng(0)
    start = time.process_time()
    rep = change_of_basis(G.regular_representation, random_orthogonal(200, rng))
    assert_decomposed(rep, G.generators)
    # measured at 0.4 s
    assert time.process_time() - start < 2


def test_the_decomposition_is_the_same_every_time():
    group = QuaternionGroup()
    Q = random_orthogonal(12, np.random.default_rng(0))
    plain = direct_sum([2 * group.irrep(4), *group.irreps()[:4]])
    first, second = change_of_basis(plain, Q), change_of_basis(plain, Q)
    np.testing.assert_array_equal(first.change_of_basis, second.change_of_basis)
