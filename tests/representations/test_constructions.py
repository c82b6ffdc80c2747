"""Sums, products, restrictions and other bases, against dense matrices."""

import numpy as np
import pytest

from isospan.errors import RepresentationError, ShapeError
from isospan.groups import (
    O3,
    AlternatingGroup,
    CyclicGroup,
    DihedralGroup,
    OctahedralGroup,
    QuaternionGroup,
    SymmetricGroup,
)
from isospan.representations import Representation, change_of_basis, direct_sum, symmetric_square, tensor_product


def mixed(group, seed=0):
    """A representation with permuted, dense and repeated blocks."""
    rng = np.random.default_rng(seed)
    dense = group.irreps()[-1] + group.irreps()[0]
    Q = np.linalg.qr(rng.standard_normal((dense.size,) * 2))[0]
    return change_of_basis(dense, Q) + 2 * group.irreps()[-1]


GROUPS = [CyclicGroup(5), DihedralGroup(4), QuaternionGroup(), SymmetricGroup(4)]


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_products_are_those_of_the_matrices(group):
    a, b = mixed(group), group.irreps()[-1] + group.trivial_representation
    n = a.size
    upper = np.triu_indices(n)
    scale = np.where(upper[0] == upper[1], 1, np.sqrt(2))
    M = np.random.default_rng(1).standard_normal((n, n))
    M = M + M.T
    for g in group.elements:
        A, B = a(g), b(g)
        np.testing.assert_allclose((a & b)(g), np.kron(A, B), atol=1e-12)
        np.testing.assert_allclose(tensor_product(a, b, b)(g), np.kron(np.kron(A, B), B), atol=1e-12)
        moved = A @ M @ A.T
        np.testing.assert_allclose(symmetric_square(a)(g) @ (M[upper] * scale), moved[upper] * scale, atol=1e-12)
        summed = direct_sum([a, b, b])(g)
        np.testing.assert_allclose(summed[:n, :n], A, atol=1e-14)
        np.testing.assert_allclose(summed[n : n + b.size, n : n + b.size], B, atol=1e-14)
        assert abs(summed[:n, n:]).max() == 0


@pytest.mark.parametrize("name", ["finite", "Lie"])
def test_symmetric_squares_in_any_basis(name):
    """Against S^T (M kron M) S with a dense orthonormal basis S of the symmetric matrices."""
    group = DihedralGroup(6) if name == "finite" else O3()
    plain = group.regular_representation if name == "finite" else direct_sum(group.irreps(1))
    Q = np.linalg.qr(np.random.default_rng(2).normal(size=(plain.size, plain.size)))[0]
    rep = change_of_basis(plain, Q)
    S = []
    for i in range(rep.size):
        for j in range(i, rep.size):
            E = np.zeros((rep.size, rep.size))
            E[i, j] = E[j, i] = 1
            S.append(E.ravel() / np.linalg.norm(E))
    for a in (plain, rep):
        square = symmetric_square(a)
        for g in [group.sample(generator=np.random.default_rng(3)) for _ in range(3)]:
            np.testing.assert_allclose(square(g), np.array(S) @ np.kron(a(g), a(g)) @ np.array(S).T, atol=1e-12)


def test_products_of_permutations_permute():
    """Off-diagonal entries of symmetric matrices and diagonal ones are moved alike, by ones that are exact."""
    regular = AlternatingGroup(4).regular_representation
    assert symmetric_square(regular).is_permutation
    assert (regular & regular).is_permutation
    assert len((regular & regular).blocks) == 1


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_their_decompositions_are_right(group):
    for rep in [mixed(group) & group.irreps()[-1], symmetric_square(mixed(group))]:
        Q = rep.change_of_basis
        for g in group.generators:
            D, start = Q.T @ rep(g) @ Q, 0
            for irrep in rep.irreps:
                D[start : start + irrep.size, start : start + irrep.size] -= irrep(g)
                start += irrep.size
            np.testing.assert_allclose(D, 0, atol=1e-12)


def test_sums_and_multiples_agree():
    G = DihedralGroup(4)
    a, b = G.regular_representation, G.irrep(4)
    assert a + b + b == direct_sum([a, b, b]) == a + 2 * b
    assert a + b != b + a
    assert tensor_product(a, b, name="c").name == "c"


def test_a_sum_reuses_the_decompositions_of_its_parts():
    a = OctahedralGroup().regular_representation
    a.isotypic  # noqa: B018
    assert (a + a).blocks[0].action is a.blocks[0].action


def test_restriction_to_a_subgroup():
    G = OctahedralGroup()
    H = G.subgroup([G.generators[1]])
    rep = G.irrep(3) + G.irrep(2)
    restricted = rep.restrict(H)
    assert restricted.group == H
    for h in H.elements:
        np.testing.assert_allclose(restricted(h), rep(H.embed(h)), atol=1e-13)


def test_bad_input_is_named():
    G = CyclicGroup(3)
    rep = G.regular_representation
    with pytest.raises(RepresentationError, match="at least one"):
        direct_sum([])
    with pytest.raises(RepresentationError, match="at least one"):
        tensor_product()
    with pytest.raises(ShapeError, match=r"\(3, 3\).*\(2, 2\)"):
        change_of_basis(rep, np.eye(2))
    with pytest.raises(RepresentationError, match="defect of 3"):
        change_of_basis(rep, 2 * np.eye(3))
    with pytest.raises(RepresentationError, match="Expected a Representation"):
        rep & np.eye(3)
    with pytest.raises(RepresentationError, match="tensor product of two is written rep & other"):
        rep * rep
    for build in [symmetric_square, tensor_product, lambda a: change_of_basis(a, np.eye(2)), lambda a: direct_sum([a])]:
        with pytest.raises(RepresentationError, match="Expected a Representation, got str"):
            build("a")
    assert isinstance(rep + rep, Representation)
