"""The kernels by name."""

from isospan.nn._base.cost import KernelName, Shape, chosen_kernel
from isospan.nn._kernels.dense import Dense
from isospan.nn._kernels.isotypic import Isotypic
from isospan.nn._kernels.kernel import Kernel

KERNELS: dict[str, type[Dense] | type[Isotypic]] = {"dense": Dense, "isotypic": Isotypic}


def kernel_of(shape: Shape, name: KernelName = "auto") -> Kernel:
    """The kernel of this name; that of the least cost for "auto".

    Raises:
        OptionError: no kernel has this name.
        GroupMismatchError, RepresentationError: as for :class:`Kernel`.
    """
    return KERNELS[chosen_kernel(shape, name)](shape.rep_in, shape.rep_out)
