"""The main job as Python functions: from fields and named quantities to a latent space that holds them."""

from isospan.experiment.auditing import Audit, AuditConfig, audit
from isospan.experiment.config import TrainConfig
from isospan.experiment.network import NetworkDescription, load_network, save_network
from isospan.experiment.pipeline import Result, size, train
from isospan.experiment.reporter import LoggingReporter, Reporter
from isospan.experiment.sizes import Sizes, solve_sizes
from isospan.experiment.targets import Quantity, Targets, parse_quantities
from isospan.experiment.use import Edited, TrainedRun, decode, edit, probe

__all__ = [
    "Audit",
    "AuditConfig",
    "Edited",
    "LoggingReporter",
    "NetworkDescription",
    "Quantity",
    "Reporter",
    "Result",
    "Sizes",
    "Targets",
    "TrainConfig",
    "TrainedRun",
    "audit",
    "decode",
    "edit",
    "load_network",
    "parse_quantities",
    "probe",
    "save_network",
    "size",
    "solve_sizes",
    "train",
]
