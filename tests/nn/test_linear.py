"""Equivariant linear maps: their weight commutes with every element, and is never stale."""

import copy

import numpy as np
import pytest
import torch

from isospan.errors import DtypeError, FrozenError, GroupMismatchError, RepresentationError, ShapeError
from isospan.groups import SO2, SO3, CyclicGroup, DihedralGroup, IcosahedralGroup
from isospan.nn import Linear
from isospan.nn._kernels.dense import Dense
from isospan.nn._kernels.isotypic import Isotypic
from isospan.representations import direct_sum

from .conftest import in_random_basis


def elements(group):
    rng = np.random.default_rng(0)
    return group.elements if group.order() else [group.sample(generator=rng) for _ in range(5)]


def test_weight_commutes_with_every_element_and_bias_is_invariant(reps):
    layer = Linear(*reps).double()
    torch.nn.init.normal_(layer.bias_coefficients)
    W, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    for g in elements(reps[0].group):
        np.testing.assert_allclose(W @ reps[0](g), reps[1](g) @ W, atol=1e-10)
        np.testing.assert_allclose(reps[1](g) @ b, b, atol=1e-10)


def test_number_of_parameters_is_that_of_the_characters():
    group = DihedralGroup(6)
    rep_in, rep_out = group.regular_representation, group.irreps()[-1] + group.trivial_representation
    inner = np.mean([rep_in.character(g) * rep_out.character(g) for g in group.elements])
    layer = Linear(rep_in, rep_out)
    assert layer.coefficients.numel() == round(inner)
    assert layer.bias_coefficients.numel() == 1


