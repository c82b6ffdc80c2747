"""Equivariant attention."""
