"""What every layer and model keeps: symmetry, gradients, copies, states and precisions."""

import copy
import gc
import pickle
import weakref
from contextlib import contextmanager

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel

from isospan import models, nn
from isospan.groups import DihedralGroup
from isospan.nn import ChangeOfBasis
from isospan.nn._base.cached_weight import Freezable
from isospan.representations import Representation
from isospan.representations._irrep_basis import irrep_basis_arrays
from isospan.testing import assert_equivariant

from .conftest import CASES, EXPORTED, LAYERS, ONE_BASIS, axis

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_case_once = pytest.mark.parametrize("case", ONE_BASIS, ids=str)


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def same(left, right):
    torch.testing.assert_close(left, right, rtol=0, atol=0)


@each_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_equivariance(case, dtype):
    layer = case.make().to(dtype).eval()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    xs = case.inputs(layer, dtype=dtype)
    assert_equivariant(layer, x=xs, tol=case.entry.tolerance(case.group, dtype), **case.action(layer))
    assert layer(*xs).dtype == dtype


@each_case_once
def test_training_lowers_a_loss_and_changes_every_parameter(case):
    layer = case.make()
    # layers without parameters pass the gradient on to one before them
    first = nn.Linear if axis(case.entry.shape) == -1 else lambda *reps: nn.Conv1d(*reps, kernel_size=1)
    model = torch.nn.ModuleList([first(case.rep, layer.rep_in), layer]).train()
    x, *others = case.inputs(layer, samples=16)
    x = x.narrow(axis(case.entry.shape), 0, case.rep.size)

    def forward():
        torch.manual_seed(0)  # the same channels drop out in every step
        return layer(model[0](x), *others)

    target = torch.randn(forward().shape)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=1e-2), []
    for _ in range(8):
        loss = (forward() - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter).all(), name
        assert (parameter != before[name]).any(), name


@each_case_once
def test_copies_are_equal_and_independent(case):
    layer = case.make().eval()
    xs = case.inputs(layer)
    expected = layer(*xs)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        same(other(*xs), expected)
        ours = {tensor.data_ptr() for tensor in [*layer.parameters(), *layer.buffers()] if tensor.numel()}
        assert not ours & {tensor.data_ptr() for tensor in [*other.parameters(), *other.buffers()]}


@each_case_once
def test_layers_of_one_representation_share_exact_arrays_alone(case):
    pairs = list(zip(case.make().modules(), case.make().modules(), strict=True))
    changes = [(a, b) for a, b in pairs if isinstance(a, ChangeOfBasis) and a.rep_in is b.rep_in]
    for a, b in changes:
        bases = [name for name in a._exact if name.startswith("basis")]
        assert all(a._exact[name] is b._exact[name] for name in bases)
    tensors = [
        {t.data_ptr() for part in parts for t in part.buffers() if t.numel()} for parts in zip(*pairs, strict=True)
    ]
    assert not tensors[0] & tensors[1]


def test_arrays_end_with_the_last_representation_and_layer_that_use_them():
    regular = DihedralGroup(29).regular_representation
    first, second = nn.Linear(regular, regular, kernel="isotypic"), nn.IrrepNorm(regular)
    arrays = [weakref.ref(array) for array in regular.derived(irrep_basis_arrays).bases]
    copied = copy.deepcopy(second)
    del regular, first, second
    gc.collect()
    assert all(array() is not None for array in arrays)  # the copy has them
    del copied
    gc.collect()
    assert all(array() is None for array in arrays)


@pytest.mark.parametrize("make", [lambda: torch.device("meta"), FakeTensorMode], ids=["meta", "fake"])
def test_layers_share_nothing_with_those_that_were_made_without_memory(make):
    rep = DihedralGroup(3).regular_representation + DihedralGroup(3).irreps()[2]
    with make():
        empty = nn.Linear(rep, rep)
        assert empty(torch.randn(5, rep.size)).shape == (5, rep.size)
    layer = nn.Linear(rep, rep)
    assert {(type(t), t.device.type) for t in layer.buffers()} == {(torch.Tensor, "cpu")}
    assert_equivariant(layer, rep, rep)
    with make():
        assert nn.Linear(rep, rep)(torch.randn(5, rep.size)).shape == (5, rep.size)


def test_layers_of_several_default_precisions_are_each_exact():
    rep = DihedralGroup(3).regular_representation + DihedralGroup(3).irreps()[2]
    single = nn.Linear(rep, rep)
    with default_dtype(torch.float64):
        double = nn.Linear(rep, rep)
    assert_equivariant(double, rep, rep, x=torch.randn(5, rep.size, dtype=torch.float64))
    assert_equivariant(single, rep, rep)


