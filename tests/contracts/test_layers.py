"""What every layer keeps: symmetry, gradients, copies, states and precisions."""

import copy
import pickle
from contextlib import contextmanager

import pytest
import torch

from isospan.nn import Linear
from isospan.testing import TOLERANCE, assert_equivariant

from .conftest import CASES, GROUPS, LAYERS, TURNED

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_turned_case = pytest.mark.parametrize("case", TURNED, ids=str)


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
    # band-limited functions of Lie groups are sampled on a grid
    lie_grid = case.name == "FourierActivation" and GROUPS[case.group].order() is None
    tolerance = 1e-3 if lie_grid else TOLERANCE[dtype]
    x = case.data(layer, dtype=dtype)
    assert_equivariant(layer, layer.rep_in, layer.rep_out, x=x, dim=case.dim, tol=tolerance)
    assert layer(x).dtype == dtype


@each_turned_case
def test_training_lowers_a_loss_and_moves_every_parameter(case):
    layer = case.make()
    model = layer if case.dim == -2 else torch.nn.Sequential(Linear(case.rep, layer.rep_in), layer)
    model.eval() if case.name == "Dropout" else model.train()
    x = case.data(model[0] if case.dim == -1 else layer, samples=16)
    target = torch.randn(model(x).shape)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=1e-2), []
    for _ in range(8):
        loss = (model(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter).all(), name
        assert (parameter != before[name]).any(), name


@each_turned_case
def test_copies_are_equal_and_independent(case):
    layer = case.make().eval()
    x = case.data(layer)
    expected = layer(x)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        same(other(x), expected)
        ours = {tensor.data_ptr() for tensor in [*layer.parameters(), *layer.buffers()] if tensor.numel()}
        assert not ours & {tensor.data_ptr() for tensor in [*other.parameters(), *other.buffers()]}


@each_turned_case
def test_state_holds_what_is_learned_and_nothing_else(case):
    layer, other = case.make(), case.make()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    layer(case.data(layer))
    other.load_state_dict(layer.state_dict())
    x = case.data(layer)
    same(other.eval()(x), layer.eval()(x))
    learned = {name for name, _ in layer.named_parameters()}
    kept = {"running_mean", "running_var", "num_batches_tracked"} if case.name == "BatchNorm1d" else set()
    assert set(layer.state_dict()) == learned | kept


@each_turned_case
def test_functional_calls_use_what_they_are_given(case):
    layer = case.make().eval()
    other, x = copy.deepcopy(layer), case.data(layer)
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    same(torch.func.functional_call(layer, dict(other.named_parameters()), (x,)), other(x))


@each_turned_case
def test_constants_follow_the_precision(case):
    layer = case.make().eval()
    with default_dtype(torch.float64):
        exact = case.make().eval()
    exact.load_state_dict(layer.state_dict())
    assert not [name for name, buffer in layer.named_buffers() if buffer.dtype == torch.float64]
    x = case.data(layer, dtype=torch.float64)
    same(layer.double()(x), exact(x))
    assert layer.float()(x.float()).dtype == torch.float32
    same(layer.double()(x), exact(x))


@each_turned_case
def test_autocast_keeps_symmetry_and_gradients(case):
    layer = case.make().eval()
    x = case.data(layer).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
        tolerance = TOLERANCE[torch.bfloat16]
        assert_equivariant(layer, layer.rep_in, layer.rep_out, x=x.detach(), dim=case.dim, tol=tolerance)
    y.float().square().sum().backward()
    assert torch.isfinite(x.grad).all()
    torch.testing.assert_close(y.float(), layer(x.detach()), rtol=0.05, atol=0.1)


# convolutions and batch norm take the shapes of torch's
@pytest.mark.parametrize("case", [case for case in TURNED if case.dim == -1 and case.name != "BatchNorm1d"], ids=str)
def test_leading_dimensions_are_a_batch(case):
    layer = case.make().eval()
    x = case.data(layer)
    torch.testing.assert_close(layer(x.view(2, 3, -1)), layer(x).view(2, 3, -1))
    torch.testing.assert_close(layer(x[0]), layer(x)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", [case for case in TURNED if hasattr(case.make(), "export")], ids=str)
def test_exported_layers_are_torch_s_and_share_nothing(case):
    layer = case.make().eval()
    plain, x = layer.export(), case.data(layer)
    assert type(plain).__module__.startswith("torch.nn")
    torch.testing.assert_close(plain(x), layer(x))
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.zero_()
    assert layer(x).any()
    assert not {p.data_ptr() for p in plain.parameters()} & {p.data_ptr() for p in layer.parameters()}


def test_every_public_layer_is_in_the_battery():
    from isospan import nn

    bases = {"DenseMap", "EquivariantMaps", "MultivariateNormal"}
    assert set(LAYERS) - {"Gaussian", "FullGaussian"} == set(nn.__all__) - bases
