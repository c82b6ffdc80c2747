"""The public check of equivariance tells equivariant maps from others, in every precision."""

import copy

import numpy as np
import pytest
import torch

from isospan import nn
from isospan.errors import (
    DtypeError,
    EquivarianceError,
    GroupMismatchError,
    NonFiniteError,
    RepresentationError,
    ShapeError,
)
from isospan.groups import O3, CyclicGroup, DihedralGroup
from isospan.models import TemporalCNN
from isospan.representations import change_of_basis
from isospan.symmetric import equivariant_projection
from isospan.testing import assert_equivariant, equivariance_error


@pytest.fixture(params=["D4", "O3"])
def reps(request):
    if request.param == "D4":
        group = DihedralGroup(4)
        return group.regular_representation, 2 * group.irreps()[-1]
    one, *_, vector = O3().irreps(1)
    return 2 * vector, vector + one


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equivariant_modules_pass_and_others_do_not(reps, dtype):
    rep_in, rep_out = reps
    linear = torch.nn.Linear(rep_in.size, rep_out.size, bias=False, dtype=dtype)
    with pytest.raises(EquivarianceError, match="relative error of"):
        assert_equivariant(linear, rep_in, rep_out)
    with torch.no_grad():
        linear.weight.copy_(equivariant_projection(linear.weight, rep_in, rep_out))
    assert_equivariant(linear, rep_in, rep_out)
    assert 0 < equivariance_error(linear, rep_in, rep_out) < 1e-5


def test_the_error_is_relative():
    swap = CyclicGroup(2).regular_representation

    def f(x):
        return x * torch.tensor([1.0, 1.0 + 1e-3], dtype=x.dtype)

    x = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    expected = 1e-3 * 2**0.5 / (1 + 1.001**2) ** 0.5
    assert equivariance_error(f, swap, swap, x=x) == pytest.approx(expected)
    assert equivariance_error(f, swap, swap, x=1e6 * x) == pytest.approx(expected)
    assert_equivariant(f, swap, swap, tol=1e-2)


def test_invariant_maps_and_other_axes():
    rotation = DihedralGroup(5).irreps()[-1]
    assert_equivariant(lambda x: x.norm(dim=-1, keepdim=True), rotation, None)
    x = torch.randn(3, 2, 7)
    assert_equivariant(lambda x: x * x.norm(dim=1, keepdim=True), rotation, rotation, dim=1, x=x)
    with pytest.raises(EquivarianceError):
        assert_equivariant(lambda x: x * x.norm(dim=2, keepdim=True), rotation, rotation, dim=1, x=x)


def test_axes_of_input_and_output_may_differ():
    """The mean over time takes (B, C, T) to (B, C)."""
    rotation = DihedralGroup(5).irreps()[-1]
    x = torch.randn(3, 2, 7)
    assert_equivariant(lambda x: x.mean(-1), rotation, rotation, dim=-2, dim_out=-1, x=x)
    with pytest.raises(EquivarianceError):
        assert_equivariant(lambda x: x.amax(-1), rotation, rotation, dim=-2, dim_out=-1, x=x)


def test_several_inputs():
    group = DihedralGroup(5)
    rotation, regular = group.irreps()[-1], group.regular_representation

    def scaled(x, y):
        return x * y.sum(-1, keepdim=True)

    assert_equivariant(scaled, (rotation, regular), rotation)
    with pytest.raises(EquivarianceError, match=r"commute with DihedralGroup\(5\)"):
        assert_equivariant(lambda x, y: x * y[..., :1], (rotation, regular), rotation)
    # the sum of a series (B, 2, T) with vectors (B, 2), the parts weighed by the entries of a table
    table, x, y = torch.rand(9), torch.randn(4, 2, 7), torch.randn(4, 2)

    def at_times(x, y, t):
        return table[t, None, None] * x + y.unsqueeze(-1)

    t = torch.tensor([0, 8, 3, 3])
    assert_equivariant(at_times, (rotation, rotation, None), rotation, dim=(-2, -1, -1), x=(x, y, t))
    # what acts on one input and not on the other is no action on the sum
    with pytest.raises(EquivarianceError):
        assert_equivariant(at_times, (rotation, None, None), rotation, dim=(-2, -1, -1), x=(x, y, t))


