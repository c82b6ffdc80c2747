"""Latent spaces of data, or of their second moments."""

from collections.abc import Mapping

import torch
from torch import Tensor

from isospan._core.checks import check_flag, check_latents, check_named, working_dtype
from isospan._core.labels import check_classes, infer_classes, is_label
from isospan._core.missing import Missing
from isospan.moments import Moments, check_moments
from isospan.subspaces._criteria import Method
from isospan.subspaces._decoders import decoders_from_moments
from isospan.subspaces._error_bars import residual_std
from isospan.subspaces._latent_space import LatentSpace
from isospan.subspaces._solve import (
    checked_separation,
    default_separation,
    needs_target_covariance,
    standardised_bases,
    target_scales,
)


def solve_subspaces(
    z: Tensor,
    y: Mapping[str, Tensor],
    k: int | Mapping[str, int] | None = None,
    *,
    method: Method = "regression",
    orthogonal: bool = False,
    separation: float | None = None,
    previous: LatentSpace | Mapping[str, Tensor] | None = None,
    ridge: float = 1e-3,
    missing: Missing = "raise",
    classes: Mapping[str, int] | None = None,
    weights: Tensor | None = None,
) -> LatentSpace:
    r"""Solve a subspace and a linear decoder for every quantity.

    With the cross-covariance :math:`C = Z_c^\top Y_c` of latents and a quantity, and the coordinates
    :math:`S_q = Z_c W_q^\top`, the k rows of W are

    - ``"regression"``: the subspace from which the quantity is decoded best (reduced-rank regression).
    - ``"covariance"``: the leading left singular vectors of C (partial least squares, PLSSVD without scaling). Latent
      directions of large variance come first.
    - ``"correlation"``: the subspace of the leading canonical correlations (regularised CCA). All independent
      components of the quantity have the same weight.

    Quantities are standardised before the solve, so the result does not depend on their units.

    Class labels, integers or booleans (B,), are quantities, too: the indicators (B, C) of their classes. ``decode``
    gives a score for each class, and its argmax is the class.

    Args:
        z: latents (B, D), B ≥ 2.
        y: quantities {name: (B, ...)}; flattened to (B, P).
        k: subspace dimension, one for all or {name: k}; by default 32. At most min(D, P), for P entries of the
            quantity, and C - 1 for C classes: a larger k is reduced, with a
            :class:`~isospan.errors.NumericalWarning`; the default silently.
        method: what the subspace maximises.
        orthogonal: make the subspaces of different quantities mutually orthogonal (a partition). They are solved
            jointly: the sum of their explained variances is maximised, whatever the order of names.
        separation: with ``orthogonal=True`` and ``"regression"``, this times the excess leakage is subtracted from the
            explained variance. It keeps a subspace from holding what belongs to other quantities. By default 1 where
            it applies, else 0.
        previous: a :class:`LatentSpace` or bases {name: (k, D)}. Every new basis is rotated within its subspace onto
            the previous one (Procrustes), so coordinates keep their meaning between solves.
        ridge: relative to the mean variance. ``"regression"`` adds it to the latent covariance, ``"correlation"`` to
            both covariances, and the decoders to the covariance of the coordinates.
        missing: ``"raise"`` an error where a quantity has NaN; or ``"skip"`` these samples, quantity by quantity, and
            those with a negative label. Subspace and decoder of a quantity are then those of the samples that have it.
        classes: number of classes {name: C} of quantities of labels, as in :meth:`isospan.moments.Moments.of`.
        weights: of the samples (B,), at least 0; by default 1 each.

    Returns:
        The latent space, in the dtype of z (float32 for half precision), without gradient. All is solved in float64
        from :class:`isospan.moments.Moments`. Only the products of z with y have the precision of the result: pass
        float64 latents, or use :func:`solve_from_moments`, to have them in float64.

    Raises:
        DegenerateDataError: fewer than two samples, constant latents or a constant quantity.
        DimensionError: k < 1, or a sum of k above D with ``orthogonal=True``.
        NameMismatchError: k or previous name other quantities than y.
        ShapeError: z is no matrix (B, D), or a quantity has another number of samples.
        NonFiniteError: z or a quantity contains NaN or infinity, or is so large that its square would be.
        DtypeError: z or a quantity is not floating point, or integers may be numbers or class labels.
        DeviceMismatchError: a quantity is on another device than z.
        OptionError: an unknown method, a ridge below 0, a separation without an orthogonal regression, a label outside
            its classes, or a negative weight.

    Warns:
        NumericalWarning: k was reduced, or C has lower rank than k; the basis is then completed to k rows.

    Source: Izenman 1975 (reduced-rank regression); Wold 1975 and Bookstein 1994 (PLSSVD); Vinod 1976 (ridge CCA).

    Example:
        >>> import torch
        >>> z = torch.randn(200, 6)
        >>> solve_subspaces(z, {"a": z[:, :2] ** 3, "b": z[:, 2:5].sum(1)}, k={"a": 2, "b": 1})
        LatentSpace(latent_dim=6, k={'a': 2, 'b': 1}, shapes={'a': (2,), 'b': ()})

        Every tenth sample has a class label, the others -1:

        >>> label = z[:, :3].argmax(1).where(torch.arange(200) % 10 == 0, -1)
        >>> space = solve_subspaces(z, {"class": label}, k=2, missing="skip")
        >>> space.decode(z)["class"].argmax(1).shape
        torch.Size([200])
    """
    z = check_latents(z, finite=False)
    if separation is None:
        separation = default_separation(method, orthogonal, len(y) if isinstance(y, Mapping) else 0)
    separation = checked_separation(method, orthogonal, separation)
    classes = infer_classes(y, classes)
    moments = Moments.of(
        z,
        y,
        target_covariance=needs_target_covariance(method, separation),
        precision=working_dtype(z),
        missing=missing,
        classes=classes,
        weights=weights,
    )
    space = solve_from_moments(
        moments,
        k,
        shapes={name: (classes[name],) if is_label(y[name]) else tuple(y[name].shape[1:]) for name in moments.names},
        classes=classes,
        method=method,
        orthogonal=orthogonal,
        separation=separation,
        previous=previous,
        ridge=ridge,
    )
    return space.to(dtype=working_dtype(z))


