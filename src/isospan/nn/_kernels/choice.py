"""The choice of the kernel that computes an equivariant map."""

from typing import Literal

from isospan._core.checks import check_choice
from isospan.nn._kernels.dense import Dense
from isospan.nn._kernels.isotypic import Isotypic
from isospan.nn._kernels.kernel import Kernel, Shape

KernelName = Literal["auto", "dense", "isotypic"]

KERNELS: dict[str, type[Kernel]] = {"dense": Dense, "isotypic": Isotypic}
"""All kernels by name."""


def cheapest(shape: Shape) -> str:
    """The name of the kernel that is expected to take the least time in training on a CPU."""
    return min(KERNELS, key=lambda name: KERNELS[name].cost(shape))


def kernel_of(shape: Shape, name: KernelName = "auto") -> Kernel:
    """The kernel of this name; the cheapest one for "auto".

    Raises:
        OptionError: there is none of this name.
        GroupMismatchError, RepresentationError: as for :class:`Kernel`.
    """
    check_choice(name, ("auto", *KERNELS), what="kernel")
    return KERNELS[cheapest(shape) if name == "auto" else name](shape.rep_in, shape.rep_out)
