"""The report of a run, and its figures."""

from isospan.experiment._run_summary import RunSummary
from isospan.experiment.reports._cards import failures
from isospan.experiment.reports._html import report_paths, write_report

__all__ = ["RunSummary", "failures", "report_paths", "write_report"]