def test_bias_is_made_of_the_invariant_columns_of_the_change_of_basis(reps):
    """Several blocks of several copies, with two, one and no invariants each, in an order that is not theirs."""
    rep = in_random_basis(2 * reps[0]) + 3 * reps[1] + reps[0] + 2 * reps[1]
    layer, isotypic = Linear(rep, rep).double(), Linear(rep, rep, kernel="isotypic").double()
    torch.nn.init.normal_(layer.bias_coefficients)
    isotypic.load_state_dict(layer.state_dict())
    columns = rep.change_of_basis[:, : len(layer.bias_coefficients)]  # the trivial irrep leads
    expected = columns @ layer.bias_coefficients.detach().numpy()
    # float64 rounding of sums of a few terms
    np.testing.assert_allclose(layer.bias.detach(), expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(isotypic.bias.detach(), expected, rtol=0, atol=1e-13)
    # the change of basis contains these columns, where the kernel makes the dense weight
    assert hasattr(layer, "invariants") == (rep.group.order() == 1)  # all of whose representations are permutations
    assert hasattr(isotypic, "invariants")
    alone = isotypic.invariants
    np.testing.assert_allclose(alone(layer.bias_coefficients).detach(), expected, rtol=0, atol=1e-13)
    assert sum(buffer.numel() for buffer in alone.buffers()) < 5 * rep.size


def test_products_irrep_by_irrep_are_those_of_the_dense_weight(reps):
    """Complex and quaternionic irreps, irreps that one side lacks, and several blocks of several copies."""
    for pair in [reps, reps[::-1], (3 * reps[0] + reps[1], reps[1] + reps[0])]:
        layer = Linear(*pair, kernel="isotypic").double()
        torch.nn.init.normal_(layer.bias_coefficients)
        W = layer.kernel.basis.synthesize(layer.coefficients)
        for shape in [(5,), (2, 3), (0,), ()]:
            x = torch.randn(*shape, pair[0].size, dtype=torch.float64, requires_grad=True)
            y, expected = layer(x), torch.nn.functional.linear(x, W, layer.bias)
            # float64 rounding of sums of a few hundred terms
            torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
            assert y.is_contiguous()
            inputs, weights = [x, *layer.parameters()], torch.randn_like(y)
            ours = torch.autograd.grad((y * weights).sum(), inputs, retain_graph=True)
            theirs = torch.autograd.grad((expected * weights).sum(), inputs, retain_graph=True)
            for a, b in zip(ours, theirs, strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


def test_only_wide_layers_of_irreps_are_computed_by_irrep():
    """Measured over the dense kernel: 1.4 at 252 features of SO(3) and 1.1 at 255 of SO(2), 0.5 and 0.6 at 1,000."""
    irreps, regular = direct_sum(SO3().irreps(2)), DihedralGroup(6).regular_representation
    planar = direct_sum(SO2().irreps(2))
    for few, many in [(30 * irreps, 114 * irreps), (52 * planar, 205 * planar), (22 * regular, 85 * regular)]:
        assert isinstance(Linear(few, few).kernel, Dense)
        assert isinstance(Linear(many, many).kernel, Isotypic)
    # the change of basis alone would take as long as the dense product
    assert isinstance(Linear(in_random_basis(85 * regular), in_random_basis(85 * regular)).kernel, Dense)


def test_every_equivariant_target_is_learned_exactly():
    """Least squares by gradient descent in an orthonormal basis: full batch, white data."""
    rep = CyclicGroup(4).regular_representation
    target = Linear(rep, rep).double()
    layer, x = Linear(rep, rep).double(), torch.eye(4, dtype=torch.float64)
    for _ in range(200):
        loss = (layer(x) - target(x).detach()).square().sum()
        layer.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter -= 0.1 * parameter.grad
    assert loss < 1e-12


def test_white_inputs_keep_their_variance():
    rep = IcosahedralGroup().regular_representation
    layers = [Linear(rep, rep, bias=False) for _ in range(50)]
    variance = torch.stack([layer.weight.square().sum(1) for layer in layers]).mean()
    assert variance.item() == pytest.approx(1, rel=0.05)


def test_frozen_layers_cache_their_weight(reps):
    layer, x = Linear(*reps), torch.randn(3, reps[0].size)
    expected = layer(x)
    layer.coefficients.grad = torch.ones_like(layer.coefficients)
    layer.freeze()
    assert layer.weight is layer.weight
    assert not layer(x).requires_grad
    torch.testing.assert_close(layer(x), expected)
    # nothing is left that an optimiser would move
    torch.optim.SGD(layer.parameters(), lr=1.0, weight_decay=1.0).step()
    torch.testing.assert_close(layer.unfreeze()(x), expected)
    assert layer(x).requires_grad


def test_frozen_layers_refuse_training():
    rep = CyclicGroup(4).regular_representation
    model = torch.nn.Sequential(Linear(rep, rep).freeze())
    assert not model[0].training
    with pytest.raises(FrozenError, match=r"Call unfreeze\(\)"):
        model.train()
    model[0].unfreeze()
    assert model.train()[0].training


def test_unfreezing_trains_what_was_trained():
    rep = CyclicGroup(4).regular_representation
    layer = Linear(rep, rep)
    layer.bias_coefficients.requires_grad_(False)
    layer.freeze().unfreeze()
    assert layer.coefficients.requires_grad
    assert not layer.bias_coefficients.requires_grad


def test_freezing_twice_is_freezing_once():
    rep = CyclicGroup(4).regular_representation
    layer = Linear(rep, rep).freeze()
    torch.nn.Sequential(layer)[0].freeze().unfreeze()
    assert all(parameter.requires_grad for parameter in layer.parameters())


def test_frozen_layers_compute_what_functional_calls_give_them(reps):
    """Each call frees its parameters, so that those of the next may be given the same place in memory."""
    layer, x = Linear(*reps).freeze(), torch.randn(3, reps[0].size)
    before, plain = layer(x), Linear(*reps)
    for _ in range(10):
        coefficients = torch.randn(layer.kernel.dimension, requires_grad=True)
        y = torch.func.functional_call(layer, {"coefficients": coefficients}, (x,))
        plain.load_state_dict({**layer.state_dict(), "coefficients": coefficients})
        torch.testing.assert_close(y, plain(x))
        y.square().sum().backward()
        assert coefficients.grad.any()
        del coefficients, y
    torch.testing.assert_close(layer(x), before, rtol=0, atol=0)
    several = torch.randn(2, layer.kernel.dimension)
    torch.func.vmap(lambda c: torch.func.functional_call(layer, {"coefficients": c}, (x,)))(several)
    torch.testing.assert_close(copy.deepcopy(layer)(x), before, rtol=0, atol=0)


@pytest.mark.parametrize("assign", [False, True])
def test_loading_a_state_refreshes_a_frozen_layer(reps, assign):
    layer, other, x = Linear(*reps).freeze(), Linear(*reps), torch.randn(3, reps[0].size)
    torch.nn.Sequential(layer).load_state_dict({f"0.{k}": v for k, v in other.state_dict().items()}, assign=assign)
    torch.testing.assert_close(layer(x), other(x))
    assert layer.state_dict().keys() == other.state_dict().keys() == {"coefficients", "bias_coefficients"}


def test_frozen_weights_follow_their_parameters(reps):
    layer, other, x = Linear(*reps).freeze(), Linear(*reps), torch.randn(3, reps[0].size)
    before = layer(x)
    torch.testing.assert_close(torch.func.functional_call(layer, dict(other.named_parameters()), (x,)), other(x))
    torch.testing.assert_close(layer(x), before)
    with torch.no_grad():
        layer.coefficients.mul_(2)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), 2 * before)
    layer(x.requires_grad_()).sum().backward()
    assert x.grad.any()


