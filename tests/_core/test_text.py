"""Numbers and times as text."""

import pytest

from isospan._core.text import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0 s"), (59.6, "1 min 00 s"), (253.4, "4 min 13 s"), (7261, "2 h 01 min"), (float("nan"), "–")],
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text
