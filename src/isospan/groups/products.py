"""Direct products of finite groups."""

from isospan.errors import GroupError
from isospan.groups.finite import FiniteGroup
from isospan.groups.outer_products import product_fields


class DirectProductGroup(FiniteGroup):
    """The direct product of two or more finite groups, the same as ``G * H``; generators of the first come first.

    Its irreps come from those of the factors. A product with a Lie group is written ``G * SO3()``.

    Raises:
        GroupError: there is no factor, or one is not finite.

    Example:
        >>> from isospan.groups import CyclicGroup, DihedralGroup
        >>> G = DirectProductGroup(CyclicGroup(2), DihedralGroup(3))
        >>> G, G.order(), G.generators
        (CyclicGroup(2) * DihedralGroup(3), 12, (r1, r2, s2))
    """

    def __init__(self, *factors: FiniteGroup) -> None:
        if not all(isinstance(factor, FiniteGroup) for factor in factors):
            raise GroupError(
                f"A DirectProductGroup has finite factors, got {list(factors)}. Write "
                f"{' * '.join(str(factor) for factor in factors)}, which takes Lie groups too."
            )
        super().__init__(**product_fields(factors))