def test_frozen_weights_follow_their_module():
    rep = DihedralGroup(6).regular_representation
    layer = Linear(rep, rep).double().freeze()
    exact = layer.weight.clone()
    assert layer.float().weight.dtype == torch.float32
    assert copy.deepcopy(layer).is_frozen
    # the coefficients lost their digits, the change of basis did not
    torch.testing.assert_close(layer.double().weight, exact, rtol=0, atol=1e-6)


def test_evaluation_without_gradients_caches_the_weight(reps):
    layer, x = Linear(*reps).eval(), torch.randn(3, reps[0].size)
    assert layer.weight is not layer.weight
    assert layer(x).requires_grad
    with torch.no_grad():
        assert layer.weight is layer.weight
        torch.testing.assert_close(layer(x), x @ layer.kernel.basis.synthesize(layer.coefficients).mT)
    with torch.inference_mode():
        before = layer.weight.clone()
    layer.train()
    with torch.no_grad():
        assert layer.weight is not layer.weight
    torch.testing.assert_close(layer.weight, before, rtol=0, atol=0)


@torch.no_grad()
def test_cached_weights_follow_every_change_of_the_parameters(reps):
    layer, other = Linear(*reps).eval(), Linear(*reps)

    def check(c):
        torch.testing.assert_close(layer.weight, layer.kernel.basis.synthesize(c))
        assert layer.weight is layer.weight

    check(layer.coefficients)
    layer.coefficients.mul_(2)
    check(layer.coefficients)
    layer.coefficients.data = other.coefficients.data.clone()
    check(other.coefficients)
    layer.coefficients = torch.nn.Parameter(-other.coefficients)
    check(-other.coefficients)
    layer.load_state_dict(other.state_dict())
    check(other.coefficients)
    layer.double()
    check(other.coefficients.double())
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    layer.coefficients.grad = torch.ones_like(layer.coefficients)
    optimizer.step()
    check(other.coefficients.double() - 1)


def change_through_data(p, new):
    p.data.copy_(new)


def change_in_inference_mode(p, new):
    with torch.inference_mode():
        p.copy_(new)


CHANGES = {
    "copy_": lambda p, new: p.copy_(new),
    "a slice": lambda p, new: p[:1].copy_(new[:1]),
    "a detached view": lambda p, new: p.detach().view(-1)[-1:].fill_(3.0),
    "foreach": lambda p, new: torch._foreach_mul_([p], 2.0),
    "vector_to_parameters": lambda p, new: torch.nn.utils.vector_to_parameters(new.flatten(), [p]),
    "set_": lambda p, new: p.set_(new.clone()),
    "init": lambda p, new: torch.nn.init.ones_(p),
    "inference mode": change_in_inference_mode,
    "swap_tensors": lambda p, new: torch.utils.swap_tensors(p, torch.nn.Parameter(new.clone())),
    "numpy": lambda p, new: p.detach().numpy().fill(2.0),
    "data": change_through_data,
}
UNSEEN = {"numpy", "data"}
"""Changes that autograd does not count, which ``eval()`` has to announce."""


