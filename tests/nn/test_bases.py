"""Changes of basis: the group acts by irreps afterwards, and the way back is exact."""

import numpy as np
import pytest
import torch

from isospan.errors import RepresentationError
from isospan.groups import CyclicGroup
from isospan.nn import (
    BatchNorm1d,
    ChangeOfBasis,
    Dropout,
    IrrepInvariants,
    IrrepNorm,
    IsotypicBasis,
    MultivariateNormal,
    Pointwise,
    PositionalEncoding,
    RMSNorm,
)
from isospan.testing import assert_equivariant


def random_(module):
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module.double()


def test_change_of_basis_is_that_of_the_representation(reps):
    rep, x = reps[0], torch.randn(3, reps[0].size, dtype=torch.float64)
    change = ChangeOfBasis(rep).double()
    torch.testing.assert_close(change(x), x @ torch.tensor(rep.change_of_basis))
    torch.testing.assert_close(change.inverse(change(x)), x)
    assert_equivariant(change, rep, change.rep_out, x=x)


@pytest.mark.parametrize("learnable", [False, True])
def test_isotypic_basis_is_orthogonal_and_equivariant(reps, learnable):
    rep, x = reps[0], torch.randn(3, reps[0].size, dtype=torch.float64)
    basis = random_(IsotypicBasis(rep, learnable))
    assert_equivariant(basis, rep, basis.rep_out, x=x)
    torch.testing.assert_close(basis.inverse(basis(x)), x)
    torch.testing.assert_close(basis(x).norm(dim=-1), x.norm(dim=-1))
    assert [part.shape[-2:] for part in basis.split(x)] == [(c.multiplicity, c.irrep.size) for c in rep.isotypic]


def test_learnable_basis_starts_at_the_plain_one(reps):
    x = torch.randn(3, reps[0].size)
    torch.testing.assert_close(IsotypicBasis(reps[0], learnable=True)(x), ChangeOfBasis(reps[0])(x))


def test_mixing_is_the_exponential_of_the_dense_map(reps):
    """Oracle: the exponential of the whole matrix (m d, m d) of every component."""
    rep = reps[0] + reps[1]
    basis = random_(IsotypicBasis(rep, learnable=True))
    for component, mixing in zip(rep.isotypic, basis.mixings, strict=True):
        E, C = component.irrep.endomorphism_basis, mixing.mixing.detach().numpy()
        A = np.einsum("ois,sab->oaib", C, E).reshape(component.size, component.size)
        dense = torch.linalg.matrix_exp(torch.tensor(A - A.T))
        x = torch.randn(component.multiplicity, component.irrep.size, dtype=torch.float64)
        torch.testing.assert_close(mixing(x).flatten(), dense @ x.flatten())


@pytest.mark.parametrize(
    "layer",
    [
        ChangeOfBasis,
        IsotypicBasis,
        IrrepNorm,
        IrrepInvariants,
        BatchNorm1d,
        RMSNorm,
        Dropout,
        PositionalEncoding,
        Pointwise,
        MultivariateNormal,
    ],
)
@pytest.mark.parametrize("rep", [4, CyclicGroup(4)], ids=["size", "group"])
def test_what_is_no_representation_is_named(layer, rep):
    with pytest.raises(RepresentationError, match=f"Expected a Representation, got {type(rep).__name__}. Build one"):
        layer(rep)