def test_the_precision_is_that_of_the_inputs_on_which_the_group_acts():
    regular = CyclicGroup(3).regular_representation
    x, t = torch.randn(4, 3), torch.arange(4)

    def f(t, x):  # an error of 1e-6, which explains float32 and not float64
        return x + 1e-6 * x[:, :1] * (1 + 0 * t.unsqueeze(-1)) * torch.arange(3)

    assert_equivariant(f, (None, regular), regular, x=(t, x))
    with pytest.raises(EquivarianceError):
        assert_equivariant(f, (None, regular), regular, x=(t, x.double()))
    with pytest.raises(EquivarianceError):
        assert_equivariant(f, (None, regular), regular, x=(t.float(), x.double()))
    assert_equivariant(lambda x, y: f(t, x + y), (regular, regular), regular, x=(x.double(), x))


ROTATED = change_of_basis(
    DihedralGroup(6).regular_representation, np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))[0]
)


@pytest.mark.parametrize(
    "make", [nn.ChangeOfBasis, nn.IrrepNorm, nn.GatedActivation, nn.PositionalEncoding, nn.IrrepInvariants]
)
def test_modules_of_buffers_alone_are_checked_in_their_precision(make):
    layer = make(ROTATED)
    assert not list(layer.parameters())
    error = equivariance_error(layer, layer.rep_in, layer.rep_out)
    assert 1e-10 < error < 1e-6  # rounding of float32 is 6e-8, and some layers add little to what they are given
    assert_equivariant(layer, layer.rep_in, layer.rep_out)
    x = torch.randn(5, layer.rep_in.size, dtype=torch.float64)
    assert layer(x).dtype == torch.float64  # and still rounded to float32
    assert_equivariant(layer, layer.rep_in, layer.rep_out, x=x)
    assert equivariance_error(layer.double(), layer.rep_in, layer.rep_out) < 1e-13


class Slanted(torch.nn.Module):
    """The identity, off by 1e-6 at one entry, with whole numbers and a buffer in some precision."""

    def __init__(self, size, dtype):
        super().__init__()
        self.register_parameter("order", torch.nn.Parameter(torch.arange(size), requires_grad=False))
        if dtype is not None:
            self.register_buffer("slant", (1e-6 * (torch.arange(size) == 0)).to(dtype))

    def forward(self, x):
        self.seen = x.dtype
        return x + x * getattr(self, "slant", 1e-6 * (self.order == 0))


def test_the_coarsest_precision_says_what_rounding_explains():
    regular = CyclicGroup(4).regular_representation
    single = Slanted(4, torch.float32)
    assert_equivariant(single, regular, regular)
    assert single.seen == torch.float32
    assert_equivariant(single, regular, regular, x=torch.randn(5, 4, dtype=torch.float64))
    with pytest.raises(EquivarianceError, match="above 1e-07"):
        assert_equivariant(single, regular, regular, x=torch.randn(5, 4, dtype=torch.float64), tol=1e-7)
    for double in (Slanted(4, torch.float64), Slanted(4, None)):
        with pytest.raises(EquivarianceError, match="above 1e-09"):
            assert_equivariant(double, regular, regular)
        assert double.seen == torch.float64


LEGS = CyclicGroup(4).regular_representation
CHECKED = {
    "torch": (lambda: torch.nn.BatchNorm1d(8), {"rep_in": 2 * LEGS, "rep_out": 2 * LEGS}, (8,)),
    "isospan": (lambda: nn.BatchNorm1d(2 * LEGS), {"rep_in": 2 * LEGS, "rep_out": 2 * LEGS}, (8,)),
    "network": (
        lambda: TemporalCNN(2 * LEGS, LEGS, hidden_units=(16, 16)),
        {"rep_in": 2 * LEGS, "rep_out": LEGS, "dim": 1, "dim_out": -1},
        (8, 9),
    ),
}


