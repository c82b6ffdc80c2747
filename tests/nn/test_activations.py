"""Activations: which pairs are allowed, what they compute, and how equivariant grids are."""

import copy

import pytest
import torch

from isospan.errors import EquivarianceError, GroupError, OptionError, ShapeError
from isospan.groups import (
    O2,
    O3,
    SO2,
    SO3,
    AlternatingGroup,
    CyclicGroup,
    DihedralGroup,
    IcosahedralGroup,
    OctahedralGroup,
    QuaternionGroup,
)
from isospan.nn import FourierActivation, GatedActivation, Linear, NormActivation, Pointwise
from isospan.representations import Representation, direct_sum
from isospan.testing import assert_equivariant, equivariance_error

from .conftest import in_random_basis

PERMUTED = DihedralGroup(4).regular_representation
SIGNED = direct_sum([Representation(CyclicGroup(4), [[[0, -1], [1, 0]]]), CyclicGroup(4).irrep(1)])
ODD = ["Tanh", "Softsign", "Hardtanh", "Softshrink", torch.nn.Identity(), torch.sin]
OTHERS = ["ReLU", "SiLU", "GELU", "ELU", "Sigmoid", "PReLU", torch.exp]


def activation_name(activation):
    """The same in every process, unlike the text of a built-in function."""
    return activation if isinstance(activation, str) else getattr(activation, "__name__", type(activation).__name__)


@pytest.mark.parametrize("activation", ODD + OTHERS, ids=activation_name)
def test_permutations_take_any_activation(activation):
    assert_equivariant(Pointwise(PERMUTED, activation).double(), PERMUTED, PERMUTED, x=torch.randn(5, 8).double())


@pytest.mark.parametrize("activation", ODD, ids=activation_name)
def test_signed_permutations_take_odd_activations(activation):
    assert_equivariant(Pointwise(SIGNED, activation), SIGNED, SIGNED, x=torch.randn(5, 3))


@pytest.mark.parametrize("activation", OTHERS, ids=activation_name)
def test_signed_permutations_refuse_others(activation):
    with pytest.raises(EquivarianceError, match=r"must be odd.*Use Tanh"):
        Pointwise(SIGNED, activation)


@pytest.mark.parametrize("rep", [DihedralGroup(5).irreps()[-1], in_random_basis(PERMUTED), SO2().irrep(1)])
def test_mixed_coordinates_refuse_every_activation(rep):
    with pytest.raises(EquivarianceError, match=r"mixes them.*NormActivation, GatedActivation or FourierActivation"):
        Pointwise(rep, "Tanh")


def coordinatewise(size):
    """Modules that tell coordinates apart once they are trained, or in training."""
    return [
        torch.nn.PReLU(size),
        torch.nn.LayerNorm(size),
        torch.nn.BatchNorm1d(size),
        torch.nn.BatchNorm1d(size, affine=False),
        torch.nn.Dropout(0.5),
        torch.nn.RReLU(),
        torch.nn.Sequential(torch.nn.SiLU(), torch.nn.Dropout(0.1)),
        torch.nn.functional.dropout,
    ]


@pytest.mark.parametrize("activation", coordinatewise(8), ids=activation_name)
def test_permutations_refuse_what_tells_coordinates_apart(activation):
    with pytest.raises(EquivarianceError, match=rf"{activation_name(activation)} does not commute with r.*LeakyReLU"):
        Pointwise(PERMUTED, activation)


@pytest.mark.parametrize("activation", [*coordinatewise(3), torch.nn.PReLU(init=1.0)], ids=activation_name)
def test_signed_permutations_refuse_what_is_odd_at_first(activation):
    with pytest.raises(EquivarianceError, match=rf"must be odd.*but {activation_name(activation)} is not. Use Tanh"):
        Pointwise(SIGNED, activation)


@pytest.mark.parametrize("rep", [PERMUTED, SO2().irrep(1)], ids=["finite", "Lie"])
@pytest.mark.parametrize("activation", [*coordinatewise(8), torch.nn.Softmax(-1), torch.sum], ids=activation_name)
def test_grids_refuse_what_tells_samples_apart(rep, activation):
    with pytest.raises(EquivarianceError, match=rf"{activation_name(activation)} must act on every number alone"):
        FourierActivation(rep, activation)


def test_other_functions_that_permute_nothing_are_refused():
    with pytest.raises(EquivarianceError, match="does not commute"):
        Pointwise(PERMUTED, lambda x: x.cumsum(-1))
    with pytest.raises(EquivarianceError, match="does not commute"):
        Pointwise(PERMUTED, torch.nn.GLU())
    for name in ("Swish", "RReLU"):  # the latter draws a slope for every coordinate in training
        with pytest.raises(OptionError, match=rf"'{name}'.*'LeakyReLU'"):
            Pointwise(PERMUTED, name)


