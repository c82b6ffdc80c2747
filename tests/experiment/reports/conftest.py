"""Made-up results of runs: any number of quantities, any field shape, with or without an unguided network."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from isospan.evaluation import EditEvaluation, Evaluation
from isospan.experiment import Edited
from isospan.experiment._error_bars import Interval
from isospan.experiment.reports import RunSummary
from isospan.experiment.training import History
from isospan.sizing import ThresholdSweep

NAMES = (
    "stream function",
    "kinetic energy",
    "strain rate",
    "palinstrophy",
    "divergence",
    "grad_x",
    "$helicity",
    "<b>heat</b>",
)


def make_evaluation(count: int, *, level: float = 0.85, spoilt: bool = False, seed: int = 0) -> Evaluation:
    """Return an evaluation of the first ``count`` names; ``spoilt`` puts NaN into every kind of number."""
    rng = np.random.default_rng(seed)
    names = NAMES[:count]
    subspace = {name: float(level + 0.1 * rng.uniform(-1, 1)) for name in names}
    probe = {name: min(value + 0.03 * rng.uniform(), 0.99) for name, value in subspace.items()}
    target = rng.uniform(0.1, 0.7, (count, count))
    cross = target + 0.12 * rng.uniform(-1, 1, (count, count))
    target[np.diag_indices(count)] = 1
    cross[np.diag_indices(count)] = list(subspace.values())
    shares = rng.dirichlet(np.ones(count + 1))
    spectrum = np.sort(np.exp(rng.normal(0, 0.4, 20)))[::-1].copy()
    if spoilt:
        subspace[names[0]] = probe[names[-1]] = shares[0] = spectrum[3] = float("nan")
        cross[0, -1] = float("nan")
    return Evaluation(
        names=names,
        subspace_r2=subspace,
        rank_k_probe_r2=probe,
        linear_probe_r2={name: value + 0.01 for name, value in probe.items()},
        decoder_r2={name: value - 0.005 for name, value in subspace.items()},
        cross_r2=torch.tensor(cross),
        target_r2=torch.tensor(target),
        angles={
            (a, b): torch.tensor(np.sort(rng.uniform(20, 90, 6 + i)))
            for i, a in enumerate(names)
            for b in names[i + 1 :]
        },
        variance_share=dict(zip([*names, "free"], map(float, shares), strict=True)),
        spectrum=torch.tensor(spectrum),
        n_samples=256,
    )


def make_history(*, steps: int = 400, seed: int = 0, spoilt: bool = False) -> History:
    """Return falling, noisy losses with solves at 5·1.5^i."""
    rng = np.random.default_rng(seed)
    step = np.arange(steps)
    terms = {
        name: (scale * (np.exp(-step / 80) + 0.05) * np.exp(0.2 * rng.normal(size=steps))).tolist()
        for name, scale in {"task": 1.0, "guidance": 0.7, "total": 2.0}.items()
    }
    if spoilt:
        terms["guidance"][10] = float("nan")
    return History(
        steps=step.tolist(),
        losses=terms,
        solve_steps=[int(5 * 1.5**i) for i in range(11)],
        validation_steps=step[24::25].tolist(),
        validation={"task": (1.1 * np.exp(-step[24::25] / 80) + 0.06).tolist()},
    )


def _smooth(rng: np.random.Generator, *shape: int) -> np.ndarray:
    h, w = shape[-2:]
    spectrum = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    waves = np.hypot(np.fft.fftfreq(h)[:, None] * h, np.fft.fftfreq(w) * w)
    return np.fft.ifft2(spectrum * np.exp(-((waves / 5) ** 2)) * np.sqrt(h * w)).real


def make_pairs(
    count: int, *, shape: tuple[int, int] = (6, 6), samples: int = 4, spoilt: bool = False
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return true and decoded fields; every second quantity is positive."""
    rng = np.random.default_rng(1)
    pairs = {}
    for i, name in enumerate(NAMES[:count]):
        true = rng.normal(size=(samples, *shape)) * 10.0 ** (i - 2)
        true = true**2 if i % 2 else true
        decoded = 0.9 * true
        if spoilt:
            decoded[0, 0, 0] = np.nan
        pairs[name] = (true, decoded)
    return pairs


def make_edit(*, shape: tuple[int, int] = (64, 64), pooled: tuple[int, int] = (6, 6)) -> Edited:
    """Return an edit of the first quantity."""
    rng = np.random.default_rng(2)
    before, change = (torch.tensor(_smooth(rng, 1, 1, *shape)) for _ in range(2))
    target = torch.tensor(rng.normal(size=(1, 1, *pooled)))
    readings = ({NAMES[0]: factor * target} for factor in (1, 0.4, 0.95))
    return Edited(before, before + 0.4 * change, *readings, torch.zeros(1, 3))


