"""Representations from others: sums, products, other bases."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from isospan.errors import RepresentationError, ShapeError
from isospan.representations import _products
from isospan.representations.checks import TOLERANCE
from isospan.representations.matrices import square_matrix
from isospan.representations.representation import Representation, check_representation, check_same_group


def directsum(reps: Sequence[Representation], *, name: str | None = None) -> Representation:
    """Direct sum of representations of one group: block-diagonal matrices, in the order given.

    Decompositions of the parts are reused, and equal blocks are decomposed once.

    Raises:
        RepresentationError: the sequence is empty.
        GroupMismatchError: the groups differ.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> G = CyclicGroup(3)
        >>> directsum([G.trivial_representation, G.regular_representation]).size
        4
    """
    if not reps:
        raise RepresentationError("A direct sum needs at least one representation, got none.")
    for rep in reps:
        check_same_group(reps[0], rep)
    blocks = _products.direct_sum([(rep.blocks, rep.size) for rep in reps])
    name = name or " + ".join(rep.name for rep in reps)
    return Representation.from_blocks(reps[0].group, blocks, name=name)


def tensor(*reps: Representation, name: str | None = None) -> Representation:
    """Tensor product of representations of one group: ρ(g) ⊗ σ(g), as ``numpy.kron`` orders it.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(3).regular_representation
        >>> tensor(regular, regular).isotypic[0]
        IsotypicComponent(3 x psi_0, dimension 1, 0:3)
    """
    if not reps:
        raise RepresentationError("A tensor product needs at least one representation, got none.")
    check_representation(reps[0])
    product = reduce(Representation.__and__, reps)
    return product.renamed(name) if name else product


def sym2(rep: Representation, *, name: str | None = None) -> Representation:
    """Symmetric square: how symmetric matrices M ↦ ρ(g) M ρ(g)ᵀ transform.

    The coordinates of M, n (n + 1) / 2 of them, are its upper triangle row by row with off-diagonal entries times √2,
    so that their norm is the Frobenius norm and the representation is orthogonal.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> sym2(CyclicGroup(4).irrep(2)).isotypic
        (IsotypicComponent(1 x psi_0, dimension 1, 0:1), IsotypicComponent(2 x psi_1, dimension 1, 1:3))
    """
    check_representation(rep)
    blocks = _products.symmetric_square(rep.group, (rep.blocks, rep.size))
    return Representation.from_blocks(rep.group, blocks, name=name or f"sym2({rep.name})")


def conjugate_by(rep: Representation, Q: Any, *, name: str | None = None) -> Representation:
    """The representation in another orthonormal basis: g ↦ Q ρ(g) Qᵀ.

    Args:
        rep: representation of size n.
        Q: orthogonal matrix (n, n).
        name: what to call it.

    Raises:
        ShapeError: Q has another size.
        RepresentationError: Q is not orthogonal.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> swapped = conjugate_by(CyclicGroup(3).irrep(1), [[0, 1], [1, 0]])
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
