"""One function a figure: from plain data to a matplotlib Figure, without global state."""

from isospan.experiment.reports.figures._decoding import r2_bars
from isospan.experiment.reports.figures._fields import decoded_fields, edit_panel, reconstructions
from isospan.experiment.reports.figures._geometry import isotropy_spectrum, principal_angles, variance_shares
from isospan.experiment.reports.figures._intervals import decoded_intervals
from isospan.experiment.reports.figures._training import loss_curves

__all__ = [
    "decoded_fields",
    "decoded_intervals",
    "edit_panel",
    "isotropy_spectrum",
    "loss_curves",
    "principal_angles",
    "r2_bars",
    "reconstructions",
    "variance_shares",
]
