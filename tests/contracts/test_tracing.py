"""Every layer compiles without a graph break, exports, and gives what it gave."""

import onnxruntime
import pytest
import torch

from .conftest import EXPORTED, ONE_BASIS, TRACED, TRACED_GROUPS, params

# torch's own tracing of a function with its own gradient instantiates the class, which torch deprecates
pytestmark = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch.compiler.reset()


def assert_compiles(case, backend):
    layer = case.make().eval()
    ours = [x.requires_grad_() for x in case.inputs(layer)]
    theirs = [x.requires_grad_() for x in case.inputs(layer)]
    expected, y = layer(*ours), torch.compile(layer, fullgraph=True, backend=backend)(*theirs)
    torch.testing.assert_close(y, expected)
    expected.square().sum().backward()
    y.square().sum().backward()
    for a, b in zip(theirs, ours, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", params(TRACED, TRACED_GROUPS))
def test_compiles_without_a_graph_break(case):
    assert_compiles(case, "aot_eager")


@pytest.mark.parametrize(
    "case", [case for case in ONE_BASIS if case.group == "D6" and case.entry.trains_otherwise], ids=str
)
def test_training_compiles(case):
    layer, other = case.make(), case.make()
    xs, compiled = case.inputs(layer), torch.compile(other, fullgraph=True, backend="aot_eager")
    torch.manual_seed(0)
    expected = layer(*xs)
    torch.manual_seed(0)
    torch.testing.assert_close(compiled(*xs), expected)
    for (_, ours), (_, theirs) in zip(layer.named_buffers(), other.named_buffers(), strict=True):
        torch.testing.assert_close(theirs, ours)


@pytest.mark.parametrize(
    "case", params([case for case in ONE_BASIS if case.group == "D6" and hasattr(case.make(), "freeze")], ("D6",))
)
def test_frozen_layers_compile_and_export(case):
    layer = case.make().freeze()
    xs = case.inputs(layer)
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend="aot_eager")(*xs), layer(*xs))
    torch.testing.assert_close(torch.export.export(layer, xs).module()(*xs), layer(*xs))


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in ONE_BASIS if case.group == "D6"], ids=str)
@pytest.mark.filterwarnings("ignore")  # the code generator warns of torch's own functions
def test_compiles_to_machine_code(case):
    assert_compiles(case, "inductor")


@pytest.mark.parametrize("case", params(TRACED, TRACED_GROUPS))
def test_exports_with_any_batch_size(case):
    layer = case.make().eval()
    batch = torch.export.Dim("batch", min=2, max=1024)
    xs = case.inputs(layer)
    program = torch.export.export(layer, xs, dynamic_shapes=tuple({0: batch} for _ in xs))
    xs = case.inputs(layer, samples=9)
    torch.testing.assert_close(program.module()(*xs), layer(*xs))


# torch pickles nodes of its own graphs in a way that it deprecates
@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.:FutureWarning")
@pytest.mark.parametrize("case", params(EXPORTED, TRACED_GROUPS))
def test_onnxruntime_computes_what_exported_layers_compute(case):
    layer = case.make().eval()
    xs = case.inputs(layer)
    batch = torch.export.Dim("batch", min=2, max=1024)
    shapes = tuple({0: batch} for _ in xs)
    program = torch.onnx.export(layer.export(), xs, dynamo=True, dynamic_shapes=shapes, verbose=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    xs = case.inputs(layer, samples=9)
    names = [node.name for node in session.get_inputs()]
    (y,) = session.run(None, {name: x.numpy() for name, x in zip(names, xs, strict=True)})
    # sums in another order
    torch.testing.assert_close(torch.from_numpy(y), layer(*xs).detach(), rtol=1e-4, atol=1e-5)
