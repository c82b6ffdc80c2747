"""Figures of a run and the report that holds them."""

from isospan.reports.html import write_report
from isospan.reports.run_summary import EditExample, FieldPair, LossHistory, Reconstructions, RunSummary

__all__ = ["EditExample", "FieldPair", "LossHistory", "Reconstructions", "RunSummary", "write_report"]
