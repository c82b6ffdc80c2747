"""The public check of equivariance tells equivariant maps from others, in every precision."""

import pytest
import torch

from isospan.errors import (
    DtypeError,
    EquivarianceError,
    GroupMismatchError,
    NonFiniteError,
    RepresentationError,
    ShapeError,
)
from isospan.groups import O3, CyclicGroup, DihedralGroup
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


def test_the_precision_is_that_of_the_first_input_in_floating_point():
    regular = CyclicGroup(3).regular_representation
    x, t = torch.randn(4, 3), torch.arange(4)

    def f(t, x):  # an error of 1e-6, which explains float32 and not float64
        return x + 1e-6 * x[:, :1] * (1 + 0 * t.unsqueeze(-1)) * torch.arange(3)

    assert_equivariant(f, (None, regular), regular, x=(t, x))
    with pytest.raises(EquivarianceError):
        assert_equivariant(f, (None, regular), regular, x=(t, x.double()))


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
        for none in ((), (None,)):
            with pytest.raises(RepresentationError, match="a group that acts on an input"):
                assert_equivariant(lambda x: x, none, self.regular, x=x)


def test_a_default_device_does_not_matter():
    regular = CyclicGroup(3).regular_representation
    with torch.device("meta"):
        assert_equivariant(lambda x: 2 * x, regular, regular)
