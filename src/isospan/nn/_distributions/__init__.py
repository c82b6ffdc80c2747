"""Equivariant distributions."""
