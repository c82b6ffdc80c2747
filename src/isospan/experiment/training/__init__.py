"""The training loop: steps, augmentation, learning rate, losses, and passes of the network over all samples."""

from isospan.experiment.training._augmentation import can_shift, shifted
from isospan.experiment.training._history import History
from isospan.experiment.training._loop import fit
from isospan.experiment.training._readout import (
    Readout,
    encode_samples,
    encoded_moments,
    read_out,
    reconstruction_error,
)
from isospan.experiment.training._run_state import learning_rate
from isospan.experiment.training._task import RECONSTRUCTION, Task

__all__ = [
    "RECONSTRUCTION",
    "History",
    "Readout",
    "Task",
    "can_shift",
    "encode_samples",
    "encoded_moments",
    "fit",
    "learning_rate",
    "read_out",
    "reconstruction_error",
    "shifted",
]
