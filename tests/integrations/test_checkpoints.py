"""Which checkpoint is kept, which is read, and what happens to damaged ones."""

import logging
import os
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from isospan.errors import FileFormatError, FileWriteError, OptionError
from isospan.integrations._checkpoints import Checkpoints


def saved(directory, numbers=(1, 2, 3), **options):
    checkpoints = Checkpoints(directory, **options)
    for number in numbers:
        checkpoints.save(number, {"number": number, "weights": torch.full((3,), float(number))})
    return checkpoints


@pytest.mark.parametrize(("keep", "expected"), [(1, [4]), (2, [3, 4]), (3, [2, 3, 4]), (9, [1, 2, 3, 4])])
def test_the_newest_are_kept(tmp_path, keep, expected):
    assert [int(path.stem) for path in saved(tmp_path, (1, 2, 3, 4), keep=keep).paths()] == expected


def test_nothing_to_resume_from(tmp_path):
    assert Checkpoints(tmp_path / "none").latest() is None


def test_a_number_saved_again_replaces_its_file(tmp_path):
    checkpoints = saved(tmp_path, (1, 2, 2))
    assert [int(path.stem) for path in checkpoints.paths()] == [1, 2]


def test_numbers_beyond_six_digits_stay_in_order(tmp_path):
    checkpoints = saved(tmp_path, (999_999, 1_000_000))
    assert checkpoints.latest()["number"] == 1_000_000


def test_a_truncated_newest_file_is_logged_and_the_one_before_is_used(tmp_path, caplog):
    checkpoints = saved(tmp_path)
    newest = checkpoints.paths()[-1]
    newest.write_bytes(newest.read_bytes()[:-5])
    with caplog.at_level(logging.WARNING, logger="isospan"):
        assert checkpoints.latest()["number"] == 2
    assert "000003.safetensors is not a readable training checkpoint" in caplog.text


def test_any_flipped_bit_in_the_newest_leads_to_the_one_before(tmp_path, caplog):
    checkpoints = saved(tmp_path)
    newest = checkpoints.paths()[-1]
    content = newest.read_bytes()
    found = []
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at * 5 % 8
        newest.write_bytes(damaged)
        state = checkpoints.latest()
        assert torch.equal(state["weights"], torch.full((3,), float(state["number"])))
        found.append(state["number"])
    assert found.count(2) > 0.8 * len(found)  # the others are padding, and the name of the checksum
    assert found[-12:] == [2] * 12  # the weights
    assert "is damaged: its content does not have the checksum" in caplog.text


