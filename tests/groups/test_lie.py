"""Lie groups: closed forms of rotations and harmonics, products, restriction to finite subgroups."""

import copy
import itertools
import pickle

import numpy as np
import pytest

from isospan.errors import GroupError, GroupMismatchError
from isospan.groups import O2, O3, SO2, SO3, CyclicGroup, DihedralGroup, IcosahedralGroup, QuaternionGroup
from isospan.representations._endomorphisms import endomorphisms

GROUPS = [SO2(), O2(), SO3(), O3(), SO2() * SO2(), SO3() * QuaternionGroup(), CyclicGroup(3) * O2()]


def rotation(axis, angle):
    """Rodrigues' formula."""
    x, y, z = axis
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_irreps_to_frequency_six_are_homomorphisms(group):
    rng = np.random.default_rng(0)
    most = 6 if len(group.factors) == 1 else 2
    irreps = group.irreps(most)
    for _ in range(5):
        g, h = group.sample(generator=rng), group.sample(generator=rng)
        for irrep in irreps:
            # angles of rotations are known to rounding, times the frequency
            np.testing.assert_allclose(irrep(g) @ irrep(h), irrep(g @ h), atol=1e-12)
            np.testing.assert_allclose(irrep(~g), irrep(g).T, atol=1e-12)
    for irrep in irreps:
        np.testing.assert_allclose(irrep(group.identity), np.eye(irrep.size), atol=1e-14)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_irreps_are_irreducible_and_distinct(group):
    """What commutes with two irreps' matrices has the dimension of the endomorphisms, or 0: a dense null space."""
    irreps = group.irreps(2)[:12]
    for a, b in itertools.product(irreps, repeat=2):
        rows = [
            np.kron(np.eye(b.size), A.T) - np.kron(B, np.eye(a.size))
            for A, B in zip([*a.algebra, *a.generators], [*b.algebra, *b.generators], strict=True)
        ]
        singular = np.linalg.svd(np.concatenate(rows), compute_uv=False)
        expected = len(a.endomorphism_basis) if a.key == b.key else 0
        assert (singular < 1e-10).sum() == expected
    for irrep in irreps:
        np.testing.assert_array_equal(
            irrep.endomorphism_basis, endomorphisms(irrep.size, len(irrep.endomorphism_basis))
        )
        for E in irrep.endomorphism_basis:
            for M in [*irrep.algebra, *irrep.generators]:
                np.testing.assert_allclose(E @ M, M @ E, atol=1e-12)


def test_known_irreps():
    assert [irrep.size for irrep in SO2().irreps(6)] == [1] + [2] * 6
    assert [irrep.type for irrep in SO2().irreps(2)] == ["real", "complex", "complex"]
    assert [irrep.size for irrep in O2().irreps(6)] == [1, 1] + [2] * 6
    assert {irrep.type for irrep in [*O2().irreps(6), *SO3().irreps(6), *O3().irreps(6)]} == {"real"}
    assert [irrep.size for irrep in O3().irreps(6)] == [2 * l + 1 for l in range(7) for _ in range(2)]  # noqa: E741
    # 1 and complex units: (0, 0); (0, k), (k, 0); (k, l) and (k, -l)
    assert [irrep.size for irrep in (SO2() * SO2()).irreps(1)] == [1, 2, 2, 2, 2]
    types = [(irrep.size, irrep.type) for irrep in (SO2() * QuaternionGroup()).irreps(1)]
    assert types == [(1, "real")] * 4 + [(2, "complex")] * 4 + [(4, "quaternionic"), (4, "complex")]


def test_so2_is_the_closed_form():
    for k in range(1, 7):
        for angle in [0.3, -2.5, 3.1]:
            c, s = np.cos(k * angle), np.sin(k * angle)
            np.testing.assert_allclose(SO2().irrep(k)(SO2().exp([angle])), [[c, -s], [s, c]], atol=1e-13)
    mirror = O2().element(np.diag([1.0, -1]))
    np.testing.assert_allclose(O2().irrep(3)(mirror), np.diag([1, -1]), atol=1e-14)
    assert O2().irrep(0, 1)(mirror) == -1


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1.0, 2.0, np.pi - 1e-9, np.pi, 3.5])
def test_degree_one_is_the_rotation(angle):
    axis = np.array([0.48, -0.6, 0.64])
    R = rotation(axis, angle)
    np.testing.assert_allclose(SO3().exp(angle * axis).matrix, R, atol=1e-14)
    np.testing.assert_allclose(SO3().irrep(1)(SO3().element(R)), R, atol=1e-13)
    assert np.linalg.norm(SO3().factor(SO3().element(R))[0]) == pytest.approx(min(angle, 2 * np.pi - angle), abs=1e-12)
    np.testing.assert_allclose(O3().irrep(1, 1)(O3().element(-R)), -R, atol=1e-13)
    np.testing.assert_allclose(O3().irrep(1, 0)(O3().element(-R)), R, atol=1e-13)


def test_degree_two_is_the_symmetric_traceless_matrices():
    """Harmonics of degree 2 in the order cos 2, sin 2, cos 1, sin 1, 0, as quadratic forms."""
    r3 = 1 / np.sqrt(3)
    forms = np.array(
        [
            [[1, 0, 0], [0, -1, 0], [0, 0, 0]],
            [[0, 1, 0], [1, 0, 0], [0, 0, 0]],
            [[0, 0, 1], [0, 0, 0], [1, 0, 0]],
            [[0, 0, 0], [0, 0, 1], [0, 1, 0]],
            [[-r3, 0, 0], [0, -r3, 0], [0, 0, 2 * r3]],
        ]
    ) / np.sqrt(2)
    g = SO3().sample(generator=np.random.default_rng(0))
    R = g.matrix
    expected = np.einsum("aij,ik,bkl,jl->ab", forms, R, forms, R)
    np.testing.assert_allclose(SO3().irrep(2)(g), expected, atol=1e-13)


