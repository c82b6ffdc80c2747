"""Representations of Lie groups: decomposition, equivariant maps, what is refused."""

import numpy as np
import pytest
import torch

from isospan.errors import RepresentationError
from isospan.groups import O2, O3, SO2, SO3, CyclicGroup, DihedralGroup, IcosahedralGroup, QuaternionGroup
from isospan.representations import (
    HomBasis,
    Representation,
    change_of_basis,
    direct_sum,
    orthogonalize,
    symmetric_square,
)

J = np.array([[0.0, -1], [1, 0]])
SUMS = {
    "SO2": (SO2(), 6, lambda i: 1 + i % 2),
    "O2": (O2(), 6, lambda i: 1 + i % 2),
    "SO3": (SO3(), 6, lambda i: 1 + (i == 1)),
    "O3": (O3(), 3, lambda i: 1 + (i == 3)),
    "SO2 x D3": (SO2() * DihedralGroup(3), 2, lambda i: 1 + i % 2),
    "SO3 x C2": (SO3() * CyclicGroup(2), 2, lambda i: 1 + i % 2),
    "SO2 x Q8": (SO2() * QuaternionGroup(), 1, lambda i: 1 + i % 2),
    "SO2 x SO2": (SO2() * SO2(), 1, lambda i: 1 + i % 2),
}


def random_orthogonal(n):
    return np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0]


@pytest.fixture(params=SUMS)
def case(request):
    group, most, multiplicity = SUMS[request.param]
    multiplicities = [multiplicity(i) for i in range(len(group.irreps(most)))]
    plain = direct_sum([m * irrep for m, irrep in zip(multiplicities, group.irreps(most), strict=True)])
    return group, group.irreps(most), multiplicities, change_of_basis(plain, random_orthogonal(plain.size))


def test_random_conjugates_of_sums_of_irreps(case):
    group, irreps, multiplicities, rep = case
    assert [component.irrep.key for component in rep.isotypic] == [irrep.key for irrep in irreps]
    assert [component.multiplicity for component in rep.isotypic] == multiplicities
    Q = rep.change_of_basis
    g = group.sample(generator=np.random.default_rng(1))
    D, start = Q.T @ rep(g) @ Q, 0
    for irrep in rep.irreps:
        D[start : start + irrep.size, start : start + irrep.size] -= irrep(g)
        start += irrep.size
    np.testing.assert_allclose(D, 0, atol=1e-10)
    np.testing.assert_allclose(Q.T @ Q, np.eye(rep.size), atol=1e-11)


def test_equivariant_maps_commute_with_random_elements(case):
    group, irreps, multiplicities, rep = case
    target = direct_sum(irreps)
    basis = HomBasis(rep, target)
    types = [len(irrep.endomorphism_basis) for irrep in irreps]
    assert basis.dimension == sum(m * s for m, s in zip(multiplicities, types, strict=True))
    W = basis.synthesize(torch.randn(basis.dimension, dtype=torch.float64)).numpy()
    rng = np.random.default_rng(2)
    for _ in range(3):
        g = group.sample(generator=rng)
        np.testing.assert_allclose(W @ rep(g), target(g) @ W, atol=1e-8)


def test_products_follow_clebsch_and_gordan():
    assert [component.irrep.key for component in (SO3().irrep(2) & SO3().irrep(3)).isotypic] == [
        (degree,) for degree in range(1, 6)
    ]
    inertia = symmetric_square(O3().irrep(1, 1))
    assert [component.irrep.name for component in inertia.isotypic] == ["l=0, even", "l=2, even"]
    g = O3().sample(generator=np.random.default_rng(0))
    square = O3().irrep(1, 1) & O3().irrep(1, 1)
    np.testing.assert_allclose(square(g), np.kron(g.matrix, g.matrix), atol=1e-12)


def test_every_way_to_give_the_matrices_gives_the_same():
    given = Representation(O2(), [np.diag([1.0, -1, -1])], algebra=[np.pad(J, (0, 1))])
    function = Representation(O2(), lambda g: np.block([[g.matrix, np.zeros((2, 1))], [0, 0, np.linalg.det(g.matrix)]]))
    np.testing.assert_allclose(given.algebra, function.algebra, atol=1e-12)
    assert [component.irrep.key for component in function.isotypic] == [(0, 1), (1, 0)]
    rep = Representation(SO3() * CyclicGroup(2), lambda g: (-1) ** g.parts[1].index * g.parts[0])
    assert [component.irrep.size for component in rep.isotypic] == [3]


def test_frequencies_need_no_input():
    rep = change_of_basis(SO2().irrep(17) + SO2().irrep(4), random_orthogonal(4))
    assert [component.irrep.key for component in rep.isotypic] == [(4,), (17,)]


