"""The coefficient of determination, where it is defined and where it is not."""

import pytest
import torch
from sklearn.metrics import r2_score

from isospan.errors import DegenerateDataError
from isospan.guided.scores import r_squared


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_scikit_learn(dtype):
    y, prediction = torch.randn(2, 40, 3, 2, dtype=dtype) * torch.tensor([1.0, 30.0]).to(dtype) + 5
    expected = r2_score(y.flatten(1), prediction.flatten(1), multioutput="variance_weighted")
    assert r_squared(y, prediction) == pytest.approx(expected, rel=1e-6)  # scikit-learn sums float32


@pytest.mark.parametrize("unit", [1e-30, 1.0, 1e30])
def test_has_no_unit(unit):
    y, prediction = torch.randn(2, 40, 3, dtype=torch.float64)
    assert r_squared(unit * y, unit * prediction) == pytest.approx(r_squared(y, prediction), rel=1e-12)  # rounding


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("constant", [0.0, 0.1, 0.3, 1 / 3, 273.15])
@pytest.mark.parametrize("count", [2, 7, 100, 399])
def test_a_constant_has_none_though_its_mean_is_rounded(constant, count, dtype):
    y = torch.full((count, 2), constant, dtype=dtype)
    with pytest.raises(DegenerateDataError, match=f"constant over the {count} samples"):
        r_squared(y, y)
