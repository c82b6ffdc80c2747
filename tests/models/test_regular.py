"""Chains of group convolutions: the two ways to compute them agree with the layers one after the other."""

import numpy as np
import pytest
import torch

from isospan.errors import EquivarianceError, FrozenError, RepresentationError, ShapeError
from isospan.groups import AlternatingGroup, CyclicGroup, DihedralGroup, IcosahedralGroup, QuaternionGroup
from isospan.models._regular.linear import RegularLinear
from isospan.models._regular.network import RegularNetwork
from isospan.representations import change_of_basis
from isospan.testing import assert_equivariant

GROUPS = {
    "C1": CyclicGroup(1),
    "C5": CyclicGroup(5),
    "D6": DihedralGroup(6),
    "A4": AlternatingGroup(4),
    "Q8": QuaternionGroup(),
    "A5": IcosahedralGroup(),
    "C2xC3": CyclicGroup(2) * CyclicGroup(3),
}


@pytest.fixture(params=GROUPS)
def regular(request):
    return GROUPS[request.param].regular_representation


@pytest.fixture(params=["dense", "isotypic"])
def kernel(request):
    return request.param


@pytest.fixture
def network(kernel, regular):
    reps = [2 * regular, 3 * regular, 4 * regular, regular]
    return RegularNetwork(reps, torch.nn.Tanh(), kernel=kernel).double()


def one_after_the_other(network, x):
    for layer in network.layers[:-1]:
        x = torch.tanh(layer(x))
    return network.layers[-1](x)


