"""Equivariant layers: plain tensors in, plain tensors out."""

from isospan.nn.batch_norm1d import BatchNorm1d
from isospan.nn.change_of_basis import ChangeOfBasis
from isospan.nn.conv1d import Conv1d
from isospan.nn.conv_transpose1d import ConvTranspose1d
from isospan.nn.dense_map import DenseMap
from isospan.nn.dropout import Dropout
from isospan.nn.equivariant_maps import EquivariantMaps
from isospan.nn.film import FiLM
from isospan.nn.fourier_activation import FourierActivation
from isospan.nn.gated_activation import GatedActivation
from isospan.nn.irrep_invariants import IrrepInvariants
from isospan.nn.irrep_norm import IrrepNorm
from isospan.nn.isotypic_basis import IsotypicBasis
from isospan.nn.layer_norm import LayerNorm
from isospan.nn.linear import Linear
from isospan.nn.multihead_attention import MultiheadAttention
from isospan.nn.multivariate_normal import MultivariateNormal
from isospan.nn.norm_activation import NormActivation
from isospan.nn.over_time import OverTime
from isospan.nn.pointwise import Pointwise
from isospan.nn.positional_encoding import PositionalEncoding
from isospan.nn.rms_norm import RMSNorm

__all__ = [
    "BatchNorm1d",
    "ChangeOfBasis",
    "Conv1d",
    "ConvTranspose1d",
    "DenseMap",
    "Dropout",
    "EquivariantMaps",
    "FiLM",
    "FourierActivation",
    "GatedActivation",
    "IrrepInvariants",
    "IrrepNorm",
    "IsotypicBasis",
    "LayerNorm",
    "Linear",
    "MultiheadAttention",
    "MultivariateNormal",
    "NormActivation",
    "OverTime",
    "Pointwise",
    "PositionalEncoding",
    "RMSNorm",
]
