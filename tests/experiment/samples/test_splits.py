"""Held-out samples: contiguous blocks, none lost, none in both sets."""

import pytest
import torch

from isospan.errors import DegenerateDataError, OptionError
from isospan.experiment.samples._samples import Samples
from isospan.experiment.samples._splits import hold_out, select, spread


class OnDisk:
    """A table that is only ever read in slices."""

    def __init__(self, rows):
        self.rows, self.reads = rows, []

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        self.reads.append((rows.start, rows.stop))
        return self.rows[rows]


def numbered(n, on_disk=False):
    ids = torch.arange(float(n))
    fields, arrays = ids.view(n, 1, 1, 1), 10 * ids
    return Samples(OnDisk(fields), {"tens": OnDisk(arrays)}) if on_disk else Samples(fields, {"tens": arrays})


def ids(samples, rows=slice(None)):
    part = samples[rows]
    assert torch.equal(part.quantities["tens"], 10 * part.fields.flatten())
    return part.fields.flatten().int().tolist()


@pytest.mark.parametrize("on_disk", [False, True])
def test_one_block_holds_out_the_tail(on_disk):
    train, test = hold_out(numbered(10, on_disk), 0.3)
    assert ids(train) == [0, 1, 2, 3, 4, 5, 6]
    assert ids(test) == [7, 8, 9]
    assert (len(train), len(test)) == (7, 3)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("n", [4, 7, 23, 40, 101])
@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5])
@pytest.mark.parametrize("blocks", [1, 3, 5, 1000])
def test_nothing_is_lost_and_nothing_is_on_both_sides(n, fraction, blocks, on_disk):
    train, test = hold_out(numbered(n, on_disk), fraction, blocks=blocks)
    assert sorted(ids(train) + ids(test)) == list(range(n))
    assert ids(train) == sorted(ids(train))
    assert len(train) >= 2
    assert len(test) >= 2
    # each block rounds its fraction, and holds out at least two
    assert abs(len(test) - fraction * n) <= max(2, 0.5 * blocks)


def test_blocks_are_spread_over_the_samples():
    _, test = hold_out(numbered(100), 0.2, blocks=5)
    assert ids(test) == [i for i in range(100) if i % 20 >= 16]


@pytest.mark.parametrize("rows", [slice(0, 3), slice(3, 9), slice(5, 100), slice(2, 2), slice(90, 95)])
def test_slices_of_ranges_on_disk_are_those_in_memory(rows):
    ranges = [range(2, 6), range(6, 6), range(10, 11), range(15, 20)]
    on_disk, in_memory = (select(numbered(30, on_disk), ranges) for on_disk in (True, False))
    assert ids(on_disk, rows) == ids(in_memory, rows)
    assert not on_disk.in_memory
    assert in_memory.in_memory


@pytest.mark.parametrize("on_disk", [False, True])
def test_samples_are_read_one_after_the_other(on_disk):
    samples = select(numbered(30, on_disk), [range(2, 6), range(10, 20)])
    for rows in (samples, samples.fields) if on_disk else (samples,):
        for step in (2, -1):
            with pytest.raises(OptionError, match=f"must have step 1, got step {step}"):
                rows[::step]


def test_only_what_is_asked_for_is_read():
    samples = select(numbered(30, on_disk=True), [range(2, 6), range(10, 20)])
    samples[5:8]
    assert samples.fields.rows.reads == [(11, 14)]


def test_splits_that_cannot_be():
    with pytest.raises(DegenerateDataError, match=r"got 3 with the fraction 0\.5 held out"):
        hold_out(numbered(3), 0.5)
    with pytest.raises(OptionError, match=r"between 0 and 1 and the blocks at least 1, got 1\.5 and 1"):
        hold_out(numbered(10), 1.5)
    with pytest.raises(OptionError, match=r"got 0\.5 and 0"):
        hold_out(numbered(10), 0.5, blocks=0)


SPREAD = [(5, 5, range(5)), (3, 8, range(3)), (9, 3, [2, 4, 6]), (9, 1, [4])]


@pytest.mark.parametrize(("n", "count", "expected"), SPREAD)
def test_spread_takes_each_sample_once(n, count, expected):
    samples = Samples(torch.arange(float(n)).view(n, 1, 1, 1))
    assert spread(samples, count).fields.flatten().tolist() == list(expected)
