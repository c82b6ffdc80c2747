"""The cost model, by which the kernel of an equivariant map is chosen.

A cost is the time of a kernel for one vector, as a number of multiplications: in training, float32, one thread of a
CPU. The constants are fitted to ``python -m benchmarks.kernels``. With them, 77 of its 80 choices are within 10 % of
the faster kernel. The others are slower by 31 % (linear layer, 510 features of SO(2)), 38 % (convolution of kernel size
9, 60 channels of a dihedral group) and 11 % (chain, 256 features of a cyclic group).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from isospan._core.checks import check_choice
from isospan.representations import Representation

KernelName = Literal["auto", "dense", "isotypic"]

MOVE = 200
"""Cost of one coordinate in a change of basis and back: the time of memory, in multiplications."""

MOVE_IN_CHAIN = 80
"""The same in a chain of layers, where samples are the last axis."""


class Shape(NamedTuple):
    """The problem that a kernel solves: a map between two representations for each kernel position.

    Attributes:
        rep_in: representation of the input.
        rep_out: representation of the output.
        positions: number of kernel positions of a convolution; 1 of a linear layer.
        inputs: time steps of the input for each product with all positions: the stride of a convolution.
        outputs: time steps of the output for each product: the stride of a transposed convolution.
        in_chain: whether samples are the last axis, before and after.
    """

    rep_in: Representation
    rep_out: Representation
    positions: int = 1
    inputs: int = 1
    outputs: int = 1
    in_chain: bool = False


def dense_cost(shape: Shape) -> float:
    """Cost of the product with the dense weight."""
    return shape.positions * shape.rep_out.size * shape.rep_in.size


def isotypic_cost(shape: Shape) -> float:
    """Cost of the products of all irreps, and of the changes of basis with their memory."""
    m = {component.irrep.key: component.multiplicity for component in shape.rep_in.isotypic}
    products = sum(
        c.multiplicity * m.get(c.irrep.key, 0) * c.irrep.size * len(c.irrep.endomorphism_basis)
        for c in shape.rep_out.isotypic
    )
    move = MOVE_IN_CHAIN if shape.in_chain else MOVE
    change_in, change_out = (
        sum(block.indices.size * (block.size + move) for block in rep.blocks) for rep in (shape.rep_in, shape.rep_out)
    )
    return shape.positions * products + shape.inputs * change_in + shape.outputs * change_out


COSTS: dict[str, Callable[[Shape], float]] = {"dense": dense_cost, "isotypic": isotypic_cost}
"""The cost of each kernel."""


def chosen_kernel(shape: Shape, name: KernelName = "auto") -> str:
    """The name of a kernel; that of the least cost for "auto".

    Raises:
        OptionError: no kernel has this name.
    """
    check_choice(name, ("auto", *COSTS), what="kernel")
    return min(COSTS, key=lambda kernel: COSTS[kernel](shape)) if name == "auto" else name
