"""Equivariant linear layers, and the base that they share with convolutions."""

import torch
from torch import Tensor
from torch.nn.functional import linear

from isospan.nn._base.cached_weight import Freezable
from isospan.nn._base.components import invariant_count
from isospan.nn._base.cost import KernelName, Shape, chosen_kernel
from isospan.nn._base.layer import Device, check_features, to_device
from isospan.nn._kernels.dense import Dense, IrrepBasisMaps
from isospan.nn._kernels.invariant_vectors import InvariantVectors
from isospan.nn._kernels.isotypic import Isotypic
from isospan.nn._kernels.kernel import Kernel, Product
from isospan.representations import Representation

KERNELS: dict[str, type[Dense] | type[Isotypic]] = {"dense": Dense, "isotypic": Isotypic}
"""The kernels by name."""


class DenseMap(Freezable):
    """Base of layers whose weight is expanded from coefficients of equivariant maps, and whose bias is invariant.

    Args:
        shape: the representations, and how many maps there are.
        kernel_size: () for one map, (kernel_size,) for a convolution.
        bias: whether there is one, where the output has invariant vectors.
        kernel: name of the kernel that computes the map, or "auto".

    Attributes:
        coefficients: parameter ``(*kernel_size, dimension)``, see :class:`isospan.representations.HomBasis`.
        bias_coefficients: parameter (m,), one for each trivial irrep in the output; None where there is none.
    """

    invariants: InvariantVectors
    _position_gain: float = 1.0
    """Standard deviation of the term of one kernel position. An output is the sum of all terms."""

    def __init__(self, shape: Shape, *, kernel_size: tuple[int, ...], bias: bool, kernel: KernelName) -> None:
        rep_in, rep_out = shape.rep_in, shape.rep_out
        super().__init__(rep_in, rep_out)
        self.kernel: Kernel = KERNELS[chosen_kernel(shape, kernel)](rep_in, rep_out)
        self.coefficients: torch.nn.Parameter = torch.nn.Parameter(torch.empty(*kernel_size, self.kernel.dimension))
        m = invariant_count(rep_out) if bias else 0
        self.register_parameter("bias_coefficients", torch.nn.Parameter(torch.empty(m)) if m else None)
        if m and self._irrep_basis_maps is None:  # else the change of basis of the kernel contains these vectors
            self.invariants = InvariantVectors(rep_out)

    @property
    def _multiplies_dense(self) -> bool:
        """Whether the layer multiplies by the dense weight."""
        return self.is_frozen or isinstance(self.kernel, Dense)

    @property
    def _irrep_basis_maps(self) -> IrrepBasisMaps | None:
        """The change of basis that expands the dense weight; None where a gather does."""
        synthesis = self.kernel.maps.synthesis if isinstance(self.kernel, Dense) else None
        return synthesis if isinstance(synthesis, IrrepBasisMaps) else None

    def reset_parameters(self, *, gain: float = 1.0, generator: torch.Generator | None = None) -> None:
        """Draw coefficients that preserve the variance of white inputs times gain², and set the bias to zero."""
        with torch.no_grad():
            for position in self.coefficients.view(-1, self.kernel.dimension):
                self.kernel.basis.init_(position, gain=gain * self._position_gain, generator=generator)
            if self.bias_coefficients is not None:
                self.bias_coefficients.zero_()

    def _start(self, device: Device, dtype: torch.dtype | None) -> None:
        """Draw the coefficients on a device, in a precision."""
        to_device(self, device, dtype)
        self.reset_parameters()

    def _image(self, x: Tensor, product: Product) -> Tensor:
        """The image (B, n_out, T') of signals x (B, n_in, T), computed by the kernel, and the bias."""
        y, bias = self.kernel(x, self.coefficients, product), self.bias
        return y if bias is None else y + bias.to(y.dtype).unsqueeze(-1)  # autocast lowers y alone

    def _synthesized(self) -> Tensor:
        """The maps ``(*kernel_size, n_out, n_in)``; convolutions lay them out as torch does."""
        return self.kernel.expand(self.coefficients)

    def _spread_bias(self) -> Tensor | None:
        b, maps = self.bias_coefficients, self._irrep_basis_maps
        if b is None:
            return None
        return self.invariants(b) if maps is None else maps.invariant(b)


class Linear(DenseMap):
    r"""An equivariant affine map, :math:`y = W x + b` with :math:`W \rho_\text{in}(g) = \rho_\text{out}(g) W`.

    Its parameters are the coefficients of W in an orthonormal basis of the equivariant maps, and those of b in an
    orthonormal basis of the invariant vectors. Irreps of the output that the input lacks are zero. At initialisation W
    preserves the variance of white inputs, and b is zero. ``weight`` and ``bias`` are expanded from the parameters. To
    set W, write ``layer.coefficients.copy_(HomBasis(rep_in, rep_out).coefficients(W))`` under ``torch.no_grad()``.

    Args:
        rep_in: representation of x.
        rep_out: representation of y.
        bias: whether to add b; there is none where the output has no invariant vector.
        kernel: "dense" multiplies by the dense weight, "isotypic" irrep by irrep. "auto" chooses the one with the lower
            expected time in training on a CPU. A frozen layer multiplies by the dense weight.
        device: of the parameters.
        dtype: of the parameters.

    Shapes:
        x (..., rep_in.size) to y (..., rep_out.size).

    Raises:
        GroupMismatchError: representations of two groups.
        RepresentationError: they share no irrep.
        OptionError: an unknown kernel.
        ShapeError: x is not (..., rep_in.size).
        DtypeError: x is not floating point.

    Source: Finzi, Welling and Wilson, A Practical Method for Constructing Equivariant Multilayer Perceptrons, 2021.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> from isospan.testing import assert_equivariant
        >>> regular = CyclicGroup(4).regular_representation
        >>> layer = Linear(regular, 2 * regular)
        >>> layer.coefficients.shape, layer.weight.shape
        (torch.Size([8]), torch.Size([8, 4]))
        >>> assert_equivariant(layer, layer.rep_in, layer.rep_out)
    """

    def __init__(
        self,
        rep_in: Representation,
        rep_out: Representation,
        bias: bool = True,
        *,
        kernel: KernelName = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(Shape(rep_in, rep_out), kernel_size=(), bias=bias, kernel=kernel)
        self.in_features: int = rep_in.size
        self.out_features: int = rep_out.size
        self._start(device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return y (..., rep_out.size)."""
        check_features(x, self.in_features)
        if self._multiplies_dense:
            return linear(x, *self.dense())
        signal = x.reshape(-1, self.in_features).mT.unsqueeze(0)  # samples are the times of one signal
        y = self._image(signal, lambda piece, maps: maps @ piece).squeeze(0)
        return y.mT.contiguous().view(*x.shape[:-1], self.out_features)
