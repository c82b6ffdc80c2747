"""The balance of two losses against their measured gradients."""

import math

import pytest
import torch

from isospan.errors import OptionError
from isospan.guided.balance import FIRST_RATIO, MEMORY, ForceBalance


def backward(balance, task_slope, guidance_slope, *, scale=1.0):
    """One step with gradients of known size at z; returns the weight that was used."""
    z = torch.ones(3, 4, dtype=torch.float64, requires_grad=True)
    branch, weight = z.clone(), balance.weight()
    balance.watch(z, branch, weight)
    (scale * (task_slope * z.sum() + weight * guidance_slope * branch.sum())).backward()
    return float(weight)


def test_first_weight_then_the_ratio():
    balance = ForceBalance(0.3)
    assert backward(balance, 5.0, 2.0) == pytest.approx(0.3 * FIRST_RATIO)
    assert float(balance.weight()) == pytest.approx(0.3 * 5 / 2)


def test_running_mean_of_the_log():
    balance, ratios = ForceBalance(1.0), [2.0, 8.0, 0.5] + [3.0] * 20
    expected = 0.0
    for n, ratio in enumerate(ratios, start=1):
        backward(balance, ratio, 1.0)
        expected += max(1 / n, 1 - MEMORY) * (math.log(ratio) - expected)
    assert float(balance.weight()) == pytest.approx(math.exp(expected))


@pytest.mark.parametrize("scale", [1e-6, 65536.0, -1.0])
def test_scale_and_sign_of_the_loss_do_not_matter(scale):
    balance = ForceBalance(1.0)
    for _ in range(3):
        backward(balance, 5.0, 2.0, scale=scale)
    assert float(balance.weight()) == pytest.approx(2.5)


@pytest.mark.parametrize("bad", [0.0, float("inf"), float("nan")])
def test_a_force_that_is_zero_or_not_finite_is_skipped(bad):
    balance = ForceBalance(1.0)
    backward(balance, 5.0, 2.0)
    backward(balance, bad, 2.0)
    backward(balance, 5.0, bad)
    assert float(balance.weight()) == pytest.approx(2.5)


def test_a_branch_without_backward_measures_nothing():
    balance = ForceBalance(1.0)
    z = torch.ones(2, requires_grad=True)
    balance.watch(z, z.clone(), balance.weight())
    z.sum().backward()
    assert int(balance.measured) == 0


def test_negative_strength():
    with pytest.raises(OptionError, match="strength must be at least 0"):
        ForceBalance(-0.1)
