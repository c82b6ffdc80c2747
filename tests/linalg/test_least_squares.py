"""Least squares from second moments against numpy's lstsq and ridge solutions."""

import numpy as np
import pytest
import torch

from isospan.linalg import solve_gram


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("rank", [4, 2, 0])
def test_minimum_norm_least_squares(rank):
    S, Y = randn(30, rank) @ randn(rank, 4), randn(30, 3)
    expected = np.linalg.lstsq(S.numpy(), Y.numpy(), rcond=1e-10)[0]
    # the Gram matrix squares the condition number, here about 10
    np.testing.assert_allclose(solve_gram(S.T @ S, S.T @ Y), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rank", [4, 2])
def test_ridge(rank):
    S, Y, ridge = randn(30, rank) @ randn(rank, 4), randn(30, 3), 0.1
    G = S.T @ S
    lam = ridge * G.trace() / 4
    expected = np.linalg.solve((G + lam * torch.eye(4, dtype=torch.float64)).numpy(), (S.T @ Y).numpy())
    np.testing.assert_allclose(solve_gram(G, S.T @ Y, ridge=ridge), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_does_not_depend_on_units(scale):
    S, Y = randn(30, 4), randn(30, 3)
    A = solve_gram(S.T @ S, S.T @ Y, ridge=1e-3)
    scaled = solve_gram(scale**2 * S.T @ S, scale * S.T @ Y, ridge=1e-3)
    torch.testing.assert_close(scale * scaled, A, rtol=1e-10, atol=0)


def test_badly_conditioned_but_of_full_rank():
    """Both ways of solving meet the normal equations, on either side of where the method changes."""
    Q = torch.linalg.qr(randn(4, 4))[0]
    for smallest in (1e-6, 1e-10, 1e-12):
        G = (Q * torch.tensor([1.0, 1, 1, smallest])) @ Q.T
        C = G @ randn(4, 2)
        torch.testing.assert_close(G @ solve_gram(G, C), C, rtol=0, atol=1e-13)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_a_stack_of_full_and_deficient_rank(ridge):
    """Each of a stack is solved as it would be alone, by whichever way fits it."""
    S = torch.stack([randn(30, rank) @ randn(rank, 4) for rank in (4, 2, 4, 0)])
    G, C = S.mT @ S, S.mT @ randn(4, 30, 3)
    for i, A in enumerate(solve_gram(G, C, ridge=ridge)):
        torch.testing.assert_close(A, solve_gram(G[i], C[i], ridge=ridge), rtol=0, atol=1e-13)


def test_the_gradient_to_the_right_hand_side_is_finite_where_rank_lacks():
    C = randn(2, 1).requires_grad_()
    G = torch.diag(torch.tensor([2.0, 0.0], dtype=torch.float64))
    solve_gram(G, C).sum().backward()
    torch.testing.assert_close(C.grad, torch.tensor([[0.5], [0.0]], dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rank", [4, 2])
def test_the_units_of_the_data_do_not_matter(dtype, rank):
    """Gram matrices in units of which float32 holds hardly the least, or in float64 of data at 1e-160."""
    S, Y = randn(30, rank) @ randn(rank, 4), randn(30, 3)
    expected = np.linalg.lstsq(S.numpy(), Y.numpy(), rcond=1e-10)[0]
    least = torch.finfo(dtype).tiny
    for unit in (100 * least, 1.0, 1e-4 / least):
        A = solve_gram((unit * (S.T @ S)).to(dtype), (unit * (S.T @ Y)).to(dtype))
        np.testing.assert_allclose(A, expected, rtol=0, atol=1e-9 if dtype == torch.float64 else 1e-4)