def test_restriction_to_a_finite_subgroup_decomposes():
    group = SO3().subgroup([SO3().element(g.value) for g in IcosahedralGroup().generators])
    rep = (SO3().irrep(3) + SO3().irrep(1)).restrict(group)
    assert sorted(component.irrep.size for component in rep.isotypic) == [3, 3, 4]


@pytest.mark.parametrize("group", [SO3(), O2(), SO2() * CyclicGroup(3), QuaternionGroup()], ids=str)
def test_orthogonalize_returns_an_equivalent_orthogonal_one(group):
    irreps = group.irreps() if isinstance(group, QuaternionGroup().__class__) else group.irreps(1)
    rep = direct_sum(irreps)
    skew = np.eye(rep.size) + 0.2 * np.random.default_rng(0).standard_normal((rep.size,) * 2)
    inverse = np.linalg.inv(skew)
    orthogonal, T = orthogonalize(
        group, list(skew @ rep.generators @ inverse), algebra=list(skew @ rep.algebra @ inverse)
    )
    g = group.sample(generator=np.random.default_rng(1))
    np.testing.assert_allclose(orthogonal(g) @ T, T @ skew @ rep(g) @ inverse, atol=1e-10)
    assert [component.irrep.key for component in orthogonal.isotypic] == [
        component.irrep.key for component in rep.isotypic
    ]
    _, unchanged = orthogonalize(group, list(rep.generators), algebra=list(rep.algebra))
    np.testing.assert_allclose(unchanged, np.eye(rep.size), atol=1e-12)


def test_orthogonalize_takes_a_function_on_a_lie_group():
    """A vector of SO(2), of SO(3) and a sum of frequencies, each in coordinates of its own units."""
    for group, rep in [(SO2(), SO2().irrep(1)), (SO3(), SO3().irrep(2)), (O2(), O2().irrep(1) + O2().irrep(40))]:
        units = 1 + np.arange(rep.size)
        orthogonal, T = orthogonalize(group, lambda g, rep=rep, units=units: rep(g) * units[:, None] / units)
        g = group.sample(generator=np.random.default_rng(1))
        np.testing.assert_allclose(orthogonal(g) @ T, T @ (rep(g) * units[:, None] / units), atol=1e-10)
        assert [component.irrep.key for component in orthogonal.isotypic] == [c.irrep.key for c in rep.isotypic]


def test_functions_are_differentiated_up_to_frequency_100():
    assert Representation(SO2(), SO2().irrep(100)).isotypic[0].irrep.key == (100,)
    with pytest.raises(RepresentationError, match=r"up to the frequency 100.*algebra="):
        Representation(SO2(), SO2().irrep(101))


def test_functions_on_lie_groups_are_tested_on_other_elements():
    def without_reflections(g):
        return g.matrix if np.linalg.det(g.matrix) > 0 else np.diag([1.0, -1])

    with pytest.raises(RepresentationError, match=r"M\(g h\) = M\(g\) M\(h\)"):
        Representation(O2(), without_reflections)


spin = np.array(
    [
        np.kron(J, [[0, 1], [1, 0]]),
        np.kron(np.eye(2), J),
        np.kron(J, [[1, 0], [0, -1]]),
    ]
)
BAD = {
    "no algebra": (lambda: Representation(SO2(), []), "as algebra="),
    "too little algebra": (lambda: Representation(SO3(), algebra=[np.eye(3)]), "3 elements of the basis.*got 1"),
    "symmetric": (lambda: Representation(SO2(), algebra=[np.eye(2)]), "antisymmetric.*defect of 2"),
    "half a frequency": (
        lambda: Representation(SO2(), algebra=[J / 2]),
        r"exp\(2π X0\) = e fails by 2. Check them, their order \(the algebra's basis is X0\), and",
    ),
    "not diagonalisable": (lambda: orthogonalize(SO2(), algebra=[[[0, 1.0], [0, 0]]]), "diagonalisable"),
    "spin": (lambda: Representation(SO3(), algebra=list(spin / 2)), r"SO3\(\): exp\(2π X\d\) = e fails by 2"),
    "commutator": (
        lambda: Representation(SO3(), algebra=[np.pad(J, (0, 1))] * 3),
        "commutator of X0 and X1 fails by 1",
    ),
    "reflection": (lambda: Representation(O2(), [np.eye(2)], algebra=[J]), "action of the reflection on X0 fails by 2"),
    "order of the reflection": (
        lambda: Representation(O2(), [J], algebra=[np.zeros((2, 2))]),
        "reflection has order 2 fails by 2",
    ),
    "factors that do not commute": (
        lambda: Representation(SO2() * CyclicGroup(2), [np.diag([1.0, -1])], algebra=[J]),
        r"SO2\(\) commutes with CyclicGroup\(2\) fails by 2",
    ),
    "a singular matrix": (
        lambda: orthogonalize(CyclicGroup(2), [np.diag([1.0, 0])]),
        r"r\^2 = e fails by 1",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    build, message = BAD[name]
    with pytest.raises(RepresentationError, match=message):
        build()