@torch.no_grad()
def solve_from_moments(
    moments: Moments,
    k: int | Mapping[str, int] | None = None,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    method: Method = "regression",
    orthogonal: bool = False,
    separation: float | None = None,
    previous: LatentSpace | Mapping[str, Tensor] | None = None,
    ridge: float = 1e-3,
    classes: Mapping[str, int] | None = None,
) -> LatentSpace:
    """Return the :func:`solve_subspaces` of the data of the moments, in float64.

    One batch, a stream, or the moments of several processes merged give the same answer. The data need not fit in
    memory.

    Args:
        moments: of latents and quantities. ``method="correlation"``, and a separation above 0, need
            ``target_covariance=True``.
        k: subspace dimension, one for all or {name: k}; by default 32.
        shapes: shape of one target of each quantity; (P,) by default.
        method: as in :func:`solve_subspaces`.
        orthogonal: as in :func:`solve_subspaces`.
        separation: as in :func:`solve_subspaces`.
        previous: as in :func:`solve_subspaces`.
        ridge: as in :func:`solve_subspaces`.
        classes: number of classes {name: C} of the quantities that are class labels; the moments do not say which.

    Raises:
        DegenerateDataError, DimensionError, NameMismatchError, OptionError: as in :func:`solve_subspaces`.
        ShapeError: a shape is none, or has another number of entries than the quantity.

    Example:
        >>> import torch
        >>> z = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
        >>> batches = ((part, {"heat": 3 * part[:, 0] + 20}) for part in z.split(50))
        >>> space = solve_from_moments(Moments.of_batches(batches), k=1, shapes={"heat": ()}, ridge=0.0)
        >>> torch.allclose(space.decode(z)["heat"], 3 * z[:, 0] + 20, atol=1e-5)
        True
    """
    check_moments(moments)
    check_flag(orthogonal, what="orthogonal")
    if shapes is not None:
        check_named(moments.names, shapes, what="shapes", against="the moments")
    classes = check_classes(classes, moments.names, of="the moments")
    W = standardised_bases(
        moments,
        k,
        method=method,
        orthogonal=orthogonal,
        separation=separation,
        previous=previous,
        ridge=ridge,
        classes=classes,
    )
    return space_of_bases(moments, W, shapes=shapes, ridge=ridge, classes=classes)


def space_of_bases(
    moments: Moments,
    W: Mapping[str, Tensor],
    *,
    shapes: Mapping[str, tuple[int, ...]] | None,
    ridge: float,
    classes: Mapping[str, int] | None = None,
) -> LatentSpace:
    r"""Return the latent space of these bases, with the decoders, means, scales and covariance of the moments.

    Where samples lack some quantities, a decoder is about the means of those that have y. The means of the space are of
    all latents, and of what is decoded there, :math:`\bar y_q + (\bar z - \bar z_q) W_q^\top A_q`.
    """
    scale, mean = target_scales(moments), moments.y_mean
    A = decoders_from_moments(moments, W, ridge=ridge)
    labelled = {name: moments.labelled(name) for name in W}
    if moments.missing == "skip":
        shift = {name: moments.z_mean - own.z_mean for name, own in labelled.items()}
        mean = {name: mean[name] + shift[name] @ W[name].double().mT @ A[name] for name in W}
    return LatentSpace(
        W=W,
        A=A,
        z_mean=moments.z_mean.clone(),
        y_mean={name: mean[name].clone() for name in W},
        y_scale={name: scale[name] for name in W},
        shapes={name: (P,) if shapes is None else shapes[name] for name, P in moments.target_dims.items()},
        cov_zz=moments.cov_zz,
        residual_std=residual_std(moments, W, A),
        n_samples={name: float(own.count) for name, own in labelled.items()},
        classes=classes or {},
    )
