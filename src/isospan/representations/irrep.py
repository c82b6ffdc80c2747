"""Irreducible representations over the real numbers."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np

from isospan._core.immutable import read_only
from isospan.errors import GroupError
from isospan.representations.blocks import Action, Block
from isospan.representations.decomposition import Part
from isospan.representations.representation import Representation
from isospan.representations.symmetry import SymmetryGroup

TYPES: dict[int, Literal["real", "complex", "quaternionic"]] = {1: "real", 2: "complex", 4: "quaternionic"}


class Irrep(Representation):
    r"""A representation without a proper invariant subspace, with the matrices that commute with it.

    Those form the real numbers, the complex numbers or the quaternions (Schur, Frobenius), and are the multiples and
    sums of ``endomorphism_basis`` (s, d, d): s = 1, 2 or 4 orthogonal matrices that are orthogonal to each other, the
    identity first. The coordinates are chosen such that they act on d / s numbers, one after another, each with s
    coordinates: :math:`E_s = 1 \otimes L_s` with the matrices L_s (s, s) by which 1, i, j and k multiply. Groups build
    their irreps; users get them from ``group.irreps()``.

    Attributes:
        key: what tells it from the group's other irreps; sorts in the order of ``group.irreps()``.
        endomorphism_basis: (s, d, d).
        type: "real", "complex" or "quaternionic".

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
        """Its matrices."""
        return self.blocks[0].action

    @property
    def type(self) -> Literal["real", "complex", "quaternionic"]:
        """The algebra of the matrices that commute with it."""
        return TYPES[len(self.endomorphism_basis)]

    @cached_property
    def is_trivial(self) -> bool:
        """Whether every element acts as 1."""
        return self.size == 1 and bool((self.action.generators == 1).all()) and not self.action.algebra.any()

    @cached_property
    def table(self) -> np.ndarray:
        """Matrices (order, d, d) of all elements of a finite group."""
        tree = self.group.tree
        if tree is None:
            raise GroupError(f"{self.group.name} has infinitely many elements. Call the irrep on those you need.")
        return read_only(tree.evaluate(self.action.generators))

    def __repr__(self) -> str:
        return f"Irrep({self.name}, group={self.group.name}, dimension={self.size}, {self.type})"


def trivial(group: Any, *, key: tuple[int, ...], name: str) -> Irrep:
    """The irrep in which every element acts as 1."""
    return Irrep(
        group,
        algebra=np.zeros((group.algebra_dim, 1, 1)),
        generators=np.ones((len(group.generators), 1, 1)),
        endomorphism_basis=np.ones((1, 1, 1)),
        key=key,
        name=name,
    )
