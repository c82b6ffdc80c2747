"""Guidance in training loops: a plain loop, Lightning, or Hugging Face transformers. Latent spaces in trained models.

:mod:`isospan.integrations.lightning` and :mod:`isospan.integrations.transformers` need those packages installed.
"""

from isospan._core.trees import load_tree, save_tree
from isospan.integrations._attach import attach
from isospan.integrations._checkpoints import Checkpoints
from isospan.integrations._guide import Guide
from isospan.integrations._means import Means

__all__ = ["Checkpoints", "Guide", "Means", "attach", "load_tree", "save_tree"]
