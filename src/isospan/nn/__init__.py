"""Equivariant layers: plain tensors in, plain tensors out."""

from isospan.nn.change_of_basis import ChangeOfBasis
from isospan.nn.dense_map import DenseMap
from isospan.nn.equivariant_maps import EquivariantMaps
from isospan.nn.linear import Linear

__all__ = ["ChangeOfBasis", "DenseMap", "EquivariantMaps", "Linear"]