@torch.no_grad()
@pytest.mark.parametrize("frozen", [False, True], ids=["eval", "frozen"])
@pytest.mark.parametrize("change", CHANGES)
def test_cached_weights_follow_changes_of_every_kind(change, frozen):
    rep = DihedralGroup(3).regular_representation
    layer, other = Linear(rep, rep).eval(), Linear(rep, rep)
    layer = layer.freeze() if frozen else layer
    before = layer.weight
    CHANGES[change](layer.coefficients, other.coefficients)
    if change in UNSEEN:
        layer.eval()
    assert not torch.equal(layer.weight, before)
    torch.testing.assert_close(layer.weight, layer.kernel.basis.synthesize(layer.coefficients))
    assert layer.weight is layer.weight


@torch.no_grad()
def test_parametrized_coefficients_are_never_stale():
    rep = CyclicGroup(4).regular_representation
    layer = Linear(rep, rep)
    torch.nn.utils.parametrizations.weight_norm(layer, "coefficients")
    layer.eval()
    before = layer.weight
    layer.parametrizations.coefficients.original0.mul_(2)
    torch.testing.assert_close(layer.weight, 2 * before)


def test_unfrozen_layers_follow_their_parameters(reps):
    layer, x = Linear(*reps), torch.randn(3, reps[0].size)
    before = layer(x)
    with torch.no_grad():
        layer.coefficients.mul_(2)
    torch.testing.assert_close(layer(x), 2 * before)
    layer.coefficients.data.zero_()
    assert not layer(x).any()


def test_layers_of_one_representation_are_independent(reps):
    first, second, x = Linear(*reps), Linear(*reps), torch.randn(3, reps[0].size)
    before = second(x)
    first.double()
    with torch.no_grad():
        first.coefficients.zero_()
    torch.testing.assert_close(second(x), before, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["permuted", "random basis"])
def test_constants_survive_lower_precision(kind, reps):
    regular = reps[0].group.regular_representation if reps[0].group.order() else reps[0]
    layer = Linear(*reps) if kind == "random basis" else Linear(regular, regular)
    through = copy.deepcopy(layer).bfloat16().double()
    coefficients = torch.randn(layer.kernel.dimension, dtype=torch.float64)
    # float64 rounding of sums over a few coordinates; bfloat16 would leave 1e-3
    torch.testing.assert_close(
        through.kernel.expand(coefficients), layer.kernel.basis.synthesize(coefficients), rtol=0, atol=1e-12
    )


def test_modules_can_be_made_without_memory():
    rep = CyclicGroup(4).regular_representation
    layer = Linear(rep, rep, device="meta")
    assert layer(torch.empty(2, 4, device="meta")).shape == (2, 4)
    layer.to_empty(device="cpu")
    layer.reset_parameters()
    assert torch.isfinite(layer(torch.randn(2, 4))).all()


def test_no_buffer_is_larger_than_the_weight():
    for rep in [IcosahedralGroup().regular_representation, 3 * DihedralGroup(6).regular_representation]:
        layer = Linear(rep, rep)
        assert max(b.numel() for b in layer.buffers()) <= layer.weight.numel()


def test_what_cannot_be_is_named():
    group = CyclicGroup(4)
    rep, sign = group.regular_representation, group.irrep(1)
    with pytest.raises(RepresentationError, match=r"\['psi_1'\] in .* Add copies"):
        Linear(sign, group.irrep(2))
    with pytest.raises(GroupMismatchError, match="CyclicGroup"):
        Linear(rep, CyclicGroup(3).regular_representation)
    with pytest.raises(ShapeError, match=r"D = 4.*got \(2, 3\)"):
        Linear(rep, rep)(torch.zeros(2, 3))
    with pytest.raises(DtypeError, match="floating point"):
        Linear(rep, rep)(torch.zeros(2, 4, dtype=torch.int64))
    assert Linear(rep, sign).bias is None
    assert Linear(rep, rep, bias=False).bias is None
