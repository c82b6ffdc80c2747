# What a type checker sees of the names that __init__.py loads when they are first used.

from isospan import compat as compat
from isospan import datasets as datasets
from isospan import errors as errors
from isospan import evaluation as evaluation
from isospan import experiment as experiment
from isospan import groups as groups
from isospan import guided as guided
from isospan import integrations as integrations
from isospan import linalg as linalg
from isospan import models as models
from isospan import moments as moments
from isospan import nn as nn
from isospan import plotting as plotting
from isospan import quantities as quantities
from isospan import representations as representations
from isospan import settings as settings
from isospan import sizing as sizing
from isospan import subspaces as subspaces
from isospan import symmetric as symmetric
from isospan import testing as testing
from isospan.evaluation import Evaluation as Evaluation
from isospan.evaluation import evaluate as evaluate
from isospan.groups import SO2 as SO2
from isospan.groups import SO3 as SO3
from isospan.groups import CyclicGroup as CyclicGroup
from isospan.groups import DihedralGroup as DihedralGroup
from isospan.groups import IcosahedralGroup as IcosahedralGroup
from isospan.guided import EveryEpochs as EveryEpochs
from isospan.guided import EverySteps as EverySteps
from isospan.guided import ExponentialSchedule as ExponentialSchedule
from isospan.guided import SpaceObjective as SpaceObjective
from isospan.guided import SubspaceMonitor as SubspaceMonitor
from isospan.guided.losses import combined_loss as combined_loss
from isospan.models import EMLP as EMLP
from isospan.models import IMLP as IMLP
from isospan.moments import Moments as Moments
from isospan.quantities import combine as combine
from isospan.quantities import pool as pool
from isospan.representations import Representation as Representation
from isospan.representations import direct_sum as direct_sum
from isospan.sizing import minimal_latent_dim as minimal_latent_dim
from isospan.sizing import solve_dims as solve_dims
from isospan.sizing import threshold_sweep as threshold_sweep
from isospan.subspaces import LatentSpace as LatentSpace
from isospan.subspaces import fit_decoders as fit_decoders
from isospan.subspaces import solve_from_moments as solve_from_moments
from isospan.subspaces import solve_subspaces as solve_subspaces

__version__: str
__all__: list[str]
