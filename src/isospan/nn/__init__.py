"""Equivariant layers: plain tensors in, plain tensors out."""

from isospan.nn.change_of_basis import ChangeOfBasis
from isospan.nn.conv1d import Conv1d
from isospan.nn.conv_transpose1d import ConvTranspose1d
from isospan.nn.dense_map import DenseMap
from isospan.nn.equivariant_maps import EquivariantMaps
from isospan.nn.irrep_invariants import IrrepInvariants
from isospan.nn.irrep_norm import IrrepNorm
from isospan.nn.isotypic_basis import IsotypicBasis
from isospan.nn.linear import Linear
from isospan.nn.multivariate_normal import MultivariateNormal

__all__ = [
    "ChangeOfBasis",
    "Conv1d",
    "ConvTranspose1d",
    "DenseMap",
    "EquivariantMaps",
    "IrrepInvariants",
    "IrrepNorm",
    "IsotypicBasis",
    "Linear",
    "MultivariateNormal",
]
