"""Chains of group convolutions between copies of the regular representation."""
