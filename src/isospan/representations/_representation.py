"""Representations of groups on vectors, and irreps: those without a proper invariant subspace."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from isospan._core.immutable import Immutable, read_only
from isospan._core.matrices import ROUNDING
from isospan.errors import GroupError, GroupMismatchError, RepresentationError
from isospan.representations import _products
from isospan.representations._blocks import Action, Block, split
from isospan.representations._decomposition import Part
from isospan.representations._entries import Entries
from isospan.representations._isotypic import (
    IsotypicComponent,
    describe,
    irrep_order,
    isotypic_components,
    plot_components,
)
from isospan.representations._matrices import Matrices, check_given, check_orthogonal, check_relations, read_matrices
from isospan.representations._symmetry import SymmetryGroup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

T = TypeVar("T")
TYPES: dict[int, Literal["real", "complex", "quaternionic"]] = {1: "real", 2: "complex", 4: "quaternionic"}


class Representation(Immutable):
    r"""An orthogonal representation: a matrix ρ(g) for every element, with ρ(g) ρ(h) = ρ(gh).

    The matrices of the group's generators define it. Their common zeros split the coordinates into blocks. Equal blocks
    are decomposed once, at the first use. Entries up to 1e-9 count as zeros. Matrices that permute the coordinates of a
    block up to sign are rounded if they differ by at most 1e-9 from integers. In the irrep basis Q,

    .. math:: \rho(g) = Q \Bigl( \bigoplus_i \sigma_i(g) \Bigr) Q^\top

    Args:
        group: the group.
        matrices: one orthogonal matrix (n, n) for every generator, as a sequence in the order of ``group.generators``,
            as a dict of element: matrix, or as a function of an element. Arrays, tensors or nested lists. The matrix
            of a permutation p that sends coordinate i to p[i] has M[p[i], i] = 1.
        algebra: for Lie groups, one antisymmetric matrix for each element of the basis of the Lie algebra. By default
            ``matrices`` must be a function of frequencies up to 100, which is differentiated.
        name: name in messages and pictures.

    Raises:
        RepresentationError: a matrix is missing or not orthogonal, a relation of the group fails, or a dict or
            function gives an element another matrix than the generators imply. A function is tested on all elements
            of a group of order up to 64, on 32 random ones of others.
        ShapeError: the matrices are not square, or not of one size.
        DtypeError: a matrix is complex.
        NonFiniteError: a matrix contains NaN or infinity.
        GroupError: ``group`` is not a group.

    Example:
        A reflection that swaps two coordinates:

        >>> from isospan.groups import CyclicGroup
        >>> swap = Representation(CyclicGroup(2), [[[0, 1], [1, 0]]], name="swap")
        >>> print(swap)
        Representation 'swap' of CyclicGroup(2), size 2, a permutation
          blocks   1: one of 2 coordinates
          irreps   1 x psi_0   dimension 1, real   0:1
                   1 x psi_1   dimension 1, real   1:2
        >>> swap.change_of_basis.round(3)
        array([[ 0.707,  0.707],
               [ 0.707, -0.707]])
    """

    group: Any
    name: str
    size: int
    blocks: tuple[Block, ...]
    _transient = frozenset({"isotypic", "block_order", "irrep_order", "change_of_basis", "table", "_derived"})

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
        """Return the representation of blocks, whose indices must cover all coordinates once; nothing is checked."""
        rep = Representation.__new__(Representation)
        rep._set(group=group, name=name, size=sum(b.indices.size for b in blocks), blocks=tuple(blocks))
        return rep

    def __call__(self, element: Any) -> np.ndarray:
        """Return the matrix (n, n) of an element, float64."""
        self._check_element(element)
        return self._spread([block.action(element) for block in self.blocks])

    def character(self, element: Any) -> float:
        """Return the trace of an element's matrix."""
        self._check_element(element)
        return float(sum(block.multiplicity * np.trace(block.action(element)) for block in self.blocks))

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
        """Always true: :func:`orthogonalize` makes other representations orthogonal."""
        return True

    @cached_property
    def isotypic(self) -> tuple[IsotypicComponent[Irrep], ...]:
        """The isotypic components in the order of the irrep basis; that of the trivial irrep comes first."""
        return isotypic_components(self.blocks)

    @property
    def irreps(self) -> list[Irrep]:
        """The irreps in the order of the irrep basis, each as often as its multiplicity."""
        return [component.irrep for component in self.isotypic for _ in range(component.multiplicity)]

    @cached_property
    def block_order(self) -> np.ndarray:
        """Coordinates (D,) in the order of the blocks, copy after copy."""
        return read_only(np.concatenate([block.indices.ravel() for block in self.blocks]))

    @cached_property
    def irrep_order(self) -> np.ndarray:
        """Positions (D,) of the irrep-basis coordinates among the transformed coordinates of the blocks.

        The coordinates of data x in the irrep basis are ``x[..., block_order]``, multiplied by ``block.basis`` for
        every copy of every block, then ``[..., irrep_order]``.
        """
        return read_only(irrep_order(self.blocks, self.isotypic))

    @cached_property
    def change_of_basis(self) -> np.ndarray:
        """Q (D, D), orthogonal, with rep(g) = Q (⊕ irreps)(g) Qᵀ; its columns are the irrep basis."""
        Q, columns, start = np.zeros((self.size, self.size)), np.argsort(self.irrep_order), 0
        for block in self.blocks:
            for rows in block.indices:
                Q[rows[:, None], columns[start : start + block.size]] = block.basis
                start += block.size
        return read_only(Q)

    @cached_property
    def _derived(self) -> dict[Hashable, Any]:
        """Results of :meth:`derived`."""
        return {}

    def derived(self, make: Callable[..., T], *arguments: Hashable) -> T:
        """Return ``make(self, *arguments)``, computed once and cached here: arrays and tensors that layers need."""
        key = make, *arguments
        if key not in self._derived:
            self._derived[key] = make(self, *arguments)
        return self._derived[key]

    def restrict(self, subgroup: Any) -> Representation:
        """Return the restriction to a finite subgroup: the same matrices, for its elements.

        Args:
            subgroup: result of ``group.subgroup(elements)``.

        Raises:
            GroupMismatchError: it is not a finite subgroup of this group.
        """
        if getattr(subgroup, "parent", None) != self.group:
            raise GroupMismatchError(
                f"A representation of {self.group.name} restricts to finite subgroups of it, got {subgroup!r}. Build "
                "one with group.subgroup(elements); for another group build Representation(group, matrices)."
            )
        matrices = [self(subgroup.embed(h)) for h in subgroup.generators]
        return Representation(subgroup, matrices, name=f"{self.name} on {subgroup.name}")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the decomposition: ρ in the irrep basis, where each copy of an irrep is a square on the diagonal.

        Args:
            ax: matplotlib axes to draw on; new ones where None.
        """
        return plot_components(self.isotypic, ax, title=f"{self.name} of {self.group.name}")

    def renamed(self, name: str) -> Representation:
        """Return the same representation under another name."""
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
        blocks = _products.tensor_product(self.group, (self.blocks, self.size), (other.blocks, other.size))
        return Representation.from_blocks(self.group, blocks, name=f"({self.name} & {other.name})")

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Representation) or self.size != other.size or self.group != other.group:
            return False
        if same_blocks(self, other):
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
        kind = ", a permutation" if self.is_permutation else ""
        head = f"Representation {self.name!r} of {self.group.name}, size {self.size}{kind}"
        return f"{head}\n{describe(self.blocks, self.isotypic)}"

    def _spread(self, matrices: Sequence[np.ndarray]) -> np.ndarray:
        """Return matrices (..., D, D) with those of the blocks (..., n, n) at their coordinates."""
        whole = np.zeros((*matrices[0].shape[:-2], self.size, self.size))
        for block, matrix in zip(self.blocks, matrices, strict=True):
            whole[..., block.indices[:, :, None], block.indices[:, None, :]] = matrix[..., None, :, :]
        return whole

    def _check_element(self, element: Any) -> None:
        if getattr(element, "group", None) != self.group:
            raise GroupMismatchError(
                f"{self.name} is a representation of {self.group.name}, got {element!r}. Pass an element of this group."
            )


def same_blocks(first: Representation, second: Representation) -> bool:
    """Whether two representations have the same actions on the same coordinates; equal ones may have other blocks."""
    return len(first.blocks) == len(second.blocks) and all(
        a.action.key == b.action.key and np.array_equal(a.indices, b.indices)
        for a, b in zip(first.blocks, second.blocks, strict=True)
    )


class Irrep(Representation):
    r"""A representation without a proper invariant subspace, with the matrices that commute with it.

    These matrices form the endomorphism algebra 𝔽, which is ℝ, ℂ or ℍ (Schur, Frobenius). ``endomorphism_basis`` spans
    it by s = 1, 2 or 4 orthogonal matrices (d, d), which are orthogonal to each other; the identity is first. The
    coordinates are those of :math:`\mathbb{F}^{d/s}`, with s real coordinates for each scalar. So the basis is that of
    :func:`endomorphisms`. Groups build their irreps; users get them from ``group.irreps()``.

    Attributes:
        key: identifies the irrep among those of its group, and sorts them in the order of ``group.irreps()``.
        endomorphism_basis: (s, d, d).
        type: the endomorphism algebra, "real", "complex" or "quaternionic".

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> CyclicGroup(3).irreps()[1]
        Irrep(psi_1, group=CyclicGroup(3), dimension=2, complex)
        >>> CyclicGroup(3).irreps()[1].endomorphism_basis[1]
        array([[ 0., -1.],
               [ 1.,  0.]])
    """

    key: tuple[int, ...]
    endomorphism_basis: np.ndarray

    def __init__(
        self,
        group: SymmetryGroup,
        *,
        algebra: np.ndarray,
        generators: np.ndarray,
        endomorphism_basis: np.ndarray,
        key: tuple[int, ...],
        name: str,
    ) -> None:
        action = Action(group, algebra, generators)
        blocks = (Block(action, np.arange(action.size)[None]),)
        action._set(decomposition=(np.eye(action.size), (Part(self, 1, slice(0, action.size)),)))
        self._set(group=group, name=name, size=action.size, blocks=blocks, key=key)
        self._set(endomorphism_basis=endomorphism_basis)

    @property
    def action(self) -> Action:
        """The matrices of its single block."""
        return self.blocks[0].action

    @property
    def type(self) -> Literal["real", "complex", "quaternionic"]:
        """The endomorphism algebra."""
        return TYPES[len(self.endomorphism_basis)]

    @cached_property
    def is_trivial(self) -> bool:
        """Whether every element acts as 1."""
        return self.size == 1 and bool((self.action.generators == 1).all()) and not self.action.algebra.any()

    @cached_property
    def table(self) -> np.ndarray:
        """Matrices (order, d, d) of all elements of a finite group.

        Raises:
            GroupError: the group is infinite.
        """
        tree = self.group.tree
        if tree is None:
            raise GroupError(f"{self.group.name} has infinitely many elements. Call the irrep on those you need.")
        return read_only(tree.evaluate(self.action.generators))

    def __repr__(self) -> str:
        return f"Irrep({self.name}, group={self.group.name}, dimension={self.size}, {self.type})"


def check_same_group(first: Any, second: Any) -> None:
    """Require two representations of one group.

    Raises:
        RepresentationError: an argument is not a representation.
        GroupMismatchError: the groups differ.
    """
    check_representation(first)
    check_representation(second)
    if second.group != first.group:
        raise GroupMismatchError(
            f"Representations must be of one group, got {first.name!r} of {first.group.name} and {second.name!r} of "
            f"{second.group.name}. Build both with matrices of one group."
        )


def check_representation(rep: Any, *, what: str | None = None) -> None:
    """Require a representation; ``what`` names the argument in the message.

    Raises:
        RepresentationError: it is of another type.
    """
    if not isinstance(rep, Representation):
        raise RepresentationError(
            f"{f'{what} must be' if what else 'Expected'} a Representation, got {type(rep).__name__}. Build one of a "
            "group and the matrices of its generators, Representation(group, matrices), or take one of the group's, as "
            "group.regular_representation."
        )
