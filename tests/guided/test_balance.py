"""The balance of two losses against their measured gradients."""

import math

import pytest
import torch

from isospan.errors import NumericalWarning, OptionError
from isospan.guided import EverySteps, SpaceObjective
from isospan.guided._balance import EVERY, MEMORY, SETTLED, UNMEASURED_RATIO, UNMEASURED_STEPS, GradientBalance


def backward(balance, task_slope, guidance_slope, *, scale=1.0, loss=1.0):
    """One step with gradients of known size at z; returns the weight that was used."""
    z = torch.ones(3, 4, dtype=torch.float64, requires_grad=True)
    branch, weight = z.clone(), balance.weight()
    balance.measure(z, branch, weight, loss=lambda: torch.tensor(loss))
    (scale * (task_slope * z.sum() + weight * guidance_slope * branch.sum())).backward()
    return float(weight)


def test_the_first_step_only_measures():
    balance = GradientBalance(0.3, head_start=0)
    assert backward(balance, 5.0, 2.0) == pytest.approx(0.3 * UNMEASURED_RATIO)
    assert float(balance.weight()) == pytest.approx(0.3 * 5 / 2)


def test_running_mean_of_the_log():
    balance, ratios = GradientBalance(1.0, head_start=0), [2.0, 8.0, 0.5] + [3.0] * 20
    expected = 0.0
    for n, ratio in enumerate(ratios, start=1):
        backward(balance, ratio, 1.0)
        expected += max(1 / n, 1 - MEMORY) * (math.log(ratio) - expected)
    assert float(balance.weight()) == pytest.approx(math.exp(expected))


def test_later_measurements_stand_for_several_steps():
    balance = GradientBalance(1.0, head_start=0)
    for _ in range(SETTLED):
        backward(balance, 2.0, 1.0)
    assert balance.is_due(EVERY)
    assert not any(balance.is_due(EVERY + n) for n in range(1, EVERY))
    backward(balance, 8.0, 1.0)
    assert int(balance.measured) == SETTLED + EVERY
    # as after five steps of a ratio of 8
    expected = math.log(8) + MEMORY**EVERY * (math.log(2) - math.log(8))
    assert float(balance.log_ratio) == pytest.approx(expected)


def test_guidance_leads_in_the_first_steps():
    balance, weights = GradientBalance(0.5, head_start=12), []
    for _ in range(5):
        weights.append(backward(balance, 6.0, 2.0))
    # strength · (1 + 12 / t) times the ratio 3
    assert weights[1:] == pytest.approx([0.5 * 3 * (1 + 12 / t) for t in (1, 2, 3, 4)])


def test_guidance_rests_where_all_is_read():
    balance = GradientBalance(0.5, head_start=0)
    backward(balance, 6.0, 2.0, loss=0.01)
    assert float(balance.weight()) == pytest.approx(0.5 * 3 * 0.1)


@pytest.mark.parametrize(("k", "expected"), [(1, 2.0), (2, 2.0), (4, 2**0.5), (8, 1.0)])
def test_few_guided_dimensions_may_be_guided_more(k, expected):
    """The gradient of the guidance over that of the task is strength · √(L · D/K), with K of at least D/4."""
    objective = SpaceObjective({"a": k}, 8, shapes={"a": (8,)}, strength=0.5)
    objective.balance.head_start = 0
    g = torch.Generator().manual_seed(0)
    z = torch.randn(64, 8, generator=g).requires_grad_()
    y = {"a": torch.randn(64, 8, generator=g) + z.detach()}
    for _ in range(2):
        total = objective.total_loss(z.square().sum(), z, y)
        (both,) = torch.autograd.grad(total, z)
    ratio = (both - 2 * z.detach()).norm() / (2 * z.detach()).norm()
    loss = objective.terms["total"]
    assert float(ratio) == pytest.approx(0.5 * expected * float(loss) ** 0.5, rel=0.02)


def weights_of(terms, *, between=lambda objective, z, y: None):
    """The weights of three steps, with something done between the loss and the backward pass."""
    objective = SpaceObjective({"a": 1}, 4, schedule=EverySteps(1), weights=terms)
    g, used = torch.Generator().manual_seed(0), []
    for _ in range(3):
        z = torch.randn(16, 4, generator=g).requires_grad_()
        y = {"a": z.detach()[:, 0] ** 2}
        total = objective.total_loss((z - 1).square().sum(), z, y)
        used.append(float(objective.terms["weight"]))
        between(objective, z, y)
        total.backward()
    return used


