"""One function a figure: from plain data to a matplotlib Figure, without global state."""

from isospan.experiment.reports.figures._decoding import r2_bars
from isospan.experiment.reports.figures._fields import decoded_fields, edit_panel, reconstructions
from isospan.experiment.reports.figures._geometry import isotropy_spectrum, principal_angles, variance_shares
from isospan.experiment.reports.figures._training import loss_curves
from isospan.plotting._figures import plot_cross_decodability as cross_decodability
from isospan.plotting._figures import plot_drift as drift
from isospan.plotting._figures import plot_threshold_sweep as threshold_sweep

__all__ = [
    "cross_decodability",
    "decoded_fields",
    "drift",
    "edit_panel",
    "isotropy_spectrum",
    "loss_curves",
    "principal_angles",
    "r2_bars",
    "reconstructions",
    "threshold_sweep",
    "variance_shares",
]
