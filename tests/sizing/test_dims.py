"""Sizes against brute force: numpy's SVD, scikit-learn's PCA, and the definition."""

import math
import weakref
from functools import partial

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
from isospan.sizing import pooled_resolutions, solve_dims, subspace_dims
from isospan.sizing._dims import check_threshold, count_modes

ETAS = [0.1, 0.5, 0.8, 0.9, 0.95, 0.999, 1.0]


def modes_by_svd(x, eta):
    """Least number of modes that explain η of the variance, from the singular values of the centred data in float64."""
    x = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    s = np.linalg.svd(x - x.mean(0), compute_uv=False)
    explained = np.cumsum(s**2) / np.sum(s**2)
    # rounding of sums of squares; and the singular values that are rounding (float32 data: 6e-8) are not modes
    return min(int(np.sum(explained < eta - 1e-12)) + 1, int(np.sum(s > 1e-6 * s[0])))


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
    assert subspace_dims({"q": x}, threshold=eta) == {"q": expected}
    assert subspace_dims(stream({"q": x}, 7), threshold=eta) == {"q": expected}
    n = max(2, min(16, math.ceil(math.sqrt(expected))))
    assert pooled_resolutions({"q": x}, threshold=eta) == {"q": n}


@pytest.mark.parametrize("shape", [(200, 30), (30, 200)])
def test_k_equals_pca(shape):
    x = decaying(*shape)
    for eta in (0.5, 0.9, 0.99):
        expected = PCA(n_components=eta, svd_solver="full").fit(x.numpy()).n_components_
        assert subspace_dims({"q": x}, threshold=eta) == {"q": expected}


def test_the_count_is_exact_above_100000_entries():
    x = decaying(400, 300)
    assert subspace_dims({"q": x}, threshold=0.9)["q"] == modes_by_svd(x, 0.9)


def test_units_do_not_matter():
    x = decaying(50, 40)
    assert len({subspace_dims({"q": scale * x}, threshold=0.9)["q"] for scale in (1e-30, 1.0, 1e30)}) == 1


def test_per_quantity_or_largest():
    data = {"small": decaying(60, 20, rank=2), "large": decaying(60, 90)}
    k = subspace_dims(data, threshold=0.99)
    n = pooled_resolutions(data, threshold=0.99, per_quantity=True)
    assert k["small"] == 2 < k["large"]
    assert n["small"] == 2 < n["large"]
    assert subspace_dims(data, threshold=0.99, per_quantity=False) == dict.fromkeys(data, k["large"])
    assert pooled_resolutions(data, threshold=0.99) == dict.fromkeys(data, n["large"])


def test_thresholds_by_name():
    x = decaying(200, 100)
    data = {"a": x, "b": x, "c": x}
    k = subspace_dims(data, threshold={"a": 0.5, "b": 0.99})
    assert k == {"a": modes_by_svd(x, 0.5), "b": modes_by_svd(x, 0.99), "c": modes_by_svd(x, 0.90)}
    n = pooled_resolutions(data, threshold={"a": 0.5}, per_quantity=True)
    by_default = math.ceil(math.sqrt(modes_by_svd(x, 0.95)))
    assert n == {"a": 2, "b": by_default, "c": by_default}


def test_resolutions_are_clamped():
    x = torch.randn(200, 100)
    assert pooled_resolutions({"q": x}, max_n=3, threshold=0.999) == {"q": 3}
    assert pooled_resolutions({"q": x[:, :1]}, threshold=0.5) == {"q": 2}


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
    k = {name: modes_by_svd(pool(y.double(), n[name], mode=mode), 0.95) for name, y in data.items()}
    k = k if per[1] else dict.fromkeys(k, max(k.values()))
    expected = {name: (n[name], k[name]) for name in data}

    thresholds = {"n_threshold": 0.9, "k_threshold": 0.95}
    options = {"max_n": 6, "mode": mode, "n_per_quantity": per[0], "k_per_quantity": per[1]}
    assert solve_dims(data, **thresholds, **options) == expected
    assert solve_dims(stream(data, 13), **thresholds, **options) == expected


