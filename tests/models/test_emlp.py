"""Perceptrons: equivariant for every group and basis, trained by every parameter, and able to tell orbits apart."""

import copy
import pickle

import numpy as np
import pytest
import torch

from isospan.errors import FrozenError, GroupMismatchError, OptionError, RepresentationError, ShapeError
from isospan.groups import O3, SO2, SO3, AlternatingGroup, CyclicGroup, DihedralGroup, IcosahedralGroup, QuaternionGroup
from isospan.models import EMLP, IMLP, TransformerEncoder
from isospan.models._hidden import hidden_representations
from isospan.models._network import NormGates, equivariant_network
from isospan.nn._base.cached_weight import Freezable
from isospan.representations import Representation, change_of_basis, direct_sum
from isospan.testing import assert_equivariant

GROUPS = {
    "C4": CyclicGroup(4),
    "D6": DihedralGroup(6),
    "A4": AlternatingGroup(4),
    "Q8": QuaternionGroup(),
    "A5": IcosahedralGroup(),
    "SO2": SO2(),
    "SO3": SO3(),
}


def in_random_basis(rep):
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(rep.size, rep.size)))[0]
    return change_of_basis(rep, Q)


def ends(group):
    irreps = group.irreps() if group.order() else group.irreps(2)
    first, last = irreps[0], irreps[-1]
    return in_random_basis(direct_sum([2 * first, last])), in_random_basis(direct_sum([first, 2 * last]))


def regular_ends(group):
    regular = group.regular_representation
    return regular, 2 * regular


CASES = [pytest.param(*ends(group), id=f"{name}-random basis") for name, group in GROUPS.items()] + [
    pytest.param(*regular_ends(group), id=f"{name}-regular") for name, group in GROUPS.items() if group.order()
]
WIDTHS = [(24,), (24, 30), (330, 330)]


def models(rep_in, rep_out, widths):
    return {"EMLP": (EMLP(rep_in, rep_out, widths), rep_out), "IMLP": (IMLP(rep_in, 3, widths), None)}


@pytest.fixture(params=CASES)
def reps(request):
    return request.param


def pytest_generate_tests(metafunc):
    if {"rep_in", "rep_out"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("rep_in", "rep_out"), CASES)


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equivariant(rep_in, rep_out, widths, dtype):
    for model, rep in models(rep_in, rep_out, widths).values():
        assert_equivariant(model.to(dtype), rep_in, rep)


@pytest.mark.parametrize("kind", ["EMLP", "IMLP"])
def test_training_lowers_the_loss_through_every_parameter(rep_in, rep_out, kind):
    model, rep = models(rep_in, rep_out, (24, 30))[kind]
    x, y = torch.randn(40, rep_in.size), torch.randn(40, rep.size if rep else 3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer, losses = torch.optim.Adam(model.parameters(), 3e-3), []
    for _ in range(15):
        loss = (model(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all((p != before[name]).any() for name, p in model.named_parameters())


@pytest.mark.parametrize("widths", [(24, 30), (330, 330)], ids=str)
@pytest.mark.parametrize("kind", ["EMLP", "IMLP"])
def test_copies_states_and_traces(rep_in, rep_out, widths, kind):
    torch.manual_seed(0)
    model, x = models(rep_in, rep_out, widths)[kind][0], torch.randn(5, rep_in.size)
    y = model(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(x), y)
        assert not {id(p) for p in other.parameters()} & {id(p) for p in model.parameters()}
    fresh = models(rep_in, rep_out, widths)[kind][0]
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(x), y)
    doubled = {name: 2 * p for name, p in model.named_parameters()}
    assert not torch.equal(torch.func.functional_call(model, doubled, (x,)), y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (model(x) - y).abs().max() < 0.1 * y.abs().max()  # eight bits in each of a few layers


@pytest.mark.parametrize("kind", ["EMLP", "IMLP"])
def test_frozen_models_give_the_same_and_do_not_train(rep_in, rep_out, kind):
    model, x = models(rep_in, rep_out, (24, 330))[kind][0].double(), torch.randn(5, rep_in.size, dtype=torch.float64)
    y = model(x)
    torch.testing.assert_close(model.freeze()(x), y, rtol=0, atol=1e-12)
    with pytest.raises(FrozenError):
        model.train()
    model.unfreeze().train()
    assert model(x).requires_grad


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by torch, while it traces
@pytest.mark.parametrize("widths", [(24, 30), (330, 330)], ids=str)
@pytest.mark.parametrize("name", ["D6", "SO2"])
def test_compiles_and_exports_as_one_graph(name, widths):
    model, x = EMLP(*ends(GROUPS[name]), widths), torch.randn(5, ends(GROUPS[name])[0].size)
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), model(x))
    torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), model(x))


