"""Sizes against brute force: numpy's SVD, scikit-learn's PCA, and the definition."""

import math
import weakref

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from isospan.errors import (
    DegenerateDataError,
    DtypeError,
    NameMismatchError,
    NonFiniteError,
    OptionError,
    ShapeError,
)
from isospan.quantities import pool
from isospan.sizing import k_per_q, optimal_bins, solve_dims

ETAS = [0.1, 0.5, 0.8, 0.9, 0.95, 0.999, 1.0]


def modes_by_svd(x, eta):
    """Least number of modes that reach the share, from the singular values of the centred data in float64."""
    x = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    s = np.linalg.svd(x - x.mean(0), compute_uv=False)
    share = np.cumsum(s**2) / np.sum(s**2)
    # rounding of sums of squares; and the singular values that are rounding (float32 data: 6e-8) are not modes
    return min(int(np.sum(share < eta - 1e-12)) + 1, int(np.sum(s > 1e-6 * s[0])))


def decaying(N, P, *, rank=None, dtype=torch.float64, offset=0.0):
    """Data with a spectrum that falls like 1/i, in a random basis."""
    r = rank or min(N, P)
    scores = torch.randn(N, r, dtype=torch.float64) / torch.arange(1, r + 1)
    return (scores @ torch.linalg.qr(torch.randn(P, r, dtype=torch.float64))[0].mT + offset).to(dtype)


def stream(data, size):
    """Batches of a dict of tensors, which can be read once."""
    parts = {name: y.split(size) for name, y in data.items()}
    return iter([dict(zip(parts, batch, strict=True)) for batch in zip(*parts.values(), strict=True)])


