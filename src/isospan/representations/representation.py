"""Representations: how a group acts on a space of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from isospan._core.immutable import Immutable, read_only
from isospan.errors import GroupMismatchError, RepresentationError
from isospan.representations import _products, _text
from isospan.representations.blocks import Block, split
from isospan.representations.checks import check_given, check_orthogonal, check_relations
from isospan.representations.entries import Entries
from isospan.representations.isotypic import IsotypicComponent, isotypic_components, spectral_order
from isospan.representations.matrices import ROUNDING, Matrices, read_matrices
from isospan.representations.symmetry import SymmetryGroup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from isospan.representations.irrep import Irrep


class Representation(Immutable):
    r"""An orthogonal representation: a matrix ρ(g) for every element, with ρ(g) ρ(h) = ρ(gh).

    It is defined by the matrices of the group's generators. Coordinates that the group does not mix are told apart by
    the zeros that these matrices share; each kind of block is decomposed once, when this is first asked for. Entries
    up to 1e-9 are such zeros, and a block of matrices that permute coordinates, up to sign and to 1e-9, is made exact:

    .. math:: \rho(g) = Q \Bigl( \bigoplus_i \sigma_i(g) \Bigr) Q^\top

    Args:
        group: the group.
        matrices: one orthogonal matrix (n, n) for every generator, as a sequence in the order of ``group.generators``,
            as a dict of element: matrix, or as a function of an element. Arrays, tensors or nested lists. The matrix
            of a permutation p that moves coordinate i to p[i] has M[p[i], i] = 1.
        algebra: for Lie groups, one antisymmetric matrix for each element of the basis of the Lie algebra. Where it is
            left out, ``matrices`` has to be a function of frequencies up to 100, and is differentiated.
        name: what to call it.

    Raises:
        RepresentationError: a matrix is missing or not orthogonal, a relation of the group fails, or a dict or
            function gives an element another matrix than the generators imply; a function is tested on all elements
            of a small group, on some of a large one.
        ShapeError: the matrices are not square, or not of one size.
        DtypeError: a matrix is complex.
        NonFiniteError: a matrix contains NaN or infinity.
        GroupError: what is given as a group is none.

    Example:
        A mirror that swaps two coordinates:

        >>> from isospan.groups import CyclicGroup
        >>> mirror = Representation(CyclicGroup(2), [[[0, 1], [1, 0]]], name="swap")
        >>> print(mirror)
        Representation 'swap' of CyclicGroup(2), size 2, a permutation
          blocks   1: one of 2 coordinates
          irreps   1 x psi_0   dimension 1, real   0:1
                   1 x psi_1   dimension 1, real   1:2
        >>> mirror.change_of_basis.round(3)
        array([[ 0.707,  0.707],
               [ 0.707, -0.707]])
    """

    group: Any
    name: str
    size: int
    blocks: tuple[Block, ...]
    _transient = frozenset({"isotypic", "block_order", "spectral_order", "change_of_basis", "table"})

    def __init__(
        self,
        group: SymmetryGroup,
        matrices: Matrices = (),
        *,
        algebra: Sequence[Any] | None = None,
        name: str | None = None,
    ) -> None:
        a, k = read_matrices(group, matrices, algebra)
        check_orthogonal(group, a, k)
        check_relations(group, a, k)
        blocks = split(group, [Entries.of(X) for X in a], [Entries.of(M) for M in k])
        self._set(group=group, name=name or "representation", size=k.shape[-1], blocks=blocks)
        check_given(group, matrices, self)

    @classmethod
    def from_blocks(cls, group: SymmetryGroup, blocks: Sequence[Block], *, name: str) -> Representation:
        """A representation of blocks that are known to be representations, whose indices number all coordinates."""
        rep = Representation.__new__(Representation)
        rep._set(group=group, name=name, size=sum(b.indices.size for b in blocks), blocks=tuple(blocks))
        return rep

    def __call__(self, element: Any) -> np.ndarray:
        """Matrix (n, n) of an element, float64."""
        self._check_element(element)
        return self._spread([block.action(element) for block in self.blocks])

    def character(self, element: Any) -> float:
        """Trace of the element's matrix."""
        self._check_element(element)
        return float(sum(block.copies * np.trace(block.action(element)) for block in self.blocks))

    @property
    def generators(self) -> np.ndarray:
        """Matrices (k, n, n) of the group's generators."""
        return self._spread([block.action.generators for block in self.blocks])

    @property
    def algebra(self) -> np.ndarray:
        """Matrices (a, n, n) of the basis of the Lie algebra; a = 0 for finite groups."""
        return self._spread([block.action.algebra for block in self.blocks])

    @property
    def is_permutation(self) -> bool:
        """Whether every element permutes the coordinates."""
        return all(block.action.is_permutation for block in self.blocks)

    @property
    def is_orthogonal(self) -> bool:
        """Whether every matrix is orthogonal; a representation that is not cannot be built."""
        return True

    @cached_property
    def isotypic(self) -> tuple[IsotypicComponent, ...]:
        """The decomposition: all copies of one irrep an entry, in the order of the spectral basis, trivial first."""
        return isotypic_components(self.blocks)

    @property
    def irreps(self) -> list[Irrep]:
        """The irreps in the order of the spectral basis, each as often as it occurs."""
        return [component.irrep for component in self.isotypic for _ in range(component.multiplicity)]

    @cached_property
    def block_order(self) -> np.ndarray:
        """Coordinates (D,) in the order of the blocks, copy after copy."""
        return read_only(np.concatenate([block.indices.ravel() for block in self.blocks]))

    @cached_property
    def spectral_order(self) -> np.ndarray:
        """Where each spectral coordinate stands among the transformed coordinates of the blocks, (D,).

        Data x reach the spectral basis by ``x[..., block_order]``, one product with ``block.basis`` for every copy of
        every block, and ``[..., spectral_order]``.
        """
        return read_only(spectral_order(self.blocks, self.isotypic))

    @cached_property
    def change_of_basis(self) -> np.ndarray:
        """Q (D, D), orthogonal, with rep(g) = Q (⊕ irreps)(g) Qᵀ; its columns are the spectral basis."""
        Q, columns, start = np.zeros((self.size, self.size)), np.argsort(self.spectral_order), 0
        for block in self.blocks:
            for rows in block.indices:
                Q[rows[:, None], columns[start : start + block.size]] = block.basis
                start += block.size
        return read_only(Q)

    def restrict(self, subgroup: Any) -> Representation:
        """The same matrices for the elements of a subgroup only.

        Args:
            subgroup: what ``group.subgroup(elements)`` returns.

        Raises:
            GroupMismatchError: it is a subgroup of another group, or not finite.
        """
        if getattr(subgroup, "parent", None) != self.group:
            raise GroupMismatchError(
                f"A representation of {self.group.name} restricts to finite subgroups of it, got {subgroup!r}. Build "
                "one with group.subgroup(elements); for another group build Representation(group, matrices)."
            )
        matrices = [self(subgroup.embed(h)) for h in subgroup.generators]
        return Representation(subgroup, matrices, name=f"{self.name} on {subgroup.name}")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the decomposition: ρ in the spectral basis, where each irrep is a square on the diagonal.

        Args:
            ax: matplotlib axes to draw on; new ones where None.
        """
        from isospan.representations._plot import plot_decomposition

        return plot_decomposition(self, ax)

    def renamed(self, name: str) -> Representation:
        """The same representation under another name."""
        return Representation.from_blocks(self.group, self.blocks, name=name)

    def __add__(self, other: Representation) -> Representation:
        check_same_group(self, other)
        blocks = _products.direct_sum([(self.blocks, self.size), (other.blocks, other.size)])
        return Representation.from_blocks(self.group, blocks, name=f"{self.name} + {other.name}")

    def __mul__(self, copies: int) -> Representation:
        if isinstance(copies, bool) or not isinstance(copies, int) or copies < 1:
            raise RepresentationError(
                f"A representation is repeated a whole number of times >= 1, got {copies!r}. The tensor product of two "
                "is written rep & other, their direct sum rep + other."
            )
        blocks = _products.repeated((self.blocks, self.size), copies)
        return Representation.from_blocks(self.group, blocks, name=f"{copies} {self.name}")

    __rmul__ = __mul__

    def __and__(self, other: Representation) -> Representation:
        check_same_group(self, other)
        blocks = _products.tensor(self.group, (self.blocks, self.size), (other.blocks, other.size))
        return Representation.from_blocks(self.group, blocks, name=f"({self.name} & {other.name})")

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Representation) or self.size != other.size or self.group != other.group:
            return False
        if _same_blocks(self.blocks, other.blocks):
            return True
        return all(
            np.allclose(ours, theirs, rtol=0, atol=ROUNDING)
            for ours, theirs in ((self.generators, other.generators), (self.algebra, other.algebra))
        )

    def __hash__(self) -> int:
        return hash((self.group, self.size))

    def __repr__(self) -> str:
        return f"Representation({self.name!r}, group={self.group.name}, size={self.size})"

    def __str__(self) -> str:
        return _text.describe(self)

    def _spread(self, matrices: Sequence[np.ndarray]) -> np.ndarray:
        """Block matrices (..., n, n) at their coordinates, (..., D, D)."""
        whole = np.zeros((*matrices[0].shape[:-2], self.size, self.size))
        for block, matrix in zip(self.blocks, matrices, strict=True):
            whole[..., block.indices[:, :, None], block.indices[:, None, :]] = matrix[..., None, :, :]
        return whole

    def _check_element(self, element: Any) -> None:
        if getattr(element, "group", None) != self.group:
            raise GroupMismatchError(
                f"{self.name} is a representation of {self.group.name}, got {element!r}. Pass an element of this group."
            )


def check_same_group(first: Any, second: Any) -> None:
    """Require two representations of one group."""
    check_representation(first)
    check_representation(second)
    if second.group != first.group:
        raise GroupMismatchError(
            f"Representations must be of one group, got {first.name!r} of {first.group.name} and {second.name!r} of "
            f"{second.group.name}. Build both with matrices of one group."
        )


def check_representation(rep: Any) -> None:
    """Require a representation.

    Raises:
        RepresentationError: it is something else; the message says how to get one.
    """
    if not isinstance(rep, Representation):
        raise RepresentationError(
            f"Expected a Representation, got {type(rep).__name__}. Build one of a group and the matrices of its "
            "generators, Representation(group, matrices), or take one of the group's, as group.regular_representation."
        )


def _same_blocks(first: Sequence[Block], second: Sequence[Block]) -> bool:
    return len(first) == len(second) and all(
        a.action.key == b.action.key and np.array_equal(a.indices, b.indices)
        for a, b in zip(first, second, strict=True)
    )