@pytest.fixture
def full_disk():
    """Files of at most 4 kB, which ends a write as a full disk does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    @contextmanager
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


def test_on_a_full_disk_the_checkpoints_before_are_kept_and_training_goes_on(tmp_path, caplog, full_disk):
    checkpoints = saved(tmp_path)
    with full_disk():
        checkpoints.save(4, {"number": 4, "weights": torch.zeros(10_000)})
    assert "The checkpoint was not saved, and the previous one is kept" in caplog.text
    assert "000004.safetensors cannot be written" in caplog.text
    assert checkpoints.latest()["number"] == 3
    assert len(list(tmp_path.iterdir())) == 2
    checkpoints.save(5, {"number": 5})
    assert checkpoints.latest()["number"] == 5


def test_a_run_that_cannot_save_its_first_checkpoint_stops(tmp_path, full_disk):
    with full_disk(), pytest.raises(FileWriteError, match=r"000001\.safetensors cannot be written .*Free space"):
        Checkpoints(tmp_path / "new").save(1, {"weights": torch.zeros(10_000)})


def test_foreign_files_are_not_checkpoints_and_stay(tmp_path):
    foreign = {"model.safetensors", ".notes.tmp", ".000009.safetensors.7-7.tmp"}
    for name in foreign:
        (tmp_path / name).write_bytes(b"not mine")
    checkpoints = saved(tmp_path)
    assert checkpoints.latest()["number"] == 3
    checkpoints.clear()
    assert {path.name for path in tmp_path.iterdir()} == foreign


@pytest.mark.parametrize("action", ["save", "clear"])
def test_what_a_killed_writer_left_is_no_checkpoint_and_is_removed(tmp_path, action):
    checkpoints = saved(tmp_path)
    left = tmp_path / ".000009.safetensors.77-140.tmp"
    left.mkdir()
    for name in ("000009.safetensors", ".tmpAb3"):
        (left / name).write_bytes(b"half written")
    assert checkpoints.latest()["number"] == 3
    checkpoints.clear() if action == "clear" else checkpoints.save(4, {"number": 4})
    assert not left.exists()


def test_steps_at_which_it_is_due(tmp_path):
    assert [step for step in range(1, 10) if Checkpoints(tmp_path, every_steps=3).due(step)] == [3, 6, 9]
    assert not any(Checkpoints(tmp_path).due(step) for step in range(1, 10))
    with pytest.raises(OptionError, match="every_steps must be at least 1, got 0"):
        Checkpoints(tmp_path, every_steps=0)


def test_when_none_can_be_read_it_says_so(tmp_path):
    checkpoints = saved(tmp_path)
    for path in checkpoints.paths():
        path.write_bytes(b"")
    with pytest.raises(FileFormatError, match=r"one of the checkpoints .*000003.safetensors is not a readable"):
        checkpoints.latest()


def test_a_crash_while_writing_leaves_what_was_there(tmp_path, monkeypatch):
    checkpoints = saved(tmp_path)

    def interrupted(tensors, path, metadata):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("isospan._core.tensor_files.save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(4, {"number": 4})
    assert checkpoints.latest()["number"] == 3
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_is_flushed_by_whom_may_write_it(tmp_path, monkeypatch):
    """Windows refuses to flush a file that was opened to read."""
    fcntl, modes, fsync = pytest.importorskip("fcntl"), [], os.fsync

    def flush(descriptor):
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            modes.append(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", flush)
    Checkpoints(tmp_path).save(1, {"a": torch.ones(2)})
    assert modes == [os.O_RDWR]


def test_a_run_with_other_settings_is_not_continued(tmp_path):
    saved(tmp_path, run={"seed": 0, "lr": 0.1, "quantities": ["a"]})
    assert Checkpoints(tmp_path, run={"seed": 0, "lr": 0.1, "quantities": ["a"]}).latest()["number"] == 3
    with pytest.raises(OptionError, match=r"other settings \(lr: 0.1 then, 0.2 now; seed: 0 then, 1 now\)"):
        Checkpoints(tmp_path, run={"seed": 1, "lr": 0.2, "quantities": ["a"]}).latest()


def test_at_least_one_is_kept(tmp_path):
    with pytest.raises(OptionError, match="at least 1, got 0"):
        Checkpoints(tmp_path, keep=0)


def test_a_checkpoint_may_be_read_by_whom_a_new_file_may(tmp_path):
    (tmp_path / "new").touch()
    assert saved(tmp_path).paths()[-1].stat().st_mode == (tmp_path / "new").stat().st_mode


def test_only_rank_0_writes_and_all_ranks_read_the_file_that_it_finds(tmp_path):
    program = [sys.executable, Path(__file__).with_name("ranks.py")]
    ranks = [
        subprocess.Popen([*program, str(rank), tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    found = [rank.communicate(timeout=200) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], found
    printed = [out.splitlines()[-1].split("|") for out, _ in found]  # behind a line of Gloo, with torch 2.8
    first, second = "{'number': 1, 'rank': 0}", "{'number': 2, 'rank': 0}"
    none_readable = "At least one of the checkpoints"
    shared, cleared = [second, first, none_readable], ["None"]
    assert printed[0] == ["None", "2", "2", *shared, second, *cleared]
    assert printed[1][2:] == ["0", *shared, none_readable, *cleared]
