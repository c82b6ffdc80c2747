"""Norms and invariants, against brute force."""

import numpy as np
import pytest
import torch

from isospan.groups import SO2, SO3, CyclicGroup, QuaternionGroup
from isospan.nn import IrrepInvariants, IrrepNorm
from isospan.testing import assert_equivariant


def copies(rep, x):
    """The coordinates of every copy, cut from the dense change of basis."""
    z, start, found = x @ torch.tensor(rep.change_of_basis), 0, []
    for irrep in rep.irreps:
        found.append((irrep, z[..., start : start + irrep.size]))
        start += irrep.size
    return found


def test_norms_are_those_of_the_copies(reps):
    rep, x = reps[0], torch.randn(5, reps[0].size, dtype=torch.float64)
    norm = IrrepNorm(rep).double()
    expected = torch.stack([part.square().sum(-1).sqrt() for _, part in copies(rep, x)], -1)
    torch.testing.assert_close(norm(x), expected)
    assert_equivariant(norm, rep, norm.rep_out, x=x)


def test_gradient_of_a_norm_at_zero_is_zero(reps):
    x = torch.zeros(2, reps[0].size, requires_grad=True)
    IrrepNorm(reps[0])(x).sum().backward()
    assert not x.grad.any()


def test_invariants_are_all_inner_products(reps):
    rep, x = reps[0], torch.randn(5, reps[0].size, dtype=torch.float64)
    invariants = IrrepInvariants(rep).double()
    assert_equivariant(invariants, rep, invariants.rep_out, x=x)
    expected = []
    for component in rep.isotypic:
        parts = [part for irrep, part in copies(rep, x) if irrep.key == component.irrep.key]
        if component.irrep.is_trivial:
            expected += [part[:, 0] for part in parts]
            continue
        for s, E in enumerate(torch.tensor(component.irrep.endomorphism_basis)):
            for i, left in enumerate(parts):
                expected += [(left * (right @ E.T)).sum(-1) for right in parts[i + (s > 0) :]]
    torch.testing.assert_close(invariants(x), torch.stack(expected, -1))


def test_signs_of_invariant_features_are_kept():
    rep = CyclicGroup(3).regular_representation
    x = torch.ones(3)
    torch.testing.assert_close(IrrepNorm(rep)(x), IrrepNorm(rep)(-x))
    assert not torch.allclose(IrrepInvariants(rep)(x), IrrepInvariants(rep)(-x))


@pytest.mark.parametrize(
    ("rep", "y"),
    [
        # angles between vectors
        (2 * SO3().irrep(1), [1.0, 0, 0, 0.6, 0.8, 0]),
        # orientation, which is in the endomorphisms only: inner products are equal
        (2 * SO2().irrep(1), [1.0, 0, 0, -1]),
        (2 * QuaternionGroup().irrep(4), [1.0, 0, 0, 0, 0, 0, 1, 0]),
    ],
    ids=["SO3", "SO2", "Q8"],
)
def test_invariants_separate_orbits_of_equal_norms(rep, y):
    x = torch.zeros(rep.size)
    x[0] = x[rep.size // 2 + 1] = 1.0
    y = torch.tensor(y)
    torch.testing.assert_close(IrrepNorm(rep)(x), IrrepNorm(rep)(y))
    assert not torch.allclose(IrrepInvariants(rep)(x), IrrepInvariants(rep)(y), atol=1e-3)


def test_invariants_have_all_degrees_of_freedom_of_the_quotient():
    """The rank of the Jacobian is the dimension of the space of orbits: 9 - 3 for three vectors in space."""
    rep = 3 * SO3().irrep(1)
    J = torch.autograd.functional.jacobian(IrrepInvariants(rep).double(), torch.randn(9, dtype=torch.float64))
    assert np.linalg.matrix_rank(J.numpy()) == 6
