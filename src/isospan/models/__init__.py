"""Equivariant and invariant networks."""

from isospan.models._perceptrons import EMLP, IMLP
from isospan.models._temporal_cnn import TemporalCNN
from isospan.models._transformer import TransformerEncoder, TransformerEncoderLayer
from isospan.models._unet1d import UNet1d

__all__ = ["EMLP", "IMLP", "TemporalCNN", "TransformerEncoder", "TransformerEncoderLayer", "UNet1d"]
