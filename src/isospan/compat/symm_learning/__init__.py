"""The import paths of symm-learning.

Example:
    >>> from isospan.compat.symm_learning.linalg import invariant_orthogonal_projector
"""
