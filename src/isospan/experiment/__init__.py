"""The experiment as Python functions: train, evaluate, use and audit a guided latent space of fields."""

from isospan.experiment._audit import Audit, AuditConfig, audit
from isospan.experiment._config import TrainConfig
from isospan.experiment._edits import Edited
from isospan.experiment._error_bars import Interval
from isospan.experiment._job import TrainedNetwork
from isospan.experiment._pipeline import Result, size, train
from isospan.experiment._reporter import LoggingReporter, Reporter
from isospan.experiment._sizes import Sizes, solve_sizes
from isospan.experiment._targets import Quantity, Targets, parse_quantities
from isospan.experiment._use import TrainedRun, decode, edit, probe
from isospan.experiment.networks._description import NetworkDescription, load_network, save_network

__all__ = [
    "Audit",
    "AuditConfig",
    "Edited",
    "Interval",
    "LoggingReporter",
    "NetworkDescription",
    "Quantity",
    "Reporter",
    "Result",
    "Sizes",
    "Targets",
    "TrainConfig",
    "TrainedNetwork",
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
