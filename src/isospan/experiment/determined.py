"""Leaving out the probes that too few samples determine."""

import warnings
from dataclasses import replace
from math import ceil

from isospan.errors import NumericalWarning
from isospan.guided.evaluation import Evaluation
from isospan.guided.latent_space import LatentSpace

SAMPLES_A_DIRECTION = 2
"""A probe with as many coefficients as samples explains the noise; it is left out below twice as many."""


def determined(evaluation: Evaluation, space: LatentSpace, *, fitted: int, part: str, share: float) -> Evaluation:
    """Replace by NaN what probes score that have fewer than two samples for each of their coordinates.

    Args:
        evaluation: the scores.
        space: that was scored.
        fitted: number of samples that each probe was fitted on.
        part: which samples these are, in words.
        share: which share of all samples.

    Warns:
        NumericalWarning: some are left out.
    """
    nan, D = float("nan"), space.latent_dim
    if fitted >= SAMPLES_A_DIRECTION * D:
        return evaluation
    short = [name for name in evaluation.names if fitted < SAMPLES_A_DIRECTION * len(space.W[name])]
    left_out = f"the own subspaces of {', '.join(short)} and " if short else ""
    warnings.warn(
        f"Probes are fitted on {part}, and {fitted} are too few for {left_out}the whole latent of D = {D}: those are "
        f"left out. {ceil(SAMPLES_A_DIRECTION * D / share)} samples are enough for all.",
        NumericalWarning,
        stacklevel=3,
    )
    cross = evaluation.cross_r2.clone()
    cross[:, [name in short for name in evaluation.names]] = nan
    return replace(
        evaluation,
        own_r2={name: nan if name in short else r2 for name, r2 in evaluation.own_r2.items()},
        ceiling_r2=dict.fromkeys(evaluation.names, nan),
        probe_r2=dict.fromkeys(evaluation.names, nan),
        cross_r2=cross,
    )
