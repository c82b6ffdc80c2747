"""Numbers as matrices, against Python's complex numbers and Hamilton's product."""

import itertools

import pytest
import torch

from isospan.representations._endomorphisms import endomorphisms, left_multiplication, left_multiplication_adjoint


def hamilton(p, q):
    """The product of quaternions as scalars and vectors."""
    scalar = p[0] * q[0] - p[1:] @ q[1:]
    return torch.cat([scalar[None], p[0] * q[1:] + q[0] * p[1:] + torch.linalg.cross(p[1:], q[1:])])


def test_products_are_those_of_the_scalars():
    p, q = torch.randn(2, 4, dtype=torch.float64)
    torch.testing.assert_close(left_multiplication(p) @ q, hamilton(p, q))
    product = complex(*p[:2]) * complex(*q[:2])
    torch.testing.assert_close(left_multiplication(p[:2]) @ q[:2], torch.tensor([product.real, product.imag]).double())
    torch.testing.assert_close(left_multiplication(p[:1]) @ q[:1], p[:1] * q[:1])


@pytest.mark.parametrize("s", [1, 2, 4])
def test_leading_axes_stay_and_the_adjoint_is_exact(s):
    q, M = torch.randn(s, 3, 5, dtype=torch.float64), torch.randn(s, s, 3, 5, dtype=torch.float64)
    matrices = left_multiplication(q.unbind())
    for i, j in itertools.product(range(3), range(5)):
        torch.testing.assert_close(matrices[:, :, i, j], left_multiplication(q[:, i, j]))
    torch.testing.assert_close((matrices * M).sum(), (q * torch.stack(left_multiplication_adjoint(M))).sum())


@pytest.mark.parametrize("s", [1, 2, 4])
def test_endomorphisms_are_the_products_with_the_units(s):
    E = torch.tensor(endomorphisms(3 * s, s))
    for unit, matrix in zip(torch.eye(s, dtype=torch.float64), E, strict=True):
        torch.testing.assert_close(torch.block_diag(*[left_multiplication(unit)] * 3), matrix)