def make_images(
    *, shape: tuple[int, int] = (64, 64), samples: int = 5, unguided: bool = True
) -> dict[str, torch.Tensor]:
    """Return smooth inputs (n, 1, H, W) and two imperfect reconstructions."""
    rng = np.random.default_rng(3)
    inputs = torch.tensor(_smooth(rng, samples, 1, *shape))
    off = torch.tensor(_smooth(rng, samples, 1, *shape))
    images = {"input": inputs, "guided": inputs + 0.1 * off}
    return images | ({"unguided": inputs + 0.15 * off.flip(0)} if unguided else {})


def make_sweep(count: int = 3, *, thresholds: tuple[int, int] = (5, 5)) -> ThresholdSweep:
    """Return sizes that grow with both thresholds."""
    rows, columns = thresholds
    n = tuple(range(2, 2 + rows))
    k = {
        name: tuple(tuple((i + 2) * (j + 1) + q for j in range(columns)) for i in range(rows))
        for q, name in enumerate(NAMES[:count])
    }
    D = tuple(tuple(sum(k[name][i][j] for name in k) * 10 // 7 for j in range(columns)) for i in range(rows))
    return ThresholdSweep(
        n_thresholds=tuple(np.linspace(0.8, 0.99, rows).round(2)),
        k_thresholds=tuple(np.linspace(0.8, 0.99, columns).round(2)),
        n=dict.fromkeys(k, n),
        k=k,
        D=D,
    )


def make_intervals(count: int, n: int = 40) -> dict[str, Interval]:
    """Return intervals of half-width 1, of which 36 of 40 hold the true value, and both entries of each."""
    true = torch.randn(n, 2, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    decoded = true + 0.5
    decoded[: n // 10] += 2
    return {name: Interval(true, decoded, decoded - 1, decoded + 1) for name in NAMES[:count]}


def make_edit_scores(count: int, *, linear: float = 0.1, decoded: float = 0.9, n: int = 64) -> EditEvaluation:
    """Return scores that grow by 0.02 from one quantity to the next."""
    names = NAMES[:count]
    scores = {key: {name: value + 0.02 * i for i, name in enumerate(names)} for key, value in {
        "linear_share": linear, "linear_r2": linear, "linear_step": 1.0,
        "decoded_share": decoded, "decoded_r2": decoded, "decoded_step": 0.5,
    }.items()}  # fmt: skip
    pairs = torch.full((count, count), 0.7, dtype=torch.float64).fill_diagonal_(float("nan"))
    return EditEvaluation(
        names=names,
        **scores,
        linear_side_effects=pairs,
        decoded_side_effects=pairs / 2,
        specificity=4 * pairs,
        n_samples=n,
    )


def make_summary(count: int = 3, *, unguided: bool = True, spoilt: bool = False) -> RunSummary:
    """Return a whole run."""
    nmse = {"guided": 0.0352, "unguided": 0.0371} if unguided else {"guided": 0.0352}
    return RunSummary(
        title="Decaying turbulence <64 × 64>",
        dims={name: (6, 12 + 2 * i) for i, name in enumerate(NAMES[:count])},
        latent_dim=92 + 10 * count,
        guided=make_evaluation(count, spoilt=spoilt),
        nmse=nmse,
        history=make_history(spoilt=spoilt),
        settings={"epochs": 16, "seed": 0, "quantities": list(NAMES[:count]), "device": "cpu", "latent": "auto"},
        sweep=make_sweep(count),
        unguided=make_evaluation(count, level=0.6, seed=1) if unguided else None,
        unguided_history=make_history(seed=1) if unguided else None,
        reconstructions=make_images(unguided=unguided),
        decoded=make_pairs(count, spoilt=spoilt),
        edits={NAMES[0]: make_edit()},
        versions={"isospan": "0.1.0", "torch": torch.__version__},
        seconds=253.4,
        intervals=make_intervals(count),
    )


@pytest.fixture(scope="session")
def evaluation() -> Callable[..., Evaluation]:
    return make_evaluation


@pytest.fixture(scope="session")
def history() -> Callable[..., History]:
    return make_history


@pytest.fixture(scope="session")
def pairs() -> Callable[..., dict[str, tuple[np.ndarray, np.ndarray]]]:
    return make_pairs


@pytest.fixture(scope="session")
def edit() -> Callable[..., Edited]:
    return make_edit


@pytest.fixture(scope="session")
def images() -> Callable[..., dict[str, torch.Tensor]]:
    return make_images


@pytest.fixture(scope="session")
def edit_scores() -> Callable[..., EditEvaluation]:
    return make_edit_scores


@pytest.fixture(scope="session")
def summary() -> Callable[..., RunSummary]:
    return make_summary


@pytest.fixture(scope="session")
def sweep() -> Callable[..., ThresholdSweep]:
    return make_sweep
