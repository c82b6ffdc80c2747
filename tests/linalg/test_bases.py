"""Bases: what each construction promises, against projectors and scipy."""

import pytest
import torch
from scipy.linalg import orthogonal_procrustes, polar

from isospan.linalg import (
    complete_rows,
    fix_signs,
    nearest_frame,
    nested_frame,
    orthogonal_complement,
    orthonormal_rows,
    procrustes_rotation,
)


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def assert_frame(W):
    torch.testing.assert_close(W @ W.T, torch.eye(len(W), dtype=W.dtype), rtol=0, atol=1e-13)


def projector(W):
    return torch.linalg.pinv(W) @ W


SPANS = {
    "independent": lambda: randn(3, 7),
    "dependent": lambda: randn(5, 2) @ randn(2, 7),
    "repeated first": lambda: torch.cat([(w := randn(1, 7)), w, randn(2, 7)]),
    "more rows than columns": lambda: randn(9, 7),
    "many dependent": lambda: randn(9, 3) @ randn(3, 7),
    "zero": lambda: torch.zeros(2, 7, dtype=torch.float64),
    "one zero row": lambda: torch.cat([torch.zeros(1, 7), torch.ones(1, 7)]).double(),
}


@pytest.mark.parametrize("case", SPANS)
def test_span_and_complement_split_the_space(case):
    W = SPANS[case]()
    span, complement = orthonormal_rows(W), orthogonal_complement(W)
    rank = int(torch.linalg.matrix_rank(W))
    assert (span.shape, complement.shape) == ((rank, 7), (7 - rank, 7))
    assert_frame(torch.cat([span, complement]))
    torch.testing.assert_close(span.T @ span, projector(W), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dependence_is_seen_up_to_the_rounding_of_the_dtype(dtype):
    frame = torch.linalg.qr(randn(50, 8))[0].T
    rotation = torch.linalg.qr(randn(8, 8))[0]
    twice = torch.cat([frame, rotation @ frame]).to(dtype)
    assert len(orthonormal_rows(twice)) == 8
    assert len(orthogonal_complement(twice)) == 42


@pytest.mark.parametrize(("unit", "dtype"), [(1e-24, torch.float32), (1e-200, torch.float64), (1e20, torch.float32)])
def test_dependence_is_seen_where_squares_leave_the_range(unit, dtype):
    W = (torch.tensor([[9.0, 3.7], [-1.8, -0.74]], dtype=torch.float64) * unit).to(dtype)
    assert orthonormal_rows(W).shape == orthogonal_complement(W).shape == (1, 2)


def test_fix_signs_makes_the_largest_entry_positive_whatever_the_rounding():
    W = torch.tensor([[0.0, -3.0, 1.0], [0.6, -0.6, 0.0], [-1e-3, 0.0, 0.0], [0.0, 0.0, 0.0]])
    fixed = fix_signs(W)
    assert fixed.tolist() == torch.tensor([[0, 3.0, -1], [0.6, -0.6, 0], [1e-3, 0, 0], [0, 0, 0]]).tolist()
    nudged = W * (1 + 1e-7 * torch.randn(4, 3))
    assert torch.equal(fix_signs(nudged).sign(), fixed.sign())
    assert torch.equal(fix_signs(-W), fixed)
    assert not torch.signbit(fixed[3]).any()


def test_nested_frame_keeps_every_leading_span():
    W = randn(4, 6)
    Q = nested_frame(W)
    assert_frame(Q)
    for j in range(1, 5):
        torch.testing.assert_close(Q[:j].T @ Q[:j], projector(W[:j]), rtol=0, atol=1e-12)
    assert ((Q * W).sum(1) > 0).all()


@pytest.mark.parametrize("r", [0, 1, 3])
def test_complete_rows(r):
    W = torch.linalg.qr(randn(6, max(r, 1)))[0].T[:r]
    completed = complete_rows(W, 5)
    assert_frame(completed)
    assert torch.equal(completed[:r], W)
    assert torch.equal(complete_rows(W, 5), completed)
    assert torch.equal(complete_rows(W, r), W)


def test_completion_does_not_depend_on_rounding():
    W = torch.tensor([[0.5, 0.5, 0.5, 0.5]], dtype=torch.float64)
    nudged = W * (1 + 1e-15 * randn(1, 4))
    torch.testing.assert_close(complete_rows(nudged, 3), complete_rows(W, 3), rtol=0, atol=1e-13)


def test_nearest_frame_is_the_polar_factor():
    M = randn(3, 6)
    # scipy's polar wants tall matrices
    torch.testing.assert_close(nearest_frame(M), torch.from_numpy(polar(M.T.numpy())[0].T), rtol=0, atol=1e-12)


def test_procrustes_turns_within_the_span_as_close_as_can_be():
    W, old = (torch.linalg.qr(randn(6, 3))[0].T for _ in range(2))
    rotated = procrustes_rotation(W, old)
    torch.testing.assert_close(rotated.T @ rotated, W.T @ W, rtol=0, atol=1e-13)
    R, _ = orthogonal_procrustes(W.T.numpy(), old.T.numpy())
    torch.testing.assert_close(rotated, torch.from_numpy(R.T) @ W, rtol=0, atol=1e-12)
    for _ in range(20):
        other = torch.linalg.qr(randn(3, 3))[0] @ W
        assert (rotated - old).norm() <= (other - old).norm() + 1e-12
