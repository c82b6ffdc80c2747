"""Equivariant maps, against averages over the group and inner products of characters."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from isospan.errors import DtypeError, GroupMismatchError, OptionError, ShapeError
from isospan.groups import CyclicGroup, DihedralGroup, IcosahedralGroup, OctahedralGroup, QuaternionGroup
from isospan.representations import HomBasis, change_of_basis, direct_sum

GROUPS = [CyclicGroup(1), CyclicGroup(5), DihedralGroup(4), QuaternionGroup(), OctahedralGroup()]


def spaces(group):
    """Two representations of different sizes, one of them in a dense basis, that share all irreps but the second."""
    rng = np.random.default_rng(0)
    irreps = group.irreps()
    plain = direct_sum([2 * irreps[0], *irreps[2:], irreps[-1]])
    dense = change_of_basis(plain, np.linalg.qr(rng.standard_normal((plain.size,) * 2))[0])
    return dense + irreps[-1], group.regular_representation + irreps[-1]


def group_average(matrix, rep_in, rep_out):
    return np.mean([rep_out(g) @ matrix @ rep_in(g).T for g in rep_in.group.elements], axis=0)


@pytest.fixture(params=GROUPS, ids=str)
def reps(request):
    return spaces(request.param)


def test_dimension_is_the_inner_product_of_characters(reps):
    rep_in, rep_out = reps
    inner = np.mean([rep_in.character(g) * rep_out.character(g) for g in rep_in.group.elements])
    assert HomBasis(rep_in, rep_out).dimension == round(inner)


def test_projection_is_the_mean_over_the_group(reps):
    matrix = np.random.default_rng(0).standard_normal((reps[1].size, reps[0].size))
    projected = HomBasis(*reps).project(matrix)
    np.testing.assert_allclose(projected, group_average(matrix, *reps), atol=1e-12)


def test_every_equivariant_map_is_synthesised(reps):
    basis = HomBasis(*reps)
    maps = torch.eye(basis.dimension, dtype=torch.float64)
    W = basis.synthesize(maps)
    assert W.shape == (basis.dimension, reps[1].size, reps[0].size)
    gram = torch.einsum("kij,lij->kl", W, W)
    torch.testing.assert_close(gram, maps, rtol=0, atol=1e-12)
    for g in reps[0].group.generators:
        torch.testing.assert_close(torch.tensor(reps[1](g)) @ W, W @ torch.tensor(reps[0](g)), rtol=0, atol=1e-12)


def test_coefficients_are_inverse_and_adjoint_of_synthesis(reps):
    basis = HomBasis(*reps)
    c = torch.randn(3, basis.dimension, dtype=torch.float64)
    M = torch.randn(3, reps[1].size, reps[0].size, dtype=torch.float64)
    torch.testing.assert_close(basis.coefficients(basis.synthesize(c)), c, rtol=0, atol=1e-12)
    left, right = (basis.synthesize(c) * M).sum((1, 2)), (c * basis.coefficients(M)).sum(1)
    torch.testing.assert_close(left, right, rtol=0, atol=1e-11)


def test_gradients_dtype_and_kind_are_kept(reps):
    basis = HomBasis(*reps)
    c = torch.randn(basis.dimension, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(basis.synthesize, (c,))
    M = torch.randn(reps[1].size, reps[0].size, requires_grad=True)
    assert basis.project(M).dtype == torch.float32
    assert basis.project(M).requires_grad
    assert isinstance(basis.project(M.detach().numpy()), np.ndarray)
    assert basis.project(M.detach().bfloat16()).dtype == torch.bfloat16


def test_constants_are_cast_once_for_every_dtype():
    rep = DihedralGroup(4).regular_representation
    basis = HomBasis(rep, rep)
    for dtype in [torch.float32, torch.float64, torch.float32]:
        basis.synthesize(torch.zeros(basis.dimension, dtype=dtype))
    assert len([key for key in rep._derived if len(key) > 1]) == 2
    assert not pickle.loads(pickle.dumps(rep))._derived


def test_constants_made_in_inference_mode_serve_training():
    rep = DihedralGroup(5).regular_representation
    basis = HomBasis(rep, rep)
    with torch.inference_mode():
        basis.project(torch.zeros(rep.size, rep.size))
    c = torch.ones(basis.dimension, requires_grad=True)
    basis.synthesize(c).sum().backward()
    assert c.grad is not None


def test_constants_are_on_the_device_of_the_data():
    rep = DihedralGroup(5).regular_representation
    with torch.device("meta"):
        basis = HomBasis(rep, rep)
        assert basis.synthesize(torch.ones(basis.dimension, device="cpu")).device.type == "cpu"


def test_numpy_arrays_may_be_read_only_or_reversed():
    rep = CyclicGroup(4).regular_representation
    basis = HomBasis(rep, rep)
    matrix = np.random.default_rng(0).standard_normal((4, 4))
    expected = basis.project(matrix)
    matrix.setflags(write=False)
    np.testing.assert_array_equal(basis.project(matrix), expected)
    reversed_projection = basis.project(matrix[::-1, ::-1])
    np.testing.assert_allclose(reversed_projection, group_average(matrix[::-1, ::-1], rep, rep), atol=1e-12)
    assert basis.synthesize(np.ones(basis.dimension)[::-1]).shape == (4, 4)


def test_synthesis_works_under_functional_transforms():
    rep = CyclicGroup(5).regular_representation
    basis = HomBasis(rep, rep)
    c = torch.randn(4, basis.dimension, dtype=torch.float64)
    torch.testing.assert_close(torch.func.vmap(basis.synthesize)(c), basis.synthesize(c))
    jacobian = torch.func.jacrev(basis.synthesize)(c[0])
    torch.testing.assert_close(
        jacobian.movedim(-1, 0), basis.synthesize(torch.eye(basis.dimension, dtype=torch.float64))
    )


@pytest.mark.parametrize("nonlinearity", ["linear", "relu"])
def test_initial_coefficients_preserve_variance(nonlinearity):
    """Mean of 400 maps of 20 coordinates and more; the error of a variance is about 2 %."""
    G = QuaternionGroup()
    rep_in, rep_out = 3 * G.regular_representation + G.irrep(4), 2 * G.regular_representation
    basis = HomBasis(rep_in, rep_out)
    draws = torch.stack([basis.init_(torch.empty(basis.dimension), nonlinearity=nonlinearity) for _ in range(400)])
    W = basis.synthesize(draws)
    variance = W.square().sum(-1).mean(0)
    expected = torch.nn.init.calculate_gain(nonlinearity) ** 2
    torch.testing.assert_close(variance, torch.full_like(variance, expected), rtol=0.15, atol=0)
    assert variance.mean() == pytest.approx(expected, rel=0.03)


def test_initial_coefficients_follow_their_generator_and_gain():
    basis = HomBasis(*spaces(CyclicGroup(5)))
    first, second = (
        basis.init_(torch.empty(basis.dimension), gain=gain, generator=torch.Generator().manual_seed(3))
        for gain in (1.0, 2.0)
    )
    torch.testing.assert_close(2 * first, second)


def test_no_shared_irrep_leaves_the_zero_map():
    G = DihedralGroup(4)
    basis = HomBasis(G.irrep(1), G.irrep(4))
    assert basis.dimension == 0
    assert basis.synthesize(torch.zeros(0)).tolist() == [[0.0], [0.0]]
    assert basis.coefficients(torch.ones(2, 1)).shape == (0,)


class LargestTensor(TorchDispatchMode):
    """Watches every operation for the largest tensor that it makes."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        sizes = [tensor.numel() for tensor in tree_leaves(made) if isinstance(tensor, torch.Tensor)]
        self.entries = max([self.entries, *sizes])
        return made


