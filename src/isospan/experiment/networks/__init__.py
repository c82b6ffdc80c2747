"""The autoencoder of fields, and the description from which a saved network is built."""

from isospan.experiment.networks._conv_autoencoder import ConvAutoencoder
from isospan.experiment.networks._description import NetworkDescription, load_network, save_network

__all__ = ["ConvAutoencoder", "NetworkDescription", "load_network", "save_network"]
