"""Plain networks of the same function as equivariant ones."""

import copy
from collections.abc import Iterable
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from isospan.errors import OptionError
from isospan.nn import GatedActivation
from isospan.nn._copies import copy_numbers
from isospan.nn.freezable import Freezable


@torch.no_grad()
def plain_network(steps: Iterable[object]) -> nn.Sequential:
    """A torch.nn.Sequential of torch's modules that shares nothing with the layers and activations that it is made of.

    Gates become torch's GLU: the layer before it computes spectral coordinates and a gate for each, and the layer after
    it, of spectral coordinates, leads back.

    Raises:
        OptionError: torch has no module for a step.
    """
    parts: list[nn.Module] = []
    basis: Tensor | None = None  # of the coordinates that the next layer reads
    for step in steps:
        if isinstance(step, (Freezable, nn.Linear)):
            W = step.weight
            parts.append(_linear(W if basis is None else (W.double() @ basis).to(W), step.bias))
            basis = None
        elif isinstance(step, GatedActivation):
            P, basis = glu(step)
            before = cast(nn.Linear, parts.pop())
            W, t = P @ before.weight.double(), None if before.bias is None else P @ before.bias.double()
            parts += [_linear(W, t).to(before.weight), nn.GLU(dim=-1)]
        elif isinstance(step, nn.Module) and type(step).__module__.startswith("torch.nn."):
            parts.append(copy.deepcopy(step))
        else:
            raise OptionError(
                f"torch has no module for {type(step).__name__}, so a network with it has no plain counterpart. Use "
                "torch.export.export(model.freeze(), ...), or hidden layers of regular representations."
            )
    return nn.Sequential(*parts)


def glu(gate: GatedActivation) -> tuple[Tensor, Tensor]:
    """The map of features and gates to spectral coordinates and a gate for each, and the basis of these coordinates."""
    rep, n, place = gate.rep_out, gate.rep_in.size, gate.copy_numbers.device
    Q, unit = rep.change_of_basis, np.eye(n)
    z = np.pad(Q.T, ((0, 0), (0, n - rep.size)))
    trivial = [irrep.is_trivial for irrep in rep.irreps]
    places = rep.size - 1 + np.cumsum(np.logical_not(trivial))
    gates = [z[j] if trivial[i] else unit[places[i]] for j, i in enumerate(copy_numbers(rep))]
    return torch.tensor(np.concatenate([z, np.stack(gates)]), device=place), torch.tensor(Q, device=place)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    plain = nn.Linear(*weight.shape[::-1], bias=bias is not None, device="meta", dtype=weight.dtype)
    plain.to_empty(device=weight.device)
    plain.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
    return plain
