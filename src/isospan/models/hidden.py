"""What hidden layers consist of, and whether a signal gets through them."""

from collections.abc import Sequence

import torch

from isospan._checks import check_count
from isospan.errors import OptionError, RepresentationError
from isospan.representations import Representation


def hidden_representations(
    rep_in: Representation, units: Sequence[int], hidden_rep: Representation | None
) -> list[Representation]:
    """Copies of ``hidden_rep``, or of the regular representation, with at least as many coordinates as units."""
    if hidden_rep is None:
        if rep_in.group.order() is None:
            raise OptionError(
                f"{rep_in.group.name} has no regular representation to build hidden layers of. Pass hidden_rep, such as "
                "the direct sum of a few irreps."
            )
        hidden_rep = rep_in.group.regular_representation
    if not units:
        raise OptionError("hidden_units is empty. Pass at least one width, or use isospan.nn.Linear.")
    widths = [check_count(width, what="A hidden width") for width in units]
    return [-(-width // hidden_rep.size) * hidden_rep for width in widths]


def check_signal(rep_in: Representation, hidden: Representation, rep_out: Representation | None) -> None:
    """Require every irrep of the output in the hidden representation, and a common one with the input.

    A coordinate of the output whose irrep the hidden layers lack would be zero for every input.
    """
    present = {component.irrep.key for component in hidden.isotypic}
    wanted = [] if rep_out is None else rep_out.isotypic
    missing = [component.irrep.name for component in wanted if component.irrep.key not in present]
    if missing:
        raise RepresentationError(
            f"The hidden representation {hidden.name!r} lacks the irreps {missing} of the output {rep_out!r}, which "
            "would be zero there. Add copies of them, or leave hidden_rep out."
        )
    lost = [component.irrep.name for component in rep_in.isotypic if component.irrep.key not in present]
    if lost:
        raise RepresentationError(
            f"The hidden representation {hidden.name!r} lacks the irreps {lost} of the input {rep_in!r}, whose signal "
            "would be lost. Add copies of them, or leave hidden_rep out."
        )


def activation_module(name: str) -> torch.nn.Module:
    """A module of ``torch.nn`` that acts on every number alone, by its name."""
    kind = getattr(torch.nn.modules.activation, name, None) if isinstance(name, str) else None
    if kind is None or name not in POINTWISE:
        raise OptionError(f"Invalid activation: {name!r}. Choose one of {', '.join(map(repr, POINTWISE))}.")
    return kind()


POINTWISE = (
    "CELU ELU GELU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid Mish ReLU ReLU6 SELU Sigmoid SiLU "
    "Softplus Softshrink Softsign Tanh Tanhshrink"
).split()
"""Activations of ``torch.nn`` that need no argument and act on every number alone."""