SYMMETRIC = [
    torch.nn.PReLU(),
    torch.nn.Softmax(-1),
    torch.nn.LayerNorm(8, elementwise_affine=False),
    lambda x: x / torch.linalg.vector_norm(x),
]


def trained(layer, rep_in, rep_out):
    """After some steps, in training, with parameters that are no longer what they were."""
    x, y = torch.randn(32, rep_in.size), torch.randn(32, rep_out.size)
    before = [parameter.detach().clone() for parameter in layer.parameters()]
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    for _ in range(5):
        optimizer.zero_grad()
        (layer(x) - y).square().mean().backward()
        optimizer.step()
    assert all((new != old).any() for new, old in zip(layer.parameters(), before, strict=True))
    return layer


@pytest.mark.parametrize("activation", SYMMETRIC, ids=activation_name)
@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
def test_permutations_take_what_treats_coordinates_alike(activation, mode):
    layer = torch.nn.Sequential(Linear(PERMUTED, PERMUTED), Pointwise(PERMUTED, copy.deepcopy(activation)))
    assert_equivariant(trained(layer, PERMUTED, PERMUTED).train(mode), PERMUTED, PERMUTED)


@pytest.mark.parametrize("make", [NormActivation, GatedActivation])
@pytest.mark.parametrize("activation", ["softmax", "LayerNorm", "PReLU"])
def test_any_function_of_invariants_is_equivariant(make, activation, reps):
    rep = reps[0]
    copies = len(rep.irreps)
    modules = {
        "softmax": torch.nn.Softmax(-1),
        "LayerNorm": torch.nn.LayerNorm(copies),
        "PReLU": torch.nn.PReLU(copies),
    }
    layer = make(rep, modules[activation])
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(5, layer.rep_in.size, dtype=torch.float64)
    layer = layer.double()
    assert_equivariant(layer, layer.rep_in, rep, x=x)


@pytest.mark.parametrize(
    "activation", [torch.nn.BatchNorm1d(8), torch.nn.PReLU(8), torch.nn.Dropout()], ids=activation_name
)
@pytest.mark.parametrize("layer", [Pointwise, FourierActivation])
@pytest.mark.parametrize("training", [True, False])
def test_checking_an_activation_leaves_it_alone(layer, activation, training):
    activation.train(training)
    state = {name: value.clone() for name, value in activation.state_dict().items()}
    drawn = torch.get_rng_state()
    with pytest.raises(EquivarianceError):
        layer(PERMUTED, activation)
    torch.testing.assert_close(torch.get_rng_state(), drawn, rtol=0, atol=0)
    assert activation.training is training
    for name, value in activation.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)


def test_an_activation_on_the_meta_device_is_checked_for_nothing():
    assert Pointwise(PERMUTED, torch.nn.PReLU(8, device="meta")).activation.weight.is_meta


@pytest.mark.parametrize("bias", [False, True])
def test_norm_activation_rescales_copies(reps, bias):
    rep, x = reps[0], torch.randn(5, reps[0].size, dtype=torch.float64)
    layer = NormActivation(rep, "Softplus", bias=bias).double()
    if bias:
        torch.nn.init.normal_(layer.bias)
    Q, start, expected = torch.tensor(rep.change_of_basis), 0, []
    for number, irrep in enumerate(rep.irreps):
        part = (x @ Q)[:, start : start + irrep.size]
        invariant = part if irrep.is_trivial else part.norm(dim=1, keepdim=True)
        expected.append(torch.nn.functional.softplus(invariant + (layer.bias[number] if bias else 0)) * part)
        start += irrep.size
    torch.testing.assert_close(layer(x), torch.cat(expected, 1) @ Q.T)
    assert_equivariant(layer, rep, rep, x=x)


def test_gates_multiply_copies(reps):
    rep = reps[0]
    layer = GatedActivation(rep).double()
    assert_equivariant(layer, layer.rep_in, rep, x=torch.randn(5, layer.rep_in.size, dtype=torch.float64))
    count = layer.rep_in.size - rep.size
    assert count == sum(not irrep.is_trivial for irrep in rep.irreps)
    features = torch.randn(5, rep.size, dtype=torch.float64)
    open_ = layer(torch.cat([features, torch.full((5, count), 100.0)], 1).double())
    closed = layer(torch.cat([features, torch.full((5, count), -100.0)], 1).double())
    z = features @ torch.tensor(rep.change_of_basis)
    m = sum(irrep.is_trivial for irrep in rep.irreps)
    invariant = torch.nn.functional.silu(z[:, :m])
    Q = torch.tensor(rep.change_of_basis).T
    torch.testing.assert_close(open_, torch.cat([invariant, z[:, m:]], 1) @ Q)
    torch.testing.assert_close(closed, torch.cat([invariant, 0 * z[:, m:]], 1) @ Q)


