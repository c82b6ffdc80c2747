"""Least squares over equivariant maps."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isospan._core.checks import check_number
from isospan._core.warnings import warn
from isospan.linalg import power_of_two
from isospan.representations import HomBasis, Representation
from isospan.symmetric._constants import constants
from isospan.symmetric._inputs import hidden, paired_samples
from isospan.symmetric._second_moments import SharedComponent, apply_endomorphisms, cross_moments, shared_components


def lstsq(
    x: Tensor,
    y: Tensor,
    rep_x: Representation,
    rep_y: Representation,
    *,
    ridge: float = 0.0,
    rcond: float | None = None,
) -> Tensor:
    r"""Return the equivariant map A (D_y, D_x) of least squared error in y ≈ A x; of several, the one of least norm.

    .. math:: A = \arg\min_{A \rho_x(g) = \rho_y(g) A} \; \|Y - X A^\top\|_F^2 + \lambda \|A\|_F^2,
              \qquad \lambda = \text{ridge} \cdot \|X\|_F^2 / D_x

    This A solves ordinary least squares on the augmented data set, where every g acts on x and y together. The data are
    not centred. Their units do not matter.

    By Schur's lemma there is one problem for every irrep that x and y share. It has m_x s unknowns for each of the m_y
    copies in y, and d N rows. Its normal equations are solved in the precision of the data if they lose at most a third
    of the digits, else in float64. If float64 loses too many digits as well, a singular value decomposition is used.

    Args:
        x: samples (N, D_x) or (N, D_x, T).
        y: samples (N, D_y) or (N, D_y, T).
        rep_x: representation of x.
        rep_y: representation of y.
        ridge: relative to the mean variance of x about 0, :math:`\|X\|_F^2 / (N D_x)`; at least 0.
        rcond: singular values of the data below rcond times the largest count as zero, over all irreps that x and y
            share; at least 0 and below 1. The default is eps · D_x with the eps of the data, a bound on the rounding of
            the data and of their change of basis for any number of samples.

    Raises:
        GroupMismatchError: the representations are of two groups.
        OptionError: ridge or rcond is not a number of this range.
        ShapeError: x or y has another shape, or they have different numbers of samples.
        DegenerateDataError: there are no samples.
        NonFiniteError: x or y contains NaN or infinity.
        DtypeError: x or y is not real floating point.
        DeviceMismatchError: x and y are on two devices.
        RepresentationError: ``rep_x`` or ``rep_y`` is something else.

    Warns:
        NumericalWarning: coordinates of x that are not zero count as zero under the default of rcond. They are much
            smaller than the others, and the group does not mix them with the others.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(3).regular_representation
        >>> x = torch.tensor([[1.0, 0.0, 0.0]])
        >>> lstsq(x, x.roll(1, 1), regular, regular).round().abs()  # one sample determines a circulant matrix
        tensor([[0., 0., 1.],
                [1., 0., 0.],
                [0., 1., 0.]])
    """
    ridge = check_number(ridge, what="ridge", remedy="It is relative to the mean variance of x.")
    x, y = paired_samples(x, y, rep_x, rep_y)
    relative = torch.finfo(x.dtype).eps * rep_x.size if rcond is None else rcond
    relative = check_number(
        relative, what="rcond", below=1, remedy="It is relative to the largest singular value of the data."
    )
    unit_x, unit_y, unit, weight = power_of_two(x), power_of_two(y), x.new_ones(()), None
    x, y = x / unit_x, y / unit_y
    if ridge:
        mean_square, root = x.square().sum() / rep_x.size, min(ridge**0.5, torch.finfo(x.dtype).max)
        unit = power_of_two(root * mean_square.sqrt()).clamp(min=1)  # a large ridge must not overflow
        x, weight = x / unit, mean_square * (root / unit).square()
    problems = [_Problem.of(shared, weight) for shared in shared_components(x, y, rep_x, rep_y)]
    if not problems:
        return x.new_zeros(rep_y.size, rep_x.size)
    cutoff = relative * torch.stack([problem.largest for problem in problems]).max()
    if rcond is None and not hidden(x) and not all(problem.is_well_conditioned(cutoff) for problem in problems):
        _warn_of_small(x, rep_x, cutoff, unit_x * unit)
    coefficients = [problem.coefficients(cutoff).flatten() for problem in problems]
    return HomBasis(rep_x, rep_y).synthesize(torch.cat(coefficients)) / unit * (unit_y / unit_x)


def _warn_of_small(x: Tensor, rep: Representation, cutoff: Tensor, unit_x: Tensor) -> None:
    """Warn of copies of a block whose norm is at most the cutoff and not zero."""
    for (columns, basis), block in zip(constants(rep, x.dtype, x.device).blocks, rep.blocks, strict=True):
        norms = torch.linalg.vector_norm(x.detach()[:, columns].unflatten(1, (-1, len(basis))), dim=(0, 2))
        small = ((norms > 0) & (norms <= cutoff)).nonzero().flatten().tolist()
        if small:
            which, norm = block.indices[small[0]].tolist(), float(norms[small[0]] * unit_x)
            warn(
                f"Coordinates {which} of x, of norm {norm:.3g}, lie below rcond times the largest singular value of x, "
                f"{float(cutoff * unit_x):.3g}, and count as zero. Scale them, or pass a smaller rcond."
            )


@dataclass(frozen=True)
class _Problem:
    r"""Least squares in one isotypic component, with regressors :math:`E_s x_i`.

    Attributes:
        shared: the data.
        ridge: λ or None. The norm of a block of A is √d times that of its coefficients.
        G: Gram matrix (s·m_x, s·m_x) of the regressors, with the ridge.
        H: products (s·m_x, m_y) of the regressors with y.
        spectrum: eigenvalues of G, ascending.
    """

    shared: SharedComponent
    ridge: Tensor | None
    G: Tensor
    H: Tensor
    spectrum: Tensor

    @classmethod
    def of(cls, shared: SharedComponent, ridge: Tensor | None) -> "_Problem":
        X, Y, E = shared.X, shared.Y, shared.endomorphisms
        s, m_x = len(E), len(X)
        H = cross_moments(X, Y, E).mT.reshape(s * m_x, -1)
        own = cross_moments(X, X, E)
        # ⟨E_s x_i, E_t x_j⟩ = Σ_u γ_stu ⟨x_i, E_u x_j⟩ with the structure constants E_sᵀ E_t = Σ_u γ_stu E_u
        structure = (E.mT[:, None] @ E).flatten(2) @ E.flatten(1).mT / shared.irrep.size
        G = torch.einsum("stu,uij->sitj", structure, own).reshape(s * m_x, s * m_x)
        if ridge is not None:
            G = G + (ridge * shared.irrep.size).to(G.dtype) * torch.eye(len(G), dtype=G.dtype, device=G.device)
        return cls(shared, ridge, G, H, torch.linalg.eigvalsh(G.detach()))

    @property
    def largest(self) -> Tensor:
        """Largest singular value of the regressors over √d."""
        return (self.spectrum[-1].clamp(min=0) / self.shared.irrep.size).sqrt()

    def coefficients(self, cutoff: Tensor) -> Tensor:
        """Return the coefficients (m_y, m_x, s) times √d, the norm of an endomorphism."""
        solution = self._solve(cutoff).to(self.G.dtype)
        return solution.unflatten(0, (-1, len(self.shared.X))).permute(2, 1, 0) * self.shared.irrep.size**0.5

    def _solve(self, cutoff: Tensor) -> Tensor:
        """Return the solution (s·m_x, m_y) without singular values of at most √d times the cutoff."""
        if not hidden(self.spectrum) and self.is_well_conditioned(cutoff):
            return torch.cholesky_solve(self.H, torch.linalg.cholesky(self.G))
        if self.G.dtype == torch.float32:
            return _Problem.of(self.shared.double(), self.ridge)._solve(cutoff)
        return self._by_svd(cutoff)

    def is_well_conditioned(self, cutoff: Tensor) -> bool:
        """Whether no singular value is cut off, and the normal equations lose at most a third of the digits."""
        smallest, largest = float(self.spectrum[0]), float(self.spectrum[-1])
        lost = torch.finfo(self.G.dtype).eps ** (1 / 3) * largest
        return smallest > max(self.shared.irrep.size * float(cutoff) ** 2, lost)

    def _by_svd(self, cutoff: Tensor) -> Tensor:
        design = torch.cat(apply_endomorphisms(self.shared.X, self.shared.endomorphisms)).mT
        target = self.shared.Y.flatten(1).mT
        if self.ridge is not None:
            n = design.shape[1]
            weights = torch.eye(n, dtype=design.dtype, device=design.device)
            design = torch.cat([design, (self.ridge * self.shared.irrep.size).sqrt().to(design.dtype) * weights])
            target = torch.cat([target, target.new_zeros(n, target.shape[1])])
        cutoff = cutoff.to(design.dtype) * self.shared.irrep.size**0.5
        return torch.linalg.pinv(design, atol=cutoff, rtol=torch.zeros_like(cutoff)) @ target
