"""Real irreps of finite groups, against theorems and character tables from the literature."""

import itertools
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
from isospan.groups._finite_irreps import real_irreps


def left_multiplication(w, x, y, z):
    """Matrix (4, 4) of a quaternion."""
    return np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])


def binary_tetrahedral():
    return FiniteGroup.from_matrices([left_multiplication(0, 1, 0, 0), left_multiplication(0.5, 0.5, 0.5, 0.5)])


def binary_octahedral():
    r = 0.5**0.5
    return FiniteGroup.from_matrices([left_multiplication(r, r, 0, 0), left_multiplication(0.5, 0.5, 0.5, 0.5)])


def binary_icosahedral():
    golden = (1 + 5**0.5) / 4
    turn = left_multiplication(golden, 0.5, golden - 0.5, 0)
    return FiniteGroup.from_matrices([turn, left_multiplication(0.5, 0.5, 0.5, 0.5)])


def frobenius_21():
    """The group of x -> a x + b mod 7 with a in {1, 2, 4}: complex irreps of dimension 3."""
    points = np.arange(7)
    return FiniteGroup.from_permutations([(points + 1) % 7, (2 * points) % 7])


GROUPS = {
    "C1": CyclicGroup(1),
    "C2": CyclicGroup(2),
    "C3": CyclicGroup(3),
    "C5": CyclicGroup(5),
    "C30": CyclicGroup(30),
    "D1": DihedralGroup(1),
    "D4": DihedralGroup(4),
    "D5": DihedralGroup(5),
    "K4": KleinFourGroup(),
    "S3": SymmetricGroup(3),
    "S4": SymmetricGroup(4),
    "S5": SymmetricGroup(5),
    "A4": AlternatingGroup(4),
    "A5": AlternatingGroup(5),
    "T": TetrahedralGroup(),
    "O": OctahedralGroup(),
    "I": IcosahedralGroup(),
    "Q8": QuaternionGroup(),
    "2T": binary_tetrahedral(),
    "2O": binary_octahedral(),
    "2I": binary_icosahedral(),
    "F21": frobenius_21(),
    "C3xC5": DirectProductGroup(CyclicGroup(3), CyclicGroup(5)),
    "C3xQ8": DirectProductGroup(CyclicGroup(3), QuaternionGroup()),
    "Q8xQ8": DirectProductGroup(QuaternionGroup(), QuaternionGroup()),
    "Q8xD3": QuaternionGroup() * DihedralGroup(3),
    "Q8xD3 as a table": FiniteGroup.from_cayley_table((QuaternionGroup() * DihedralGroup(3)).table),
    "C4xS3xC2": CyclicGroup(4) * SymmetricGroup(3) * CyclicGroup(2),
}
DIMENSIONS = {  # (dimension, s) over the reals
    "C5": [(1, 1), (2, 2), (2, 2)],
    "D4": [(1, 1)] * 4 + [(2, 1)],
    "S5": [(1, 1), (1, 1), (4, 1), (4, 1), (5, 1), (5, 1), (6, 1)],
    "A4": [(1, 1), (2, 2), (3, 1)],
    "A5": [(1, 1), (3, 1), (3, 1), (4, 1), (5, 1)],
    "I": [(1, 1), (3, 1), (3, 1), (4, 1), (5, 1)],
    "Q8": [(1, 1)] * 4 + [(4, 4)],
    "2T": [(1, 1), (2, 2), (3, 1), (4, 2), (4, 4)],
    "2O": [(1, 1), (1, 1), (2, 1), (3, 1), (3, 1), (4, 4), (4, 4), (8, 4)],
    "2I": [(1, 1), (3, 1), (3, 1), (4, 1), (4, 4), (4, 4), (5, 1), (8, 4), (12, 4)],
    "F21": [(1, 1), (2, 2), (6, 2)],
    # sums of the outer products of (1, 1, 1, 1, 4): 16 + 8 + the real 2 x 2 = 4
    "Q8xQ8": [(1, 1)] * 16 + [(4, 1)] + [(4, 4)] * 8,
}


def characters(group):
    return np.array([[irrep.character(members[0]) for members in group.conjugacy_classes] for irrep in group.irreps()])


