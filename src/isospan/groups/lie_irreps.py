"""Irreps of products of Lie groups and finite groups, from those of the factors."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from itertools import product as pairs

import numpy as np

from isospan.groups.finite import FiniteGroup
from isospan.groups.lie_factors import FactorIrrep, LieFactor
from isospan.groups.outer_products import outer_matrices, outer_subspaces

Factor = LieFactor | FiniteGroup


def product_irreps_up_to(factors: Sequence[Factor], frequencies: Sequence[int]) -> list[FactorIrrep]:
    """All irreps up to a frequency of each factor; those of several by dimension, which leads their keys."""
    lists = [_factor_irreps(factor, most) for factor, most in zip(factors, frequencies, strict=True)]
    found = reduce(_outer, lists)
    if len(lists) == 1:
        return found
    ranked = [(len(irrep.endomorphism_basis[0]), irrep) for irrep in found]
    return [replace(irrep, key=(d, *irrep.key)) for d, irrep in sorted(ranked, key=lambda r: (r[0], r[1].key))]


def largest_weight(algebra: np.ndarray) -> int:
    """Largest frequency of the last element of an algebra."""
    return int(np.round(np.linalg.eigvalsh(-1j * algebra[-1])[-1]))


def _factor_irreps(factor: Factor, max_frequency: int) -> list[FactorIrrep]:
    if isinstance(factor, LieFactor):
        return factor.irreps(max_frequency)
    return [
        FactorIrrep(irrep.key, irrep.name, irrep.algebra, irrep.generators, irrep.endomorphism_basis)
        for irrep in factor.irreps()
    ]


def _outer(left: list[FactorIrrep], right: list[FactorIrrep]) -> list[FactorIrrep]:
    """The irreps in all outer products."""
    return [
        FactorIrrep(
            (*a.key, *b.key, number),
            f"{a.name} & {b.name}" + ("" if number == 0 else " (conjugate)"),
            outer_matrices(A, a.algebra, b.algebra),
            outer_matrices(A, a.generators, b.generators),
            units,
        )
        for a, b in pairs(left, right)
        for number, (A, units) in enumerate(outer_subspaces(a.endomorphism_basis, b.endomorphism_basis))
    ]
