"""Evaluation of a latent space on held-out data: R², linear probes, leakage, edits, use."""

from isospan.evaluation._edits import EditEvaluation, evaluate_edits
from isospan.evaluation._evaluation import Evaluation, evaluate, evaluate_moments, with_accuracy
from isospan.evaluation._scores import stored_r2
from isospan.evaluation._use import UseEvaluation, evaluate_use

__all__ = [
    "EditEvaluation",
    "Evaluation",
    "UseEvaluation",
    "evaluate",
    "evaluate_edits",
    "evaluate_moments",
    "evaluate_use",
    "stored_r2",
    "with_accuracy",
]
