"""How large a latent space has to be for the subspaces of its quantities."""

import logging
import math
from collections.abc import Mapping
from fractions import Fraction

from isospan._core.checks import check_count, check_not_empty, check_number
from isospan.errors import DimensionError, OptionError

logger = logging.getLogger("isospan")


def minimal_latent_dim(
    k: int | Mapping[str, int], *, Q: int | None = None, free_frac: float = 0.30, num_heads: int | None = None
) -> int:
    r"""Return the least latent dimension for all subspaces and a fraction that is free.

    .. math:: D = \left\lceil \frac{\sum_q k_q}{1 - f} \right\rceil, \text{ rounded up to a multiple of the heads.}

    The arithmetic is exact: f is the decimal number that was written, so k = 7 and f = 0.3 give 10, where floating
    point finds 7 / 0.7 above 10 and rounds up to 11.

    Args:
        k: dimension of each subspace {name: k}, or one for all Q quantities.
        Q: number of quantities, needed where k is one number, ignored otherwise.
        free_frac: fraction f of the latent space outside all subspaces, in [0, 1).
        num_heads: a number that has to divide D, such as attention heads.

    Returns:
        D.

    Raises:
        OptionError: f is outside [0, 1), Q is missing, or Q or num_heads is not a whole number of at least 1.
        DimensionError: a k is not a whole number of at least 1.

    Example:
        >>> minimal_latent_dim(7, Q=1, free_frac=0.3)
        10
        >>> minimal_latent_dim({"vorticity": 18, "strain": 21, "energy": 25}, num_heads=8)
        96
    """
    free_frac = check_number(free_frac, what="free_frac", below=1, must="in [0, 1)")
    claimed = _total(k, Q)
    D = math.ceil(claimed / (1 - Fraction(repr(free_frac))))
    heads = 1 if num_heads is None else check_count(num_heads, what="num_heads")
    aligned = -(-D // heads) * heads
    logger.debug("D = %d for %d dimensions of subspaces, %s free, a multiple of %d", aligned, claimed, free_frac, heads)
    return aligned


def _total(k: int | Mapping[str, int], Q: int | None) -> int:
    if isinstance(k, Mapping):
        check_not_empty(k, what="k")
        return sum(check_count(k_q, what=f"k of quantity {name!r}", error=DimensionError) for name, k_q in k.items())
    if Q is None:
        raise OptionError(f"Q, the number of quantities, is needed where k is one number, got k={k}. Pass Q or a dict.")
    return check_count(k, what="k", error=DimensionError) * check_count(Q, what="Q")
