"""Figures of results, and the style that they share."""

from isospan.plotting._figures import plot_cross_decodability, plot_drift, plot_threshold_sweep

__all__ = ["plot_cross_decodability", "plot_drift", "plot_threshold_sweep"]
