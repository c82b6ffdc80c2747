"""The report of a run, and its figures."""

from isospan.experiment._run_summary import EditExample, FieldPair, LossHistory, Reconstructions, RunSummary
from isospan.experiment.reports._html import write_report

__all__ = ["EditExample", "FieldPair", "LossHistory", "Reconstructions", "RunSummary", "write_report"]
