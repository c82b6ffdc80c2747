"""Scores of the edits of a trained network, on held-out samples."""

from collections.abc import Mapping

import torch
from torch import Tensor

from isospan._core.modes import evaluating
from isospan.evaluation import EditEvaluation, UseEvaluation, evaluate_edits, evaluate_use
from isospan.experiment._targets import Targets
from isospan.experiment.networks import ConvAutoencoder
from isospan.experiment.samples import Samples, spread
from isospan.experiment.samples._samples import within
from isospan.experiment.training import encode_samples
from isospan.subspaces import LatentSpace

SAMPLES, BYTES = 64, 2**28
"""Most held-out samples that are edited, and most bytes of them."""
EDITED_AT_A_TIME = 16
"""Samples whose activations are in memory together."""


def evaluate_edits_and_use(
    model: ConvAutoencoder, space: LatentSpace, held_out: Samples, targets: Targets
) -> tuple[EditEvaluation | None, UseEvaluation | None]:
    """Return how edits of at most 64 held-out samples show in the decoded fields, and the use of the latent.

    The quantities that are differentiable functions of the fields are edited, to their values in other samples. The
    error by which the use is measured is that of the reconstruction. Both are None for fewer than two samples; the
    first also without such a quantity.
    """
    used = spread(held_out, within(BYTES, held_out, most=SAMPLES))
    if len(used) < 2:
        return None, None
    z = encode_samples(model, used)
    fields = used.tensors()[0].to(z.device)
    use = evaluate_use(space, lambda latents: _errors(model, latents, fields), z)
    functions = targets.functions(space.names).differentiable(fields)
    if not functions.names:
        return None, use

    def quantities(x: Tensor) -> Mapping[str, Tensor]:
        return functions(Samples(x))

    return evaluate_edits(space, model.decode, quantities, z, quantities(fields), batch_size=EDITED_AT_A_TIME), use


def _errors(model: ConvAutoencoder, z: Tensor, fields: Tensor) -> Tensor:
    """Squared error of the fields of each latent, in units of the channels' deviations."""
    with torch.no_grad(), evaluating(model):
        return ((model.decode(z) - fields) / model.field_scale).square().mean((1, 2, 3))
