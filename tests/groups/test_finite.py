"""Finite groups: families, closures, products, subgroups; against multiplication done by hand."""

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch

from isospan.errors import GroupError, GroupMismatchError
from isospan.groups import (
    SO3,
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

ORDERS = [
    (CyclicGroup(1), 1, 1),
    (CyclicGroup(5), 5, 5),
    (DihedralGroup(1), 2, 2),
    (DihedralGroup(2), 4, 4),
    (DihedralGroup(4), 8, 5),
    (DihedralGroup(5), 10, 4),
    (KleinFourGroup(), 4, 4),
    (SymmetricGroup(1), 1, 1),
    (SymmetricGroup(2), 2, 2),
    (SymmetricGroup(4), 24, 5),
    (SymmetricGroup(5), 120, 7),
    (AlternatingGroup(2), 1, 1),
    (AlternatingGroup(3), 3, 3),
    (AlternatingGroup(4), 12, 4),
    (AlternatingGroup(5), 60, 5),
    (AlternatingGroup(6), 360, 7),
    (TetrahedralGroup(), 12, 4),
    (OctahedralGroup(), 24, 5),
    (IcosahedralGroup(), 60, 5),
    (QuaternionGroup(), 8, 5),
    (DirectProductGroup(CyclicGroup(3), SymmetricGroup(3)), 18, 9),
]


@pytest.mark.parametrize(("group", "order", "classes"), ORDERS, ids=lambda value: str(value))
def test_orders_and_numbers_of_conjugacy_classes(group, order, classes):
    assert (group.order(), len(group.elements)) == (order, order)
    assert len(group.conjugacy_classes) == classes
    assert sum(len(members) for members in group.conjugacy_classes) == order


@pytest.mark.parametrize("group", [group for group, order, _ in ORDERS if order <= 60], ids=str)
def test_the_table_is_that_of_a_group(group):
    table, e = group.table, group.identity.index
    n = group.order()
    assert (np.sort(table, axis=0) == np.arange(n)[:, None]).all()
    assert (table[e] == np.arange(n)).all()
    assert (table[:, e] == np.arange(n)).all()
    assert (table[table] == table[np.arange(n)[:, None, None], table]).all()
    assert all((g @ ~g) == group.identity == (~g @ g) for g in group.elements)


def test_permutations_multiply_as_maps():
    G = SymmetricGroup(4)
    for x, y in itertools.product(G.elements, repeat=2):
        assert (x @ y).value.tolist() == x.value[y.value].tolist()
    assert {tuple(g.value) for g in G.elements} == set(itertools.permutations(range(4)))


def test_matrices_multiply_as_matrices():
    G = IcosahedralGroup()
    rng = np.random.default_rng(0)
    for _ in range(100):
        x, y = G.sample(generator=rng), G.sample(generator=rng)
        # values of elements are products of up to ten generators
        np.testing.assert_allclose((x @ y).value, x.value @ y.value, atol=1e-13)
    traces = np.sort([np.trace(g.value) for g in G.elements])
    golden = (1 + 5**0.5) / 2
    expected = np.sort([3] + [0] * 20 + [-1] * 15 + [golden] * 12 + [1 - golden] * 12)
    np.testing.assert_allclose(traces, expected, atol=1e-12)


def test_dihedral_relations():
    r, s = DihedralGroup(7).generators
    e = r.group.identity
    assert r**7 == s**2 == (r @ s) ** 2 == e
    assert s * r * s == ~r == r**-1 == r**6
    assert (r.order(), s.order()) == (7, 2)
    assert len({r**k @ s**f for k in range(7) for f in range(2)}) == 14


def test_elements_print_as_words_cycles_and_labels():
    assert str(CyclicGroup(3).elements) == "(e, r, r^2)"
    assert repr(FiniteGroup.from_permutations([[1, 2, 0, 4, 3]]).generators[0]) == "(0 1 2)(3 4)"
    table = CyclicGroup(3).table
    assert str(FiniteGroup.from_cayley_table(table).elements) == "(e, 1, 2)"


def test_cayley_table_keeps_indices_and_finds_the_identity():
    shift = np.array([2, 0, 1, 3, 5, 4])  # renumber so that the identity is not 0
    table = np.empty((6, 6), dtype=int)
    original = SymmetricGroup(3).table
    table[np.ix_(shift, shift)] = shift[original]
    G = FiniteGroup.from_cayley_table(table)
    assert G.identity.index == 2
    np.testing.assert_array_equal(G.table, table)
    assert [irrep.size for irrep in G.irreps()] == [1, 1, 2]
    x, y = G.elements[0], G.elements[5]
    assert (x @ y).index == table[0, 5]


def test_closure_of_matrices_in_any_basis_of_any_kind():
    G = QuaternionGroup()
    skew = np.eye(4) + 0.3 * np.random.default_rng(0).standard_normal((4, 4))
    matrices = [torch.from_numpy(skew @ g.value @ np.linalg.inv(skew)) for g in G.generators]
    assert FiniteGroup.from_matrices(matrices) == G


def test_order_5000_has_elements_and_products():
    G = DihedralGroup(2500)
    r, s = G.generators
    assert len(G.elements) == 5000
    assert r**1234 @ s @ r**1234 == s
    assert G.table.shape == (5000, 5000)
    assert SymmetricGroup(7).order() == 5040


def test_large_groups_multiply_without_a_table():
    G = AlternatingGroup(8)
    x, y = G.elements[12345], G.elements[20000]
    assert (x @ y).value.tolist() == x.value[y.value].tolist()
    assert x @ ~x == G.identity
    assert "columns" not in G.graph.__dict__


def test_products_of_three():
    A, B, C = CyclicGroup(2), SymmetricGroup(3), CyclicGroup(5)
    G = A * B * C
    assert G == DirectProductGroup(A, B, C) == A * (B * C)
    assert G.order() == 60
    assert [g.order() for g in G.generators] == [2, 3, 2, 5]
    a, b, s, c = G.generators
    assert a @ c == c @ a
    assert b @ c == c @ b
    assert b @ s != s @ b


def test_subgroups_embed():
    G = OctahedralGroup()
    H = G.subgroup([G.generators[1], G.element(np.diag([1.0, -1, -1]))])
    assert H.graph == DihedralGroup(4).graph
    for x, y in itertools.product(H.elements, repeat=2):
        assert H.embed(x @ y) == H.embed(x) @ H.embed(y)
    assert len({H.embed(h) for h in H.elements}) == 8
    np.testing.assert_allclose(H.generators[0].value, G.generators[1].value)


def test_subgroups_are_equal_only_in_the_same_place():
    G = DihedralGroup(4)
    r, s = G.generators
    half_turn, mirror = G.subgroup([r**2]), G.subgroup([s])
    assert half_turn == DihedralGroup(4).subgroup([r**2])
    assert hash(half_turn) == hash(DihedralGroup(4).subgroup([r**2]))
    assert half_turn != mirror
    assert half_turn != CyclicGroup(2)
    with pytest.raises(GroupMismatchError, match="one group"):
        G.irrep(4).restrict(half_turn) + G.irrep(4).restrict(mirror)
    with pytest.raises(GroupMismatchError, match=r"<s> in DihedralGroup\(4\) are embedded in DihedralGroup\(4\)"):
        mirror.embed(half_turn.generators[0])


@pytest.mark.parametrize("G", [DihedralGroup(3) * CyclicGroup(3), QuaternionGroup() * CyclicGroup(3)], ids=str)
def test_equal_groups_have_equal_irreps(G):
    plain = FiniteGroup(G.graph.right)
    assert any((a.generators != b.generators).any() for a, b in zip(G.irreps(), plain.irreps(), strict=True))
    assert plain != G
    again = DirectProductGroup(*G.factors)
    assert again == G
    assert list(again.irreps()) == list(G.irreps())


def test_values_compare_hash_and_survive_copies():
    G = SymmetricGroup(4)
    G.irreps()
    other = pickle.loads(pickle.dumps(G))
    assert other == G
    assert other is not G
    assert hash(other) == hash(G)
    assert other.elements[7] == G.elements[7]
    assert {G.elements[7]: 1}[other.elements[7]] == 1
    assert pickle.loads(pickle.dumps(G.elements[3])) == G.elements[3]
    assert copy.deepcopy(G) == G
    assert G != AlternatingGroup(4)
    assert CyclicGroup(2).generators[0] != CyclicGroup(3).generators[0]


def test_nothing_can_be_changed():
    G = CyclicGroup(4)
    with pytest.raises(AttributeError, match="immutable"):
        G.name = "other"
    with pytest.raises(ValueError, match="read-only"):
        G.table[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        pickle.loads(pickle.dumps(G)).graph.right[0, 0] = 1
    with pytest.raises(AttributeError, match="immutable"):
        G.identity.index = 2
    for tree in [G.graph.tree, pickle.loads(pickle.dumps(G)).graph.tree]:
        for array in [tree.parent, tree.step, tree.layers[0][1]]:
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1


def test_given_values_are_copied():
    values = np.zeros((1, 2))
    G = FiniteGroup([[0]], values=values)
    values[0] = 1
    assert G.values.tolist() == [[0, 0]]


def test_samples_are_uniform_and_reproducible():
    G = CyclicGroup(3)
    rng = np.random.default_rng(0)
    counts = np.bincount([G.sample(generator=rng).index for _ in range(600)], minlength=3)
    # standard deviation of a count is 11.5
    assert (abs(counts - 200) < 50).all()
    again = [G.sample(generator=np.random.default_rng(5)) for _ in range(3)]
    assert len(set(again)) == 1


def turn(n):
    """Rotation by 2π/n."""
    c, s = np.cos(2 * np.pi / n), np.sin(2 * np.pi / n)
    return np.array([[c, -s], [s, c]])


BAD = {
    "no permutation": (lambda: FiniteGroup.from_permutations([[0, 0, 1]]), r"each once.*\[0, 0, 1\]"),
    "lengths": (lambda: FiniteGroup.from_permutations([[1, 0], [0, 1, 2]]), "all have one n"),
    "no generator": (lambda: FiniteGroup.from_permutations([]), "at least one generator"),
    "no matrix": (lambda: FiniteGroup.from_matrices([]), "at least one generator"),
    "singular": (lambda: FiniteGroup.from_matrices([[[1, 0], [0, 0]]]), "determinant 1 or -1, .* 0 has 0"),
    "growing": (lambda: FiniteGroup.from_matrices([[[2.0]]]), "determinant 1 or -1, .* 0 has 2"),
    "hyperbolic": (lambda: FiniteGroup.from_matrices([[[2, 1], [1, 1]]]), "grow without end"),
    "rounded": (lambda: FiniteGroup.from_matrices([turn(500).astype(np.float32)]), "apart.* in float64"),
    "too many permutations": (lambda: SymmetricGroup(8), r"SymmetricGroup\(n\) needs n <= 7.*got 8"),
    "too many even permutations": (lambda: AlternatingGroup(9), "n <= 8"),
    "too large a closure": (
        lambda: FiniteGroup.from_permutations([np.roll(np.arange(9), 1), [1, 0, *range(2, 9)]]),
        r"more than the 25000 elements.*smaller group",
    ),
    "ragged table": (lambda: FiniteGroup.from_cayley_table([[0, 1], [1]]), "square array of whole numbers"),
    "scalar table": (lambda: FiniteGroup.from_cayley_table(3), r"square array of whole numbers, got shape \(\)"),
    "a product with a Lie group": (lambda: DirectProductGroup(SO3(), CyclicGroup(2)), r"SO3\(\) \* CyclicGroup\(2\)"),
    "no list": (lambda: CyclicGroup(2).subgroup(CyclicGroup(2).identity), r"list of elements.*got e"),
    "irrational rotation": (
        lambda: FiniteGroup.from_matrices([turn(2 * np.pi)]),
        "infinite or too large",
    ),
    "size": (lambda: CyclicGroup(0), "at least 1, got 0"),
    "fraction": (lambda: DihedralGroup(2.5), "got 2.5"),
    "no identity": (lambda: FiniteGroup.from_cayley_table([[1, 0], [1, 0]]), "identity"),
    "no inverse": (lambda: FiniteGroup.from_cayley_table([[0, 1], [1, 1]]), "one inverse"),
    "range": (lambda: FiniteGroup.from_cayley_table([[0, 1], [1, 2]]), "holds 0 to 1, got 0 to 2"),
    "not square": (lambda: FiniteGroup.from_cayley_table([[0, 1]]), "square"),
    "rows": (lambda: FiniteGroup([[0, 0]]), "permutes"),
    "unreached": (lambda: FiniteGroup([[1, 0, 3, 2]]), "reach every element"),
    "empty product": (lambda: DirectProductGroup(), "at least one"),
    "empty subgroup": (lambda: CyclicGroup(2).subgroup([]), "identity"),
    "no such element": (lambda: SymmetricGroup(3).element([0, 1, 1]), "no element"),
    "no such irrep": (lambda: CyclicGroup(2).irrep(2), "0 to 1, got 2"),
    "no subgroup": (lambda: CyclicGroup(2).embed(CyclicGroup(2).identity), "not made as a subgroup"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    build, message = BAD[case]
    with pytest.raises(GroupError, match=message):
        build()


def test_a_loop_that_is_no_group_is_named():
    # the smallest Latin square with an identity and two-sided inverses that is not associative has order 5
    table = [[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]]
    with pytest.raises(GroupError, match=r"associative, but here \(1 1\) 2 = 2 and 1 \(1 2\) = 4"):
        FiniteGroup.from_cayley_table(table)


def test_groups_do_not_mix():
    with pytest.raises(GroupMismatchError, match="one group"):
        CyclicGroup(2).generators[0] @ CyclicGroup(3).generators[0]
    with pytest.raises(GroupMismatchError, match="generated by its elements"):
        CyclicGroup(2).subgroup([CyclicGroup(3).generators[0]])
    with pytest.raises(GroupMismatchError, match=r"subgroup of CyclicGroup\(2\)"):
        CyclicGroup(2).quotient_representation(CyclicGroup(2))