def test_attributes_set_on_a_layer_stay_with_it():
    regular = DihedralGroup(3).regular_representation
    first = nn.Linear(regular, regular)
    for part in first.modules():
        part.note = "of the first"
        part.forward = None
        part.__class__ = type("Wrapped", (type(part),), {})
    second = nn.Linear(regular, regular)
    assert second(torch.randn(2, 6)).shape == (2, 6)
    for part in second.modules():
        assert not hasattr(part, "note")
        assert type(part).__name__ != "Wrapped"


def test_representations_whose_blocks_are_ordered_otherwise_share_nothing():
    rep = DihedralGroup(3).regular_representation + DihedralGroup(3).irreps()[1]
    other = Representation.from_blocks(rep.group, rep.blocks[::-1], name=rep.name)
    first, second = nn.ChangeOfBasis(rep), nn.ChangeOfBasis(other)
    x = torch.randn(5, rep.size)
    for layer in (first, second):
        # float32 rounding of sums of a few terms
        torch.testing.assert_close(layer(x), x @ torch.tensor(layer.rep_in.change_of_basis).float(), rtol=0, atol=1e-5)
    assert rep == other


@each_case_once
def test_state_has_parameters_and_statistics_alone(case):
    layer, other = case.make(), case.make()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    layer(*case.inputs(layer))
    other.load_state_dict(layer.state_dict())
    xs = case.inputs(layer)
    same(other.eval()(*xs), layer.eval()(*xs))
    learned = {name for name, _ in layer.named_parameters()}
    kept = {name for name, _ in layer.named_buffers() if name.rpartition(".")[2] in case.entry.buffers}
    assert set(layer.state_dict()) == learned | kept


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # by torch, for jvp
@each_case_once
def test_derivatives_along_directions_are_differences(case):
    layer = case.make().double().eval()
    xs = case.inputs(layer, dtype=torch.float64)
    point = (xs, dict(layer.named_parameters()))
    direction = (tuple(map(torch.randn_like, xs)), {name: torch.randn_like(p) for name, p in point[1].items()})
    step = 1e-6

    def value(xs, parameters):
        return torch.func.functional_call(layer, parameters, xs)

    def moved(t):
        x = tuple(a + t * b for a, b in zip(point[0], direction[0], strict=True))
        return value(x, {name: p + t * direction[1][name] for name, p in point[1].items()})

    with sdpa_kernel(SDPBackend.MATH):  # torch's fast attention has no derivatives along directions
        _, slope = torch.func.jvp(value, point, direction)
        # rounding of differences, 1e-16 / 1e-6, and their next term
        torch.testing.assert_close(slope, (moved(step) - moved(-step)) / (2 * step), rtol=1e-5, atol=1e-5)


@each_case_once
def test_layers_are_made_without_memory_and_filled_later(case):
    """As sharded training makes them: constants are no part of the state."""
    layer = case.make().eval()
    with torch.device("meta"):
        other, assigned, frozen = (case.make().eval() for _ in range(3))
        for part in frozen.modules():
            if isinstance(part, Freezable):
                part.freeze()
    other.to_empty(device="cpu").load_state_dict(layer.state_dict())
    assigned.load_state_dict(layer.state_dict(), assign=True)
    frozen.load_state_dict(layer.state_dict(), assign=True)
    xs = case.inputs(layer)
    same(other(*xs), layer(*xs))
    same(assigned(*xs), layer(*xs))
    torch.testing.assert_close(frozen(*xs), layer(*xs))


@each_case_once
def test_functional_calls_use_what_they_are_given(case):
    layer = case.make().eval()
    other, xs = copy.deepcopy(layer), case.inputs(layer)
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    same(torch.func.functional_call(layer, dict(other.named_parameters()), xs), other(*xs))


# torch's fast attention is computed one by one
@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.parametrize("case", [case for case in ONE_BASIS if case.name != "Pointwise"], ids=str)  # it has no state
def test_stacked_states_compute_as_an_ensemble(case):
    layers = [case.make().eval() for _ in range(2)]
    for parameter in layers[1].parameters():
        torch.nn.init.normal_(parameter)
    xs = case.inputs(layers[0])
    expected = torch.stack([layer(*xs) for layer in layers])

    def member(*state):
        return torch.func.functional_call(layers[0], state, xs)

    # sums in another order
    torch.testing.assert_close(
        torch.func.vmap(member)(*torch.func.stack_module_state(layers)), expected, rtol=1e-4, atol=1e-4
    )
    same(torch.stack([layer(*xs) for layer in layers]), expected)


@each_case_once
def test_gradients_have_gradients_at_zero_too(case):
    """As penalties on gradients need them, and forces that are gradients of an energy."""
    layer = case.make().eval()
    xs = [torch.cat([torch.zeros_like(x[:1]), x]).requires_grad_() for x in case.inputs(layer)]
    with sdpa_kernel(SDPBackend.MATH):  # torch's fast attention has no second derivatives
        y = layer(*xs)
        gradients = torch.autograd.grad(y.square().sum(), xs, create_graph=True)
        sum(gradient.square().sum() for gradient in gradients).backward()
    assert all(torch.isfinite(x.grad).all() for x in xs)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in layer.parameters())


