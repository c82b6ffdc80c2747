"""Representations in all kinds of bases, and the augmented data set that is the definition of every statistic."""

import numpy as np
import pytest
import torch

from isospan.groups import CyclicGroup, DihedralGroup, IcosahedralGroup, KleinFourGroup, QuaternionGroup
from isospan.representations import change_of_basis, direct_sum

GROUPS = {
    "C1": CyclicGroup(1),
    "C2": CyclicGroup(2),
    "C5": CyclicGroup(5),
    "V4xC3": KleinFourGroup() * CyclicGroup(3),
    "D6": DihedralGroup(6),
    "Q8": QuaternionGroup(),
    "A5": IcosahedralGroup(),
}


def orthogonal(n, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


def mixed(group, seed, *, rotated=True):
    """One to three copies of every irrep (of at most four), in a random basis."""
    rng = np.random.default_rng(seed)
    irreps = group.irreps()[:4]
    rep = direct_sum([int(rng.integers(1, 4)) * irrep for irrep in irreps])
    return change_of_basis(rep, orthogonal(rep.size, seed)) if rotated else rep


def pairs(group):
    """Two representations: both in a random basis; one of regular copies and one of irreps side by side."""
    regular = group.regular_representation
    return {
        "rotated": (mixed(group, 0), mixed(group, 1)),
        "regular": (2 * regular if group.order() < 20 else regular, mixed(group, 2, rotated=False) + regular),
    }


CASES = [
    pytest.param(*pair, id=f"{name}-{kind}") for name, group in GROUPS.items() for kind, pair in pairs(group).items()
]


def matrices(rep, dtype=torch.float64):
    return [torch.tensor(rep(g), dtype=dtype) for g in rep.group.elements]


def augmented(x, rep):
    """All samples transformed by all elements, (|G| N, D), element by element."""
    return torch.cat([x @ M.T for M in matrices(rep, x.dtype)])
