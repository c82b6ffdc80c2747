"""Losses and objective under ``torch.compile``, against the same without it."""

import copy

import pytest
import torch
from torch._dynamo.utils import counters

from isospan.compat.spacelearn._solve import solve_subspaces
from isospan.errors import NumericalWarning, OptionError
from isospan.guided import EverySteps, SpaceObjective
from isospan.guided.losses import alignment_loss, combined_loss, disentanglement_loss
from isospan.moments import Moments

# Dynamo looks at the gradient of all that enters a graph. It hides this warning, but cannot where warnings are errors.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")

D, K = 10, {"b": 2, "a": 1}


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def batch(seed=0, n=32):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, D, generator=g)
    return x, {"b": x[:, :3] ** 2 + x[:, 1:4], "a": x[:, 4]}


def compiled(function, **options):
    """Through the whole of Dynamo and AOTAutograd; the code generator after them knows nothing of graph breaks."""
    return torch.compile(function, backend="aot_eager", **options)


@pytest.mark.parametrize("weights", [None, {"alignment": 1.0}, {"isotropy": 2.0, "disentanglement": 1.0}])
@pytest.mark.parametrize("isotropy", ["singular", "variance"])
@pytest.mark.parametrize("n", [32, 6])
def test_combined_loss_in_one_graph(isotropy, weights, n):
    z, y = batch(n=n)
    space, older = (solve_subspaces(*batch(seed), k=K) for seed in (1, 2))
    leaves = [
        [t.clone().requires_grad_() for t in (z, *space.W.values(), *space.A.values(), *y.values())] for _ in "12"
    ]

    def loss(z, w1, w2, a1, a2, y1, y2):
        W, A, Y = ({"b": one, "a": two} for one, two in ((w1, w2), (a1, a2), (y1, y2)))
        return combined_loss(z, W, A, Y, older.W, isotropy=isotropy, weights=weights, return_terms=True)

    values = [loss(*leaves[0]), compiled(loss, fullgraph=True)(*leaves[1])]
    for terms in values:
        (3 * terms["total"]).backward()
    for name, value in values[0].items():
        torch.testing.assert_close(values[1][name], value, rtol=0, atol=0)
        assert values[1][name].requires_grad == value.requires_grad
    for one, other in zip(*leaves, strict=True):
        expected = torch.zeros_like(one) if one.grad is None else one.grad
        torch.testing.assert_close(other.grad, expected, rtol=0, atol=0)


def test_a_shard_of_a_global_batch():
    z, y = batch()
    space, moments = solve_subspaces(z, y, k=K), Moments.of(z, y)
    results = []
    for loss in (combined_loss, compiled(combined_loss)):
        shard = z[:9].clone().requires_grad_()
        y_shard = {name: t[:9] for name, t in y.items()}
        value = loss(shard, space.W, space.A, y_shard, global_moments=moments)
        results.append((value, *torch.autograd.grad(value, shard)))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)


def test_autocast_does_not_reach_into_the_operation():
    z, y = batch()
    space = solve_subspaces(z, y, k=K)

    def loss(z):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return combined_loss(z, space.W, space.A, y)

    torch.testing.assert_close(compiled(loss, fullgraph=True)(z), loss(z), rtol=0, atol=0)


def test_the_operation_obeys_the_rules_of_custom_operators():
    z, y = batch()
    space = solve_subspaces(z, y, k=K)
    W = torch.cat(list(space.W.values())).requires_grad_()
    A_and_Y = [*space.A.values(), *y.values()]
    A_and_Y[-1] = A_and_Y[-1].unsqueeze(1)
    options = ([2, 1], [1.0, 1.0, 1.0], False, 4, "variance", [True, True, False, False, False, False])
    arguments = (z.clone().requires_grad_(), W, A_and_Y, [], 0, *options)
    torch.library.opcheck(torch.ops.isospan.weighted_terms.default, arguments)


def train(step, objective, parameters, n_steps=9):
    losses = []
    for i in range(n_steps):
        loss = step(objective, *batch(i))
        losses.append(float(loss.detach()))
        for p in parameters:
            p.grad = None
        loss.backward()
        with torch.no_grad():
            for p in parameters:
                p -= 0.05 * p.grad
    return losses


