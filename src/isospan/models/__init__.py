"""Equivariant and invariant networks."""

from isospan.models.emlp import EMLP, IMLP
from isospan.models.transformer_encoder import TransformerEncoder, TransformerEncoderLayer

__all__ = ["EMLP", "IMLP", "TransformerEncoder", "TransformerEncoderLayer"]
