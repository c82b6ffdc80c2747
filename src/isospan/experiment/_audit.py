"""Audit of the latents of any model: subspaces of named quantities, solved and scored without training."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import Any

from isospan._core.checks import check_k
from isospan._core.files import PathLike
from isospan.errors import NameMismatchError
from isospan.evaluation import Evaluation, evaluate_moments
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
SETTINGS = "k orthogonal bin_threshold k_threshold max_bins test_fraction test_blocks sample_dim fill"
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
        DegenerateDataError: there are too few rows, or a quantity is constant.
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
    found, arrays = open_targets(targets, source, config.quantities, **where)
    samples, quantities = Samples(source.rows, arrays), Targets(found)
    read = f"{len(samples)} latents of D = {source.dim} from {source.name}"
    reporter.stage(f"Read {read}, and {', '.join(quantities.names)}")
    train, test = hold_out(samples, config.test_fraction, blocks=config.test_blocks)
    reporter.stage("Sizing the quantities")
    sizes = _sizes(train, quantities, source.dim, config)
    reporter.sized(sizes)
    pooled = quantities.pooled_to(sizes.n)
    reporter.stage("Solving the subspaces")
    fitted = _moments(train, pooled)
    space = solve_from_moments(fitted, sizes.k, shapes=pooled.shapes(train), orthogonal=config.orthogonal)
    reporter.stage("Evaluating on held-out samples")
    evaluation = evaluate_moments(space, [(fitted, _moments(test, pooled))])
    space, intervals = calibrated(space, test, lambda batch: batch.tensors()[0], pooled)
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
    return _written(config, result, test, pooled, title=f"Latents of {source.name}", **facts)


def _written(config: AuditConfig, result: Audit, test: Samples, targets: Targets, *, title: str, **facts: Any) -> Audit:
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
        decoded={name: (y, decoded[name]) for name, y in targets(shown).items()},
        **facts,
    )
    result.space.save(out / "space.safetensors")
    return replace(result, summary=summary, report=write_report(summary, out))


def _sizes(train: Samples, quantities: Targets, D: int, config: AuditConfig) -> Sizes:
    """Choose n from the variance; take k from the settings, or else from the variance, at most D."""
    given = config.k if isinstance(config.k, Mapping) else {}
    if unknown := sorted(set(given) - set(quantities.names)):
        raise NameMismatchError(
            f"k must name some of the quantities {list(quantities.names)}, got {sorted(given)}, with the unknown names "
            f"{unknown}. Correct them."
        )
    sizes = solve_sizes(train, quantities, longest=VECTOR, **options_of(config, "bin_threshold k_threshold max_bins"))
    every = config.k if isinstance(config.k, int) else None
    k = {name: given.get(name, min(k, D) if every is None else every) for name, k in sizes.k.items()}
    check_k(k, k)
    return replace(sizes, dims={name: (n, k[name]) for name, n in sizes.n.items()}, latent_dim=D)


def _moments(samples: Samples, targets: Targets) -> Moments:
    """Moments of latents and quantities, in batches."""
    batches = read_batches(samples, within(BATCH_BYTES, samples, most=BATCH))
    pairs = ((batch.tensors()[0], targets(batch)) for batch in batches)
    return Moments.of_batches(pairs, target_covariance=targets.several)
