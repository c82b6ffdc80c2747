"""Projectors and orbits against sums over the group."""

import pytest
import torch

from isospan.errors import DtypeError, GroupError, GroupMismatchError, RepresentationError, ShapeError
from isospan.groups import SO2, CyclicGroup
from isospan.symmetric import (
    equivariant_projection,
    group_average,
    invariant_projector,
    irrep_coordinates,
    orbit,
)
from isospan.symmetric._isotypic_data import isotypic_data

from .conftest import CASES, matrices, orthogonal


def pytest_generate_tests(metafunc):
    if {"rep_x", "rep_y"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("rep_x", "rep_y"), CASES)


def close(got, expected):
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12 * max(1.0, float(expected.abs().max())))


def test_the_invariant_projector_is_the_mean_of_all_matrices(rep_x, rep_y):
    for rep in (rep_x, rep_y):
        P = invariant_projector(rep)
        close(P, torch.stack(matrices(rep)).mean(0))
        close(P @ P, P)
        assert invariant_projector(rep, dtype=torch.float32).dtype == torch.float32


def test_the_equivariant_projection_is_the_mean_over_the_group(rep_x, rep_y):
    A = torch.randn(rep_y.size, rep_x.size, dtype=torch.float64)
    transformed = [My.T @ A @ Mx for Mx, My in zip(matrices(rep_x), matrices(rep_y), strict=True)]
    close(equivariant_projection(A, rep_x, rep_y), torch.stack(transformed).mean(0))


def test_orbits(rep_x, rep_y):
    x = torch.randn(2, 3, rep_x.size, dtype=torch.float64)
    expected = torch.stack([x @ M.T for M in matrices(rep_x)])
    close(orbit(x, rep_x), expected)
    close(group_average(x, rep_x), expected.mean(0))
    close(orbit(x[0, 0], rep_x), expected[:, 0, 0])


def test_isotypic_data_are_irrep_coordinates(rep_x, rep_y):
    x = torch.randn(4, rep_x.size, dtype=torch.float64)
    coordinates = x @ torch.tensor(rep_x.change_of_basis)
    for component, data in zip(rep_x.isotypic, isotypic_data(x, rep_x), strict=True):
        assert data.shape == (component.multiplicity, component.irrep.size, 4)
        close(data.permute(2, 0, 1).flatten(1), coordinates[:, component.slice])


@pytest.mark.parametrize("rotated", [False, True])
def test_irrep_coordinates(rotated):
    from isospan.representations import change_of_basis

    group = CyclicGroup(5)
    rep = 3 * group.irreps()[1]
    rep = change_of_basis(rep, orthogonal(6, 0)) if rotated else rep
    x = torch.randn(7, 6, dtype=torch.float64)
    columns = irrep_coordinates(x, rep)
    assert columns.shape == (14, 3)
    coordinates = x @ torch.tensor(rep.change_of_basis)
    close(columns.reshape(7, 2, 3), coordinates.reshape(7, 3, 2).mT)
    with pytest.raises(RepresentationError, match="copies of one irrep, got 'regular' with 3"):
        irrep_coordinates(torch.zeros(2, 5), group.regular_representation)


def test_bad_input():
    regular, plane = CyclicGroup(3).regular_representation, SO2().irreps(1)[1]
    with pytest.raises(ShapeError, match=r"D = 3, the size of 'regular', got \(2, 4\)"):
        orbit(torch.zeros(2, 4), regular)
    with pytest.raises(GroupError, match="infinitely many elements"):
        orbit(torch.zeros(2), plane)
    assert group_average(torch.ones(2), plane).abs().max() == 0
    with pytest.raises(DtypeError, match=r"floating point, got torch.int64"):
        invariant_projector(regular, dtype=torch.int64)
    with pytest.raises(RepresentationError, match="got CyclicGroup"):
        invariant_projector(CyclicGroup(3))
    with pytest.raises(GroupMismatchError):
        equivariant_projection(torch.zeros(2, 3), regular, plane)
    with pytest.raises(ShapeError):
        equivariant_projection(torch.zeros(2, 3), regular, regular)