@pytest.mark.parametrize("name", GROUPS)
def test_theorems(name):
    """Σ d²/s = |G|; characters are orthogonal with norm s; complex irreps are as many as classes."""
    group = GROUPS[name]
    irreps = group.irreps()
    types = np.array([len(irrep.endomorphism_basis) for irrep in irreps])
    assert sum(irrep.size**2 / s for irrep, s in zip(irreps, types, strict=True)) == group.order()
    assert sum(2 if s == 2 else 1 for s in types) == len(group.conjugacy_classes)
    sizes = np.array([len(members) for members in group.conjugacy_classes])
    chi = characters(group)
    np.testing.assert_allclose(chi * sizes @ chi.T / group.order(), np.diag(types), atol=1e-11)


@pytest.mark.parametrize("name", DIMENSIONS)
def test_dimensions_and_types_known_from_the_literature(name):
    irreps = GROUPS[name].irreps()
    found = [(irrep.size, len(irrep.endomorphism_basis)) for irrep in irreps]
    assert sorted(found) == DIMENSIONS[name]
    assert [d for d, _ in found] == [d for d, _ in DIMENSIONS[name]]


@pytest.mark.parametrize("name", GROUPS)
def test_irreps_are_orthogonal_homomorphisms(name):
    group = GROUPS[name]
    for irrep in group.irreps():
        table = irrep.table
        products = np.einsum("xij,yjk->xyik", table, table) if group.order() <= 60 else None
        if products is not None:
            # words have up to 30 letters
            np.testing.assert_allclose(table[group.table], products, atol=1e-13)
        assert group.worst_relation(irrep.algebra, irrep.generators)[1] < 1e-13
        np.testing.assert_allclose(
            table @ table.transpose(0, 2, 1), np.broadcast_to(np.eye(irrep.size), table.shape), atol=1e-13
        )


@pytest.mark.parametrize("name", GROUPS)
def test_endomorphisms_commute_and_multiply_like_scalars(name):
    units = {"real": [], "complex": [1], "quaternionic": [1, 2, 3]}
    for irrep in GROUPS[name].irreps():
        E = irrep.endomorphism_basis
        eye = np.eye(irrep.size)
        np.testing.assert_array_equal(E[0], eye)
        assert len(E) == len(units[irrep.type]) + 1
        commutators = irrep.table[:, None] @ E - E @ irrep.table[:, None]
        np.testing.assert_allclose(commutators, 0, atol=1e-13)
        np.testing.assert_allclose(np.einsum("sij,tij->st", E, E), irrep.size * np.eye(len(E)), atol=1e-12)
        for i in units[irrep.type]:
            np.testing.assert_allclose(E[i] @ E[i], -eye, atol=1e-12)
        for i, j in itertools.combinations(units[irrep.type], 2):
            np.testing.assert_allclose(E[i] @ E[j], -E[j] @ E[i], atol=1e-12)


