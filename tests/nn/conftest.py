"""Small representations of every kind of group and irrep, in the basis that they come in and in a random one."""

import numpy as np
import pytest

from isospan.groups import SO2, SO3, AlternatingGroup, CyclicGroup, DihedralGroup, IcosahedralGroup, QuaternionGroup
from isospan.representations import change_of_basis, direct_sum

GROUPS = {
    "C1": CyclicGroup(1),
    "C4": CyclicGroup(4),
    "D6": DihedralGroup(6),
    "A4": AlternatingGroup(4),
    "Q8": QuaternionGroup(),
    "A5": IcosahedralGroup(),
    "C4xD3": CyclicGroup(4) * DihedralGroup(3),  # has an irrep of two complex numbers
    "Q8xD3": QuaternionGroup() * DihedralGroup(3),  # and one of two quaternions
    "SO2": SO2(),
    "SO3": SO3(),
}


def irreps_of(group):
    return group.irreps() if group.order() else group.irreps(2)


def in_random_basis(rep, seed=0):
    """The representation in a random orthonormal basis."""
    Q = np.linalg.qr(np.random.default_rng(seed).normal(size=(rep.size, rep.size)))[0]
    return change_of_basis(rep, Q)


def sums(group):
    """Two sums of irreps in random bases, with one to three copies, that share some of the irreps."""
    first, *rest = irreps_of(group)
    rest = rest or [first]
    return in_random_basis(direct_sum([2 * first, *(2 * irrep for irrep in rest)])), in_random_basis(
        direct_sum([first, 3 * rest[-1], rest[0]]), 1
    )


@pytest.fixture(params=GROUPS)
def group(request):
    return GROUPS[request.param]


@pytest.fixture
def reps(group):
    return sums(group)