@pytest.mark.parametrize("make", [NormActivation, FourierActivation])
def test_gradients_are_finite_at_zero(make, reps):
    x = torch.zeros(2, reps[0].size, requires_grad=True)
    make(reps[0])(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def white_error(layer):
    """The largest relative violation of equivariance on 64 white inputs."""
    x = torch.randn(64, layer.rep_in.size, generator=torch.Generator().manual_seed(0)).double()
    return equivariance_error(layer, layer.rep_in, layer.rep_out, x=x, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("group", [CyclicGroup(5), OctahedralGroup()], ids=activation_name)
def test_finite_grids_are_exact(group):
    rep = in_random_basis(direct_sum([2 * irrep for irrep in group.irreps()]))
    layer = FourierActivation(rep, "ReLU").double()
    assert white_error(layer) < 1e-12
    assert layer.points == group.order()


@pytest.mark.parametrize("activation", ["SiLU", "ReLU"])
@pytest.mark.parametrize(
    ("group", "most"), [(SO2(), 1), (SO2(), 5), (O2(), 3), (SO3(), 1), (SO3(), 3), (O3(), 2)], ids=str
)
def test_default_grids_are_equivariant_to_one_part_in_a_thousand(group, most, activation):
    rep = direct_sum([3 * irrep for irrep in group.irreps(most)])
    error = white_error(FourierActivation(rep, activation).double())
    assert error < (1e-3 if activation == "ReLU" else 1e-6)


@pytest.mark.parametrize(
    ("activation", "bound"),
    [("ReLU", 1e-3), ("Tanh", 1e-5)] + [(name, 1e-6) for name in ("SiLU", "GELU", "Mish", "Sigmoid", "Softplus")],
)
@pytest.mark.parametrize("rep", [SO2().irrep(4), SO3().irrep(3), SO3().irrep(5), O3().irrep(2, 0)], ids=str)
def test_default_grids_err_as_documented_on_single_irreps(rep, activation, bound):
    """A single function of one frequency is what they resolve worst."""
    assert white_error(FourierActivation(rep, activation).double()) < bound


def test_error_falls_as_the_grid_grows():
    rep = direct_sum(SO2().irreps(2))
    errors = [white_error(FourierActivation(rep, "ReLU", grid_size=n).double()) for n in (16, 64, 256)]
    # a kink's Fourier coefficients fall with the square of the frequency
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


def test_identity_on_a_grid_is_the_identity(reps):
    x = torch.randn(3, reps[0].size, dtype=torch.float64)
    torch.testing.assert_close(FourierActivation(reps[0], torch.nn.Identity()).double()(x), x)


@pytest.mark.parametrize(
    "rep",
    [
        DihedralGroup(6).regular_representation,
        in_random_basis(IcosahedralGroup().regular_representation),
        QuaternionGroup().regular_representation,
        AlternatingGroup(4).regular_representation,
        2 * O2().irrep(1) + O2().irrep(0),
    ],
    ids=["D6", "A5", "Q8", "A4", "O2"],
)
def test_one_function_has_as_many_copies_as_the_regular_representation(rep):
    layer, x = FourierActivation(rep, torch.nn.Identity()).double(), torch.randn(3, rep.size, dtype=torch.float64)
    assert layer.functions == 1
    torch.testing.assert_close(layer(x), x)
    assert_equivariant(FourierActivation(rep, "SiLU").double(), rep, rep, x=x)


def test_functions_have_the_variance_of_their_coefficients():
    rep = direct_sum([2 * irrep for irrep in SO3().irreps(2)])
    seen = []
    FourierActivation(rep, lambda values: seen.append(values) or values)(torch.randn(4000, rep.size))
    torch.testing.assert_close(seen[-1].var(0), torch.ones_like(seen[-1][0]), rtol=0, atol=0.12)


def test_grids_that_do_not_exist_are_named():
    with pytest.raises(OptionError, match="from 5 angles on, got grid_size=4"):
        FourierActivation(SO2().irrep(2), grid_size=4)
    product = SO2() * CyclicGroup(2)
    with pytest.raises(GroupError, match=r"finite groups, SO.*Use NormActivation"):
        FourierActivation(product.irreps(1)[-1])


@pytest.mark.parametrize("activation", [torch.nn.ReLU, None, 3], ids=["class", "none", "number"])
def test_what_is_no_activation_is_named(activation):
    rep = CyclicGroup(4).regular_representation
    for layer in (Pointwise, NormActivation, GatedActivation):
        with pytest.raises(OptionError, match=r"a module, as torch.nn.ReLU\(\)"):
            layer(rep, activation)


@pytest.mark.parametrize("make", [NormActivation, GatedActivation])
def test_gates_that_are_not_one_for_each_copy_are_refused(make):
    rep = 2 * SO2().irrep(1) + 2 * SO2().irrep(0)
    layer = make(rep, lambda norms: norms.sum(-1))
    with pytest.raises(ShapeError, match=r"a factor, so tensors of shape \(8, 4\).*got \(8,\)"):
        layer(torch.randn(8, layer.rep_in.size))
