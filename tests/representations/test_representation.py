"""Representations: what they are built from, what they compare to, what is refused."""

import copy
import pickle

import numpy as np
import pytest
import torch

from isospan.errors import DtypeError, GroupError, GroupMismatchError, NonFiniteError, RepresentationError, ShapeError
from isospan.groups import (
    SO2,
    SO3,
    CyclicGroup,
    DihedralGroup,
    FiniteGroup,
    IcosahedralGroup,
    QuaternionGroup,
    SymmetricGroup,
)
from isospan.representations import Representation, change_of_basis

D4 = DihedralGroup(4)
R = np.array([[0.0, -1], [1, 0]])
S = np.diag([1.0, -1])


def test_every_way_to_give_the_matrices_gives_the_same():
    r, s = D4.generators
    reference = Representation(D4, [R, S])
    by_element = {g: reference(g) for g in D4.elements}
    for matrices in [
        np.stack([R, S]),
        torch.from_numpy(np.stack([R, S])),
        {s: S, r: R},
        by_element,
        by_element.__getitem__,
    ]:
        assert Representation(D4, matrices) == reference
    assert Representation(D4, [R.tolist(), torch.tensor(S, dtype=torch.float32)]) == reference


@pytest.mark.parametrize("group", [D4, QuaternionGroup(), SymmetricGroup(4)], ids=str)
def test_matrices_multiply_as_the_elements_do(group):
    rep = group.regular_representation + group.irreps()[-1]
    rng = np.random.default_rng(0)
    for _ in range(20):
        g, h = group.sample(generator=rng), group.sample(generator=rng)
        np.testing.assert_allclose(rep(g) @ rep(h), rep(g @ h), atol=1e-13)
        assert rep.character(g) == pytest.approx(np.trace(rep(g)), abs=1e-12)
    np.testing.assert_array_equal(rep(group.identity), np.eye(rep.size))


def test_representations_of_a_group_are_made_once():
    for group in [DihedralGroup(3), SO3()]:
        assert group.trivial_representation is group.trivial_representation
    G = DihedralGroup(3)
    assert G.regular_representation is G.regular_representation
    assert "regular_representation" not in pickle.loads(pickle.dumps(G)).__dict__


def test_regular_representation_permutes_basis_vectors_by_the_group():
    G = SymmetricGroup(3)
    for g in G.elements:
        for x in G.elements:
            image = G.regular_representation(g)[:, x.index]
            assert image[(g @ x).index] == 1 == image.sum()


def test_quotient_representation_permutes_cosets():
    G = SymmetricGroup(4)
    H = G.subgroup([g for g in G.generators if g.value[3] == 3] + [G.element([1, 2, 0, 3])])
    rep = G.quotient_representation(H)
    assert (H.order(), rep.size, rep.is_permutation) == (6, 4, True)
    # the cosets of the stabiliser of a point are the points
    for g in G.elements:
        assert rep.character(g) == sum(g.value == np.arange(4))


def cycle_by_fourier(n):
    """The shift of n points as F diag(w) F*: entries off by 1e-16 from the zeros and ones of a permutation."""
    F = np.fft.fft(np.eye(n)) / np.sqrt(n)
    return np.real(F.conj().T @ np.diag(F[:, 1] * np.sqrt(n)) @ F)


