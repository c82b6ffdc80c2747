"""Representations of hidden layers, and checks that they pass on the irreps of input and output."""

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

    By default of the regular representation, or for a Lie group of all irreps up to a frequency.

    Raises:
        RepresentationError: rep_in is none.
        OptionError: no sequence of widths, no width, or one below 1.
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


def check_signal(rep_in: Representation, hidden: Representation, rep_out: Representation | None) -> None:
    """Require the irreps of input and output in the hidden representation: what it lacks would be lost, or zero.

    Raises:
        RepresentationError: an irrep is missing.
    """
    present = {component.irrep.key for component in hidden.isotypic}
    for rep, role, fate in ((rep_in, "input", "lost"), (rep_out, "output", "zero")):
        if rep is None:
            continue
        check_same_group(hidden, rep)
        missing = [c.irrep.name for c in rep.isotypic if c.irrep.key not in present]
        if missing:
            raise RepresentationError(
                f"The hidden representation {hidden.name!r} must contain every irrep of the {role} {rep.name!r}, but "
                f"lacks {missing}, which would be {fate}. Pass a hidden_rep that contains them too."
            )


def check_reach(rep_in: Representation, hidden: Representation, rep_out: Representation) -> None:
    """Require an output that gates do not leave zero: they scale copies of irreps, and turn none into another irrep.

    Invariants are made, of norms; and where the group permutes the coordinates of hidden layers, so are all irreps.

    Raises:
        RepresentationError: the input has no irrep of the output, and none of these is trivial.
    """
    reached = {component.irrep.key for component in rep_in.isotypic}
    if hidden.is_permutation or any(c.irrep.is_trivial or c.irrep.key in reached for c in rep_out.isotypic):
        return
    raise RepresentationError(
        f"Gates, which hidden layers have where the group mixes their coordinates, turn no irrep into another: the "
        f"output {rep_out.name!r} would be zero, since the input {rep_in.name!r} has no irrep of it. Add products of "
        "features to the input: the entries of x yᵀ, row by row, transform as rep_x & rep_y."
    )
