"""Excess leakage: R² of quantity i from the subspace of j, minus R² of i from the target of j."""

import torch
from torch import Tensor

from isospan.linalg import solve_gram
from isospan.moments import Moments


def leakage_forms(moments: Moments, *, ridge: float) -> dict[str, Tensor]:
    r"""Return, for each quantity q, the quadratic form of the excess leakage from its subspace.

    With :math:`T_{iq} = C_{qq}^{-1} C_{qi}` the linear prediction of :math:`y_i` from :math:`y_q`, what is left is
    :math:`r_{iq} = y_i - T_{iq}^\top y_q`, and :math:`N_{iq} = C_{zi} - C_{zq} T_{iq}` its covariance with the latents.
    Coordinates :math:`W z` explain :math:`\operatorname{tr}[(W C_{zz} W^\top)^{-1} W L_q W^\top]` of its variance, with

    .. math:: L_q = \sum_{i \ne q} \frac{N_{iq} N_{iq}^\top}{\operatorname{tr} C_{ii}}

    in units of the variance of :math:`y_i`. This is the sum over i of R² of :math:`y_i` from the subspace and
    :math:`y_q` together, minus R² from :math:`y_q` alone.

    Where samples lack some quantities, a term is of the samples that have both. It is 0 where none have: what one
    quantity tells of the other is then not known.

    Args:
        moments: with ``target_covariance=True``.
        ridge: of the predictions T, relative to the mean variance of y_q.

    Returns:
        {name: L (D, D)}, symmetric positive semi-definite; zero for a single quantity.

    Example:
        >>> import torch
        >>> z = torch.randn(1000, 3, dtype=torch.float64)
        >>> moments = Moments.of(z, {"a": z[:, :1], "b": z[:, 1:2]}, target_covariance=True)
        >>> leakage_forms(moments, ridge=0.0)["a"].diagonal().round()
        tensor([0., 1., 0.], dtype=torch.float64)
    """
    C_zy, C_yy = moments.cov_zy, moments.cov_yy
    forms = {}
    for q in moments.names:
        forms[q] = torch.zeros_like(moments.scatter_zz)
        for i in moments.names:
            if i == q:
                continue
            if moments.missing == "skip":
                forms[q] += _form_of_overlap(moments.overlap(q, i), moments.target_dims[q], ridge)
                continue
            N = C_zy[i] - C_zy[q] @ solve_gram(C_yy[q, q], C_yy[q, i], ridge=ridge)
            forms[q] += N @ N.mT / C_yy[i, i].trace()
    return forms


def _form_of_overlap(both: Moments, P: int, ridge: float) -> Tensor:
    """Return a term of L_q over the samples that have both quantities, the first of P entries; 0 where none have."""
    scatter, cross = both.scatter_zz, both.scatter_zy.mT
    N = cross[:, P:] - cross[:, :P] @ solve_gram(scatter[:P, :P], scatter[:P, P:], ridge=ridge)
    total = both.count * scatter[P:, P:].trace()
    return N @ N.mT / total if float(total) > 0 else torch.zeros_like(N @ N.mT)