@pytest.mark.parametrize("kind", ["EMLP", "IMLP"])
def test_frozen_models_are_never_stale(rep_in, rep_out, kind):
    model, x = models(rep_in, rep_out, (24, 30))[kind][0].double(), torch.randn(5, rep_in.size, dtype=torch.float64)
    x_before = x.clone()

    def assert_current():
        fresh = models(rep_in, rep_out, (24, 30))[kind][0].double()
        fresh.load_state_dict(model.state_dict())
        torch.testing.assert_close(model(x), fresh(x), rtol=0, atol=1e-12)

    model.freeze()
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            parameter.mul_(1.5)
        assert_current()
        owner, _, last = name.rpartition(".")
        setattr(model.get_submodule(owner), last, torch.nn.Parameter(0.5 * parameter.detach(), requires_grad=False))
        assert_current()
    model.load_state_dict({name: 0.5 * value for name, value in model.state_dict().items()})
    assert_current()
    y = model(x)
    torch.testing.assert_close(copy.deepcopy(model).float()(x.float()), y.float(), rtol=1e-4, atol=1e-4)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(2)
    assert not torch.equal(other(x), y)
    assert torch.equal(model(x), y)
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), y)
    next(m for m in model.modules() if isinstance(m, Freezable)).unfreeze()
    torch.testing.assert_close(model(x), y, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.unfreeze()(x), y, rtol=0, atol=1e-12)
    assert torch.equal(x, x_before)


def test_frozen_models_check_their_input():
    with pytest.raises(ShapeError, match="with D = 4"):
        EMLP(CyclicGroup(4).regular_representation, CyclicGroup(4).regular_representation).freeze()(torch.zeros(2, 5))


