"""How well a latent space holds its quantities: R², linear probes, leakage."""

from isospan.evaluation._evaluation import Evaluation, evaluate, evaluate_moments

__all__ = ["Evaluation", "evaluate", "evaluate_moments"]
