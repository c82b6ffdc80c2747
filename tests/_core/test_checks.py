"""Every check: what it lets through, and what it says of what it does not."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from isospan._core import checks
from isospan.errors import (
    DegenerateDataError,
    DeviceMismatchError,
    DimensionError,
    DtypeError,
    IsospanError,
    NameMismatchError,
    NonFiniteError,
    OptionError,
    ShapeError,
)

CPU = torch.device("cpu")


def test_choice():
    assert checks.check_choice("a", ("a", "b"), what="mode") == "a"
    with pytest.raises(OptionError, match=r"Invalid mode: 'c'\. Choose one of 'a', 'b'"):
        checks.check_choice("c", ("a", "b"), what="mode")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floating(dtype):
    checks.check_floating(torch.ones(2, dtype=dtype), what="X")


@pytest.mark.parametrize("bad", [torch.ones(2, dtype=torch.int32), torch.ones(2, dtype=torch.bool), torch.ones(2) * 1j])
def test_not_floating(bad):
    with pytest.raises(DtypeError, match="X must be floating point"):
        checks.check_floating(bad, what="X")


def test_not_a_tensor():
    with pytest.raises(DtypeError, match=r"X must be a torch\.Tensor, got list"):
        checks.check_floating([1.0], what="X")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_finite(bad):
    x = torch.ones(3, 4)
    checks.check_finite(x, what="X")
    x[1, 2] = bad
    with pytest.raises(NonFiniteError, match="X must be finite, got 1 NaN or infinite of 12 entries"):
        checks.check_finite(x, what="X")


def test_a_sum_that_overflows_is_not_taken_for_infinity():
    checks.check_finite(torch.full((3,), 3e38), what="X")
    checks.check_finite(torch.full((3,), 6e4, dtype=torch.float16), what="X")
    checks.check_finite(torch.tensor([3e38, -3e38] * 2), what="X")


def test_finite_asks_nothing_of_meta_tensors_and_passes_empty_ones():
    checks.check_finite(torch.ones(2, device="meta"), what="X")
    checks.check_finite(torch.ones(0), what="X")


def test_latents():
    checks.check_latents(torch.ones(2, 1))
    checks.check_latents(torch.ones(1, 3), min_samples=1)
    checks.check_latents(torch.full((2, 2), float("nan")), finite=False)
    with pytest.raises(ShapeError, match=r"Latents z must have shape \(B, D\), got \(4,\)"):
        checks.check_latents(torch.ones(4))
    with pytest.raises(ShapeError, match="at least one dimension"):
        checks.check_latents(torch.ones(4, 0))
    with pytest.raises(DegenerateDataError, match=r"At least 2 samples are needed, got a batch of 1.*drop_last"):
        checks.check_latents(torch.ones(1, 4))
    with pytest.raises(DegenerateDataError, match="got a batch of 0"):
        checks.check_latents(torch.ones(0, 4))
    with pytest.raises(NonFiniteError):
        checks.check_latents(torch.full((2, 2), float("nan")))


def test_not_empty():
    checks.check_not_empty({"a": 1}, what="Y")
    with pytest.raises(DegenerateDataError, match="Y names no quantity"):
        checks.check_not_empty({}, what="Y")
    with pytest.raises(NameMismatchError, match="Y must be a dict of name: value, got list"):
        checks.check_not_empty([1], what="Y")


def test_names():
    checks.check_names(["a", "b"], ["b", "a"], what="A", against="W")
    expected = r"A must name the quantities of W \['a', 'b'\], got \['b', 'c'\] \(missing \['a'\], unknown \['c'\]\)"
    with pytest.raises(NameMismatchError, match=expected):
        checks.check_names(["a", "b"], ["c", "b"], what="A", against="W")


def test_device():
    checks.check_device(torch.ones(1), CPU, what="X")
    with pytest.raises(
        DeviceMismatchError, match=r"X is on meta but the latents are on cpu. Move it with \.to\('cpu'\)"
    ):
        checks.check_device(torch.ones(1, device="meta"), CPU, what="X")


def test_targets_are_flattened():
    y = {"scalar": torch.ones(5), "field": torch.ones(5, 2, 3), "flat": torch.ones(5, 4)}
    flat = checks.check_targets(y, batch=5, device=CPU)
    assert {name: tuple(t.shape) for name, t in flat.items()} == {"scalar": (5, 1), "field": (5, 6), "flat": (5, 4)}
    assert flat["flat"] is y["flat"]


def test_bad_targets():
    def check(y):
        checks.check_targets({"a": torch.ones(5), "b": y}, batch=5, device=CPU)

    with pytest.raises(
        ShapeError, match=r"Targets of quantity 'b' must have one row for each of the 5 samples, got.*\(4,\)"
    ):
        check(torch.ones(4))
    with pytest.raises(ShapeError, match="one row for each"):
        check(torch.tensor(1.0))
    with pytest.raises(ShapeError, match=r"samples are tokens, a row of y for each, such as y\.flatten\(0, 1\)"):
        check(torch.ones(1, 5, 2))  # of tokens that became samples, as z.flatten(0, -2)
    with pytest.raises(ShapeError, match=r"quantity 'b' must have at least one entry a sample, got shape \(5, 0\)"):
        check(torch.ones(5, 0))
    with pytest.raises(NonFiniteError, match="quantity 'b'"):
        check(torch.full((5,), float("inf")))
    with pytest.raises(DtypeError, match="quantity 'b'"):
        check(torch.ones(5, dtype=torch.int64))
    with pytest.raises(DeviceMismatchError, match="quantity 'b'"):
        check(torch.ones(5, device="meta"))


def test_k():
    assert checks.check_k(3, ["a", "b"]) == {"a": 3, "b": 3}
    assert list(checks.check_k({"b": 1, "a": 2}, ["a", "b"]).items()) == [("a", 2), ("b", 1)]
    for bad in (0, -1):
        with pytest.raises(DimensionError, match=f"k of quantity 'b' must be at least 1, got {bad}"):
            checks.check_k({"a": 1, "b": bad}, ["a", "b"])
    for bad in (1.0, True, "2"):
        with pytest.raises(DimensionError, match="k of quantity 'a' must be a whole number"):
            checks.check_k(bad, ["a"])
    with pytest.raises(NameMismatchError, match="k must name the quantities of the targets"):
        checks.check_k({"a": 1}, ["a", "b"])


def test_partition():
    checks.check_partition({"a": 2, "b": 3}, 5)
    with pytest.raises(DimensionError, match=r"sum of k = 5 at most D = 4 .*latent dimension of at least 5"):
        checks.check_partition({"a": 2, "b": 3}, 4)


def test_bases():
    checks.check_bases({"a": torch.ones(2, 4), "b": torch.ones(6, 4)}, latent_dim=4, device=CPU)
    for bad in (torch.ones(2, 3), torch.ones(4), torch.ones(0, 4)):
        with pytest.raises(ShapeError, match=r"W of quantity 'b' must have shape \(k, D\) with D = 4, got"):
            checks.check_bases({"a": torch.ones(2, 4), "b": bad}, latent_dim=4, device=CPU)
    with pytest.raises(DegenerateDataError, match="previous names no quantity"):
        checks.check_bases({}, latent_dim=4, device=CPU, what="previous")


def test_ridge():
    checks.check_ridge(0)
    checks.check_ridge(1e-3)
    for bad in (-1e-9, float("inf"), float("nan")):
        with pytest.raises(OptionError, match="The ridge must be a number of at least 0"):
            checks.check_ridge(bad)


def test_working_dtype():
    half, single, double = (torch.ones(1, dtype=d) for d in (torch.float16, torch.float32, torch.float64))
    assert checks.working_dtype(half) == checks.working_dtype(single, half) == torch.float32
    assert checks.working_dtype(half, double) == torch.float64


def test_every_error_is_an_isospan_error_and_a_builtin_one():
    from isospan import errors

    raised = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, IsospanError)]
    assert len(raised) > 10
    builtin = (ValueError, TypeError, RuntimeError, AssertionError, ImportError, OSError)
    assert all(issubclass(error, builtin) for error in raised if error is not IsospanError)


@pytest.mark.parametrize("good", [1, 0.5, np.float32(0.5), np.int64(1), Fraction(1, 2), torch.tensor(0.5), np.array(1)])
def test_what_is_a_number(good):
    assert checks.check_number(good, what="x", most=1) == float(good)


@pytest.mark.parametrize("bad", [None, "1", True, np.bool_(1), 1j, float("nan"), torch.ones(2), [1], 10**400, -1, 1.5])
def test_what_is_no_number_from_0_to_1(bad):
    with pytest.raises(OptionError, match="x must be a number of at least 0 and at most 1, got"):
        checks.check_number(bad, what="x", most=1)


def test_a_flag_is_no_number():
    assert checks.check_flag(np.bool_(True), what="x") is True
    with pytest.raises(OptionError, match="x must be True or False, got 1"):
        checks.check_flag(1, what="x")


def test_values_under_vmap_are_seen():
    x = torch.ones(3, 2)
    x[2, 1] = float("nan")
    with pytest.raises(NonFiniteError, match="1 NaN or infinite of 6"):
        torch.func.vmap(lambda row: checks.check_finite(row, what="x") or row)(x)
