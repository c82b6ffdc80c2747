"""Activations: which pairs are allowed, what they compute, and how equivariant grids are."""

import pytest
import torch

from isospan.errors import EquivarianceError, GroupError, OptionError
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
from isospan.nn import FourierActivation, GatedActivation, NormActivation, Pointwise
from isospan.representations import Representation, directsum
from isospan.testing import assert_equivariant

from .conftest import turned

PERMUTED = DihedralGroup(4).regular_representation
SIGNED = directsum([Representation(CyclicGroup(4), [[[0, -1], [1, 0]]]), CyclicGroup(4).irrep(1)])
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


@pytest.mark.parametrize("rep", [DihedralGroup(5).irreps()[-1], turned(PERMUTED), SO2().irrep(1)])
def test_mixed_coordinates_refuse_every_activation(rep):
    with pytest.raises(EquivarianceError, match=r"mixes them.*NormActivation, GatedActivation or FourierActivation"):
        Pointwise(rep, "Tanh")


def test_activations_that_tell_coordinates_apart_are_refused():
    with pytest.raises(EquivarianceError, match="PReLU does not commute with r"):
        Pointwise(PERMUTED, WeightedPReLU(8))
    with pytest.raises(EquivarianceError, match="does not commute"):
        Pointwise(PERMUTED, lambda x: x.cumsum(-1))
    with pytest.raises(EquivarianceError, match="does not commute"):
        Pointwise(PERMUTED, torch.nn.GLU())
    with pytest.raises(OptionError, match="'Swish'"):
        Pointwise(PERMUTED, "Swish")


class WeightedPReLU(torch.nn.PReLU):
    def __init__(self, n):
        super().__init__(n)
        torch.nn.init.uniform_(self.weight)


def test_checking_an_activation_leaves_it_alone():
    counter = torch.nn.BatchNorm1d(8)
    state = {name: value.clone() for name, value in counter.state_dict().items()}
    Pointwise(PERMUTED, counter)
    assert counter.training
    for name, value in counter.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)


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


@pytest.mark.parametrize("group", [CyclicGroup(5), OctahedralGroup()], ids=activation_name)
def test_finite_grids_are_exact(group):
    rep = turned(directsum([2 * irrep for irrep in group.irreps()]))
    layer = FourierActivation(rep, "ReLU").double()
    assert layer.equivariance_error() < 1e-12
    assert layer.points == group.order()


@pytest.mark.parametrize("activation", ["SiLU", "ReLU"])
@pytest.mark.parametrize(
    ("group", "most"), [(SO2(), 1), (SO2(), 5), (O2(), 3), (SO3(), 1), (SO3(), 3), (O3(), 2)], ids=str
)
def test_default_grids_are_equivariant_to_one_part_in_a_thousand(group, most, activation):
    rep = directsum([3 * irrep for irrep in group.irreps(most)])
    error = FourierActivation(rep, activation).double().equivariance_error()
    assert error < (1e-3 if activation == "ReLU" else 1e-6)


def test_error_falls_as_the_grid_grows():
    rep = directsum(SO2().irreps(2))
    errors = [FourierActivation(rep, "ReLU", grid_size=n).double().equivariance_error() for n in (16, 64, 256)]
    # a kink's Fourier coefficients fall with the square of the frequency
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


def test_identity_on_a_grid_is_the_identity(reps):
    x = torch.randn(3, reps[0].size, dtype=torch.float64)
    torch.testing.assert_close(FourierActivation(reps[0], torch.nn.Identity()).double()(x), x)


@pytest.mark.parametrize(
    "rep",
    [
        DihedralGroup(6).regular_representation,
        turned(IcosahedralGroup().regular_representation),
        QuaternionGroup().regular_representation,
        AlternatingGroup(4).regular_representation,
        2 * O2().irrep(1) + O2().irrep(0),
    ],
    ids=["D6", "A5", "Q8", "A4", "O2"],
)
def test_one_function_holds_as_many_copies_as_the_regular_representation(rep):
    layer, x = FourierActivation(rep, torch.nn.Identity()).double(), torch.randn(3, rep.size, dtype=torch.float64)
    assert layer.functions == 1
    torch.testing.assert_close(layer(x), x)
    assert_equivariant(FourierActivation(rep, "SiLU").double(), rep, rep, x=x)


def test_functions_have_the_variance_of_their_coefficients():
    rep = directsum([2 * irrep for irrep in SO3().irreps(2)])
    seen = []
    FourierActivation(rep, lambda values: seen.append(values) or values)(torch.randn(4000, rep.size))
    torch.testing.assert_close(seen[0].var(0), torch.ones_like(seen[0][0]), rtol=0, atol=0.12)


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