def test_equals_its_layers(network):
    x = torch.randn(3, 5, network.rep_in.size, dtype=torch.float64, requires_grad=True)
    y, expected = network(x), one_after_the_other(network, x)
    # float64 rounding of sums of a few hundred terms
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-13)
    weights = torch.randn_like(y)
    inputs = [x, *network.parameters()]
    got = torch.autograd.grad((y * weights).sum(), inputs)
    for a, b in zip(got, torch.autograd.grad((expected * weights).sum(), inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


def test_without_bias(kernel, regular):
    network = RegularNetwork([regular, 2 * regular, 3 * regular], torch.nn.Tanh(), bias=False, kernel=kernel).double()
    x = torch.randn(5, regular.size, dtype=torch.float64)
    torch.testing.assert_close(network(x), one_after_the_other(network, x), rtol=0, atol=1e-13)


def test_layers_of_few_copies_multiply_dense_weights(regular):
    """Hidden layers are wide enough for blocks, and those to and from one copy are not."""
    if regular.size == 1:
        return  # blocks of the trivial group are dense weights
    hidden = -(-1000 // regular.size) * regular
    network = RegularNetwork([regular, hidden, hidden, regular], torch.nn.Tanh()).double()
    assert network.is_dense == [True, False, True]
    x = torch.randn(3, regular.size, dtype=torch.float64)
    # float64 rounding of sums of a thousand terms
    torch.testing.assert_close(network(x), one_after_the_other(network, x), rtol=0, atol=1e-12)


def test_any_order_of_coordinates(kernel, regular):
    rng = np.random.default_rng(0)
    ends = [change_of_basis(m * regular, np.eye(m * regular.size)[rng.permutation(m * regular.size)]) for m in (2, 3)]
    network = RegularNetwork([ends[0], 4 * regular, ends[1]], torch.nn.Tanh(), kernel=kernel).double()
    x = torch.randn(5, network.rep_in.size, dtype=torch.float64, requires_grad=True)
    y, expected = network(x), one_after_the_other(network, x)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-13)
    (got,), (by_layers,) = (torch.autograd.grad(values.square().sum(), x) for values in (y, expected))
    torch.testing.assert_close(got, by_layers, rtol=0, atol=1e-11)
    assert_equivariant(network, *ends)


def test_equivariant(network):
    assert_equivariant(network, network.rep_in, network.rep_out)
    assert_equivariant(network.float(), network.rep_in, network.rep_out)


def test_a_layer_is_a_group_convolution(regular):
    """The weight against its definition, entry by entry."""
    group = regular.group
    layer = RegularLinear(2 * regular, regular).double()
    W = layer.weight.detach().numpy()
    for g in list(group.elements)[:5]:
        for h in list(group.elements)[-5:]:
            row = np.flatnonzero(regular(g)[:, _coordinate(regular, group.identity)])[0]
            column = np.flatnonzero(regular(h)[:, _coordinate(regular, group.identity)])[0]
            c = layer.coefficients[(~g @ h).index].detach().numpy()
            np.testing.assert_allclose(W[row, [column, column + regular.size]], c[0])


def _coordinate(regular, element):
    """The coordinate that stands for an element, the identity's being the first."""
    return int(np.flatnonzero(regular(element)[:, 0])[0])


def test_frozen_layers_give_the_same(network):
    x = torch.randn(4, network.rep_in.size, dtype=torch.float64)
    y = network(x)
    for layer in network.layers:
        layer.freeze()
    torch.testing.assert_close(network(x), y, rtol=0, atol=1e-13)
    with pytest.raises(FrozenError, match="Call unfreeze"):
        network.train()


def test_in_place_changes_are_seen(network):
    x = torch.randn(4, network.rep_in.size, dtype=torch.float64)
    before = network(x)
    with torch.no_grad():
        network.layers[0].coefficients.mul_(2)
    assert (network(x) - before).abs().max() > 1e-3
    torch.testing.assert_close(network(x), one_after_the_other(network, x), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("width", "copies"), [(128, 1), (128, 4), (512, 1), (512, 4)])
@pytest.mark.parametrize("name", ["C5", "D6", "A5"])
def test_constants_take_no_more_memory_than_dense_weights(name, width, copies):
    regular = GROUPS[name].regular_representation
    end, hidden = copies * regular, -(-width // regular.size) * regular
    network = RegularNetwork([end, hidden, hidden, hidden, end], torch.relu)
    dense = sum(t.nbytes for layer in network.layers for t in layer.dense())
    assert sum(buffer.nbytes for buffer in network.buffers()) <= dense


def test_layers_are_determined_by_their_state_and_have_no_buffers(regular):
    layer, other = RegularLinear(2 * regular, regular), RegularLinear(2 * regular, regular)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(layer.weight, other.weight)
    assert torch.equal(layer.bias, other.bias)
    assert not list(other.buffers())


def test_wide_networks_are_computed_in_blocks():
    regular = DihedralGroup(4).regular_representation
    assert not any(RegularNetwork([64 * regular, 64 * regular, 40 * regular], torch.relu).is_dense)
    assert all(RegularNetwork([regular, 16 * regular, 64 * regular, regular], torch.relu).is_dense)


def test_evaluation_without_gradients_caches_dense_weights(network):
    x = torch.randn(4, network.rep_in.size, dtype=torch.float64)
    expected = network(x)
    network.eval()
    for _ in range(2):
        with torch.no_grad():
            torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-13)
        assert all((layer._cached is not None) == all(network.is_dense) for layer in network.layers)
        with torch.no_grad():
            network.layers[1].coefficients.mul_(2)
        expected = one_after_the_other(network, x).detach()


def test_an_empty_batch(network):
    assert network(torch.zeros(0, network.rep_in.size, dtype=torch.float64)).shape == (0, network.rep_out.size)


@pytest.mark.parametrize(
    "activation",
    [
        torch.nn.Softmax(-1),
        torch.nn.GLU(),
        lambda x: x - x.mean(-1, keepdim=True),
        torch.nn.PReLU(4),
        torch.nn.Dropout(),
        torch.nn.RReLU(),
    ],
)
def test_activations_that_are_not_pointwise_are_refused(activation):
    """In the layout of wide networks they would mix samples, or tell them apart."""
    regular = DihedralGroup(4).regular_representation
    with pytest.raises(EquivarianceError, match="must act on every number alone"):
        RegularNetwork([regular, 64 * regular, 64 * regular], activation)


def test_bad_input():
    group = DihedralGroup(3)
    regular = group.regular_representation
    with pytest.raises(RepresentationError, match=r"copies of the regular representation, got 'psi_2'"):
        RegularLinear(regular, group.irreps()[2])
    with pytest.raises(ShapeError, match=r"with D = 6"):
        RegularNetwork([regular, 2 * regular, regular], torch.relu)(torch.zeros(3, 5))
