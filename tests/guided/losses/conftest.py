"""Batches of latents, bases, decoders, targets and previous bases in float64."""

import pytest
import torch

# more samples than free directions, fewer, a partition, one quantity
CASES = {
    "tall": {"B": 40, "D": 9, "k": [2, 3, 1], "P": [4, 2, 6]},
    "wide": {"B": 6, "D": 20, "k": [2, 3], "P": [4, 2]},
    "partition": {"B": 30, "D": 10, "k": [3, 3, 2], "P": [5, 5, 5], "orthogonal": True},
    "single": {"B": 15, "D": 6, "k": [2], "P": [3]},
}


def build(B, D, k, P, *, orthogonal=False, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)

    def randn(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    def frame(rows):
        return torch.linalg.qr(randn(D, rows))[0].T

    names = [f"q{i}" for i in range(len(k))]
    Z = randn(B, D) @ randn(D, D) + 3
    W = dict(zip(names, frame(sum(k)).split(k) if orthogonal else [frame(size) for size in k], strict=True))
    A = {name: randn(size, p) for name, size, p in zip(names, k, P, strict=True)}
    Y = {name: randn(B, p) + 5 for name, p in zip(names, P, strict=True)}
    W_prev = {name: frame(size) for name, size in zip(names, k, strict=True)}
    cast = [{name: t.to(dtype) for name, t in part.items()} for part in (W, A, Y, W_prev)]
    return Z.to(dtype), *cast


@pytest.fixture
def make_batch():
    return build


@pytest.fixture(params=CASES, ids=str)
def batch(request):
    return build(**CASES[request.param])
