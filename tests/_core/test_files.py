"""Files appear whole or not at all, and nothing that a killed writer left stays for good."""

import os
import signal
import subprocess
import sys

import pytest

from isospan._core.files import HOST, atomic_path
from isospan.errors import FileWriteError, IsospanError

KILLED = """
import sys, time
from isospan._core.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(600)
"""


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="signal 0 asks nothing there")
def test_what_a_killed_writer_left_goes_with_the_next_write_to_the_directory(tmp_path):
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path / "report.html"], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "writing\n"
    with atomic_path(tmp_path / "first") as temporary:
        temporary.write_text("whole")
    assert len(names(tmp_path)) == 2, "what a living writer writes stays"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert len(names(tmp_path)) == 2
    with atomic_path(tmp_path / "second") as temporary:
        temporary.write_text("whole")
    assert names(tmp_path) == ["first", "second"]


def test_what_writers_of_other_hosts_and_programs_have_stays(tmp_path):
    others = [f".a.html.{HOST}x.999999999-1.tmp", ".a.html.7-1.tmp", ".notes.tmp"]
    for name in others:
        (tmp_path / name).mkdir()
    with atomic_path(tmp_path / "a.html") as temporary:
        temporary.write_text("whole")
    assert names(tmp_path) == sorted([*others, "a.html"])


def test_a_full_disk_is_named_and_what_was_there_stays(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def write():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(FileWriteError, match=r"a\.txt cannot be written \(.*No space left.*Free space") as raised:
        write()
    assert isinstance(raised.value, IsospanError)
    assert isinstance(raised.value, OSError)
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileWriteError, match="cannot be written"), atomic_path(tmp_path / "file" / "a"):
        pass