def test_orbits_that_norms_confuse():
    """Two pairs of plane vectors with equal norms and another angle between them."""
    group = CyclicGroup(5)
    pair = 2 * group.irreps()[1]
    x = torch.tensor([[1.0, 0, 0, 1], [1.0, 0, 1, 0]])
    for hidden_rep in (None, direct_sum(group.irreps())):
        model = IMLP(pair, 4, (40, 40), hidden_rep=hidden_rep)
        a, b = model(x).detach()
        assert (a - b).abs().max() > 1e-3
        moved = x @ torch.tensor(pair(group.generators[0]), dtype=torch.float32).T
        torch.testing.assert_close(model(moved), model(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "vector", [SO2().irrep(1), SO3().irrep(1), DihedralGroup(5).irreps()[-1]], ids=["SO2", "SO3", "D5"]
)
def test_vectors_alone_make_more_than_linear_maps(vector):
    """Linear maps and gates do not suffice: they make no invariants of vectors."""
    group = vector.group
    hidden_rep = direct_sum(group.irreps()) if group.order() else None
    x = torch.randn(20, vector.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    equivariant = EMLP(vector, vector, (16, 16), hidden_rep=hidden_rep).double()
    invariant = EMLP(vector, group.trivial_representation, (16, 16), hidden_rep=hidden_rep).double()
    assert (equivariant(2 * x) - 2 * equivariant(x)).abs().max() > 1e-2 * equivariant(x).abs().max()
    assert invariant(x).std() > 1e-2 * invariant(x).abs().max()


def test_norm_gates_are_their_formula():
    gates = NormGates(2 * SO2().irrep(1) + SO2().irrep(0)).double()
    h = torch.randn(5, 7, dtype=torch.float64)
    norms = torch.stack([h[:, 4].abs(), h[:, 5].abs(), h[:, 6].abs(), h[:, :2].norm(dim=1), h[:, 2:4].norm(dim=1)], 1)
    mixed = h + norms @ gates.mixing.weight.mT + gates.mixing.bias
    gate = mixed[:, 4:].sigmoid()
    expected = torch.cat([mixed[:, :4] * gate[:, 1:].repeat_interleave(2, 1), mixed[:, 4:5] * gate[:, :1]], 1)
    torch.testing.assert_close(gates(h), expected)
    assert (gates.mixing.weight[:4] == 0).all()
    assert_equivariant(gates, gates.rep_in, gates.rep_out)


@pytest.mark.parametrize("kind", ["EMLP", "IMLP"])
def test_exported_models_are_plain_perceptrons(rep_in, rep_out, kind):
    model = models(rep_in, rep_out, (24, 30))[kind][0].double()
    if rep_in.group.order() is None:
        with pytest.raises(OptionError, match=r"no module for NormGates.*Use torch\.export"):
            model.export()
        return
    plain, x = model.export(), torch.randn(2, 5, rep_in.size, dtype=torch.float64)
    act = torch.nn.ReLU
    assert [type(module) for module in plain] == [torch.nn.Linear, act, torch.nn.Linear, act, torch.nn.Linear]
    # float64 rounding of sums of a few hundred terms
    torch.testing.assert_close(plain(x), model(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(model.freeze().export()(x), plain(x), rtol=0, atol=0)


def test_exporting_draws_no_random_numbers():
    regular = DihedralGroup(4).regular_representation
    model = EMLP(regular, regular, (16,))
    state = torch.get_rng_state()
    model.export()
    assert torch.equal(torch.get_rng_state(), state)


def test_rounding_of_the_hidden_matrices_changes_no_network():
    """A permutation computed in floating point gets its activations on every coordinate, and not gates."""
    G = CyclicGroup(5)
    F = np.fft.fft(np.eye(5)) / np.sqrt(5)
    shift = np.real(F.conj().T @ np.diag(np.exp(-2j * np.pi * np.arange(5) / 5)) @ F)
    assert not np.isin(shift, (0, 1)).all()
    torch.manual_seed(0)
    model = EMLP(G.irreps()[1], G.irreps()[1], hidden_units=(10, 10), hidden_rep=Representation(G, [shift]))
    torch.manual_seed(0)
    exact = EMLP(G.irreps()[1], G.irreps()[1], hidden_units=(10, 10), hidden_rep=G.regular_representation)
    assert not any(isinstance(part, NormGates) for part in model.modules())
    assert [type(part) for part in model.modules()] == [type(part) for part in exact.modules()]
    x = torch.randn(4, 2)
    torch.testing.assert_close(model(x), exact(x))


def test_hidden_representation_of_the_user():
    """Cosets instead of elements: a permutation representation that is not regular."""
    group = DihedralGroup(4)
    corners = group.quotient_representation(group.subgroup([group.generators[1]])) + group.regular_representation
    vector = group.irreps()[-1]
    model = EMLP(vector, vector, (30, 30), hidden_rep=corners)
    assert_equivariant(model, vector, vector)
    assert model(torch.randn(3, 2)).abs().max() > 0


class TestBadInput:
    group = DihedralGroup(4)
    regular, vector = group.regular_representation, group.irreps()[-1]

    def test_missing_irreps(self):
        with pytest.raises(RepresentationError, match=r"every irrep of the output 'psi_4', but lacks \['psi_4'\]"):
            EMLP(self.group.trivial_representation, self.vector, hidden_rep=self.group.trivial_representation)
        with pytest.raises(RepresentationError, match="of the input 'psi_4'"):
            IMLP(self.vector, 1, hidden_rep=self.group.trivial_representation)

    def test_irreps_that_gates_do_not_make(self):
        """Oracle: without the check the network is zero, and with the products it learns of it is not."""
        vector, axial = O3().irrep(1, 1), O3().irrep(1, 0)
        hidden = 8 * direct_sum(O3().irreps(2))
        zero = equivariant_network([2 * vector, hidden, axial], "ReLU", bias=True)(torch.randn(9, 6))
        assert zero.abs().max() == 0
        for model in (EMLP, TransformerEncoder):
            with pytest.raises(RepresentationError, match="output 'l=1, even' would be zero"):
                model(2 * vector, axial)
        products = 2 * vector + (vector & vector)

        def with_products(x):
            return torch.cat([x, (x[..., :3, None] * x[..., None, 3:]).flatten(-2)], dim=-1)

        model = EMLP(products, axial, (32,)).double()
        assert_equivariant(lambda x: model(with_products(x)), 2 * vector, axial)
        assert model(with_products(torch.randn(9, 6).double())).abs().max() > 1e-3
        partly = EMLP(2 * vector, axial + O3().trivial_representation, (32,))  # invariants are made of norms
        assert [bool(part.any()) for part in partly(torch.randn(9, 6)).split((3, 1), dim=-1)] == [False, True]

    def test_options(self):
        with pytest.raises(OptionError, match="'relu'"):
            EMLP(self.vector, self.vector, activation="relu")
        with pytest.raises(OptionError, match=r"activation: 'relu'. Choose one of 'CELU', .*'ReLU'"):
            EMLP(SO2().irrep(1), SO2().irrep(1), activation="relu")
        for name in ("MultiheadAttention", "Threshold", "Softmax", "Softmax2d", "GLU", "RReLU"):
            with pytest.raises(OptionError, match=rf"activation: '{name}'. Choose one of .*'ReLU'"):
                IMLP(self.vector, 2, activation=name)
        with pytest.raises(OptionError, match="must be at least 1, got 0"):
            EMLP(self.vector, self.vector, (0,))
        with pytest.raises(OptionError, match="hidden_units is empty"):
            EMLP(self.vector, self.vector, ())
        with pytest.raises(OptionError, match="widths of all hidden layers, got 64"):
            EMLP(self.vector, self.vector, 64)
        with pytest.raises(OptionError, match="out_dim must be a whole number"):
            IMLP(self.vector, 1.0)

    def test_no_representation(self):
        for rep_in, rep_out in ((6, self.vector), (self.vector, self.vector.group)):
            with pytest.raises(RepresentationError, match="Expected a Representation"):
                EMLP(rep_in, rep_out)
        with pytest.raises(RepresentationError, match="Expected a Representation, got int"):
            IMLP(6, 1)

    def test_groups(self):
        with pytest.raises(GroupMismatchError):
            EMLP(self.vector, CyclicGroup(4).regular_representation)


def test_hidden_layers_of_lie_groups_take_no_reordering():
    """Their coordinates stand irrep by irrep; the widths are whole copies of all irreps up to frequency 2."""
    (hidden,) = hidden_representations(SO3().irrep(1), (128,), None)
    assert hidden.size == 135
    np.testing.assert_array_equal(hidden.change_of_basis, np.eye(135))
