"""Equivariant maps from coefficients: an orthonormal basis of the commutant, however they are computed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from isospan.groups import (
    SO2,
    SO3,
    AlternatingGroup,
    CyclicGroup,
    DihedralGroup,
    IcosahedralGroup,
    QuaternionGroup,
    SymmetricGroup,
)
from isospan.nn import Conv1d, ConvTranspose1d, EquivariantMaps, Linear
from isospan.nn._base.cost import Shape, chosen_kernel, isotypic_cost
from isospan.nn._kernels.dense import Dense
from isospan.nn._kernels.invariant_vectors import InvariantVectors
from isospan.nn._kernels.permuted import PermutedMaps
from isospan.representations import Representation, change_of_basis, direct_sum

from .conftest import in_random_basis

GROUPS = {
    "C1": CyclicGroup(1),
    "C4": CyclicGroup(4),
    "D3": DihedralGroup(3),
    "A4": AlternatingGroup(4),
    "Q8": QuaternionGroup(),
    "S4": SymmetricGroup(4),
}


def orbits(group):
    """Two permutation representations: one orbit, and orbits of three kinds whose coordinates are mixed up."""
    point, cosets = group.trivial_representation, group.quotient_representation(group.subgroup([group.generators[0]]))
    mixed = cosets + point + 2 * cosets + group.regular_representation + point
    P = np.eye(mixed.size)[np.random.default_rng(0).permutation(mixed.size)]
    return group.regular_representation, change_of_basis(mixed, P)


@pytest.fixture(params=GROUPS)
def group(request):
    return GROUPS[request.param]


@pytest.fixture(params=["in", "out", "both"])
def permuted(request, group):
    one, many = orbits(group)
    return {"in": (many, one), "out": (one, many), "both": (many, many)}[request.param]


def commutant(rep_in, rep_out):
    """Projector on the equivariant maps, flattened: the null space of the equations, by brute force."""
    A, B = np.eye(rep_in.size), np.eye(rep_out.size)
    equations = [np.kron(rep_out(g), A) - np.kron(B, rep_in(g).T) for g in rep_in.group.generators]
    _, s, Vt = np.linalg.svd(np.concatenate(equations))
    null = Vt[np.sum(s > 1e-9) :]
    return null.T @ null


def test_permuted_maps_are_an_orthonormal_basis_of_the_commutant():
    for group in [CyclicGroup(4), DihedralGroup(3)]:
        rep_in, rep_out = orbits(group)
        maps = EquivariantMaps(rep_in, rep_out).double()
        basis = maps(torch.eye(maps.dimension, dtype=torch.float64)).flatten(1)
        torch.testing.assert_close(basis @ basis.mT, torch.eye(maps.dimension).double(), rtol=0, atol=1e-12)
        projector = torch.tensor(commutant(rep_in, rep_out))
        torch.testing.assert_close(basis.mT @ basis, projector, rtol=0, atol=1e-10)


def test_permuted_maps_are_those_of_the_irrep_basis(permuted):
    maps = EquivariantMaps(*permuted).double()
    assert isinstance(maps.synthesis, PermutedMaps)
    coefficients = torch.randn(2, 3, maps.dimension, dtype=torch.float64)
    torch.testing.assert_close(maps(coefficients), maps.basis.synthesize(coefficients), rtol=0, atol=1e-12)


def test_equal_entries_are_equal_to_the_last_digit(permuted):
    """A gather repeats numbers exactly, which no product does."""
    W = EquivariantMaps(*permuted)(torch.randn(EquivariantMaps(*permuted).dimension)).numpy()
    for g in permuted[0].group.generators:
        rows, columns = (rep(g).argmax(0) for rep in permuted[::-1])
        if len(permuted[0].blocks) == 1:  # else orbits with a stabiliser repeat entries to rounding
            np.testing.assert_array_equal(W[np.ix_(rows, columns)], W)
        np.testing.assert_allclose(W[np.ix_(rows, columns)], W, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # by torch, for jacfwd
def test_derivatives_of_every_kind():
    rep_in, rep_out = orbits(DihedralGroup(3))
    maps = EquivariantMaps(rep_in, rep_out).double()
    c = torch.randn(2, maps.dimension, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(maps, (c,))
    assert torch.autograd.gradgradcheck(maps, (c,))
    plain = maps.basis.synthesize
    for transform in [torch.func.jacrev, torch.func.jacfwd, torch.func.hessian, torch.func.vmap]:
        torch.testing.assert_close(transform(maps)(c.detach()), transform(plain)(c.detach()), rtol=0, atol=1e-12)


# torch instantiates its own functions while it traces them
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_permuted_layers_trace():
    rep = orbits(DihedralGroup(3))[1]
    layer, x = Linear(rep, rep), torch.randn(4, rep.size)
    compiled, ours = torch.compile(layer, fullgraph=True, backend="aot_eager"), Linear(rep, rep)
    ours.load_state_dict(layer.state_dict())
    for model in (compiled, ours):
        model(x).square().sum().backward()
    torch.testing.assert_close(layer.coefficients.grad, ours.coefficients.grad)
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=2)},))
    torch.testing.assert_close(program.module()(x[:3]), layer(x[:3]))


def test_invariant_vectors_of_permutations_are_columns_of_the_change_of_basis(group):
    for rep in (orbits(group)[1], 3 * group.regular_representation, orbits(group)[1] + 2 * orbits(group)[0]):
        vectors = InvariantVectors(rep).double()
        b = torch.randn(vectors.dimension, dtype=torch.float64)
        expected = rep.change_of_basis[:, : len(b)] @ b.numpy()  # the trivial irrep leads
        np.testing.assert_allclose(vectors(b), expected, rtol=0, atol=1e-13)
        assert all(buffer.numel() <= rep.size for buffer in vectors.buffers())


def test_groups_without_generators():
    group = CyclicGroup(1)
    rep = Representation(group, [np.eye(3)] * len(group.generators))
    maps = EquivariantMaps(rep, rep)
    assert maps(torch.randn(maps.dimension)).shape == (3, 3)
    assert maps.dimension == 9


def test_no_buffer_is_larger_than_the_map():
    for rep in orbits(SymmetricGroup(4)):
        assert max(buffer.numel() for buffer in EquivariantMaps(rep, rep).buffers()) <= rep.size**2


LAYERS = {
    "Linear": Linear,
    "Conv1d": lambda *reps: Conv1d(*reps, 3),
    "Conv1d of 9 kernel positions": lambda *reps: Conv1d(*reps, 9),
    "ConvTranspose1d": lambda *reps: ConvTranspose1d(*reps, 3),
}
each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def taken(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


FINITE = [CyclicGroup(4), DihedralGroup(6), AlternatingGroup(4), QuaternionGroup(), IcosahedralGroup()]


@each_layer
@pytest.mark.parametrize("copies", [1, 2, 3, 10])
@pytest.mark.parametrize("group", FINITE, ids=str)
def test_buffers_of_permuted_layers_take_less_than_the_dense_weight(group, copies, make):
    """A single copy takes a transform as large as its map, of four bytes an entry, and one that says where from."""
    regular, n = copies * group.regular_representation, group.order()
    layer = make(regular, regular)
    assert taken(layer.buffers()) <= max(taken([layer.weight]), 5 * n * n)
    several = make(regular + copies * group.trivial_representation, regular)
    assert copies == 1 or taken(several.buffers()) <= taken([several.weight])


@each_layer
@pytest.mark.parametrize("copies", [1, 2, 3])
@pytest.mark.parametrize("group", FINITE, ids=str)
def test_buffers_of_layers_in_random_bases_are_the_changes_of_basis(group, copies, make):
    rep, wide = (in_random_basis(n * group.regular_representation) for n in (copies, copies + 1))
    for pair in ((rep, rep), (rep, wide)):
        layer = make(*pair)
        bases = 4 * sum(one.size**2 for one in {id(one): one for one in pair}.values())
        assert taken(layer.buffers()) <= max(bases, 0 if isinstance(layer.kernel, Dense) else taken([layer.weight]))


@each_layer
@pytest.mark.parametrize("group", [*FINITE, SO2(), SO3()], ids=str)
def test_buffers_of_irreps_in_many_copies_take_less_than_the_dense_weight(group, make):
    irreps = direct_sum(group.irreps() if group.order() else group.irreps(2))
    for rep in (10 * irreps, 10 * in_random_basis(irreps)):
        layer = make(rep, rep)
        assert taken(layer.buffers()) <= taken([layer.weight])


@pytest.mark.parametrize("make", [Conv1d, ConvTranspose1d])
def test_isotypic_kernels_have_no_buffers_for_the_dense_weight(make):
    rep = 128 * CyclicGroup(2).regular_representation
    layer = make(rep, rep, 3, kernel="isotypic")
    assert taken(layer.buffers()) <= taken([layer.weight]) / 10
    maps = layer.kernel.basis.synthesize(layer.coefficients)
    expected = maps.movedim(0, -1) if make is Conv1d else maps.permute(2, 1, 0)
    torch.testing.assert_close(layer.weight, expected)


def test_cost_of_isotypic_products_is_that_of_the_scalars_of_the_irrep():
    """The map C is applied to d / s scalars of s coordinates each."""
    one_complex, two_quaternions = SO2().irrep(1), (QuaternionGroup() * DihedralGroup(3)).irreps()[-1]
    assert (two_quaternions.size, two_quaternions.type) == (8, "quaternionic")

    def products(rep):
        return isotypic_cost(Shape(rep, rep, positions=2)) - isotypic_cost(Shape(rep, rep, positions=1))

    assert products(32 * SO3().irrep(2)) == 32 * 32 * 5  # of 25 in each pair of copies
    assert products(16 * two_quaternions) == 16 * 16 * 8 * 4  # of 64
    assert products(64 * one_complex) == 64 * 64 * 4  # of 4


RECORDED = Path(__file__).parents[2] / "benchmarks" / "results" / "kernels.json"
TIMED = {"C4": CyclicGroup(4), "D6": DihedralGroup(6), "icosahedral": IcosahedralGroup(), "SO2": SO2(), "SO3": SO3()}


def recorded_shape(case):
    """The problem of a key such as "Conv1d 9 256 SO3", with about as many features as it says."""
    layer, features, name = case.rsplit(" ", 2)
    group = TIMED[name]
    parts = [group.regular_representation] if group.order() else group.irreps(2)
    copies = max(round(int(features) / sum(part.size for part in parts)), 1)
    rep = direct_sum([copies * part for part in parts])
    kind, _, positions = layer.partition(" ")
    return Shape(rep, rep, int(positions or 1), in_chain=kind == "chain")


def test_the_choice_is_near_the_fastest_kernel_of_the_recorded_times():
    recorded = json.loads(RECORDED.read_text())["seconds"]
    near = [
        seconds[chosen_kernel(recorded_shape(case))] <= 1.1 * min(seconds["dense"], seconds["isotypic"])
        for case, seconds in recorded.items()
    ]
    assert len(near) == 80
    assert sum(near) >= 0.95 * len(near)
