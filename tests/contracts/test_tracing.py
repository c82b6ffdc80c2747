"""Every layer compiles without a graph break, exports, and gives what it gave."""

import pytest
import torch

from .conftest import TRACED_GROUPS, TURNED, params


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch.compiler.reset()


def assert_compiles(case, backend):
    layer = case.make().eval()
    x = case.data(layer)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected, y = layer(ours), torch.compile(layer, fullgraph=True, backend=backend)(theirs)
    torch.testing.assert_close(y, expected)
    expected.square().sum().backward()
    y.square().sum().backward()
    torch.testing.assert_close(theirs.grad, ours.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", params(TURNED, TRACED_GROUPS))
def test_compiles_without_a_graph_break(case):
    assert_compiles(case, "aot_eager")


@pytest.mark.parametrize("name", ["BatchNorm1d", "Dropout"])
def test_training_compiles(name):
    (case,) = (case for case in TURNED if case.name == name and case.group == "D6")
    layer, other = case.make(), case.make()
    x, compiled = case.data(layer), torch.compile(other, fullgraph=True, backend="aot_eager")
    torch.manual_seed(0)
    expected = layer(x)
    torch.manual_seed(0)
    torch.testing.assert_close(compiled(x), expected)
    for (_, ours), (_, theirs) in zip(layer.named_buffers(), other.named_buffers(), strict=True):
        torch.testing.assert_close(theirs, ours)


@pytest.mark.parametrize(
    "case", [case for case in TURNED if case.group == "D6" and hasattr(case.make(), "freeze")], ids=str
)
def test_frozen_layers_compile_and_export(case):
    layer = case.make().freeze()
    x = case.data(layer)
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend="aot_eager")(x), layer(x))
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), layer(x))


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in TURNED if case.group == "D6"], ids=str)
@pytest.mark.filterwarnings("ignore")  # the code generator warns of torch's own functions
def test_compiles_to_machine_code(case):
    assert_compiles(case, "inductor")


@pytest.mark.parametrize("case", params(TURNED, TRACED_GROUPS))
def test_exports_with_any_batch_size(case):
    layer = case.make().eval()
    batch = torch.export.Dim("batch", min=2, max=1024)
    program = torch.export.export(layer, (case.data(layer),), dynamic_shapes=({0: batch},))
    x = case.data(layer, samples=9)
    torch.testing.assert_close(program.module()(x), layer(x))


@pytest.mark.parametrize("name", ["Linear", "Conv1d", "ConvTranspose1d"])
def test_exported_layers_reach_onnx(name, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    (case,) = (case for case in TURNED if case.name == name and case.group == "D6")
    layer = case.make().eval()
    torch.onnx.export(layer.export(), (case.data(layer),), tmp_path / "layer.onnx")
    assert (tmp_path / "layer.onnx").stat().st_size
