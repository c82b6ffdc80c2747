"""Files appear whole or not at all, and nothing that a killed writer left stays for good."""

import os
import signal
import subprocess
import sys

import pytest

from isospan._core.files import HOST, atomic_path, remove_unfinished
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


@pytest.mark.skipif(not os.path.exists("/proc/self/ns/pid"), reason="there are no PID namespaces")
def test_what_writers_of_other_containers_with_the_same_host_name_have_stays(tmp_path):
    host, namespace = HOST.rsplit("-", 1)
    assert namespace == str(os.stat("/proc/self/ns/pid").st_ino)
    other = f".a.html.{host}-{int(namespace) + 1}.999999999-1.tmp"
    for name in (other, f".a.html.{HOST}.999999999-1.tmp"):
        (tmp_path / name).mkdir()
    with atomic_path(tmp_path / "b.html") as temporary:
        temporary.write_text("whole")
    assert names(tmp_path) == [other, "b.html"]
    remove_unfinished(tmp_path)
    assert names(tmp_path) == ["b.html"]


def test_an_error_of_a_file_written_inside_is_told_once(tmp_path):
    (tmp_path / "file").touch()

    def write():
        with atomic_path(tmp_path / "outer") as temporary, atomic_path(tmp_path / "file" / "inner"):
            temporary.write_text("whole")

    with pytest.raises(FileWriteError) as raised:
        write()
    assert str(raised.value).count("cannot be written") == 1
    assert "inner cannot be written" in str(raised.value)
    assert names(tmp_path) == ["file"]


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