class TestTheModuleIsLeftAsItWas:
    @pytest.fixture(params=CHECKED)
    def case(self, request):
        """A module in training that has seen data far from what is drawn, its action, and inputs."""
        torch.manual_seed(0)
        make, action, shape = CHECKED[request.param]
        module = make()
        for _ in range(5):
            module(5 + 100 * torch.randn(32, *shape))
        return module, action, torch.randn(16, *shape)

    def unchanged(self, module, check):
        before, x = copy.deepcopy(module), check()
        assert module.training
        for name, values in before.state_dict().items():
            assert torch.equal(module.state_dict()[name], values), name
        assert torch.equal(module.eval()(x), before.eval()(x))

    def test_statistics(self, case):
        module, action, x = case

        def check():
            assert_equivariant(module, x=x, **action)
            return x

        self.unchanged(module, check)

    def test_where_the_check_fails(self, case):
        module, action, x = case
        other = change_of_basis(action["rep_in"], np.diag([-1.0] + 7 * [1.0]))

        def check():
            with pytest.raises(EquivarianceError, match="Check that the representations"):
                assert_equivariant(module, x=x, **{**action, "rep_in": other})
            return x

        self.unchanged(module, check)

    def test_where_the_module_fails(self, case):
        module, action, x = case

        def fail(*_):
            raise ArithmeticError

        def check():
            hook = module.register_forward_hook(fail)
            with pytest.raises(ArithmeticError):
                assert_equivariant(module, x=x, **action)
            hook.remove()
            return x

        self.unchanged(module, check)

    def test_what_waits_for_its_gradient(self, case):
        """Autograd refuses tensors that were written to since it saved them."""
        module, action, x = case
        loss = module(x).square().sum()
        assert_equivariant(module, x=x, **action)
        loss.backward()
        assert all(p.grad is not None for p in module.parameters())

    def test_buffers_of_every_kind(self):
        class Counting(torch.nn.Module):
            """A module whose value depends on its calls."""

            def __init__(self):
                super().__init__()
                self.register_buffer("written", torch.zeros(4))
                self.register_buffer("hidden", torch.zeros(4), persistent=False)
                self.register_buffer("replaced", torch.zeros(4))
                self.register_buffer("first", None)
                self.register_buffer("expanded", torch.zeros(1).expand(3, 4))
                self.register_buffer("sparse", torch.eye(4).to_sparse())

            def forward(self, x):
                self.written += 1
                self.hidden += 1
                self.replaced = self.replaced + 1
                self.first = x.mean(0) if self.first is None else self.first
                return x * (self.written + self.hidden + self.replaced) @ self.sparse

        module = Counting()
        held, before = dict(module.named_buffers()), copy.deepcopy(module)
        assert equivariance_error(module, LEGS, LEGS) < 1e-7  # every call is the first
        assert module.first is None
        for name, buffer in module.named_buffers():
            assert buffer is held[name]
            assert torch.equal(buffer.to_dense(), before.get_buffer(name).to_dense()), name

    def test_a_frozen_weight_that_is_out_of_date_is_made_anew(self):
        layer = nn.Linear(LEGS, LEGS).freeze()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.mul_(3)
        assert_equivariant(layer, LEGS, LEGS)
        x = torch.randn(5, 4)
        torch.testing.assert_close(layer(x), copy.deepcopy(layer).unfreeze()(x))

    def test_buffers_made_for_inference(self):
        with torch.inference_mode():
            module = nn.BatchNorm1d(LEGS)
            assert_equivariant(module, LEGS, LEGS)
        assert module.num_batches_tracked == 0
        assert_equivariant(module.eval(), LEGS, LEGS)

    def test_lazy_modules(self):
        assert equivariance_error(torch.nn.LazyLinear(4), LEGS, LEGS) > 0
        with pytest.raises(ShapeError, match=r"got a lazy one.*Call the module once"):
            assert_equivariant(torch.nn.LazyBatchNorm1d(), LEGS, LEGS)


def test_maps_that_draw_at_random_have_an_error_of_their_own():
    dropout = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Dropout())
    with pytest.raises(EquivarianceError, match=r"differ by [\d.]+, .* Call \.eval\(\)"):
        assert_equivariant(dropout, LEGS, LEGS)
    assert_equivariant(dropout.eval(), LEGS, LEGS)
    # what is drawn explains less than is tolerated, so that the map itself is at fault
    with pytest.raises(EquivarianceError, match="Check that the representations"):
        assert_equivariant(lambda x: x.cumsum(-1) + 1e-12 * torch.randn(()), LEGS, LEGS)