@each_case_once
def test_constants_follow_the_precision(case):
    layer = case.make().eval()
    with default_dtype(torch.float64):
        exact = case.make().eval()
    exact.load_state_dict(layer.state_dict())
    assert not [name for name, buffer in layer.named_buffers() if buffer.dtype == torch.float64]
    xs = case.inputs(layer, dtype=torch.float64)
    same(layer.double()(*xs), exact(*xs))
    assert layer.float()(*(x.float() for x in xs)).dtype == torch.float32
    same(layer.double()(*xs), exact(*xs))


@each_case_once
def test_autocast_keeps_symmetry_and_gradients(case):
    layer = case.make().eval()
    xs = [x.requires_grad_() for x in case.inputs(layer)]
    exact = [x.detach() for x in xs]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(*xs)
        assert_equivariant(layer, x=exact, tol=case.entry.tolerance(case.group, torch.bfloat16), **case.action(layer))
    y.float().square().sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in xs)
    torch.testing.assert_close(y.float(), layer(*exact), rtol=0.05, atol=0.1)


@pytest.mark.parametrize("case", [case for case in ONE_BASIS if case.entry.any_batch], ids=str)
def test_leading_dimensions_are_a_batch(case):
    layer = case.make().eval()
    xs = case.inputs(layer)
    y = layer(*xs)
    torch.testing.assert_close(layer(*(x.unflatten(0, (2, 3)) for x in xs)), y.unflatten(0, (2, 3)))
    torch.testing.assert_close(layer(*(x[0] for x in xs)), y[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", EXPORTED, ids=str)
def test_exported_layers_are_torch_s_and_share_nothing(case):
    layer = case.make().eval()
    plain, xs = layer.export(), case.inputs(layer)
    assert all(type(module).__module__.startswith("torch.nn") for module in plain.modules())
    # sums of a few hundred products in another order
    torch.testing.assert_close(plain(*xs), layer(*xs), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.zero_()
    assert layer(*xs).any()
    assert not {p.data_ptr() for p in plain.parameters()} & {p.data_ptr() for p in layer.parameters()}


def test_every_public_layer_and_model_is_in_the_battery():
    parts = {"DenseMap", "EquivariantMaps", "LogCovarianceNormal"}  # which layers are made of, or return
    assert {entry.public.__name__ for entry in LAYERS.values()} == {*nn.__all__, *models.__all__} - parts


@pytest.mark.parametrize("package", [nn, models], ids=["nn", "models"])
def test_packages_show_their_api_and_nothing_else(package):
    assert [name for name in dir(package) if not name.startswith("_")] == sorted(package.__all__)


REGULAR = DihedralGroup(3).regular_representation
ARGUMENTS = {
    "Linear": (REGULAR, REGULAR),
    "Conv1d": (REGULAR, REGULAR, 3),
    "ConvTranspose1d": (REGULAR, REGULAR, 3),
    "EquivariantMaps": (REGULAR, REGULAR),
    "MultiheadAttention": (2 * REGULAR, 2),
    "Pointwise": (REGULAR, "PReLU"),
    "FiLM": (REGULAR, REGULAR),
    "EMLP": (REGULAR, REGULAR, (12,)),
    "IMLP": (REGULAR, 3, (12,)),
    "TemporalCNN": (REGULAR, REGULAR, (6,)),
    "TransformerEncoderLayer": (2 * REGULAR, 2),
    "TransformerEncoder": (REGULAR, REGULAR, 12, 2, 1),
    "UNet1d": (REGULAR, REGULAR, None, (6,)),
}
MADE_OF_REPRESENTATIONS = sorted(
    {*nn.__all__, *models.__all__} - {"DenseMap", "LogCovarianceNormal", "TimeDistributed"}
)


@pytest.mark.parametrize("name", MADE_OF_REPRESENTATIONS)
def test_constructors_take_a_device_and_a_precision(name):
    make, arguments = getattr(nn, name, None) or getattr(models, name), ARGUMENTS.get(name, (2 * REGULAR,))
    double, empty = make(*arguments, dtype=torch.float64), make(*arguments, device="meta")
    tensors = [*double.parameters(), *double.buffers()]
    assert tensors
    assert {t.dtype for t in tensors if t.is_floating_point()} <= {torch.float64}
    assert {t.device.type for t in [*empty.parameters(), *empty.buffers()]} == {"meta"}
    with default_dtype(torch.float64):
        exact = make(*arguments)
    for ours, theirs in zip(double.buffers(), exact.buffers(), strict=True):
        same(ours, theirs)