def test_the_scale_of_the_guidance_does_not_matter():
    once, four = weights_of({"alignment": 1.0}), weights_of({"alignment": 4.0})
    assert four[1:] == pytest.approx([w / 4 for w in once[1:]])


def test_each_gradient_is_measured_with_the_loss_of_its_own_step():
    def validate(objective, z, y):
        objective.eval()(3 * z.detach(), y)
        objective.train().terms.clear()

    assert weights_of({"alignment": 1.0}, between=validate) == weights_of({"alignment": 1.0})


@pytest.mark.parametrize("scale", [1e-6, 65536.0, -1.0])
def test_scale_and_sign_of_the_loss_do_not_matter(scale):
    balance = GradientBalance(1.0, head_start=0)
    for _ in range(3):
        backward(balance, 5.0, 2.0, scale=scale)
    assert float(balance.weight()) == pytest.approx(2.5)


@pytest.mark.parametrize("bad", [0.0, float("inf"), float("nan")])
def test_a_gradient_that_is_zero_or_not_finite_is_skipped(bad):
    balance = GradientBalance(1.0, head_start=0)
    backward(balance, 5.0, 2.0)
    backward(balance, bad, 2.0)
    backward(balance, 5.0, bad)
    assert float(balance.weight()) == pytest.approx(2.5)


def test_a_branch_without_backward_measures_nothing():
    balance = GradientBalance(1.0, head_start=0)
    z = torch.ones(2, requires_grad=True)
    balance.measure(z, z.clone(), balance.weight(), loss=lambda: torch.ones(()))
    z.sum().backward()
    assert int(balance.measured) == 0


def test_negative_strength():
    with pytest.raises(OptionError, match=r"strength .* must be a number of at least 0"):
        GradientBalance(-0.1)


@pytest.mark.parametrize(
    ("unit", "dtype"),
    [
        (1e-12, torch.float32),
        (1e6, torch.float32),
        (1e-12, torch.bfloat16),
        (1e6, torch.bfloat16),
        (1e-3, torch.float16),
    ],
)
def test_the_first_weight_that_trains_has_the_unit_of_the_task(unit, dtype):
    """With a gradient scaler too, and in half precision."""

    def weights(unit):
        objective = SpaceObjective({"a": 1}, 4, schedule=EverySteps(1), strength=0.5)
        g = torch.Generator().manual_seed(0)
        used = []
        for _ in range(3):
            z = torch.randn(16, 4, generator=g).to(dtype).requires_grad_()
            task = unit * (z.float() - 1).square().sum()
            total = objective.total_loss(task, z, {"a": z.detach()[:, 0].float() ** 2})
            (total * (1 if dtype == torch.float16 else 1024) / unit).backward()
            used.append(float(objective.terms["weight"]) / unit)
        return used

    first, *others = weights(unit)
    assert first == pytest.approx(0.5 * UNMEASURED_RATIO / unit)
    # the same in every unit; the head start makes the task's gradient a hundredth of what half precision rounds
    assert others == pytest.approx(weights(1.0)[1:], rel=1e-2)


def test_without_a_gradient_of_the_task_guidance_starts_after_a_warning():
    balance = GradientBalance(0.3, head_start=0)
    weights = []
    for _ in range(UNMEASURED_STEPS):
        weights.append(backward(balance, 0.0, 2.0))
    with pytest.warns(NumericalWarning, match=r"In 10 steps no gradient of the task.* weighs 0.01 times its strength"):
        weights.append(backward(balance, 0.0, 2.0))
    weights.append(backward(balance, 0.0, 2.0))
    assert weights[:UNMEASURED_STEPS] == pytest.approx([0.3 * UNMEASURED_RATIO] * UNMEASURED_STEPS)
    assert weights[UNMEASURED_STEPS:] == pytest.approx([0.3 * UNMEASURED_RATIO] * 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_first_step_leaves_the_gradient_of_the_task_alone(dtype):
    """Also where latents are read from more than the task reads, in half precision."""
    objective = SpaceObjective({"a": 1}, 4, schedule=EverySteps(1))
    tokens = torch.randn(16, 3, 4).to(dtype).requires_grad_()
    y = {"a": tokens.detach()[:, 0, 0].float() ** 2}
    for step in range(2):
        task = tokens.float().square().sum()
        total = objective.total_loss(task, tokens, y, to_latents=lambda tokens: tokens.mean(1))
        (gradient,) = torch.autograd.grad(total, tokens)
        assert torch.equal(gradient, 2 * tokens.detach()) == (step == 0)
    assert int(objective.balance.measured) == 2
