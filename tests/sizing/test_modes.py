"""Counting modes: ties, rounding, rank; and whose threshold is whose."""

import pytest
import torch

from isospan.errors import NameMismatchError, OptionError
from isospan.sizing._modes import check_thresholds, count_modes, resolve_thresholds


@pytest.mark.parametrize("n", [1, 3, 10, 49, 1000])
def test_a_share_that_equals_the_threshold_reaches_it(n):
    """n equal modes: k of them hold k/n, whatever the rounding of k/n and of the sums."""
    for unit in (1.0, 0.1, 1e-20, 3e15):
        spectrum = torch.full((n,), unit, dtype=torch.float64)
        assert [count_modes(spectrum, k / n) for k in range(1, n + 1)] == list(range(1, n + 1))


def test_just_above_a_share_takes_one_more():
    spectrum = torch.tensor([5.0, 3.0, 2.0], dtype=torch.float64)
    assert [count_modes(spectrum, eta) for eta in (0.5, 0.5 + 1e-11, 0.8, 0.8 + 1e-11, 1.0)] == [1, 2, 2, 3, 3]


def test_rounding_below_the_rank_is_not_counted():
    spectrum = torch.tensor([1.0, 0.5, 1e-15, 1e-16, 0.0], dtype=torch.float64)
    assert count_modes(spectrum, 1.0) == 2
    many = torch.cat([torch.ones(1), torch.full((100_000,), 9e-13)]).double()  # together above the tolerance
    assert count_modes(many, 1.0) == 1


def test_resolution():
    names = ["a", "b"]
    assert resolve_thresholds(names, 0.5, 0.7, 0.9, what="t") == {"a": 0.5, "b": 0.5}
    assert resolve_thresholds(names, {"b": 0.5}, 0.7, 0.9, what="t") == {"a": 0.7, "b": 0.5}
    assert resolve_thresholds(names, {}, None, 0.9, what="t") == {"a": 0.9, "b": 0.9}
    with pytest.raises(NameMismatchError, match=r"t must name quantities of the data, \['a', 'b'\], got \['c'\] too"):
        resolve_thresholds(names, {"a": 0.5, "c": 0.5}, None, 0.9, what="t")


@pytest.mark.parametrize("value", [0, -0.1, 1.0001, 95, float("nan"), "0.9", [0.9]])
def test_thresholds_are_fractions(value):
    for threshold, default, label in (
        (value, None, "t"),
        ({"a": value}, None, "t of quantity 'a'"),
        (0.5, value, "def"),
    ):
        with pytest.raises(OptionError, match=rf"{label}.* in \(0, 1\], got"):
            check_thresholds(threshold, default, what="t")
    check_thresholds({"a": 1, "b": 1e-9}, 1.0, what="t")
