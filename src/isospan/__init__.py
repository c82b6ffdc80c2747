"""Latent spaces with structure that is known beforehand."""

__version__ = "0.1.0"
