"""Reading order, splits and statistics of samples, in memory and in chunks."""

import pytest
import torch

from isospan.errors import DegenerateDataError, NonFiniteError, OptionError, ShapeError
from isospan.experiment.samples._samples import (
    Samples,
    field_statistics,
    fingerprint,
    read_batches,
    shuffled_batches,
    steps_per_epoch,
)
from isospan.experiment.samples._shards import Shard


class OnDisk:
    """A table that is only ever read in slices, and remembers how many rows at most."""

    def __init__(self, rows):
        self.rows, self.largest, self.reads = rows, 0, []

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        part = self.rows[rows]
        self.largest = max(self.largest, len(part))
        self.reads.append(rows.start)
        return part


def numbered(n, on_disk=False):
    ids = torch.arange(float(n))
    fields, arrays = ids.view(n, 1, 1, 1), 10 * ids
    return Samples(OnDisk(fields), {"tens": OnDisk(arrays)}) if on_disk else Samples(fields, {"tens": arrays})


def ids(batches):
    return [batch.fields.flatten().int().tolist() for batch in batches]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(("n", "batch_size"), [(40, 8), (41, 8), (42, 8), (7, 64), (64, 64), (2, 2)])
def test_each_sample_is_read_once_and_a_single_one_is_left_out(n, batch_size, on_disk):
    batches = list(shuffled_batches(numbered(n, on_disk), batch_size, generator=generator(), read_ahead=16))
    seen = [i for batch in ids(batches) for i in batch]
    assert len(batches) == steps_per_epoch(n, batch_size)
    assert len(seen) == len(set(seen)) == n - (n % batch_size == 1)
    assert all(torch.equal(batch.quantities["tens"], 10 * batch.fields.flatten()) for batch in batches)
    assert all(len(batch) >= 2 for batch in batches)


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_order_is_the_generators(on_disk):
    def order(seed):
        return ids(shuffled_batches(numbered(100, on_disk), 8, generator=generator(seed), read_ahead=32))

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_what_is_not_in_memory_is_never_read_whole_and_still_mixes_across_chunks():
    samples = numbered(1000, on_disk=True)
    batches = ids(shuffled_batches(samples, 20, generator=generator(), read_ahead=160))
    assert samples.fields.largest == 20
    assert samples.fields.reads != sorted(samples.fields.reads)
    spans = torch.tensor([float(max(b) - min(b)) for b in batches])
    assert spans.median() > 300  # a batch of one chunk would span 20


def test_reading_in_order():
    assert ids(read_batches(numbered(5, on_disk=True), 2)) == [[0, 1], [2, 3], [4]]


def test_arrays_with_another_number_of_rows_are_refused_by_name():
    with pytest.raises(ShapeError, match="array 'age' must have one row for each of the 3 fields, got 2"):
        Samples(torch.zeros(3, 1, 8, 8), {"age": torch.zeros(2)})


def test_statistics_are_those_of_all_at_once_also_far_from_zero():
    x = 300 + torch.randn(50, 2, 5, 6, dtype=torch.float64) * torch.tensor([1.0, 0.01]).view(2, 1, 1)
    mean, std = field_statistics(Samples(OnDisk(x)), batch_size=7)
    # the results are stored in float32, whose rounding is 6e-8
    assert torch.allclose(mean.double(), x.mean((0, 2, 3)), rtol=1e-7)
    assert torch.allclose(std.double(), x.std((0, 2, 3), correction=0), rtol=1e-6)


def test_statistics_of_unusable_fields():
    with pytest.raises(DegenerateDataError, match="must vary"):
        field_statistics(Samples(torch.ones(4, 1, 8, 8)))
    holed = torch.randn(4, 1, 8, 8)
    holed[2, 0, 3, 4] = torch.nan
    with pytest.raises(NonFiniteError, match="1 NaN or infinite of 256"):
        field_statistics(Samples(holed))
    with pytest.raises(ShapeError, match=r"\(N, C, H, W\), got \(4, 8, 8\)"):
        field_statistics(Samples(torch.ones(4, 8, 8)))


def test_batches_that_cannot_be_centred_are_refused():
    with pytest.raises(OptionError, match="at least 2"):
        steps_per_epoch(10, 1)
    with pytest.raises(DegenerateDataError, match="got 1"):
        steps_per_epoch(1, 8)


def test_the_fingerprint_is_of_every_entry_and_name_and_of_no_layout_on_disk():
    x = torch.randn(300, 1, 4, 4)
    changed = x.clone()
    changed[290, 0, 3, 3] += 1
    same = fingerprint(Samples(x, {"a": x[:, 0, 0, 0]}))
    assert same == fingerprint(Samples(x.mT.contiguous().mT, {"a": x[:, 0, 0, 0].clone()}))
    assert same not in {
        fingerprint(Samples(changed, {"a": x[:, 0, 0, 0]})),
        fingerprint(Samples(x, {"a": changed[:, 0, 3, 3]})),
        fingerprint(Samples(x, {"b": x[:, 0, 0, 0]})),
    }


class Counting:
    """A table on disk that remembers how many rows it was asked for at a time."""

    def __init__(self, rows):
        self.rows, self.reads = rows, []

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, rows):
        self.reads.append(len(range(*rows.indices(len(self.rows)))))
        return self.rows[rows]


def test_large_samples_are_read_few_at_a_time(monkeypatch):
    """16 numbers of four bytes each: 64 bytes a field, and as many of its quantity."""
    monkeypatch.setattr("isospan.experiment.samples._samples.BATCH_BYTES", 128 * 5)
    monkeypatch.setattr("isospan.experiment.samples._samples.READ_AHEAD_BYTES", 128 * 16)
    table = Counting(torch.randn(100, 1, 4, 4))
    samples = Samples(table, {"arrays": torch.zeros(100, 16)})
    assert [len(batch) for batch in read_batches(samples)] == [5] * 20
    assert max(table.reads) == 5
    table.reads.clear()
    assert sum(map(len, shuffled_batches(samples, 4, generator=generator()))) == 100
    assert max(table.reads) == 16 // 8


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(("n", "batch_size", "size"), [(41, 8, 3), (42, 5, 4), (11, 2, 4), (9, 64, 2)])
def test_parts_of_a_batch_make_up_the_batch(n, batch_size, size, on_disk):
    def batches(part):
        return ids(shuffled_batches(numbered(n, on_disk), batch_size, generator=generator(), read_ahead=16, shard=part))

    whole, parts = batches(None), [Shard(rank, size) for rank in range(size)]
    for expected, *rows in zip(whole, *map(batches, parts), strict=True):
        counts = [part.count(len(expected)) for part in parts]
        assert max(counts) - min(counts) <= 1
        assert all(rows)  # no process reads an empty batch
        assert [i for count, some in zip(counts, rows, strict=True) for i in some[:count]] == expected


def test_statistics_of_fields_in_float64_keep_their_digits():
    x = torch.randn(50, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mean, std = field_statistics(Samples(x + 1e8))
    assert mean.dtype == std.dtype == torch.float64
    # float64 holds 1e8 to 1.5e-8
    torch.testing.assert_close(mean - 1e8, x.mean((0, 2, 3)), rtol=0, atol=1e-7)
    torch.testing.assert_close(std, x.std((0, 2, 3), correction=0), rtol=0, atol=1e-7)
    assert field_statistics(Samples(x.float()))[0].dtype == torch.float32