def test_memory_stays_linear_in_the_map():
    """A dense basis of Hom would take 43 * 43 * 60 * 2580^2 numbers; a map has 2580^2 of them, 53 MB."""
    rep = 43 * IcosahedralGroup().regular_representation
    basis = HomBasis(rep, rep)
    assert basis.dimension == 43 * 43 * 60
    with LargestTensor() as largest:
        W = basis.synthesize(torch.randn(basis.dimension))
    assert largest.entries == rep.size**2
    x = torch.randn(rep.size)
    for g in rep.group.generators:
        moved = torch.tensor(rep(g), dtype=torch.float32)
        # single precision over 2580 terms
        torch.testing.assert_close(W @ (moved @ x), moved @ (W @ x), rtol=0, atol=5e-3)


def test_copies_and_pickles():
    basis = HomBasis(*spaces(CyclicGroup(5)))
    c = torch.randn(basis.dimension)
    for other in [copy.deepcopy(basis), pickle.loads(pickle.dumps(basis))]:
        torch.testing.assert_close(other.synthesize(c), basis.synthesize(c), rtol=0, atol=0)


def test_bad_input_is_named():
    rep = CyclicGroup(3).regular_representation
    basis = HomBasis(rep, rep)
    with pytest.raises(GroupMismatchError, match=r"CyclicGroup\(3\) and 'regular' of CyclicGroup\(2\)"):
        HomBasis(rep, CyclicGroup(2).regular_representation)
    with pytest.raises(ShapeError, match=r"3 entries in the last axis, got \(4,\)"):
        basis.synthesize(torch.zeros(4))
    with pytest.raises(ShapeError, match=r"\(\.\.\., 3, 3\), got \(3, 2\)"):
        basis.project(torch.zeros(3, 2))
    with pytest.raises(DtypeError, match="floating point"):
        basis.synthesize(torch.zeros(3, dtype=torch.int64))
    with pytest.raises(OptionError, match="'sine'"):
        basis.init_(torch.empty(3), nonlinearity="sine")
    with pytest.raises(ShapeError, match=r"shape \(3,\), got \(2,\)"):
        basis.init_(torch.empty(2))
