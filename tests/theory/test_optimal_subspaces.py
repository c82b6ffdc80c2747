"""Theorems about the subspaces: each is the best of its kind, and where its data came from does not matter."""

import pytest
import torch

from isospan.compat.spacelearn._solve import solve_from_moments, solve_subspaces
from isospan.linalg import nearest_frame
from isospan.moments import Moments


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture
def data():
    Z = randn(240, 8) @ randn(8, 8) + 100
    return Z, {"a": torch.sin(Z[:, :3] @ randn(3, 10)), "b": Z @ randn(8, 5) + 3 * randn(240, 5)}


def centred(x):
    return x - x.mean(0)


def covariance(W, Z, y):
    return (W @ centred(Z).T @ centred(y)).square().sum()


def explained(W, Z, y):
    S = centred(Z) @ W.T
    return (S @ torch.linalg.lstsq(S, centred(y)).solution).square().sum()


def canonical(W, Z, y):
    Qs, Qy = (torch.linalg.qr(x)[0] for x in (centred(Z) @ W.T, centred(y)))
    return (Qs.T @ Qy).square().sum()


VALUE = {"covariance": covariance, "regression": explained, "correlation": canonical}


@pytest.mark.parametrize("method", VALUE)
def test_no_other_subspace_is_better(data, method):
    """Neither random subspaces nor small turns of the solution reach its value."""
    Z, Y = data
    space = solve_subspaces(Z, Y, k=2, method=method, ridge=0)
    for name, y in Y.items():
        best = VALUE[method](space.W[name], Z, y)
        for size in (1e-3, 1e-1, 10.0):
            for _ in range(20):
                other = torch.linalg.qr((space.W[name] + size * randn(2, 8)).T)[0].T
                assert VALUE[method](other, Z, y) <= best * (1 + 1e-12)


@pytest.mark.parametrize("method", VALUE)
def test_no_small_turn_of_the_joint_frame_is_better(data, method):
    """A stationary point of the sum of shares: its gradient has no part along which the frame can turn."""
    Z, Y = data
    k = {"a": 3, "b": 2}
    total_variance = {n: centred(y).square().sum() for n, y in Y.items()}
    share = {"covariance": total_variance, "regression": total_variance, "correlation": {"a": 10, "b": 5}}[method]

    def slope(W):
        """Norm of the gradient projected on the tangent space of the frames, over the value."""
        W = W.clone().requires_grad_()
        total = sum(VALUE[method](part, Z, Y[n]) / share[n] for n, part in zip(k, W.split([3, 2]), strict=True))
        (G,) = torch.autograd.grad(total, W)
        along = G - (G @ W.T + W @ G.T) @ W / 2
        return float(along.detach().norm() / total.detach())

    joint, alone = (
        torch.cat(list(solve_subspaces(Z, Y, k=k, method=method, orthogonal=orthogonal, ridge=0).W.values()))
        for orthogonal in (True, False)
    )
    # the iteration stops where a step gains less than 1e-8 of the value, which leaves slopes of up to 6e-3 here; the
    # frame that it starts from has slopes of 0.11 and more
    assert slope(joint) < 0.01
    assert slope(nearest_frame(alone)) > 0.1


@pytest.mark.parametrize("method", VALUE)
def test_parts_merged_in_any_order_equal_the_whole(data, method):
    Z, Y = data
    whole = solve_subspaces(Z, Y, k=2, method=method)
    ranks = [
        Moments.of(Z[rows], {n: y[rows] for n, y in Y.items()}, target_covariance=True)
        for rows in torch.randperm(240).split([10, 100, 3, 127])
    ]
    merged = ranks[2].merge(ranks[0]).merge(ranks[3]).merge(ranks[1])
    for name, triple in solve_from_moments(merged, 2, method=method).items():
        for part, expected in zip(triple, whole[name], strict=True):
            torch.testing.assert_close(part, expected, rtol=0, atol=1e-10 * expected.abs().max().item())


def test_repeating_the_data_changes_nothing(data):
    Z, Y = data
    once = solve_subspaces(Z, Y, k=2, method="regression")
    twice = solve_subspaces(Z.repeat(2, 1), {n: y.repeat(2, 1) for n, y in Y.items()}, k=2, method="regression")
    for name in Y:
        torch.testing.assert_close(once.W[name], twice.W[name], rtol=0, atol=1e-10)


def test_float32_products_cost_no_more_than_float32_data():
    """The one-shot solver multiplies float32 data in float32; the stream in float64. Both see the same subspace."""
    Z = torch.randn(2000, 40) * torch.arange(1, 41) ** -0.5 + 30
    Y = {"a": (Z - 30) @ torch.randn(40, 60) * torch.arange(1, 61) ** -0.5 - 200}
    exact = Moments.of(Z, Y)
    rounded = Moments.of(Z, Y, precision=torch.float32)
    scale = torch.outer(exact.cov_zz.diagonal().sqrt(), exact.var_y["a"].sqrt())
    # rounding of 2000 products in float32
    assert ((rounded.cov_zy["a"] - exact.cov_zy["a"]) / scale).abs().max() < 2e-6
    assert torch.equal(rounded.cov_zz, exact.cov_zz)
    torch.testing.assert_close(rounded.y_mean["a"], exact.y_mean["a"], rtol=1e-9, atol=0)
    torch.testing.assert_close(rounded.var_y["a"], exact.var_y["a"], rtol=1e-5, atol=0)
    one, streamed = solve_subspaces(Z, Y, k=5).W["a"], solve_from_moments(exact, 5).W["a"]
    torch.testing.assert_close(one.double(), streamed, rtol=0, atol=1e-4)  # over gaps of some percent
