"""Generated data are kept, found again, and never trusted blindly."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from isospan.datasets._cache import cache_folder, cached
from isospan.errors import OptionError

calls = []


def generate(n, *, scale=2.0, times=(1.0, 2.0), progress=None):
    calls.append((n, scale, times))
    if progress is not None:
        progress(n, n)
    return scale * torch.arange(n, dtype=torch.float32).reshape(n, 1, 1, 1)


@pytest.fixture(autouse=True)
def _forget():
    calls.clear()


def the_file(folder) -> Path:
    (path,) = Path(folder).glob("*.npz")
    return path


def test_generates_once(tmp_path):
    first, second = (cached(generate, 3, folder=tmp_path) for _ in range(2))
    assert torch.equal(first, generate(3))
    assert torch.equal(first, second)
    assert second.dtype == torch.float32
    assert len(calls) == 2  # one of them is the comparison above
    assert [path.name for path in tmp_path.iterdir()] == [the_file(tmp_path).name]


@pytest.mark.parametrize("other", [{"n": 4}, {"scale": 3.0}, {"times": (1.0, 3.0)}, {"version": 99}])
def test_every_parameter_and_the_version_are_in_the_key(tmp_path, other):
    cached(generate, n=3, folder=tmp_path)
    cached(generate, **{"n": 3, **other}, folder=tmp_path)
    assert len(calls) == 2


def test_the_way_of_calling_is_not_in_the_key(tmp_path):
    cached(generate, 3, folder=tmp_path)
    cached(generate, n=3, scale=2.0, times=(1.0, 2.0), folder=tmp_path)
    assert len(calls) == 1


def test_functions_of_one_name_have_two_files(tmp_path):
    def generate(n, *, scale=2.0, times=(1.0, 2.0)):
        return torch.zeros(n)

    cached(globals()["generate"], 3, folder=tmp_path)
    assert torch.equal(cached(generate, 3, folder=tmp_path), torch.zeros(3))


def test_progress_is_heard_while_generating_only(tmp_path):
    heard = []
    for _ in range(2):
        cached(generate, 3, folder=tmp_path, progress=lambda *call: heard.append(call))
    assert heard == [(3, 3)]
    assert len(calls) == 1


def damage_by_cutting(path):
    path.write_bytes(path.read_bytes()[:-50])


def damage_by_flipping_one_bit(path):
    content = bytearray(path.read_bytes())
    where = content.index(np.float32(2.0).tobytes(), content.index(b"tensor.npy"))
    content[where] ^= 1
    path.write_bytes(content)


def damage_by_declaring_fewer_entries(path):
    """One bit makes (3, 1, 1, 1) of (1, 1, 1, 1): the entries that are read are whole, and the checksum is of more."""
    content = path.read_bytes()
    assert content.count(b"'shape': (3, 1, 1, 1)") == 1
    path.write_bytes(content.replace(b"'shape': (3, 1, 1, 1)", b"'shape': (1, 1, 1, 1)"))


def damage_by_a_bit_in_the_directory(path):
    """An unknown method of compression, for which zipfile raises NotImplementedError."""
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 10] ^= 64
    path.write_bytes(content)


def damage_by_emptying(path):
    path.write_bytes(b"")


def damage_by_another_key(path):
    np.savez(path, key=np.array("{}"), tensor=np.zeros(3))


def damage_by_pickling(path):
    np.savez(path, key=np.array([{}], dtype=object), tensor=np.zeros(3))


def damage_by_leaving_out(path):
    np.savez(path, other=np.zeros(3))


@pytest.mark.parametrize(
    "damage",
    [
        damage_by_cutting,
        damage_by_flipping_one_bit,
        damage_by_declaring_fewer_entries,
        damage_by_a_bit_in_the_directory,
        damage_by_emptying,
        damage_by_another_key,
        damage_by_pickling,
        damage_by_leaving_out,
    ],
)
def test_a_damaged_file_is_generated_again_with_a_warning(tmp_path, caplog, damage):
    whole = cached(generate, 3, folder=tmp_path)
    damage(the_file(tmp_path))
    with caplog.at_level(logging.WARNING, logger="isospan"):
        again = cached(generate, 3, folder=tmp_path)
    assert "damaged" in caplog.text
    assert str(the_file(tmp_path)) in caplog.text
    assert torch.equal(again, whole)
    assert torch.equal(cached(generate, 3, folder=tmp_path), whole)
    assert len(calls) == 2


def test_an_interrupted_generation_leaves_nothing(tmp_path):
    def interrupted(n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(interrupted, 3, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_costs_the_cache_only(tmp_path, caplog):
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    with caplog.at_level(logging.WARNING, logger="isospan"):
        data = cached(generate, 3, folder=in_the_way / "cache")
    assert torch.equal(data, generate(3))
    assert "ISOSPAN_CACHE" in caplog.text


def test_parameters_that_have_no_key(tmp_path):
    with pytest.raises(OptionError, match="object at"):
        cached(generate, 3, scale=object(), folder=tmp_path)
    assert not calls


def test_readers_at_the_same_time_see_whole_files(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: cached(generate, 1000, folder=tmp_path), range(8)))
    assert all(torch.equal(result, results[0]) for result in results)


def test_where_the_cache_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("ISOSPAN_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("ISOSPAN_CACHE")
    assert cache_folder() == tmp_path / "isospan"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path.home() / ".cache" / "isospan"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "isospan"


def test_the_default_folder_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("ISOSPAN_CACHE", os.fspath(tmp_path / "new"))
    cached(generate, 3)
    assert the_file(tmp_path / "new").exists()
