"""The report of a run, and its figures."""

from isospan.experiment._run_summary import RunSummary
from isospan.experiment.reports._html import write_report

__all__ = ["RunSummary", "write_report"]
