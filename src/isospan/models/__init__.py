"""Equivariant and invariant networks."""

from isospan.models.emlp import EMLP
from isospan.models.imlp import IMLP
from isospan.models.temporal_cnn import TemporalCNN
from isospan.models.transformer_encoder import TransformerEncoder, TransformerEncoderLayer
from isospan.models.unet1d import UNet1d

__all__ = ["EMLP", "IMLP", "TemporalCNN", "TransformerEncoder", "TransformerEncoderLayer", "UNet1d"]
