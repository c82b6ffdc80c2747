"""Least squares over equivariant maps."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isospan._checks import check_ridge
from isospan.errors import OptionError
from isospan.representations import Representation
from isospan.symmetric._inputs import paired_samples
from isospan.symmetric.projections import equivariant_maps
from isospan.symmetric.second_moments import SharedComponent, cross_moments, shared_components, turned


def lstsq(
    x: Tensor,
    y: Tensor,
    rep_x: Representation,
    rep_y: Representation,
    *,
    ridge: float = 0.0,
    rcond: float | None = None,
) -> Tensor:
    r"""Return the equivariant map A (D_y, D_x) with y ≈ A x that fits best; of several, the one of least norm.

    .. math:: A = \arg\min_{A \rho_x(g) = \rho_y(g) A} \; \|Y - X A^\top\|_F^2 + \text{ridge} \, \|A\|_F^2

    It is the solution of ordinary least squares on the augmented data set, where every g acts on x and y together. By
    Schur's lemma the problem falls into one for every irrep that both share, with m_x s unknowns for each of the m_y
    copies in y, and d N rows. Each is solved by its normal equations where these lose at most a third of the digits,
    in float64 where they lose more, and by a singular value decomposition where that is not enough. Data are not
    centred.

    Args:
        x: samples (N, D_x) or (N, D_x, T).
        y: samples (N, D_y) or (N, D_y, T).
        rep_x: how the group acts on x.
        rep_y: how it acts on y.
        ridge: weight of the norm of A, at least 0, in the squared units of x.
        rcond: singular values of the data below rcond times the largest, over all irreps that both share, count as
            zero; by default eps · max(N, D_x).

    Raises:
        GroupMismatchError: representations of two groups.
        OptionError: a negative ridge or rcond.
        ShapeError, DegenerateDataError, NonFiniteError, DtypeError, DeviceMismatchError: what the message says.

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
    check_ridge(ridge)
    x, y = paired_samples(x, y, rep_x, rep_y)
    rcond = torch.finfo(x.dtype).eps * max(x.shape) if rcond is None else rcond
    if not rcond >= 0:
        raise OptionError(f"rcond must be at least 0, got {rcond}.")
    problems = [_Problem.of(shared, ridge) for shared in shared_components(x, y, rep_x, rep_y)]
    cutoff = rcond * max((problem.largest for problem in problems), default=0.0)
    coefficients = [problem.coefficients(cutoff).flatten() for problem in problems]
    return equivariant_maps(rep_x, rep_y).synthesize(torch.cat([x.new_zeros(0), *coefficients]))


@dataclass(frozen=True)
class _Problem:
    r"""Least squares in one isotypic component, with regressors :math:`E_s x_i`.

    Attributes:
        shared: the data.
        ridge: weight of the norm of A; the norm of the irrep's block is √d times that of its coefficients.
        G: Gram matrix (s·m_x, s·m_x) of the regressors, with the ridge.
        H: their products (s·m_x, m_y) with y.
        spectrum: eigenvalues of G, ascending.
    """

    shared: SharedComponent
    ridge: float
    G: Tensor
    H: Tensor
    spectrum: Tensor

    @classmethod
    def of(cls, shared: SharedComponent, ridge: float) -> "_Problem":
        X, Y, E = shared.X, shared.Y, shared.endomorphisms
        s, m_x = len(E), len(X)
        H = cross_moments(X, Y, E).mT.reshape(s * m_x, -1)
        own = cross_moments(X, X, E)
        # ⟨E_s x_i, E_t x_j⟩ = Σ_u γ_stu ⟨x_i, E_u x_j⟩ with the structure constants γ of the algebra
        constants = torch.einsum("sab,tac,ubc->stu", E, E, E) / shared.irrep.size
        G = torch.einsum("stu,uij->sitj", constants, own).reshape(s * m_x, s * m_x)
        G = G + ridge * shared.irrep.size * torch.eye(len(G), dtype=G.dtype, device=G.device)
        return cls(shared, ridge, G, H, torch.linalg.eigvalsh(G.detach()))

    @property
    def largest(self) -> float:
        """Largest singular value of the regressors, per root of the dimension."""
        return float((self.spectrum[-1].clamp(min=0) / self.shared.irrep.size).sqrt())

    def coefficients(self, cutoff: float) -> Tensor:
        """C (m_y, m_x, s) times √d, the norm of an endomorphism."""
        root = self.shared.irrep.size**0.5
        solution = self._solve(cutoff * root).to(self.G.dtype)
        return solution.unflatten(0, (-1, len(self.shared.X))).permute(2, 1, 0) * root

    def _solve(self, cutoff: float) -> Tensor:
        """Solution (s·m_x, m_y) without singular values up to the cutoff."""
        smallest, largest = float(self.spectrum[0]), float(self.spectrum[-1])
        lost = torch.finfo(self.G.dtype).eps ** (1 / 3)
        if smallest > max(cutoff**2, lost * largest):
            return torch.cholesky_solve(self.H, torch.linalg.cholesky(self.G))
        if self.G.dtype == torch.float32:
            return _Problem.of(self.shared.double(), self.ridge)._solve(cutoff)
        return self._by_svd(cutoff)

    def _by_svd(self, cutoff: float) -> Tensor:
        design = torch.cat(turned(self.shared.X, self.shared.endomorphisms)).mT
        target = self.shared.Y.flatten(1).mT
        if self.ridge:
            n = design.shape[1]
            weights = (self.ridge * self.shared.irrep.size) ** 0.5 * torch.eye(n, dtype=design.dtype)
            design = torch.cat([design, weights.to(design)])
            target = torch.cat([target, target.new_zeros(n, target.shape[1])])
        return torch.linalg.pinv(design, atol=cutoff, rtol=0.0) @ target