@pytest.mark.parametrize("name", GROUPS)
def test_coordinates_of_each_scalar_are_adjacent(name):
    """What commutes is multiplication on the left of each number, by Hamilton's rule."""
    L = [left_multiplication(*q) for q in np.eye(4)]
    for irrep in GROUPS[name].irreps():
        s = len(irrep.endomorphism_basis)
        expected = [np.kron(np.eye(irrep.size // s), unit[:s, :s]) for unit in L[:s]]
        np.testing.assert_array_equal(irrep.endomorphism_basis, expected)


def test_character_table_of_s4():
    """Rows sorted as documented; columns by cycle type (James and Liebeck, 2001, chapter 18)."""
    G = GROUPS["S4"]
    kinds = {(1, 1, 1, 1): 0, (2, 1, 1): 1, (2, 2): 2, (3, 1): 3, (4,): 4}

    def cycle_type(row):
        seen, lengths = set(), []
        for start in range(4):
            length = 0
            while start not in seen:
                seen.add(start)
                start, length = row[start], length + 1
            lengths += [length] if length else []
        return tuple(sorted(lengths, reverse=True))

    columns = [kinds[cycle_type(members[0].value.tolist())] for members in G.conjugacy_classes]
    known = np.array([[3, -1, -1, 0, 1], [1, -1, 1, 1, -1], [2, 0, 2, -1, 0], [1, 1, 1, 1, 1], [3, 1, -1, 0, -1]])
    by_class = known[:, columns]
    # the first class is the identity's; descending characters put the trivial one first among those of dimension 1
    documented = sorted(by_class.tolist(), key=lambda row: (row[0], [-value for value in row]))
    np.testing.assert_allclose(characters(G), documented, atol=1e-12)


def test_icosahedral_characters_are_the_golden_ratio():
    G = GROUPS["I"]
    golden = (1 + 5**0.5) / 2
    b = G.generators[1]
    values = [irrep.character(b) for irrep in G.irreps()]
    np.testing.assert_allclose(sorted(values), sorted([1, golden, 1 - golden, -1, 0]), atol=1e-12)


def test_cyclic_irreps_are_rotations():
    for k, irrep in enumerate(CyclicGroup(7).irreps()[1:], start=1):
        c, s = np.cos(2 * np.pi * k / 7), np.sin(2 * np.pi * k / 7)
        np.testing.assert_allclose(irrep(irrep.group.generators[0]), [[c, -s], [s, c]], atol=1e-14)


def test_the_list_does_not_depend_on_the_basis_an_eigensolver_returns(monkeypatch):
    """Eigenvectors of a degenerate eigenvalue are rotated at random; the irreps stay the same."""
    eigh = np.linalg.eigh
    rng = np.random.default_rng(1)

    def rotated(M):
        values, vectors = eigh(M)
        cuts = np.flatnonzero(np.diff(values) > 1e-9 * np.ptp(values)) + 1
        spaces = [U @ np.linalg.qr(rng.standard_normal((U.shape[1],) * 2))[0] for U in np.split(vectors, cuts, axis=1)]
        return values, np.concatenate(spaces, axis=1)

    for group in [SymmetricGroup(4), QuaternionGroup(), GROUPS["2T"], DihedralGroup(9)]:
        plain = real_irreps(group.graph, name="")
        with monkeypatch.context() as patch:
            patch.setattr(np.linalg, "eigh", rotated)
            other = real_irreps(group.graph, name="")
        for (matrices, E), (matrices2, E2) in zip(plain, other, strict=True):
            np.testing.assert_allclose(matrices, matrices2, atol=1e-11)
            np.testing.assert_allclose(E, E2, atol=1e-11)


def test_products_have_the_irreps_that_the_general_algorithm_finds():
    for name in ["C3xC5", "C3xQ8", "Q8xQ8", "C4xS3xC2"]:
        group = GROUPS[name]
        plain = FiniteGroup(group.graph.right, root=group.graph.root)
        np.testing.assert_allclose(characters(group), characters(plain), atol=1e-10)
        assert [irrep.type for irrep in group.irreps()] == [irrep.type for irrep in plain.irreps()]


@pytest.mark.parametrize("group", [DihedralGroup(100), SymmetricGroup(5), CyclicGroup(200)], ids=str)
def test_irreps_of_order_up_to_200_take_seconds(group):
    """A tenth of a second to two when the machine is free; several where it is shared."""
    start = time.process_time()
    fresh = FiniteGroup(group.graph.right)
    assert sum(irrep.size**2 / len(irrep.endomorphism_basis) for irrep in fresh.irreps()) == group.order()
    assert time.process_time() - start < 8
    # words have up to 200 letters
    assert max(fresh.worst_relation(irrep.algebra, irrep.generators)[1] for irrep in fresh.irreps()) < 1e-12


@pytest.mark.parametrize("n", range(3, 17))
def test_first_plane_of_a_dihedral_group_is_that_of_the_polygon(n):
    G = DihedralGroup(n)
    vector = next(irrep for irrep in G.irreps() if irrep.size == 2)
    c, s = np.cos(2 * np.pi / n), np.sin(2 * np.pi / n)
    for g, expected in zip(G.generators, ([[c, -s], [s, c]], [[1, 0], [0, -1]]), strict=True):
        np.testing.assert_allclose(vector(g), expected, rtol=0, atol=1e-12)  # rounding
