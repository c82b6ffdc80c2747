"""Figures of results."""

from isospan.plotting._edits import plot_edits
from isospan.plotting._figures import plot_cross_decodability, plot_drift, plot_threshold_sweep

__all__ = ["plot_cross_decodability", "plot_drift", "plot_edits", "plot_threshold_sweep"]