@pytest.mark.parametrize("degree", range(7))
def test_characters_of_so3(degree):
    for angle in [0.4, 2.0]:
        expected = np.sin((degree + 0.5) * angle) / np.sin(angle / 2)
        assert SO3().irrep(degree).character(SO3().exp([0, angle, 0])) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_elements_compose_invert_compare_and_survive_pickling(group):
    rng = np.random.default_rng(0)
    g, h = group.sample(generator=rng), group.sample(generator=rng)
    assert ~(g @ h) == ~h * ~g
    assert g @ ~g == group.identity == g**0
    assert g**3 == g @ g @ g
    assert g**-2 == ~g @ ~g
    assert g != h
    other = pickle.loads(pickle.dumps(group))
    assert other == group
    assert hash(other) == hash(group)
    assert pickle.loads(pickle.dumps(g)) == g
    assert hash(g) == hash(~~g)
    assert copy.deepcopy(group.irreps(1)[-1]) == group.irreps(1)[-1] == pickle.loads(pickle.dumps(group.irreps(1)[-1]))


def test_samples_fill_the_components_evenly():
    rng = np.random.default_rng(0)
    matrices = np.stack([O3().sample(generator=rng).matrix for _ in range(500)])
    # the mean of a Haar matrix is 0, its entries have variance 1/3
    assert abs(matrices.mean(0)).max() < 0.12
    assert abs(np.linalg.det(matrices).mean()) < 0.2
    rotations = np.stack([SO3().sample(generator=rng).matrix for _ in range(500)])
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-12)
    assert abs(rotations.mean(0)).max() < 0.12


def test_nothing_can_be_changed():
    for array in [SO3().factors[0].algebra, O2().factors[0].generators, SO2().irrep(1).endomorphism_basis]:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_what_a_group_says_of_itself():
    G = SO3() * CyclicGroup(2) * O2()
    assert (repr(G), G.order(), G.algebra_dim) == ("SO3() * CyclicGroup(2) * O2()", None, 4)
    assert str(G.generators) == "((1, r, 1), (1, e, [[1.0, 0.0], [0.0, -1.0]]))"
    assert SO2() != O2() != SO3() != O3()
    assert SO2() * CyclicGroup(2) != CyclicGroup(2) * SO2()
    assert G.trivial_representation.is_trivial


def test_finite_subgroups_and_restriction():
    I = SO3().subgroup([SO3().element(g.value) for g in IcosahedralGroup().generators])  # noqa: E741
    assert I.graph == IcosahedralGroup().graph
    restricted = SO3().irrep(2).restrict(I)
    assert [component.irrep.size for component in restricted.isotypic] == [5]
    # degree 6 is the first besides 0 to have an icosahedral invariant
    invariants = [SO3().irrep(degree).restrict(I).isotypic[0].irrep.is_trivial for degree in range(1, 7)]
    assert invariants == [False] * 5 + [True]
    mirror = O2().element(np.diag([1.0, -1]))
    turn = O2().exp([np.pi / 2])
    assert O2().subgroup([turn, mirror]).graph == DihedralGroup(4).graph
    assert O2().subgroup([turn @ turn]) != O2().subgroup([mirror])
    assert O2().subgroup([turn]) == O2().subgroup([turn])
    with pytest.raises(GroupMismatchError, match=r"finite subgroups of it, got SO2\(\)"):
        O2().irrep(1).restrict(SO2())
    assert (SO2() * CyclicGroup(3)).subgroup([(SO2() * CyclicGroup(3)).generators[0]]).order() == 3


BAD = {
    "elements": (lambda: SO3().elements, "infinitely many"),
    "not orthogonal": (lambda: SO3().element(2 * np.eye(3)), r"orthogonal matrix \(3, 3\), got a defect .* of 3"),
    "single precision": (
        lambda: SO3().element(SO3().exp([1.0, 2, 3]).matrix.astype(np.float32)),
        "defect .* in float64",
    ),
    "no list of generators": (lambda: SO2().subgroup(SO2().identity), "list of elements"),
    "shape": (lambda: SO3().element(np.eye(2)), r"got one of shape \(2, 2\)"),
    "reflection": (lambda: SO3().element(-np.eye(3)), r"determinant 1.*O3\(\)"),
    "coordinates": (lambda: SO3().exp([1.0]), r"3 coordinates, got shape \(1,\)"),
    "frequency": (lambda: SO2().irreps(-1), "at least 0, got -1"),
    "key": (lambda: SO2().irrep(2, 1), r"no irrep \(2, 1\)"),
    "irrational subgroup": (lambda: SO2().subgroup([SO2().exp([1.0])]), "infinite or too large"),
    "table of an infinite group": (lambda: SO2().irrep(1).table, "infinitely many"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    build, message = BAD[case]
    with pytest.raises(GroupError, match=message):
        build()


def test_groups_do_not_mix():
    G = SO2() * CyclicGroup(3)
    with pytest.raises(GroupMismatchError, match="one group"):
        SO2().identity @ O2().identity
    with pytest.raises(GroupMismatchError, match="2 factors, got 1"):
        G.element(np.eye(2))
    with pytest.raises(GroupMismatchError, match=r"element of CyclicGroup\(3\)"):
        G.element(np.eye(2), CyclicGroup(2).identity)
    with pytest.raises(GroupMismatchError, match="several parts"):
        G.identity.matrix  # noqa: B018
    with pytest.raises(GroupMismatchError, match="generated by its elements"):
        G.subgroup([SO2().identity])
    with pytest.raises(TypeError):
        G * 3
