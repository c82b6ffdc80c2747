"""Representations of hidden layers, and checks that these contain the irreps of input and output."""

from collections.abc import Sequence

from isospan._core.checks import check_count
from isospan.errors import OptionError, RepresentationError
from isospan.representations import Representation, check_representation, check_same_group, direct_sum

FREQUENCY = 2
"""Highest frequency of the irreps that hidden layers of a Lie group consist of by default."""


def hidden_representations(
    rep_in: Representation, units: Sequence[int], hidden_rep: Representation | None
) -> list[Representation]:
    """Copies of a representation with at least as many coordinates as units, for every hidden layer.

    The default is the regular representation, or all irreps up to a frequency for a Lie group.

    Raises:
        RepresentationError: rep_in is not a representation.
        OptionError: hidden_units is not a sequence, is empty, or has a width below 1.
    """
    check_representation(rep_in)
    if not hasattr(units, "__len__"):
        raise OptionError(f"hidden_units are the widths of all hidden layers, got {units!r}. Pass them as (128, 128).")
    if len(units) == 0:
        raise OptionError("hidden_units is empty. Pass at least one width.")
    widths = [check_count(width, what="A hidden width") for width in units]
    if hidden_rep is None and rep_in.group.order() is None:
        irreps = rep_in.group.irreps(FREQUENCY)
        size = sum(irrep.size for irrep in irreps)
        # irrep by irrep, as in the irrep basis, which then takes no reordering
        layers = {width: direct_sum([-(-width // size) * irrep for irrep in irreps]) for width in widths}
    else:
        unit = rep_in.group.regular_representation if hidden_rep is None else hidden_rep
        layers = {width: -(-width // unit.size) * unit for width in widths}
    return [layers[width] for width in widths]


def check_signal(
    rep_in: Representation, hidden: Representation, rep_out: Representation, rep_cond: Representation | None = None
) -> None:
    """Require irreps with which the network loses nothing of its input, and with which no output is always zero.

    Hidden layers must contain all irreps of input and output. Where the group mixes their coordinates they have gates,
    which scale copies of irreps, and map no irrep to another. Then the output needs an irrep of the input or of the
    condition, or invariants, which are functions of norms.

    Raises:
        RepresentationError: an irrep is missing.
    """
    check_contained(rep_in, hidden, "input", "lost")
    check_contained(rep_out, hidden, "output", "zero")
    given = rep_in if rep_cond is None else rep_in + rep_cond
    reached = {component.irrep.key for component in given.isotypic}
    if hidden.is_permutation or any(c.irrep.is_trivial or c.irrep.key in reached for c in rep_out.isotypic):
        return
    raise RepresentationError(
        f"The output {rep_out.name!r} would be zero, since the input {given.name!r} has no irrep of it: hidden layers "
        "whose coordinates the group mixes have gates, which map no irrep to another. Add products of features to the "
        "input: the entries of x yᵀ, row by row, transform as rep_x & rep_y."
    )


def check_contained(rep: Representation, hidden: Representation, role: str, fate: str) -> None:
    """Require the irreps of the input or the output in the hidden representation.

    Raises:
        RepresentationError: an irrep is missing.
    """
    check_same_group(hidden, rep)
    present = {component.irrep.key for component in hidden.isotypic}
    missing = [c.irrep.name for c in rep.isotypic if c.irrep.key not in present]
    if missing:
        raise RepresentationError(
            f"The hidden representation {hidden.name!r} must contain every irrep of the {role} {rep.name!r}, but lacks "
            f"{missing}, which would be {fate}. Pass a hidden_rep that contains them too."
        )