def test_a_check_that_passes_calls_the_map_once_an_element():
    calls = []

    def f(x):
        calls.append(x)
        return x

    assert_equivariant(f, LEGS, LEGS, elements=3)
    assert len(calls) == 1 + len(LEGS.group.generators) + 3


def test_one_seed_gives_one_answer():
    regular = DihedralGroup(3).regular_representation
    errors = {
        equivariance_error(lambda x: x.cumsum(-1), regular, regular, generator=torch.Generator().manual_seed(3))
        for _ in range(3)
    }
    assert len(errors) == 1


class TestBadInput:
    regular = DihedralGroup(4).regular_representation

    def test_a_map_that_is_undefined_somewhere(self):
        def log(x):  # NaN once a rotated sample has a negative first entry
            return torch.where(x[..., :1] < 0, torch.nan, x)

        x = torch.ones(3, 8).index_fill(1, torch.arange(1, 8), -1.0)
        with pytest.raises(NonFiniteError, match=r"^The value f\(x\) must be finite"):
            assert_equivariant(log, self.regular, self.regular, x=x)
        with pytest.raises(NonFiniteError, match=r"^The input x must be finite"):
            assert_equivariant(log, self.regular, self.regular, x=torch.nan * x)

    @pytest.mark.parametrize("f", [lambda x: (x, x), lambda x: x.numpy(), lambda x: x.long()])
    def test_values_that_are_not_floating_point_tensors(self, f):
        with pytest.raises(DtypeError, match=r"^The value f\(x\) must be"):
            assert_equivariant(f, self.regular, self.regular)

    def test_sizes_and_types(self):
        with pytest.raises(ShapeError, match=r"f\(x\) must have 8 entries on axis -1, the size of 'regular'"):
            assert_equivariant(lambda x: x[..., :3], self.regular, self.regular)
        with pytest.raises(ShapeError, match="input x must have 8 entries on axis 2"):
            assert_equivariant(lambda x: x, self.regular, self.regular, x=torch.ones(3, 8), dim=2)
        with pytest.raises(DtypeError, match="input x must be floating point"):
            assert_equivariant(lambda x: x, self.regular, self.regular, x=torch.ones(3, 8, dtype=torch.int64))

    def test_groups(self):
        with pytest.raises(GroupMismatchError, match=r"got DihedralGroup\(4\) and CyclicGroup\(8\)"):
            assert_equivariant(lambda x: x, self.regular, CyclicGroup(8).regular_representation)

    def test_inputs_and_their_representations(self):
        x = torch.ones(3, 8)
        with pytest.raises(ShapeError, match="got 2 inputs, 1 representations and 1 axes"):
            assert_equivariant(lambda x, y: x, self.regular, self.regular, x=(x, x))
        with pytest.raises(ShapeError, match=r"^Input 1 must have 8 entries on axis -1"):
            assert_equivariant(lambda x, y: x, (self.regular, self.regular), self.regular, x=(x, x[:, :2]))
        with pytest.raises(RepresentationError, match="Pass the values of all inputs in x"):
            assert_equivariant(lambda x, y: x, (self.regular, None), self.regular)
        for none in ((), (None,), None):
            with pytest.raises(RepresentationError, match="a group that acts on an input"):
                assert_equivariant(lambda x: x, none, self.regular, x=x)
        with pytest.raises(RepresentationError, match="a group that acts on an input"):
            assert_equivariant(lambda x: x, None, None)
        group = self.regular.group
        for other in (group, "regular", np.eye(8), 8):
            for reps in ((other, self.regular), (self.regular, other), ((self.regular, other), None)):
                for check in (assert_equivariant, equivariance_error):
                    with pytest.raises(
                        RepresentationError, match=f"Expected a Representation, got {type(other).__name__}"
                    ):
                        check(lambda x: x, *reps)


def test_a_default_device_does_not_matter():
    regular = CyclicGroup(3).regular_representation
    with torch.device("meta"):
        assert_equivariant(lambda x: 2 * x, regular, regular)
