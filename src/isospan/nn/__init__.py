"""Equivariant layers: plain tensors in, plain tensors out."""

from isospan.nn._activations import GatedActivation, NormActivation, Pointwise
from isospan.nn._attention.multihead import MultiheadAttention
from isospan.nn._attention.positions import PositionalEncoding
from isospan.nn._bases import ChangeOfBasis, IsotypicBasis
from isospan.nn._conv import Conv1d, ConvTranspose1d
from isospan.nn._distributions.log_covariance_normal import LogCovarianceNormal
from isospan.nn._distributions.multivariate_normal import MultivariateNormal
from isospan.nn._dropout import Dropout
from isospan.nn._film import FiLM, TimeDistributed
from isospan.nn._fourier import FourierActivation
from isospan.nn._invariants import IrrepInvariants, IrrepNorm
from isospan.nn._kernels.dense import EquivariantMaps
from isospan.nn._linear import DenseMap, Linear
from isospan.nn._normalization import BatchNorm1d, LayerNorm, RMSNorm

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
    "LogCovarianceNormal",
    "MultiheadAttention",
    "MultivariateNormal",
    "NormActivation",
    "Pointwise",
    "PositionalEncoding",
    "RMSNorm",
    "TimeDistributed",
]
