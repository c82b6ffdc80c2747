"""Audit of the latents of any model: subspaces of named quantities, solved and scored without training."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any

from torch import Tensor

from isospan._core.checks import check_k
from isospan._core.files import PathLike
from isospan._core.labels import check_classes, encoded
from isospan._core.missing import Missing, check_missing
from isospan.errors import NameMismatchError, OptionError
from isospan.evaluation import Evaluation, evaluate_moments, with_accuracy
from isospan.experiment._audit_data import open_latents, open_targets
from isospan.experiment._config import options_of
from isospan.experiment._error_bars import calibrated
from isospan.experiment._reporter import LoggingReporter, Reporter
from isospan.experiment._run_summary import SHOWN, RunSummary
from isospan.experiment._sizes import Sizes, solve_sizes
from isospan.experiment._targets import Targets
from isospan.experiment.samples import Samples, hold_out, read_batches, spread
from isospan.experiment.samples._samples import within
from isospan.moments import Moments
from isospan.subspaces import LatentSpace, solve_from_moments

VECTOR = 512
"""Longest vector that is not pooled: the entries of a short vector may have no order."""
BATCH_BYTES, BATCH = 2**22, 2**14
SETTINGS = "k orthogonal bin_threshold k_threshold max_bins test_fraction test_blocks sample_dim fill missing classes"
"""Settings that the report shows."""


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """Settings of :func:`isospan.experiment.audit`.

    Attributes:
        quantities: {name: array}, each of which may begin with ``array:`` as in
            :func:`isospan.experiment.parse_quantities`; where it is empty, the array has the name of the quantity. By
            default every array is a quantity, by its own name.
        k: subspace dimension, one for all or {name: k}; by default the least that explains ``k_threshold`` of the
            variance, at most D.
        out: directory of ``report.html``, ``metrics.json``, ``space.safetensors`` and the figures; by default nothing
            is written.
        orthogonal: make the subspaces mutually orthogonal.
        variable: name of the latents, where their file has several arrays (N, D).
        sample_dim: the dimension of the samples; by default the first.
        fill: replaces NaN and infinity; by default they are an error.
        missing: ``"skip"`` leaves out the samples whose quantity has NaN, or a negative label, quantity by quantity;
            ``"raise"`` an error.
        classes: number of classes {name: C} of the quantities that are class labels, integers (N,). Without it, arrays
            of integers are numbers.
        bin_threshold: explained variance from which the pooled resolution n follows.
        k_threshold: explained variance of the pooled quantity from which k follows.
        max_bins: the largest n.
        test_fraction: fraction of the rows that is held out.
        test_blocks: number of blocks with held-out rows; 1 holds out the end.
        title: heading of the report.

    Example:
        >>> AuditConfig(k={"energy": 8}).test_fraction
        0.2
    """

    quantities: Mapping[str, str] | None = None
    k: int | Mapping[str, int] | None = None
    out: PathLike | None = None
    orthogonal: bool = False
    variable: str | None = None
    sample_dim: str | int | None = None
    fill: float | None = None
    missing: Missing = "raise"
    classes: Mapping[str, int] | None = None
    bin_threshold: float = 0.95
    k_threshold: float = 0.90
    max_bins: int = 8
    test_fraction: float = 0.2
    test_blocks: int = 5
    title: str = ""


@dataclass(frozen=True, eq=False)
class Audit:
    """The result of :func:`audit`.

    Attributes:
        space: subspaces and decoders, solved on the rows that are not held out, with error bars from those that are.
        evaluation: scores on the held-out rows. Probes are fitted on the others.
        sizes: n and k of each quantity, and the latent dimension D.
        summary: the data of the report; None where none is written.
        report: path of ``report.html``; None where none is written.
    """

    space: LatentSpace
    evaluation: Evaluation
    sizes: Sizes
    summary: RunSummary | None = None
    report: Path | None = None

    def __repr__(self) -> str:
        k = shorten(str(self.sizes.k), 120, placeholder=" …}")
        return f"Audit(k={k}, latent_dim={self.sizes.latent_dim}, n_samples={self.evaluation.n_samples})"


def audit(latents: Any, targets: Any, config: AuditConfig | None = None, *, reporter: Reporter | None = None) -> Audit:
    """Measure which quantities the latents of a trained model hold, in which subspaces, and the leakage between these.

    Subspaces and probes are fitted on most rows and scored on the held-out ones. All data are read in batches, and
    memory does not grow with the number of rows. Fields (N, C, H, W) are pooled and sized as :func:`size` does. Vectors
    (N, P) of up to 512 entries are not pooled.

    Args:
        latents: latents (N, D): a file, or an array of torch, NumPy, xarray or Dask.
        targets: quantities (N, ...) by name: a file, several files, a dict of arrays, or an ``xarray.Dataset``.
        config: the settings.
        reporter: receives the progress.

    Raises:
        ShapeError: the latents are not a matrix, or a quantity does not have N rows.
        NameMismatchError: ``config`` names an array or quantity that does not exist, or a name is not valid.
        DegenerateDataError: there are too few rows, or a quantity is constant, or no row that is held out has it.
        OptionError: a label is no whole number, or outside its classes.
        DimensionError: a k is below 1, or the sum of k is above D with ``orthogonal=True``.
        FileFormatError: a file is missing, damaged or of an unknown kind.

    Warns:
        NumericalWarning: some probes have too few rows; their scores are NaN. See
            :class:`isospan.evaluation.Evaluation`.

    Example:
        >>> import torch
        >>> z = torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
        >>> audit(z, {"sum": z.sum(1), "first": z[:, :2]}).evaluation.subspace_r2["sum"] > 0.999
        True
    """
    started, config, reporter = time.perf_counter(), config or AuditConfig(), reporter or LoggingReporter()
    where = options_of(config, "sample_dim fill")
    source = open_latents(latents, variable=config.variable, **where)
    check_missing(config.missing)
    found, arrays = open_targets(targets, source, config.quantities, **where, missing=config.missing)
    samples, quantities = Samples(source.rows, arrays), Targets(found)
    labels = Labels(check_classes(config.classes, quantities.names, of="the quantities"), config.missing)
    read = f"{len(samples)} latents of D = {source.dim} from {source.name}"
    reporter.stage(f"Read {read}, and {', '.join(quantities.names)}")
    train, test = hold_out(samples, config.test_fraction, blocks=config.test_blocks)
    reporter.stage("Sizing the quantities")
    sizes = _sizes(train, quantities, source.dim, config, labels)
    reporter.sized(sizes)
    pooled = quantities.pooled_to(sizes.n)
    reporter.stage("Solving the subspaces")
    fitted = Moments.of_batches(labels.pairs(train, pooled), target_covariance=pooled.several, **labels.options)
    shapes = pooled.shapes(train) | {name: (C,) for name, C in labels.classes.items()}
    solve = partial(solve_from_moments, fitted, sizes.k, shapes=shapes, classes=labels.classes)
    space = solve(orthogonal=config.orthogonal)
    reporter.stage("Evaluating on held-out samples")
    scored = Moments.of_batches(labels.pairs(test, pooled), target_covariance=pooled.several, **labels.options)
    evaluation = with_accuracy(evaluate_moments(space, [(fitted, scored)]), space, labels.pairs(test, pooled))
    space, intervals = calibrated(
        space, test, lambda batch: batch.tensors()[0], partial(labels.of, pooled), missing=config.missing
    )
    result = Audit(space, evaluation, sizes)
    if config.out is None:
        return result
    settings = {
        "latents": source.name,
        "quantities": {quantity.name: quantity.variable for quantity in found},
        "samples": {"to solve from": len(train), "held out": len(test)},
        **options_of(config, SETTINGS),
    }
    facts = {"settings": settings, "intervals": intervals, "seconds": time.perf_counter() - started}
    return _written(config, result, test, pooled, labels, title=f"Latents of {source.name}", **facts)


def _written(
    config: AuditConfig, result: Audit, test: Samples, targets: Targets, labels: "Labels", *, title: str, **facts: Any
) -> Audit:
    """Write the space and the report."""
    from isospan.experiment.reports import write_report  # imports matplotlib

    out, shown = Path(str(config.out)), spread(test, SHOWN)
    decoded = result.space.decode(shown.tensors()[0].double())
    summary = RunSummary(
        title=config.title or title,
        dims=result.sizes.dims,
        latent_dim=result.sizes.latent_dim,
        guided=result.evaluation,
        sweep=result.sizes.sweep,
        decoded=labels.shown(labels.of(targets, shown), decoded),
        **facts,
    )
    result.space.save(out / "space.safetensors")
    return replace(result, summary=summary, report=write_report(summary, out))


def _sizes(train: Samples, quantities: Targets, D: int, config: AuditConfig, labels: "Labels") -> Sizes:
    """Choose n from the variance; take k from the settings, or else from the variance, at most D."""
    given = config.k if isinstance(config.k, Mapping) else {}
    if unknown := sorted(set(given) - set(quantities.names)):
        raise NameMismatchError(
            f"k must name some of the quantities {list(quantities.names)}, got {sorted(given)}, with the unknown names "
            f"{unknown}. Correct them."
        )
    names = "bin_threshold k_threshold max_bins missing"
    sizes = solve_sizes(train, quantities, longest=VECTOR, **options_of(config, names))
    every = config.k if isinstance(config.k, int) else None
    own = sizes.k | {name: C - 1 for name, C in labels.classes.items()}
    k = {name: given.get(name, min(k, D) if every is None else every) for name, k in own.items()}
    check_k(k, k)
    return replace(sizes, dims={name: (n, k[name]) for name, n in sizes.n.items()}, latent_dim=D)


@dataclass(frozen=True)
class Labels:
    """Which quantities are class labels, and whether samples may lack quantities.

    Attributes:
        classes: number of classes {name: C}.
        missing: as in :class:`AuditConfig`.
    """

    classes: Mapping[str, int]
    missing: Missing

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of moments."""
        return {"classes": self.classes, "missing": self.missing}

    def pairs(self, samples: Samples, targets: Targets) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """Yield latents and quantities in batches."""
        for batch in read_batches(samples, within(BATCH_BYTES, samples, most=BATCH)):
            yield batch.tensors()[0], self.of(targets, batch)

    def of(self, targets: Targets, samples: Samples) -> dict[str, Tensor]:
        """Return the quantities of some samples, labels as integers."""
        y = targets(samples)
        return y | {name: self._integers(name, y[name]) for name in self.classes}

    def shown(self, y: Mapping[str, Tensor], decoded: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
        """Return quantities, labels as integers, and their read-outs, of the samples that have them."""
        y = encoded(y, self.classes, missing=self.missing)
        rows = {name: ~values.flatten(1).isnan().any(1) for name, values in y.items()}
        return {name: (values[rows[name]], decoded[name][rows[name]]) for name, values in y.items() if rows[name].any()}

    def _integers(self, name: str, values: Tensor) -> Tensor:
        """Return labels (B,) of numbers (B, 1), -1 where they are missing."""
        labels = values.nan_to_num(nan=-1.0) if self.missing == "skip" else values
        if labels.shape[1:] != (1,) or bool((labels != labels.round()).any()):
            raise OptionError(
                f"Class labels must be one whole number a sample, got {name!r} of shape {tuple(values.shape)} with "
                f"entries such as {float(labels.flatten()[0]):g}. Leave {name!r} out of classes if it holds numbers."
            )
        return labels[:, 0].long()
