"""Representations from others: direct sums, tensor products, symmetric squares, changes of basis."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from isospan._core.matrices import square_matrix
from isospan.errors import RepresentationError, ShapeError
from isospan.representations import _products
from isospan.representations._matrices import TOLERANCE
from isospan.representations._representation import Representation, check_representation, check_same_group


def direct_sum(reps: Sequence[Representation], *, name: str | None = None) -> Representation:
    """Return the direct sum of representations of one group: block-diagonal matrices, in the order given.

    The decompositions of the summands are reused, and equal blocks are decomposed once.

    Raises:
        RepresentationError: the sequence is empty.
        GroupMismatchError: the groups differ.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> G = CyclicGroup(3)
        >>> direct_sum([G.trivial_representation, G.regular_representation]).size
        4
    """
    if not reps:
        raise RepresentationError("A direct sum needs at least one representation, got none.")
    for rep in reps:
        check_same_group(reps[0], rep)
    blocks = _products.direct_sum([(rep.blocks, rep.size) for rep in reps])
    name = name or " + ".join(rep.name for rep in reps)
    return Representation.from_blocks(reps[0].group, blocks, name=name)


def tensor_product(*reps: Representation, name: str | None = None) -> Representation:
    """Return the tensor product of representations of one group: ρ(g) ⊗ σ(g), as ``numpy.kron`` orders it.

    Raises:
        RepresentationError: there is no representation.
        GroupMismatchError: the groups differ.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(3).regular_representation
        >>> tensor_product(regular, regular).isotypic[0]
        IsotypicComponent(3 x psi_0, dimension 1, 0:3)
    """
    if not reps:
        raise RepresentationError("A tensor product needs at least one representation, got none.")
    check_representation(reps[0])
    product = reduce(Representation.__and__, reps)
    return product.renamed(name) if name else product


def symmetric_square(rep: Representation, *, name: str | None = None) -> Representation:
    """Return the symmetric square: the action M ↦ ρ(g) M ρ(g)ᵀ on symmetric matrices M (n, n).

    The n (n + 1) / 2 coordinates of M are its upper triangle, row by row, with off-diagonal entries times √2. Their
    norm is the Frobenius norm, so that the representation is orthogonal.

    Raises:
        RepresentationError: the argument is not a representation.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> symmetric_square(CyclicGroup(4).irrep(2)).isotypic
        (IsotypicComponent(1 x psi_0, dimension 1, 0:1), IsotypicComponent(2 x psi_1, dimension 1, 1:3))
    """
    check_representation(rep)
    blocks = _products.symmetric_square(rep.group, (rep.blocks, rep.size))
    return Representation.from_blocks(rep.group, blocks, name=name or f"symmetric_square({rep.name})")


def change_of_basis(rep: Representation, Q: Any, *, name: str | None = None) -> Representation:
    """Return the representation in another orthonormal basis: g ↦ Q ρ(g) Qᵀ.

    Args:
        rep: representation of size n.
        Q: orthogonal matrix (n, n).
        name: name of the result.

    Raises:
        ShapeError: Q is not a square matrix of size n.
        DtypeError: Q is complex.
        NonFiniteError: Q contains NaN or infinity.
        RepresentationError: Q is not orthogonal.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> swapped = change_of_basis(CyclicGroup(3).irrep(1), [[0, 1], [1, 0]])
        >>> swapped(CyclicGroup(3).generators[0]).round(3)
        array([[-0.5  ,  0.866],
               [-0.866, -0.5  ]])
    """
    check_representation(rep)
    Q = square_matrix(Q, what="The change of basis")
    if len(Q) != rep.size:
        raise ShapeError(f"The change of basis must be ({rep.size}, {rep.size}) as {rep.name} is, got {Q.shape}.")
    defect = abs(Q @ Q.T - np.eye(len(Q))).max()
    if defect > TOLERANCE:
        raise RepresentationError(
            f"The change of basis must be orthogonal (Q Qᵀ = I), got a defect of {defect:.3g}. Orthonormalise it."
        )
    return Representation(
        rep.group, list(Q @ rep.generators @ Q.T), algebra=list(Q @ rep.algebra @ Q.T), name=name or f"{rep.name} in Q"
    )
