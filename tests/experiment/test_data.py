"""Where samples come from."""

import numpy as np
import pytest
import torch

from isospan.errors import FileFormatError, OptionError
from isospan.experiment._data import Source, in_memory, read_source
from isospan.experiment.samples import Samples


def test_only_what_a_quantity_asks_for_comes_along(npz):
    source = read_source([npz], variable="u")
    assert source.channels == ("u",)
    assert set(source.variables) >= {"T", "age"}
    samples = source.with_quantities(["T"])
    assert set(samples.quantities) == {"T"}
    assert samples.in_memory
    assert torch.equal(samples.quantities["T"], torch.from_numpy(np.load(npz)["T"])[:, None])


def test_several_variables_are_channels(npz):
    samples = read_source([npz], variable=["u", "T"]).with_quantities([])
    assert samples.fields.shape == (40, 2, 16, 16)


def test_what_does_not_fit_stays_on_disk(npz):
    samples = Samples(read_source([npz], variable="u").samples.fields)
    assert not in_memory(samples, limit=40 * 256 * 4 - 1).in_memory
    assert in_memory(samples, limit=40 * 256 * 4).in_memory


def test_arrays_passed_from_python_can_be_quantities():
    source = Source(Samples(torch.zeros(3, 1, 8, 8), {"a": torch.zeros(3), "b": torch.zeros(3)}))
    assert source.variables == ["a", "b"]
    assert set(source.with_quantities(["b"]).quantities) == {"b"}


def test_files_that_are_not_there():
    with pytest.raises(OptionError, match="got none"):
        read_source([])
    with pytest.raises(FileFormatError, match="does not exist"):
        read_source(["missing.npz"])


def test_what_was_read_in_a_line(npz):
    source = read_source([npz], variable=["u", "T"])
    assert source.description == "Read 40 samples of 2 × 16 × 16 (C × H × W) of u, T, along dimension 0"
    assert Source(Samples(torch.zeros(3, 1, 8, 8))).description == ""