@pytest.mark.parametrize("make", [SpaceObjective, SpaceObjective.plain])
def test_a_compiled_step_has_one_break(make):
    """Taking the batch into the state; before and after it, the model and the loss are compiled."""
    encoder = torch.nn.Linear(D, D)
    copies = [copy.deepcopy(encoder) for _ in "12"]
    objectives = [make(K, D, schedule=EverySteps(3)) for _ in "12"]
    plain, fast = ((lambda o, x, y, e=e: o(e(x), y)) for e in copies)
    losses = train(plain, objectives[0], list(copies[0].parameters()))
    assert train(compiled(fast), objectives[1], list(copies[1].parameters())) == losses
    # the same one, traced before the first solve and after it
    assert sum(counters["graph_break"].values()) == 2
    assert all(torch.equal(t, objectives[1].state_dict()[name]) for name, t in objectives[0].state_dict().items())


def test_compiled_encoder_and_decoder_are_balanced():
    torch.manual_seed(0)
    encoder, decoder = torch.nn.Linear(D, D), torch.nn.Linear(D, D)
    losses = []
    for wrap in (lambda module: module, compiled):
        models = [copy.deepcopy(module) for module in (encoder, decoder)]
        e, d = (wrap(module) for module in models)
        objective = SpaceObjective(K, D, schedule=EverySteps(3))

        def step(objective, x, y, e=e, d=d):
            z = e(x)
            return objective.total_loss((d(z) - x).square().mean(), z, y)

        losses.append(train(step, objective, [p for model in models for p in model.parameters()]))
        assert int(objective.balance.measured) > 3
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)  # float32


def test_a_step_compiled_as_a_whole_is_told_that_no_force_is_seen():
    encoder = torch.nn.Linear(D, D)
    objective = SpaceObjective(K, D, schedule=EverySteps(3))

    def step(objective, x, y):
        z = encoder(x)
        return objective.total_loss(z.square().mean(), z, y)

    with pytest.warns(NumericalWarning, match="no gradient of the task was seen at the latents"):
        train(compiled(step), objective, list(encoder.parameters()), n_steps=14)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by Dynamo itself
def test_disentanglement_in_one_graph():
    z, _ = batch()
    W = {"b": torch.eye(D)[:2], "a": torch.eye(D)[1:4]}
    torch.testing.assert_close(compiled(disentanglement_loss, fullgraph=True)(z, W), disentanglement_loss(z, W))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_loss_has_no_second_derivative_that_is_wrong(backend):
    """It raises: what is written down for the compiler holds the gradient constant."""
    Z = torch.randn(20, 6, dtype=torch.float64, requires_grad=True)
    W = {"a": torch.eye(6, dtype=torch.float64)[:2]}
    A, Y = {"a": torch.randn(2, 3).double()}, {"a": torch.randn(20, 3).double()}
    torch._dynamo.reset()
    loss = torch.compile(combined_loss, backend=backend)(Z, W, A, Y, weights={"alignment": 1.0})
    with pytest.raises((OptionError, RuntimeError)):  # noqa: PT012  # torch raises at the second, isospan at the first
        (gradient,) = torch.autograd.grad(loss, Z, create_graph=True)
        torch.autograd.grad(gradient.square().sum(), Z)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by Dynamo itself
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("name", ["alignment", "disentanglement"])
def test_second_derivatives_of_a_compiled_gradient(name, backend):
    """Central differences of the squared gradient norm, whose error is O(1e-5)² beside rounding."""
    g = torch.Generator().manual_seed(0)
    z, *others = (torch.randn(8, n, generator=g, dtype=torch.float64) for n in (4, 3, 3, 4))
    W, Y = {"a": torch.eye(4).double()[:2], "b": others[2][:2] / 2}, {"a": others[0], "b": others[1]}
    A = {"a": others[0][:2], "b": others[1][:2]}

    def squared_norm(z):
        loss = (lambda z: alignment_loss(z, W, A, Y)) if name == "alignment" else (lambda z: disentanglement_loss(z, W))
        return torch.func.grad(loss)(z).square().sum()

    step = 1e-5 * torch.eye(z.numel(), dtype=torch.float64).reshape(-1, *z.shape)
    expected = torch.stack([(squared_norm(z + e) - squared_norm(z - e)) / 2e-5 for e in step]).reshape(z.shape)
    got = torch.compile(torch.func.grad(squared_norm), backend=backend)(z)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-7 * float(expected.abs().max()))
    assert float(expected.abs().max()) > 1e-4
