"""Bases of equivariant maps of which there are some."""

from isospan.errors import RepresentationError
from isospan.representations import HomBasis, Representation


def basis_of_maps(rep_in: Representation, rep_out: Representation) -> HomBasis:
    """The basis of the equivariant maps.

    Raises:
        GroupMismatchError: representations of two groups.
        RepresentationError: they share no irrep, so that only the zero map is equivariant.
    """
    basis = HomBasis(rep_in, rep_out)
    if not basis.dimension:
        ours, theirs = ([c.irrep.name for c in rep.isotypic] for rep in (rep_in, rep_out))
        raise RepresentationError(
            f"Equivariant maps need an irrep that both representations contain, got {ours} in {rep_in.name!r} "
            f"and {theirs} in {rep_out.name!r}: only the zero map commutes. Add copies of the missing irreps."
        )
    return basis
