"""The coefficient of determination, where it is defined and where it is not."""

import pytest
import torch
from sklearn.metrics import r2_score

from isospan.errors import DegenerateDataError
from isospan.evaluation._scores import squared_deviation, stored_r2
from isospan.moments import Moments
from isospan.subspaces._latent_space import LatentSpace


def case(dtype=torch.float64, unit=1.0, offset=5.0):
    """A space with a decoder that nothing was fitted to, and data of a quantity (3, 2) in some unit."""
    g = torch.Generator().manual_seed(0)
    z = torch.randn(40, 4, generator=g, dtype=dtype) + 2
    noise = torch.randn(40, 3, 2, generator=g, dtype=dtype) * torch.tensor([1.0, 30.0]).to(dtype)
    A = torch.randn(2, 6, generator=g, dtype=torch.float64)
    y = unit * (noise + (z[:, :2].double() @ A).to(dtype).view(40, 3, 2) + offset)
    space = LatentSpace(
        W={"q": torch.eye(4, dtype=torch.float64)[:2]},
        A={"q": unit * A},
        z_mean=torch.zeros(4, dtype=torch.float64),
        y_mean={"q": unit * torch.full((6,), offset + 1, dtype=torch.float64)},
        y_scale={"q": torch.tensor(unit, dtype=torch.float64)},
        shapes={"q": (3, 2)},
    )
    return space, z, y


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [0.0, 5.0, 1e4])
def test_equals_scikit_learn(dtype, offset):
    space, z, y = case(dtype, offset=offset)
    prediction = space.decode(z.double())["q"].flatten(1)
    expected = r2_score(y.double().flatten(1).numpy(), prediction.numpy(), multioutput="variance_weighted")
    # the offset costs the targets of float64 four digits; what is compared is computed in float64 in both
    assert stored_r2(space, Moments.of(z, {"q": y}), "q") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_has_no_unit(unit):
    (space, z, y), (plain, _, plain_y) = case(unit=unit), case()
    expected = stored_r2(plain, Moments.of(z, {"q": plain_y}), "q")
    assert stored_r2(space, Moments.of(z, {"q": y}), "q") == pytest.approx(expected, rel=1e-12)  # rounding


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("constant", [0.0, 0.1, 0.3, 1 / 3, 273.15])
@pytest.mark.parametrize("count", [2, 7, 100, 399])
def test_a_constant_has_none_though_its_mean_is_rounded(constant, count, dtype):
    z, y = torch.randn(count, 1), torch.full((count, 2), constant, dtype=dtype)
    with pytest.raises(DegenerateDataError, match=f"'q' is constant over the {count} samples"):
        squared_deviation("q", Moments.of(z, {"q": y}))