CASES = {
    "tall": decaying(300, 20),
    "wide": decaying(20, 300),
    "square": decaying(64, 64),
    "rank 5, tall": decaying(200, 40, rank=5),
    "rank 5, wide": decaying(40, 200, rank=5),
    "float32, rank 5": decaying(60, 100, rank=5, dtype=torch.float32),
    "offset 1e6": decaying(100, 30, offset=1e6),
    "offset 300, float32": decaying(80, 30, offset=300.0, dtype=torch.float32),
    "two samples": torch.randn(2, 9),
    "one feature": torch.randn(50, 1),
    "more than a chunk": decaying(2500, 12),
    "fields": decaying(50, 3 * 5 * 7).reshape(50, 3, 5, 7),
    "scalars": torch.randn(30),
    "bfloat16": decaying(40, 10).bfloat16(),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("eta", ETAS)
def test_k_equals_brute_force(case, eta):
    x = CASES[case]
    expected = modes_by_svd(x.double(), eta)
    assert k_per_q({"q": x}, eta) == {"q": expected}
    assert k_per_q(stream({"q": x}, 7), eta) == {"q": expected}
    assert optimal_bins({"q": x}, 16, eta) == max(2, min(16, math.ceil(math.sqrt(expected))))


@pytest.mark.parametrize("shape", [(200, 30), (30, 200)])
def test_k_equals_pca(shape):
    x = decaying(*shape)
    for eta in (0.5, 0.9, 0.99):
        assert k_per_q({"q": x}, eta)["q"] == PCA(n_components=eta, svd_solver="full").fit(x.numpy()).n_components_


def test_the_count_is_exact_above_100000_entries():
    x = decaying(400, 300)
    assert k_per_q({"q": x}, 0.9)["q"] == modes_by_svd(x, 0.9)


def test_units_do_not_matter():
    x = decaying(50, 40)
    assert len({k_per_q({"q": scale * x}, 0.9)["q"] for scale in (1e-30, 1.0, 1e30)}) == 1


def test_per_quantity_or_largest():
    data = {"small": decaying(60, 20, rank=2), "large": decaying(60, 90)}
    k = k_per_q(data, 0.99)
    n = optimal_bins(data, 16, 0.99, per_quantity=True)
    assert k["small"] == 2 < k["large"]
    assert n["small"] == 2 < n["large"]
    assert k_per_q(data, 0.99, per_quantity=False) == k["large"]
    assert optimal_bins(data, 16, 0.99) == n["large"]


def test_thresholds_by_name():
    x = decaying(200, 100)
    data = {"a": x, "b": x, "c": x}
    k = k_per_q(data, {"a": 0.5, "b": 0.99})
    assert k == {"a": modes_by_svd(x, 0.5), "b": modes_by_svd(x, 0.99), "c": modes_by_svd(x, 0.90)}
    assert k_per_q(data, {"a": 0.5}, default_threshold=0.7)["c"] == modes_by_svd(x, 0.7)
    n = optimal_bins(data, 16, {"a": 0.5}, per_quantity=True)
    by_default = math.ceil(math.sqrt(modes_by_svd(x, 0.95)))
    assert n == {"a": 2, "b": by_default, "c": by_default}


def test_bins_are_clamped():
    x = torch.randn(200, 100)
    assert optimal_bins({"q": x}, 3, 0.999) == 3
    assert optimal_bins({"q": x[:, :1]}, 16, 0.5) == 2


def fields(N=120, shape=(2, 12, 10), seed=0, decay=1.0):
    """Smooth random fields: waves whose amplitudes fall with the wave number."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(N, *shape, generator=g, dtype=torch.float64)
    k = [torch.fft.fftfreq(n, dtype=torch.float64) * n for n in shape[1:]]
    k2 = sum(a.reshape([-1 if i == j else 1 for j in range(len(k))]) ** 2 for i, a in enumerate(k))
    axes = tuple(range(-len(k), 0))
    return torch.fft.ifftn(torch.fft.fftn(x, dim=axes) / (1 + k2) ** decay, dim=axes).real + 5.0


LAYOUTS = {
    "fields": {"a": fields(), "b": fields(shape=(1, 16, 16), seed=1, decay=2.0)},
    "fewer samples than pixels": {"a": fields(20), "b": fields(20, seed=1)},
    "series": {"a": fields(80, (1, 40))[:, 0], "b": fields(80, (1, 17), seed=1)[:, 0]},
    "volumes": {"a": fields(40, (1, 5, 6, 4))},
    "float32": {"a": fields().float(), "b": fields(decay=2.0).float()},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("per", [(False, False), (True, False), (False, True), (True, True)])
def test_solve_dims_equals_its_definition(layout, mode, per):
    data = LAYOUTS[layout]
    n = {name: max(2, min(6, math.ceil(math.sqrt(modes_by_svd(y, 0.9))))) for name, y in data.items()}
    n = n if per[0] else dict.fromkeys(n, max(n.values()))
    k = {name: modes_by_svd(pool(y.double(), n[name], mode), 0.95) for name, y in data.items()}
    k = k if per[1] else dict.fromkeys(k, max(k.values()))
    expected = {name: (n[name], k[name]) for name in data}

    options = {"pooling_mode": mode, "pool_per_quantity": per[0], "k_per_quantity": per[1]}
    assert solve_dims(data, 6, 0.9, 0.95, **options) == expected
    assert solve_dims(stream(data, 13), 6, 0.9, 0.95, **options) == expected


def test_solve_dims_thresholds_by_name():
    data = {"a": fields(), "b": fields()}
    by_name = solve_dims(
        data,
        16,
        {"a": 0.5},
        {"b": 0.5},
        bin_default_threshold=0.99,
        k_default_threshold=0.99,
        pool_per_quantity=True,
        k_per_quantity=True,
    )
    one = {name: {name: data[name]} for name in data}
    assert by_name["a"] == solve_dims(one["a"], 16, 0.5, 0.99)["a"]
    assert by_name["b"] == solve_dims(one["b"], 16, 0.99, 0.5)["b"]
    fallback = solve_dims(one["a"], 16, {}, {})
    assert fallback == solve_dims(one["a"], 16, 0.95, 0.90)


def test_a_stream_is_read_once_and_dropped_batch_by_batch():
    alive = []

    def batches():
        for _ in range(20):
            y = torch.randn(8, 1, 6, 6)
            alive.append(weakref.ref(y))
            yield {"q": y}
            del y
            assert sum(ref() is not None for ref in alive) <= 1

    solve_dims(batches(), 4, 0.9, 0.9)
    assert len(alive) == 20


def test_streams_with_empty_and_uneven_batches():
    x = fields(50)
    batches = [{"q": x[:0]}, {"q": x[:1]}, {"q": x[1:1]}, {"q": x[1:]}]
    for mode in ("avg", "max"):
        assert solve_dims(batches, 6, 0.9, 0.9, pooling_mode=mode) == solve_dims(
            {"q": x}, 6, 0.9, 0.9, pooling_mode=mode
        )


def test_targets_are_left_alone_and_need_no_gradient():
    x = torch.randn(20, 1, 4, 4, requires_grad=True)
    before = x.detach().clone()
    solve_dims({"q": x}, 4, 0.9, 0.9)
    solve_dims([{"q": x}], 4, 0.9, 0.9)
    assert torch.equal(x.detach(), before)


@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: iter([data]), lambda data: stream(data, 3)])
class TestBadData:
    """The same errors in memory and from a stream."""

    def check(self, wrap, data, error, match):
        for size in (k_per_q, optimal_bins, lambda Y: solve_dims(Y, 4, 0.9, 0.9)):
            with pytest.raises(error, match=match):
                size(wrap(data))

    def test_constant(self, wrap):
        for value in (0.0, 0.1, -1e6, 1e-30):
            constant = torch.full((9, 1, 4, 4), value)
            self.check(
                wrap, {"ok": torch.randn(9, 1, 4, 4), "q": constant}, DegenerateDataError, "Quantity 'q' is const"
            )

    def test_not_finite(self, wrap):
        for bad in (math.nan, math.inf):
            x = torch.randn(9, 1, 4, 4)
            x[5, 0, 1, 2] = bad
            self.check(wrap, {"q": x}, NonFiniteError, "Quantity 'q' must be finite, got 1 NaN or infinite of")

    def test_squares_that_overflow(self, wrap):
        x = 1e200 * torch.randn(9, 1, 4, 4, dtype=torch.float64)
        self.check(wrap, {"q": x}, NonFiniteError, r"Quantity 'q' must be at most 1e\+140, so that squares")

    def test_integers(self, wrap):
        self.check(wrap, {"q": torch.ones(9, 1, 4, 4).long()}, DtypeError, r"Quantity 'q' must be floating point")

    def test_no_entries(self, wrap):
        self.check(wrap, {"q": torch.ones(9, 1, 0, 4)}, ShapeError, r"Quantity 'q' must have shape \(N, ...\)")


def test_a_constant_stays_constant_under_rounding():
    """The mean of N equal numbers is off by a rounding for some N."""
    row = torch.rand(12, dtype=torch.float64) + 0.1
    for N in range(2, 60):
        x = row.repeat(N, 1)
        for data in ({"q": x}, stream({"q": x}, 7)):
            with pytest.raises(DegenerateDataError, match="Quantity 'q' is constant over the samples"):
                k_per_q(data)


def test_a_small_variation_on_a_large_value_is_not_constant():
    x = torch.full((1000, 50), 1e6)
    x[3, 7] += 0.0625  # one step of float32
    assert k_per_q({"q": x}) == {"q": 1}
    assert k_per_q(stream({"q": x}, 100)) == {"q": 1}


def test_nothing_left_after_pooling():
    board = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(2, 2) * torch.randn(9, 1, 1, 1)
    for data in ({"q": board}, [{"q": board}]):
        with pytest.raises(DegenerateDataError, match=r"Quantity 'q' pooled to n = 2 is constant.* Use more bins"):
            solve_dims(data, 4, 0.9, 0.9)
        assert solve_dims(data, 4, 0.9, 0.9, pooling_mode="max") == {"q": (2, 1)}


def test_too_few_samples():
    for data in ({"q": torch.randn(1, 4)}, [{"q": torch.randn(1, 4)}], {"q": torch.randn(0, 4)}):
        with pytest.raises(DegenerateDataError, match=r"at least 2 samples, got [01] of quantity 'q'"):
            k_per_q(data)


def test_nothing_at_all():
    for data in ({}, [{}]):
        with pytest.raises(DegenerateDataError, match="names no quantity"):
            k_per_q(data)
    with pytest.raises(DegenerateDataError, match="stream of batches is empty"):
        k_per_q(iter([]))
    for data in (torch.randn(5, 4), "abc", 5, None):
        with pytest.raises(NameMismatchError, match="must be a dict of name: tensor or batches of them, got"):
            k_per_q(data)
    with pytest.raises(NameMismatchError, match="must be a dict of name: value, got tuple"):
        k_per_q([(torch.randn(5, 4), torch.randn(5, 4))])


def test_batches_must_agree():
    x = torch.randn(5, 1, 4, 4)
    with pytest.raises(NameMismatchError, match=r"Every batch must name the quantities of the first batch \['a'\]"):
        k_per_q([{"a": x}, {"b": x}])
    with pytest.raises(
        ShapeError, match=r"'a' must have one shape in all batches, got \(1, 4, 4\) and then \(1, 4, 2\)"
    ):
        k_per_q([{"a": x}, {"a": x[..., :2]}])
    with pytest.raises(ShapeError, match=r"same number of samples, got \{'a': 5, 'b': 3\}"):
        k_per_q({"a": x, "b": x[:3]})


def test_layouts_that_cannot_be_pooled_fail_at_the_first_batch():
    def batches():
        yield {"q": torch.randn(5, 4, 4)}
        raise AssertionError("read on")

    for data in (batches(), {"q": torch.randn(5, 4, 4)}):
        with pytest.raises(ShapeError, match=r"^Invalid number of dimensions: 3 .*\(quantity 'q'\)"):
            solve_dims(data, 4, 0.9, 0.9)


def test_bad_options():
    data = {"q": torch.randn(9, 1, 4, 4)}
    with pytest.raises(OptionError, match=r"threshold must be a fraction of the variance in \(0, 1\], got 95"):
        k_per_q(data, 95)
    with pytest.raises(OptionError, match="variance_threshold of quantity 'q'"):
        optimal_bins(data, 16, {"q": 0.0})
    with pytest.raises(OptionError, match="The default of k_thresholds"):
        solve_dims(data, 16, 0.9, 0.9, k_default_threshold=2)
    with pytest.raises(
        NameMismatchError, match=r"bin_thresholds must name quantities of the data, \['q'\], got \['p'\]"
    ):
        solve_dims(data, 16, {"p": 0.9}, 0.9)
    for max_bins in (1, 0, 2.5):
        with pytest.raises(OptionError, match="max_bins must be"):
            solve_dims(data, max_bins, 0.9, 0.9)
    with pytest.raises(OptionError, match=r"^Invalid pooling mode: 'mean'"):
        solve_dims(data, 4, 0.9, 0.9, pooling_mode="mean")
    with pytest.raises(OptionError, match=r"^Invalid pooling mode: 'mean'"):
        solve_dims([data], 4, 0.9, 0.9, pooling_mode="mean")


def test_messages_go_to_the_log(caplog, capsys):
    with caplog.at_level("INFO", logger="isospan"):
        solve_dims({"q": torch.randn(9, 1, 4, 4)}, 4, 0.9, 0.9)
    assert "'q': (" in caplog.text
    assert capsys.readouterr() == ("", "")
