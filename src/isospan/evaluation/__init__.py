"""Evaluation of a latent space on held-out data: R², linear probes, leakage."""

from isospan.evaluation._evaluation import Evaluation, evaluate, evaluate_moments

__all__ = ["Evaluation", "evaluate", "evaluate_moments"]
