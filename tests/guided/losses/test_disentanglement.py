"""The disentanglement loss against its formulas, and the sampling floor against Monte Carlo."""

from itertools import combinations

import pytest
import torch

from isospan.errors import DegenerateDataError
from isospan.guided.losses import disentanglement_loss


def correlations(Z, W):
    """C of every pair i < j: standardised coordinates, divided by B."""
    S = {name: (Z - Z.mean(0)) @ W_q.T for name, W_q in W.items()}
    return [(S[i] / S[i].std(0)).T @ (S[j] / S[j].std(0)) / len(Z) for i, j in combinations(W, 2)]


def mean(values):
    return sum(values) / max(len(values), 1) + torch.zeros((), dtype=torch.float64)


def naive(Z, W):
    return mean([torch.trace(C.T @ C) / C.shape[0] for C in correlations(Z, W)])


def naive_unbiased(Z, W):
    B = len(Z)
    pearson = [(C * B / (B - 1)) ** 2 for C in correlations(Z, W)]
    return mean([(((B - 1) * r2 - 1) / (B - 2)).sum() / min(r2.shape) for r2 in pearson])


VARIANTS = [
    (disentanglement_loss, naive),
    (lambda Z, W: disentanglement_loss(Z, W, unbiased=True), naive_unbiased),
]


@pytest.mark.parametrize(("loss", "oracle"), VARIANTS, ids=["plain", "unbiased"])
def test_value_and_gradient(batch, loss, oracle):
    Z, W, *_ = batch
    # two float64 evaluations of the same sums
    torch.testing.assert_close(loss(Z, W), oracle(Z, W), rtol=1e-11, atol=1e-14)
    inputs = [t.clone().requires_grad_() for t in (Z, *W.values())]
    assert torch.autograd.gradcheck(lambda Z, *bases: loss(Z, dict(zip(W, bases, strict=True))), inputs)


def test_independent_gaussians_score_zero_on_average_only_unbiased():
    g = torch.Generator().manual_seed(0)
    e = torch.eye(32, dtype=torch.float64)
    W = {"a": e[:16], "b": e[16:]}
    draws = [torch.randn(16, 32, generator=g, dtype=torch.float64) for _ in range(4000)]
    plain = torch.stack([disentanglement_loss(z, W) for z in draws])
    unbiased = torch.stack([disentanglement_loss(z, W, unbiased=True) for z in draws])
    # four standard errors of the mean of 4000 draws
    assert abs(unbiased.mean()) < 4 * unbiased.std() / 4000**0.5
    assert abs(plain.mean() - 16 * 15 / 16**2) < 4 * plain.std() / 4000**0.5


def test_unbiased_expectation_is_exact_over_all_pairings():
    """E[r²] = 1/(B - 1) over the permutations of one column, for any values: the theorem in the docstring."""
    from itertools import permutations

    a, b = torch.tensor([1.0, 2, 4, 9, -3], dtype=torch.float64), torch.tensor([0.0, 1, 1, 5, 100], dtype=torch.float64)
    e = torch.eye(2, dtype=torch.float64)
    scores = [
        disentanglement_loss(torch.stack([a, b[list(order)]], 1), {"a": e[:1], "b": e[1:]}, unbiased=True)
        for order in permutations(range(5))
    ]
    assert abs(torch.stack(scores).mean()) < 1e-14  # rounding of 120 terms


def test_unbiased_does_not_depend_on_the_order_of_names(make_batch):
    Z, W, *_ = make_batch(20, 9, [2, 4], [1, 1])
    backwards = dict(reversed(W.items()))
    forward, reverse = (disentanglement_loss(Z, w, unbiased=True) for w in (W, backwards))
    torch.testing.assert_close(forward, reverse, rtol=1e-12, atol=0)  # sums in another order
    assert not torch.isclose(disentanglement_loss(Z, W), disentanglement_loss(Z, backwards))


@pytest.mark.parametrize("unbiased", [False, True])
def test_same_coordinates_are_fully_entangled(unbiased):
    Z, e = torch.randn(10, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    score = disentanglement_loss(Z, {"a": e[:1], "b": -5 * e[:1]}, unbiased=unbiased)
    expected = 1.0 if unbiased else (9 / 10) ** 2
    assert score.item() == pytest.approx(expected, abs=1e-14)  # rounding


@pytest.mark.parametrize("unbiased", [False, True])
def test_single_quantity_is_zero_with_zero_gradient(unbiased):
    Z = torch.randn(10, 3, requires_grad=True)
    loss = disentanglement_loss(Z, {"a": torch.eye(3)[:2]}, unbiased=unbiased)
    loss.backward()
    assert loss == 0
    assert torch.equal(Z.grad, torch.zeros(10, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constant_coordinate_correlates_with_nothing(dtype):
    Z, e = torch.randn(20, 4, dtype=dtype), torch.eye(4, dtype=dtype)
    Z[:, 1] = 0.1  # its mean rounds
    Z.requires_grad_()
    loss = disentanglement_loss(Z, {"a": e[:2], "b": e[2:]})
    loss.backward()
    alive = disentanglement_loss(Z.detach(), {"a": e[:1], "b": e[2:]})
    torch.testing.assert_close(loss.detach(), alive / 2, rtol=1e-5, atol=0)  # float32 sums
    assert Z.grad.isfinite().all()
    assert Z.grad[:, 1].abs().max() < 1e-3  # a constant coordinate has no gradient


def test_all_latents_constant():
    Z = torch.ones(6, 4, requires_grad=True)
    loss = disentanglement_loss(Z, {"a": torch.eye(4)[:2], "b": torch.eye(4)[2:]})
    loss.backward()
    assert loss == 0
    assert torch.equal(Z.grad, torch.zeros(6, 4))


def test_too_few_samples():
    Z, W = torch.randn(2, 4), {"a": torch.eye(4)[:2], "b": torch.eye(4)[2:]}
    with pytest.raises(DegenerateDataError, match="at least 3 samples, got 2"):
        disentanglement_loss(Z, W, unbiased=True)
    assert disentanglement_loss(Z, W).isfinite()