def test_solve_dims_thresholds_by_name():
    data = {"a": fields(), "b": fields()}
    by_name = solve_dims(
        data, n_threshold={"a": 0.5, "b": 0.99}, k_threshold={"a": 0.99, "b": 0.5}, n_per_quantity=True
    )
    one = {name: {name: data[name]} for name in data}
    assert by_name["a"] == solve_dims(one["a"], n_threshold=0.5, k_threshold=0.99)["a"]
    assert by_name["b"] == solve_dims(one["b"], n_threshold=0.99, k_threshold=0.5)["b"]
    by_default = solve_dims(one["a"], n_threshold={}, k_threshold={})
    with pytest.raises(NameMismatchError, match=r"quantities of the data, \['a'\], got \['c'\] too"):
        solve_dims(one["a"], k_threshold={"a": 0.5, "c": 0.5})
    assert by_default == solve_dims(one["a"], n_threshold=0.95, k_threshold=0.90) == solve_dims(one["a"])


def test_a_stream_is_read_once_and_dropped_batch_by_batch():
    alive = []

    def batches():
        for _ in range(20):
            y = torch.randn(8, 1, 6, 6)
            alive.append(weakref.ref(y))
            yield {"q": y}
            del y
            assert sum(ref() is not None for ref in alive) <= 1

    solve_dims(batches(), max_n=4)
    assert len(alive) == 20


def test_streams_with_empty_and_uneven_batches():
    x = fields(50)
    batches = [{"q": x[:0]}, {"q": x[:1]}, {"q": x[1:1]}, {"q": x[1:]}]
    for mode in ("avg", "max"):
        assert solve_dims(batches, max_n=6, mode=mode) == solve_dims({"q": x}, max_n=6, mode=mode)


def test_targets_are_left_alone_and_need_no_gradient():
    x = torch.randn(20, 1, 4, 4, requires_grad=True)
    before = x.detach().clone()
    solve_dims({"q": x}, max_n=4)
    solve_dims([{"q": x}], max_n=4)
    assert torch.equal(x.detach(), before)


@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: iter([data]), lambda data: stream(data, 3)])
class TestBadData:
    """The same errors in memory and from a stream."""

    def check(self, wrap, data, error, match):
        for size in (subspace_dims, pooled_resolutions, partial(solve_dims, max_n=4)):
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
                subspace_dims(data)


def test_a_small_variation_on_a_large_value_is_not_constant():
    x = torch.full((1000, 50), 1e6)
    x[3, 7] += 0.0625  # one step of float32
    assert subspace_dims({"q": x}) == {"q": 1}
    assert subspace_dims(stream({"q": x}, 100)) == {"q": 1}


def test_nothing_left_after_pooling():
    board = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(2, 2) * torch.randn(9, 1, 1, 1)
    for data in ({"q": board}, [{"q": board}]):
        with pytest.raises(DegenerateDataError, match=r"Quantity 'q' pooled to n = 2 is constant.* Use a larger n"):
            solve_dims(data, max_n=4, n_threshold=0.9)
        assert solve_dims(data, max_n=4, n_threshold=0.9, mode="max") == {"q": (2, 1)}


def test_too_few_samples():
    for data in ({"q": torch.randn(1, 4)}, [{"q": torch.randn(1, 4)}], {"q": torch.randn(0, 4)}):
        with pytest.raises(DegenerateDataError, match=r"at least 2 samples, got [01] of quantity 'q'"):
            subspace_dims(data)


def test_nothing_at_all():
    for data in ({}, [{}]):
        with pytest.raises(DegenerateDataError, match="names no quantity"):
            subspace_dims(data)
    with pytest.raises(DegenerateDataError, match="stream of batches is empty"):
        subspace_dims(iter([]))
    for data in (torch.randn(5, 4), "abc", 5, None):
        with pytest.raises(NameMismatchError, match="must be a dict of name: tensor or batches of them, got"):
            subspace_dims(data)
    with pytest.raises(NameMismatchError, match="must be a dict of name: value, got tuple"):
        subspace_dims([(torch.randn(5, 4), torch.randn(5, 4))])


