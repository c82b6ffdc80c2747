"""Evaluation of a latent space on held-out data: R², linear probes, leakage."""

from isospan.evaluation._evaluation import Evaluation, evaluate, evaluate_moments, with_accuracy
from isospan.evaluation._scores import stored_r2

__all__ = ["Evaluation", "evaluate", "evaluate_moments", "stored_r2", "with_accuracy"]
