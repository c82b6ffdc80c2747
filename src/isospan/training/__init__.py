"""Training autoencoders of fields: network, loop, reading order, augmentation, checkpoints."""

from isospan.training.augmentation import Displacement, can_displace, displaced
from isospan.training.checkpoints import Checkpoints
from isospan.training.guide import Guide
from isospan.training.history import History
from isospan.training.loop import fit
from isospan.training.means import Means
from isospan.training.networks import ConvAutoencoder
from isospan.training.randomness import seeded
from isospan.training.readout import Readout, encode_samples, encoded_moments, read_out, reconstruction_error
from isospan.training.samples import Rows, Samples, field_statistics, read_batches, shuffled_batches
from isospan.training.schedule import learning_rate
from isospan.training.splits import hold_out, select
from isospan.training.trees import load_tree, save_tree

__all__ = [
    "Checkpoints",
    "ConvAutoencoder",
    "Displacement",
    "Guide",
    "History",
    "Means",
    "Readout",
    "Rows",
    "Samples",
    "can_displace",
    "displaced",
    "encode_samples",
    "encoded_moments",
    "field_statistics",
    "fit",
    "hold_out",
    "learning_rate",
    "load_tree",
    "read_batches",
    "read_out",
    "reconstruction_error",
    "save_tree",
    "seeded",
    "select",
    "shuffled_batches",
]