def rotation(angle, size=2):
    """By an angle in the first two coordinates."""
    Q = np.eye(size)
    Q[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return Q


@pytest.mark.parametrize("scale", [1e-16, 1e-12, 4e-10])
def test_rounding_hides_no_permutation(scale):
    G = CyclicGroup(6)
    shift = np.roll(np.eye(6), 1, axis=0)
    computed = cycle_by_fourier(6)
    assert 0 < abs(computed - shift).max() < 1e-14
    noise = np.random.default_rng(0).uniform(-scale, scale, (6, 6))
    for matrix in (computed, shift + noise):
        rep = Representation(G, [matrix])
        assert rep.is_permutation
        assert rep == Representation(G, [shift])
        np.testing.assert_array_equal(rep.generators[0], shift)
        signed = Representation(CyclicGroup(2), [np.kron([[0, 1], [1, 0]], -np.eye(6)) + np.kron(np.eye(2), noise)])
        np.testing.assert_array_equal(signed.generators[0], np.kron([[0, 1], [1, 0]], -np.eye(6)))
        assert len(signed.blocks) == 1
        assert signed.blocks[0].multiplicity == 6


def test_rounding_couples_no_coordinates():
    """Three points that are moved, one that changes sign and two that are rotated, with noise in all other entries."""
    turn = rotation(np.pi / 3)
    M = np.zeros((6, 6))
    M[:3, :3], M[3, 3], M[4:, 4:] = np.roll(np.eye(3), 1, axis=0), -1, turn
    noisy = M + np.random.default_rng(1).uniform(-1e-11, 1e-11, M.shape)
    rep = Representation(CyclicGroup(6), [noisy])
    assert [block.indices.tolist() for block in rep.blocks] == [[[0, 1, 2]], [[3]], [[4, 5]]]
    np.testing.assert_array_equal(rep.generators[0][:4, :4], M[:4, :4])
    np.testing.assert_array_equal(rep.generators[0][4:, 4:], noisy[4:, 4:])
    np.testing.assert_array_equal(rep.generators[0][:4, 4:], 0)


@pytest.mark.parametrize("angle", [1e-3, 1e-7])
def test_what_is_near_a_permutation_is_none(angle):
    G = CyclicGroup(3)
    rep = change_of_basis(G.regular_representation, rotation(angle, 3))
    assert not rep.is_permutation
    assert rep != G.regular_representation
    given = rotation(angle, 3) @ G.regular_representation.generators[0] @ rotation(angle, 3).T
    np.testing.assert_array_equal(rep.generators[0], given)


def test_representations_that_differ_by_rounding_are_equal_and_share_their_blocks():
    G = CyclicGroup(7)
    given = G.irreps()[1].generators[0]
    first, second = Representation(G, [given]), Representation(G, [rotation(1e-14) @ given])
    assert not np.array_equal(first.generators, second.generators)
    assert first == second
    assert hash(first) == hash(second)
    assert first != Representation(G, [given.T])
    (block,) = (first + second).blocks
    assert block.multiplicity == 2


def test_equality_has_no_edge():
    """Entries on both sides of the edge of two cells of 1e-9 are equal all the same."""
    mirror = Representation(CyclicGroup(2), [np.diag([1.0, -1.0])])
    first, second = (change_of_basis(mirror, rotation(np.arccos(0.3000000005 + e) / 2)) for e in (-1e-13, 1e-13))
    assert len((first + second).blocks) == 2
    assert first == second


def test_matrices_of_subgroups_of_lie_groups_are_exact():
    quarter = SO2().subgroup([SO2().exp([np.pi / 2])])
    rep = SO2().irrep(1).restrict(quarter)
    np.testing.assert_array_equal(abs(rep.generators[0]), [[0, 1], [1, 0]])
    trivial = Representation(SO2(), lambda g: np.eye(3) + 1e-16)
    assert trivial.is_permutation
    assert not trivial.algebra.any()


def test_a_group_of_matrices_with_rounding_has_exact_elements():
    G = FiniteGroup.from_matrices([cycle_by_fourier(6)])
    assert G.order() == 6
    for power, g in enumerate(G.elements):
        np.testing.assert_array_equal(g.value, np.roll(np.eye(6), power, axis=0))


def test_what_a_representation_says_of_itself():
    regular = D4.regular_representation
    rotation = Representation(D4, [R, S], name="plane")
    assert (regular.size, rotation.size) == (8, 2)
    assert (regular.is_permutation, rotation.is_permutation) == (True, False)
    assert rotation.is_orthogonal
    assert repr(rotation) == "Representation('plane', group=DihedralGroup(4), size=2)"
    assert "1 x psi_4   dimension 2, real   0:2" in str(rotation)
    assert "8 copies" in str(8 * rotation)


def test_values_compare_hash_and_survive_copies():
    rep = D4.regular_representation + Representation(D4, [R, S])
    rep.isotypic  # noqa: B018
    other = pickle.loads(pickle.dumps(rep))
    assert other == rep
    assert other is not rep
    assert hash(other) == hash(rep)
    assert copy.deepcopy(rep) == rep
    np.testing.assert_array_equal(other.change_of_basis, rep.change_of_basis)
    assert rep != D4.regular_representation
    assert Representation(D4, [R, S]) != Representation(D4, [R, -S])
    assert pickle.loads(pickle.dumps(D4.irrep(4))) == D4.irrep(4)


def test_nothing_can_be_changed():
    rep = Representation(D4, [R, S])
    with pytest.raises(AttributeError, match="immutable"):
        rep.name = "other"
    with pytest.raises(ValueError, match="read-only"):
        rep.change_of_basis[0, 0] = 3
    with pytest.raises(ValueError, match="read-only"):
        rep.blocks[0].action.generators[0, 0, 0] = 3
    irrep = D4.irrep(4)
    rep.isotypic  # noqa: B018
    loaded = pickle.loads(pickle.dumps(rep))
    for array in [
        rep.blocks[0].indices,
        rep.blocks[0].basis,
        irrep.blocks[0].basis,
        irrep.table,
        loaded.blocks[0].indices,
        loaded.blocks[0].basis,
    ]:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize("number", [3, 4, 5])
def test_a_function_of_another_convention_is_named(number):
    """Transposed permutation matrices multiply in the other order; the right ones are M[p[i], i] = 1."""
    G = SymmetricGroup(number)
    points = np.eye(number)
    with pytest.raises(RepresentationError, match=r"M\(g h\) = M\(g\) M\(h\).*M\[p\[i\], i\] = 1"):
        Representation(G, lambda g: points[g.value])
    rep = Representation(G, lambda g: points[g.value].T)
    for g in G.generators:
        assert (rep(g)[g.value, np.arange(number)] == 1).all()


def test_a_function_is_tested_beyond_the_generators():
    r, s = D4.generators
    matrices = {r: R, s: S}
    with pytest.raises(RepresentationError, match=r"matrix given for r.* differs"):
        Representation(D4, lambda g: matrices.get(g, np.eye(2)))


def test_given_arrays_are_copied():
    matrices = np.stack([R, S])
    rep = Representation(D4, matrices)
    matrices[0] = 0
    np.testing.assert_array_equal(rep.generators, [R, S])


BAD = {
    "a generator too few": (lambda: Representation(D4, [R]), RepresentationError, r"2 generators \[r, s\], got 1"),
    "a generator missing": (
        lambda: Representation(D4, {D4.generators[0]: R}),
        RepresentationError,
        r"without \[s\]",
    ),
    "keys of another group": (
        lambda: Representation(D4, {"r": R, "s": S}),
        RepresentationError,
        r"keys must be elements of DihedralGroup\(4\)",
    ),
    "not square": (lambda: Representation(D4, [R[:1], S]), ShapeError, r"generator 0|generator r.*\(1, 2\)"),
    "sizes": (lambda: Representation(D4, [R, np.eye(3)]), ShapeError, "one size"),
    "empty": (lambda: Representation(D4, [np.eye(0), np.eye(0)]), ShapeError, r"\(0, 0\)"),
    "NaN": (lambda: Representation(D4, [R, S * np.nan]), NonFiniteError, "4 NaN or infinite of 4"),
    "not orthogonal": (lambda: Representation(D4, [R, S @ [[1, 1], [0, 1]]]), RepresentationError, "orthogonalize"),
    "a relation": (lambda: Representation(D4, [S, R]), RepresentationError, "= .* fails by 2"),
    "a period": (
        lambda: Representation(CyclicGroup(5), [R]),
        RepresentationError,
        r"CyclicGroup\(5\): r\^5 = e fails by 1",
    ),
    "single precision": (
        lambda: Representation(CyclicGroup(3), CyclicGroup(3).irrep(1).generators.astype(np.float32)),
        RepresentationError,
        "float64",
    ),
    "no copies": (lambda: 0 * D4.irrep(0), RepresentationError, "whole number"),
    "an element that does not fit": (
        lambda: Representation(D4, {D4.generators[0]: R, D4.generators[1]: S, D4.identity: -np.eye(2)}),
        RepresentationError,
        "matrix given for e .* by 2",
    ),
    "a matrix of another size": (
        lambda: Representation(D4, {D4.generators[0]: R, D4.generators[1]: S, D4.identity: np.eye(3)}),
        ShapeError,
        r"matrix of e must be \(2, 2\).*got \(3, 3\)",
    ),
    "complex": (lambda: Representation(CyclicGroup(4), [[[1j]]]), DtypeError, "real, got complex128"),
    "complex tensor": (lambda: Representation(D4, torch.ones(2, 1, 1) * 1j), DtypeError, "real, got complex64"),
    "no numbers": (lambda: Representation(CyclicGroup(2), ["a"]), ShapeError, "square matrix .* of numbers, got str"),
    "ragged": (lambda: Representation(CyclicGroup(2), [[[0, 1], [1]]]), ShapeError, "square matrix .* of numbers"),
    "None": (lambda: Representation(D4, None), RepresentationError, "sequence, a dict or a function, got NoneType"),
    "group as text": (lambda: Representation("D4", [R, S]), GroupError, r"such as CyclicGroup\(4\), got 'D4'"),
    "group as class": (lambda: Representation(DihedralGroup, [R, S]), GroupError, "got <class"),
    "element of another group": (
        lambda: D4.irrep(0)(CyclicGroup(4).identity),
        GroupMismatchError,
        r"representation of DihedralGroup\(4\)",
    ),
    "sum over groups": (lambda: D4.irrep(0) + CyclicGroup(4).irrep(0), GroupMismatchError, "matrices of one group"),
    "subgroup of another": (
        lambda: D4.irrep(0).restrict(IcosahedralGroup()),
        GroupMismatchError,
        "restricts to finite subgroups",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    build, error, message = BAD[case]
    with pytest.raises(error, match=message):
        build()


def test_a_relation_that_fails_slightly_fails():
    angle = np.pi / 2 + 1e-7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    with pytest.raises(RepresentationError, match=r"r\^4 = e fails by 4e-07"):
        Representation(CyclicGroup(4), [turn])


def test_plot_draws_a_square_for_every_copy():
    import matplotlib as mpl

    mpl.use("Agg")
    rep = 2 * D4.regular_representation
    ax = rep.plot()
    assert len(ax.collections) == len(rep.isotypic) == 5
    assert sum(len(squares.get_paths()) for squares in ax.collections) == len(rep.irreps)
    assert rep.plot(ax) is ax
