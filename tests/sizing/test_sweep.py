"""A sweep equals one call of solve_dims at each pair of thresholds."""

import pytest
import torch

from isospan.errors import DegenerateDataError, OptionError
from isospan.sizing import _spectra as spectra
from isospan.sizing import minimal_latent_dim, solve_dims, threshold_sweep

N_ETAS, K_ETAS = (0.5, 0.8, 0.95, 0.99), (0.6, 0.9, 1.0)
THRESHOLDS = {"n_thresholds": N_ETAS, "k_thresholds": K_ETAS}


def data():
    g = torch.Generator().manual_seed(0)
    smooth = torch.randn(60, 1, 3, 3, generator=g)
    fine = torch.nn.functional.interpolate(smooth, (12, 10), mode="bilinear") + 0.1 * torch.randn(
        60, 1, 12, 10, generator=g
    )
    return {"smooth": smooth, "fine": fine}


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("n_per_quantity", [True, False])
@pytest.mark.parametrize("streamed", [True, False])
def test_equals_solve_dims_at_every_pair(mode, n_per_quantity, streamed):
    options = {"mode": mode, "n_per_quantity": n_per_quantity, "max_n": 8}
    Y = data()
    batches = ({name: y[i : i + 7] for name, y in Y.items()} for i in range(0, 60, 7))
    sweep = threshold_sweep(batches if streamed else Y, **THRESHOLDS, free_frac=0.2, num_heads=4, **options)
    assert sweep.names == ("smooth", "fine")
    assert (sweep.n_thresholds, sweep.k_thresholds) == (N_ETAS, K_ETAS)
    for i, n_eta in enumerate(N_ETAS):
        for j, k_eta in enumerate(K_ETAS):
            dims = solve_dims(Y, n_threshold=n_eta, k_threshold=k_eta, **options)
            assert {name: (sweep.n[name][i], sweep.k[name][i][j]) for name in Y} == dims
            D = minimal_latent_dim({name: k for name, (_, k) in dims.items()}, free_frac=0.2, num_heads=4)
            assert sweep.D[i][j] == D


def test_table():
    sweep = threshold_sweep(data(), **THRESHOLDS)
    rows = sweep.table()
    assert len(rows) == len(N_ETAS) * len(K_ETAS) * 2
    for row in rows:
        i, j, name = N_ETAS.index(row["n_threshold"]), K_ETAS.index(row["k_threshold"]), row["quantity"]
        assert (row["n"], row["k"], row["D"]) == (sweep.n[name][i], sweep.k[name][i][j], sweep.D[i][j])


def test_plot_shows_every_number_without_pyplot():
    sweep = threshold_sweep(data(), **THRESHOLDS)
    texts = [text.get_text() for ax in sweep.plot().axes for text in ax.texts]
    expected = [D for row in sweep.D for D in row] + [k for name in sweep.names for row in sweep.k[name] for k in row]
    assert sorted(texts) == sorted(map(str, expected))


def test_higher_thresholds_never_need_less():
    sweep = threshold_sweep(data(), **THRESHOLDS)
    D = torch.tensor(sweep.D)
    assert (D.diff(dim=1) >= 0).all()
    assert all(list(n) == sorted(n) for n in sweep.n.values())


def test_one_spectrum_for_each_n_that_occurs(monkeypatch):
    rows = []
    original = spectra._spectrum_of_rows
    monkeypatch.setattr(spectra, "_spectrum_of_rows", lambda x: rows.append(x.shape[1]) or original(x))
    sweep = threshold_sweep(data(), **THRESHOLDS)
    assert sorted(rows) == sorted([9, 120, *(n * n for name in sweep.names for n in set(sweep.n[name]))])


def test_results_are_plain_and_comparable():
    thresholds = {"n_thresholds": list(N_ETAS), "k_thresholds": torch.tensor([0.5, 1.0])}
    first, second = (threshold_sweep(data(), **thresholds) for _ in range(2))
    assert first == second
    assert all(isinstance(value, int | float | str) for row in first.table() for value in row.values())
    with pytest.raises(AttributeError):
        first.D = ()


def test_errors():
    with pytest.raises(OptionError, match="n_thresholds must hold at least one fraction"):
        threshold_sweep(data(), n_thresholds=[], k_thresholds=K_ETAS)
    with pytest.raises(
        OptionError, match=r"Each of k_thresholds must be a fraction of the variance in \(0, 1\], got 1.5"
    ):
        threshold_sweep(data(), n_thresholds=N_ETAS, k_thresholds=[0.5, 1.5])
    with pytest.raises(DegenerateDataError, match="Quantity 'q' is constant"):
        threshold_sweep({"q": torch.ones(5, 4)}, **THRESHOLDS)

    def unread():
        raise AssertionError("read")
        yield

    with pytest.raises(OptionError, match="free_frac"):
        threshold_sweep(unread(), **THRESHOLDS, free_frac=1.0)
    with pytest.raises(OptionError, match="max_n"):
        threshold_sweep(unread(), **THRESHOLDS, max_n=1)
