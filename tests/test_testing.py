"""The public check of equivariance tells equivariant maps from others, in every precision."""

import pytest
import torch

from isospan.errors import EquivarianceError
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


def test_one_seed_gives_one_answer():
    regular = DihedralGroup(3).regular_representation
    errors = {
        equivariance_error(lambda x: x.cumsum(-1), regular, regular, generator=torch.Generator().manual_seed(3))
        for _ in range(3)
    }
    assert len(errors) == 1