def test_batches_must_agree():
    x = torch.randn(5, 1, 4, 4)
    with pytest.raises(NameMismatchError, match=r"Every batch must name the quantities of the first batch \['a'\]"):
        subspace_dims([{"a": x}, {"b": x}])
    with pytest.raises(
        ShapeError, match=r"'a' must have one shape in all batches, got \(1, 4, 4\) and then \(1, 4, 2\)"
    ):
        subspace_dims([{"a": x}, {"a": x[..., :2]}])
    with pytest.raises(ShapeError, match=r"same number of samples, got \{'a': 5, 'b': 3\}"):
        subspace_dims({"a": x, "b": x[:3]})


def test_layouts_that_cannot_be_pooled_fail_at_the_first_batch():
    def batches():
        yield {"q": torch.randn(5, 4, 4)}
        raise AssertionError("read on")

    for data in (batches(), {"q": torch.randn(5, 4, 4)}):
        with pytest.raises(ShapeError, match=r"^Invalid number of dimensions: 3 .*\(quantity 'q'\)"):
            solve_dims(data, max_n=4)


def test_bad_options():
    data = {"q": torch.randn(9, 1, 4, 4)}
    with pytest.raises(OptionError, match=r"threshold must be a fraction of the variance in \(0, 1\], got 95"):
        subspace_dims(data, threshold=95)
    with pytest.raises(OptionError, match="threshold of quantity 'q'"):
        pooled_resolutions(data, threshold={"q": 0.0})
    with pytest.raises(OptionError, match="k_threshold must be"):
        solve_dims(data, k_threshold=2)
    with pytest.raises(NameMismatchError, match=r"n_threshold must name quantities of the data, \['q'\], got \['p'\]"):
        solve_dims(data, n_threshold={"p": 0.9})
    for max_n in (1, 0, 2.5):
        with pytest.raises(OptionError, match="max_n must be"):
            solve_dims(data, max_n=max_n)
    with pytest.raises(OptionError, match=r"^Invalid pooling mode: 'mean'"):
        solve_dims(data, mode="mean")
    with pytest.raises(OptionError, match=r"^Invalid pooling mode: 'mean'"):
        solve_dims([data], mode="mean")


def test_messages_go_to_the_log(caplog, capsys):
    with caplog.at_level("INFO", logger="isospan"):
        solve_dims({"q": torch.randn(9, 1, 4, 4)}, max_n=4)
    assert "'q': (" in caplog.text
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("n", [1, 3, 10, 49, 1000])
def test_an_explained_variance_that_equals_the_threshold_reaches_it(n):
    """n equal modes: k of them explain k/n, whatever the rounding of k/n and of the sums."""
    for unit in (1.0, 0.1, 1e-20, 3e15):
        spectrum = torch.full((n,), unit, dtype=torch.float64)
        assert [count_modes(spectrum, k / n) for k in range(1, n + 1)] == list(range(1, n + 1))


def test_just_above_it_takes_one_more():
    spectrum = torch.tensor([5.0, 3.0, 2.0], dtype=torch.float64)
    assert [count_modes(spectrum, eta) for eta in (0.5, 0.5 + 1e-11, 0.8, 0.8 + 1e-11, 1.0)] == [1, 2, 2, 3, 3]


def test_rounding_below_the_rank_is_not_counted():
    spectrum = torch.tensor([1.0, 0.5, 1e-15, 1e-16, 0.0], dtype=torch.float64)
    assert count_modes(spectrum, 1.0) == 2
    many = torch.cat([torch.ones(1), torch.full((100_000,), 9e-13)]).double()  # together above the tolerance
    assert count_modes(many, 1.0) == 1


@pytest.mark.parametrize("value", [0, -0.1, 1.0001, 95, float("nan"), "0.9", [0.9]])
def test_thresholds_are_fractions(value):
    for threshold, label in ((value, "t"), ({"a": value}, "t of quantity 'a'")):
        with pytest.raises(OptionError, match=rf"{label}.* in \(0, 1\], got"):
            check_threshold(threshold, what="t")
    check_threshold({"a": 1, "b": 1e-9}, what="t")
