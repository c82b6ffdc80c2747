"""Scores of a latent space on held-out data."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from math import isnan
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from isospan._core.checks import check_names, check_ridge
from isospan._core.labels import is_label
from isospan._core.missing import Missing
from isospan._core.samples import Checked, checked_samples
from isospan._core.warnings import warn
from isospan.errors import DegenerateDataError, ShapeError
from isospan.evaluation._probes import SAMPLES_PER_INPUT, Pair, Probe, determined
from isospan.evaluation._scores import squared_deviation, stored_r2
from isospan.linalg import orthonormal_rows, principal_angles, symmetric_spectrum
from isospan.moments import Moments, merged
from isospan.subspaces import LatentSpace

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

SCORES = ("subspace_r2", "rank_k_probe_r2", "linear_probe_r2", "decoder_r2")
"""Attributes with one R² a quantity."""

ACCURACIES = ("accuracy", "balanced_accuracy")
"""Attributes with one fraction for each quantity of class labels."""

LONGEST_NAME = 18
"""Letters of a name in a printed evaluation, so that a line fits into 120 columns."""

LEFT_OUT = 0.05
"""R² by which the full linear probe is above the best rank-k probe where k is too small."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    r"""Scores of a latent space on data to which no probe was fitted.

    .. math:: R^2 = 1 - \sum \|y-\hat y\|^2 / \sum \|y-\bar y\|^2

    over all entries of a quantity together. A score is NaN if its probe was fitted to fewer than two samples for each
    input, since such a probe fits noise. Inputs that are constant or repeat others do not count.

    Attributes:
        names: names of the quantities, in the order of the matrices below.
        subspace_r2: of a linear probe of the coordinates in the quantity's subspace.
        rank_k_probe_r2: of the best rank-k probe of the whole latent.
        linear_probe_r2: of the full linear probe of the whole latent.
        decoder_r2: of the stored decoder, with the means and scales of the space.
        cross_r2: (Q, Q), [i, j]: quantity i from the subspace of j.
        target_r2: (Q, Q), [i, j]: quantity i from the true quantity j.
        angles: principal angles of each pair (i, j), degrees, ascending.
        variance_share: fraction of the latent variance inside each subspace, and outside all of them ("free").
        spectrum: standard deviations of the free part along its principal axes, descending.
        n_samples: how many samples were scored, or the sum of their weights.
        k: dimension of each subspace, the rank of ``rank_k_probe_r2``.
        accuracy: fraction of the samples whose class has the largest score of the stored decoder {name: fraction}, of
            quantities that are class labels. Not from moments alone.
        balanced_accuracy: mean over the classes that occur of this fraction, so that guessing has 1/C.
    """

    names: tuple[str, ...]
    subspace_r2: dict[str, float]
    rank_k_probe_r2: dict[str, float]
    linear_probe_r2: dict[str, float]
    decoder_r2: dict[str, float]
    cross_r2: Tensor
    target_r2: Tensor
    angles: dict[tuple[str, str], Tensor]
    variance_share: dict[str, float]
    spectrum: Tensor
    n_samples: int
    k: dict[str, int] = field(default_factory=dict)
    accuracy: dict[str, float] = field(default_factory=dict)
    balanced_accuracy: dict[str, float] = field(default_factory=dict)

    @property
    def left_out(self) -> dict[str, float]:
        r"""R² that k leaves out, {name: difference}, of the quantities whose k is too small for any subspace.

        .. math:: R^2_\text{full linear probe} - R^2_\text{best rank-k probe} > 0.05

        Example:
            >>> import torch
            >>> from isospan.guided import SpaceObjective
            >>> z = torch.randn(400, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            >>> z = z * torch.tensor([2.0, 1.0, 1.0, 1.0])  # the first direction has 4/7 of the variance
            >>> objective = SpaceObjective({"all": 1, "first": 1}, latent_dim=4)
            >>> y = {"all": z, "first": z[:, :1]}
            >>> _ = objective.solve(z, y)
            >>> evaluation = evaluate(objective.space, z, y)
            >>> {name: round(gap, 2) for name, gap in evaluation.left_out.items()}
            {'all': 0.42}
            >>> evaluation.left_out_notes
            ['all: k = 1 leaves out 0.42, since the best rank-k probe has R² 0.58 and the full ... 1.00. Raise k.']
        """
        gaps = {name: self.linear_probe_r2[name] - self.rank_k_probe_r2[name] for name in self.names}
        return {name: gap for name, gap in gaps.items() if gap > LEFT_OUT}

    @property
    def left_out_notes(self) -> list[str]:
        """A sentence for each quantity of :attr:`left_out`."""
        return [
            f"{name}: k = {self.k.get(name, '?')} leaves out {gap:.2f}, since the best rank-k probe has R² "
            f"{self.rank_k_probe_r2[name]:.2f} and the full linear probe {self.linear_probe_r2[name]:.2f}. Raise k."
            for name, gap in self.left_out.items()
        ]

    @property
    def excess_leakage(self) -> Tensor:
        """(Q, Q), [i, j]: R² of quantity i from the subspace of j, minus R² of i from the true j.

        A held-out R² below 0 is of a probe that overfits, and counts as 0. The diagonal is NaN.
        """
        excess = self.cross_r2.clamp(min=0) - self.target_r2.clamp(min=0)
        return excess.masked_fill(torch.eye(len(self.names), dtype=torch.bool), float("nan"))

    @property
    def max_excess_leakage(self) -> float:
        """The largest off-diagonal excess leakage; NaN for a single quantity, or if all are NaN."""
        return _largest_known(self.excess_leakage.flatten())

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, lists and dicts, ready for JSON."""
        return {
            "names": list(self.names),
            "n_samples": self.n_samples,
            **{key: dict(getattr(self, key)) for key in ("k", *SCORES, "left_out", "variance_share")},
            **{key: dict(getattr(self, key)) for key in ACCURACIES if self.accuracy},
            **{key: getattr(self, key).tolist() for key in ("cross_r2", "target_r2", "excess_leakage", "spectrum")},
            "angles_deg": {f"{i} | {j}": angles.tolist() for (i, j), angles in self.angles.items()},
        }

    def to_frame(self) -> "DataFrame":
        """Return one row a quantity (needs pandas)."""
        from pandas import DataFrame

        return DataFrame(self._columns(), index=list(self.names))

    def __repr__(self) -> str:
        """Return a table with a line for each quantity, at most 120 columns wide.

        Example:
            >>> import torch
            >>> from isospan.subspaces import solve_from_moments
            >>> z = torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            >>> y = {"sum": z.sum(1), "first": z[:, 0]}
            >>> evaluate(solve_from_moments(Moments.of(z, y), k=1), z, y)
            Evaluation of 200 samples
            quantity  k  subspace_r2  rank_k_probe_r2  linear_probe_r2  decoder_r2  variance_share  max_excess_leakage
            sum       1        1.000            1.000            1.000       1.000           0.324               0.000
            first     1        1.000            1.000            1.000       1.000           0.332               0.000
        """
        columns = {
            heading: [_short(values[name]) for name in self.names] for heading, values in self._columns().items()
        }
        columns = {"k": [str(self.k.get(name, "?")) for name in self.names]} | columns
        cells = [["quantity", *map(_cut, self.names)], *([heading, *values] for heading, values in columns.items())]
        widths = [max(map(len, column)) for column in cells]
        lines = [
            "  ".join([name.ljust(widths[0]), *map(str.rjust, values, widths[1:])])
            for name, *values in zip(*cells, strict=True)
        ]
        return "\n".join([f"Evaluation of {self.n_samples} samples", *lines, *self.accuracy_notes])

    @property
    def accuracy_notes(self) -> list[str]:
        """A sentence for each quantity of class labels."""
        return [
            f"{_cut(name)}: the largest score is that of the class in {self.accuracy[name]:.3f} of the samples, and in "
            f"{self.balanced_accuracy[name]:.3f} as a mean over the classes"
            for name in self.accuracy
        ]

    def _columns(self) -> dict[str, dict[str, float]]:
        """Scores, fraction of the latent variance and largest excess leakage, by quantity."""
        worst = [_largest_known(row) for row in self.excess_leakage]
        return {
            **{key: getattr(self, key) for key in SCORES},
            "variance_share": {name: self.variance_share.get(name, float("nan")) for name in self.names},
            "max_excess_leakage": dict(zip(self.names, worst, strict=True)),
        }

    def plot(self) -> "Figure":
        """Draw ``cross_r2``, ``target_r2`` and the excess leakage (needs matplotlib)."""
        from isospan.plotting import plot_cross_decodability

        return plot_cross_decodability(self)


@torch.no_grad()
def evaluate(
    space: LatentSpace,
    z: Tensor,
    y: Mapping[str, Tensor],
    *,
    fit: tuple[Tensor, Mapping[str, Tensor]] | None = None,
    ridge: float = 1e-6,
    missing: Missing = "raise",
    weights: Tensor | None = None,
) -> Evaluation:
    r"""Score a latent space on held-out latents and targets.

    All probes are linear least squares with means, fitted to ``fit`` and scored on (z, y). Without ``fit``, each half
    of the data is scored by probes fitted to the other half. Scores are computed in float64 from second moments;
    :func:`evaluate_moments` is for data that do not fit in memory. Probes with too few samples have the score NaN.

    The best rank-k probe (reduced-rank regression) is :math:`B V_k V_k^\top` with the full-rank solution B and the k
    leading eigenvectors V_k of the fitted values' covariance :math:`B^\top C_{zz} B`.

    Args:
        space: the latent space.
        z: latents (B, D).
        y: true quantities {name: (B, ...)}, in their units; integers or booleans (B,) are class labels.
        fit: (z, y) of the data to which the probes are fitted.
        ridge: relative to the mean variance of the inputs of a probe.
        missing: ``"raise"`` an error where a quantity has NaN; or ``"skip"`` these samples, quantity by quantity, and
            those with a negative label. A score of one quantity from another is of the samples that have both.
        weights: of the samples (B,) to score, at least 0; by default 1 each. Those of ``fit`` weigh the same.

    Raises:
        ShapeError: the sizes of z, y or ``fit`` differ from those of the space.
        DegenerateDataError: fewer than two samples to fit or score, or a quantity that is constant where it is scored,
            or that no sample has.
        OptionError: a label outside its classes, or a negative weight.

    Warns:
        NumericalWarning: there are too few samples to fit some probes, so their scores are NaN.

    Example:
        >>> import torch
        >>> from isospan.guided import SpaceObjective
        >>> g = torch.Generator().manual_seed(0)
        >>> z = torch.randn(400, 6, generator=g)
        >>> y = {"sum": z[:, :2].sum(1, keepdim=True), "last": z[:, 5:]}
        >>> objective = SpaceObjective({"sum": 1, "last": 1}, latent_dim=6)
        >>> _ = objective.solve(z, y)
        >>> round(evaluate(objective.space, z, y).subspace_r2["sum"], 3)
        1.0

        A tenth of the samples has labels:

        >>> from isospan.subspaces import solve_subspaces
        >>> label = (z[:, 0] > 0).long().where(torch.arange(400) % 10 == 0, -1)
        >>> space = solve_subspaces(z, {"sign": label}, k=1, missing="skip")
        >>> evaluate(space, z, {"sign": label}, missing="skip").accuracy["sign"] > 0.8
        True

    Source: Izenman, Reduced-rank regression for the multivariate linear model, 1975.
    """
    score = _checked(space, z, y, missing, weights)
    parts = [_checked(space, *fit, missing), score] if fit is not None else _halves(score)
    options: Any = {"target_covariance": len(space.names) > 1, "missing": missing}
    fitted, scored = (Moments.of(*part[:2], weights=part.weights, **options) for part in parts)
    folds = [(fitted, scored)] if fit is not None else [(scored, fitted), (fitted, scored)]
    evaluation = evaluate_moments(space, folds, ridge=ridge)
    labels = [name for name in space.names if name in space.classes or is_label(y[name])]
    return _with_accuracy(evaluation, space, [score], labels)


@torch.no_grad()
def with_accuracy(
    evaluation: Evaluation, space: LatentSpace, batches: Iterable[tuple[Tensor, Mapping[str, Tensor]]]
) -> Evaluation:
    """Return an evaluation with the accuracies of the class labels of a space, over batches (z, y).

    Samples with a negative label are left out.

    Example:
        >>> import torch
        >>> from isospan.subspaces import solve_subspaces
        >>> z = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
        >>> y = {"sign": (z[:, 0] > 0).long()}
        >>> space = solve_subspaces(z, y, k=1)
        >>> fold = Moments.of(z, y)
        >>> with_accuracy(evaluate_moments(space, [(fold, fold)]), space, [(z, y)]).accuracy["sign"] > 0.9
        True
    """
    if not space.classes:
        return evaluation
    checked = (_checked(space, z, y, "skip") for z, y in batches)
    return _with_accuracy(evaluation, space, checked, list(space.classes))


def _with_accuracy(
    evaluation: Evaluation, space: LatentSpace, batches: Iterable[Checked], labels: Sequence[str]
) -> Evaluation:
    """Of the largest score of the stored decoder, over the samples that have a label."""
    space, counts = space.to(dtype=torch.float64), dict[str, Tensor]()
    for z, flat, given in batches if labels else ():
        decoded = space.to(device=z.device).decode(z)
        for name in labels:
            rows = ~flat[name].isnan().any(1)
            hot, found = flat[name][rows], decoded[name][rows].argmax(1)
            weights = hot.new_ones(len(hot)) if given is None else given[rows]
            part = torch.stack([(weights * (hot.argmax(1) == found)) @ hot, weights @ hot])
            counts[name] = counts.get(name, 0) + part
    shares = {name: right[of > 0] / of[of > 0] for name, (right, of) in counts.items()}
    return replace(
        evaluation,
        accuracy={name: float(right.sum() / of.sum()) for name, (right, of) in counts.items()},
        balanced_accuracy={name: float(share.mean()) for name, share in shares.items()},
    )


@torch.no_grad()
def evaluate_moments(
    space: LatentSpace, folds: Sequence[tuple[Moments, Moments]], *, ridge: float = 1e-6
) -> Evaluation:
    """Score a latent space from second moments; see :func:`evaluate`.

    Args:
        space: the latent space.
        folds: (moments to fit, moments to score) of each fold; a score is over all folds together. Moments of more than
            one quantity need ``target_covariance=True``.
        ridge: relative to the mean variance of the inputs of a probe.

    Raises:
        DegenerateDataError: a quantity is constant where it is scored.
        NameMismatchError: the moments are of other quantities than the space.
        ShapeError: the moments have other sizes than the space.
        OptionError: the moments of several quantities lack ``target_covariance=True``.

    Warns:
        NumericalWarning: there are too few samples to fit some probes, so their scores are NaN.

    Example:
        >>> import torch
        >>> from isospan.subspaces import solve_from_moments
        >>> parts = torch.randn(2, 100, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> fit, score = (Moments.of_batches((z, {"sum": z.sum(1)}) for z in part.split(10)) for part in parts)
        >>> round(evaluate_moments(solve_from_moments(fit, k=1), [(fit, score)]).decoder_r2["sum"], 3)
        1.0
    """
    names = tuple(space.names)
    for moments in (part for fold in folds for part in fold):
        _check_moments(space, moments)
    whole = merged([score for _, score in folds])
    space = space.to(device=whole.z_mean.device, dtype=torch.float64)
    check_ridge(ridge)
    source = partial(_Source, folds, {name: squared_deviation(name, whole) for name in names}, whole, ridge=ridge)
    latents = source(Pair.of_latents)
    subspace = {name: source(partial(Pair.of_latents, W=W)) for name, W in space.W.items()}
    quantity = {name: source(partial(Pair.of_targets, source=name)) for name in names}
    cross = [[subspace[j].r2(i) for j in names] for i in names]
    target = [[1.0 if i == j else quantity[j].r2(i) for j in names] for i in names]
    share, spectrum = _variance(space, whole.cov_zz)
    evaluation = Evaluation(
        names=names,
        subspace_r2={name: cross[i][i] for i, name in enumerate(names)},
        rank_k_probe_r2={name: latents.r2(name, rank=len(W)) for name, W in space.W.items()},
        linear_probe_r2={name: latents.r2(name) for name in names},
        decoder_r2={name: stored_r2(space, whole, name) for name in names},
        cross_r2=torch.tensor(cross, dtype=torch.float64),
        target_r2=torch.tensor(target, dtype=torch.float64),
        angles=_angles(space.W),
        variance_share=share,
        spectrum=spectrum,
        n_samples=round(float(whole.count)),
        k={name: len(W) for name, W in space.W.items()},
    )
    _warn_of_unknown(evaluation, space, fitted=min(int(state["count"]) for fit, _ in folds for state in fit.states()))
    return evaluation


class _Source:
    """Probes with one input, fitted to one part of each fold and scored on the other."""

    def __init__(
        self,
        folds: Sequence[tuple[Moments, Moments]],
        total: Mapping[str, float],
        whole: Moments,
        pair_of: Callable[[Moments, str], Pair],
        *,
        ridge: float,
    ) -> None:
        self.folds, self.total, self.whole, self.pair_of, self.ridge = folds, total, whole, pair_of, ridge
        self._determined: dict[str, bool] = {}

    def determined(self, target: str) -> bool:
        """Whether every fold has enough samples; this depends on the quantity only where samples lack some."""
        target = target if self.whole.missing == "skip" else next(iter(self.total))
        if target not in self._determined:
            self._determined[target] = all(self._is_enough(fit, target) for fit, _ in self.folds)
        return self._determined[target]

    def _is_enough(self, fit: Moments, target: str) -> bool:
        if fit.missing == "skip" and not float(fit.labelled(target).count) > 0:
            return False
        pair = self.pair_of(fit, target)
        return determined(pair.count, pair.cov_xx, ridge=self.ridge)

    def r2(self, target: str, rank: int | None = None) -> float:
        """Return R² of a quantity over all folds together, by probes of a rank; NaN if there are too few samples."""
        if not self.determined(target):
            return float("nan")
        scored = [fold for fold in self.folds if fold[1].missing == "raise" or self._has(fold[1], target)]
        pairs = [(self.pair_of(fit, target), self.pair_of(score, target)) for fit, score in scored]
        errors = (Probe.fitted(fit, ridge=self.ridge, rank=rank).squared_error(score) for fit, score in pairs)
        if self.whole.missing == "raise":
            return 1 - sum(errors) / self.total[target]
        pair = self.pair_of(self.whole, target)  # of fewer samples than have the target, where the source lacks
        total = pair.count * float(pair.var_y.sum())
        return 1 - sum(errors) / total if total > 0 else float("nan")

    def _has(self, score: Moments, target: str) -> bool:
        return float(score.labelled(target).count) > 0 and self.pair_of(score, target).count > 0


def _checked(
    space: LatentSpace, z: Tensor, y: Mapping[str, Tensor], missing: Missing, weights: Tensor | None = None
) -> Checked:
    classes = {name: len(mean) for name, mean in space.y_mean.items()}
    z, flat, weights = checked_samples(z, y, classes=classes, missing=missing, weights=weights)
    space.check_width(z)
    check_names(space.names, flat, what="Targets", against="the space")
    for name in space.names:
        if flat[name].shape[1] != (P := len(space.y_mean[name])):
            raise ShapeError(
                f"Targets of quantity {name!r} must have P = {P} entries, as in the space, got shape "
                f"{tuple(y[name].shape)}. Pool them as in training."
            )
    return Checked(z.double(), {name: flat[name].double() for name in space.names}, weights)


def _check_moments(space: LatentSpace, moments: Moments) -> None:
    check_names(space.names, moments.names, what="The moments", against="the space")
    expected = (space.latent_dim, {name: len(space.y_mean[name]) for name in space.names})
    if (moments.latent_dim, moments.target_dims) != expected:
        raise ShapeError(
            f"Moments must have the sizes (D, {{name: P}}) = {expected} of the space, got "
            f"{(moments.latent_dim, moments.target_dims)}. Collect them from the latents and targets of the space."
        )


def _warn_of_unknown(evaluation: Evaluation, space: LatentSpace, *, fitted: int) -> None:
    """Warn of probes with too few samples, with the number that is enough for all."""
    k = {name: len(space.W[name]) for name, r2 in evaluation.subspace_r2.items() if isnan(r2)}
    D = space.latent_dim if any(map(isnan, evaluation.linear_probe_r2.values())) else 0
    unknown = evaluation.target_r2.isnan().any(0).tolist()
    P = {name: len(space.y_mean[name]) for name, short in zip(evaluation.names, unknown, strict=True) if short}
    if not (k or D or P):
        return
    enough = max(3, SAMPLES_PER_INPUT * max([D, *k.values(), *P.values()]))
    short = [f"the subspaces of {_sized('k', k)}"] * bool(k) + [f"the whole latent of D = {D}"] * bool(D)
    short += [f"the true {_sized('P', P)}"] * bool(P)
    warn(
        f"Probes are fitted on {fitted} samples, too few to read from {' and '.join(short)}: their scores are NaN. "
        f"{enough} are enough for all, {enough / max(fitted, 1):.3g} times as many"
        + ("; or pool these quantities to fewer entries." if P else ".")
    )


def _sized(symbol: str, sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name!r} ({symbol} = {size})" for name, size in sizes.items())


def _short(value: float) -> str:
    return f"{round(value, 3) + 0.0:.3f}" if abs(value) < 1000 else f"{value:.3g}"  # + 0.0: no negative zero


def _cut(name: str) -> str:
    """A name on one line, of at most ``LONGEST_NAME`` letters."""
    line = " ".join(name.split())
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…"


def _largest_known(values: Tensor) -> float:
    """Return the largest value that is not NaN, or NaN if all are."""
    return max((value for value in values.tolist() if value == value), default=float("nan"))


def _halves(data: Checked) -> list[Checked]:
    z, y, weights = data
    if len(z) < 4:
        raise DegenerateDataError(
            f"Cross-fitting needs at least 4 samples, got {len(z)}. Pass fit=(z, y) of other data."
        )
    halves = (slice(0, len(z) // 2), slice(len(z) // 2, None))
    own = (None, None) if weights is None else [weights[rows] for rows in halves]
    return [Checked(z[r], {name: t[r] for name, t in y.items()}, w) for r, w in zip(halves, own, strict=True)]


def _angles(W: Mapping[str, Tensor]) -> dict[tuple[str, str], Tensor]:
    return {(a, b): principal_angles(W[a], W[b]).rad2deg().cpu() for a, b in combinations(W, 2)}


def _variance(space: LatentSpace, C: Tensor) -> tuple[dict[str, float], Tensor]:
    """Return the fractions of the latent variance, and the spectrum outside all subspaces."""
    total = C.trace().clamp(min=torch.finfo(C.dtype).tiny)
    basis = orthonormal_rows(torch.cat(list(space.W.values())))
    outside = torch.eye(len(C), dtype=C.dtype, device=C.device) - basis.mT @ basis
    free = outside @ C @ outside
    share = {name: float((W @ C @ W.mT).trace() / total) for name, W in space.W.items()}
    spectrum = symmetric_spectrum(free)[: space.latent_dim - len(basis)].sqrt()
    return share | {"free": float(free.trace() / total)}, spectrum.cpu()
