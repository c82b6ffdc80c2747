"""Simulating in chunks, several at once."""

import threading
import time

import pytest
import torch

from isospan.datasets._navier_stokes import decaying_turbulence
from isospan.datasets._simulation import chunk_length, simulate_chunks


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_chunks_run_at_once_on_one_thread_each():
    meeting = threading.Barrier(2, timeout=60)
    threads = []

    def simulate(chunk):
        meeting.wait()
        threads.append(torch.get_num_threads())

    assert list(simulate_chunks(simulate, torch.arange(5).split(3))) in ([3, 5], [2, 5])
    assert threads == [1, 1]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_an_error_stops_the_others_and_gives_the_threads_back():
    started = []

    def simulate(chunk):
        started.append(chunk)
        time.sleep(0.01)  # all 1000 take 5 s on two threads: time enough to notice the first error on a busy machine
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(simulate_chunks(simulate, torch.arange(1000).split(1)))
    assert len(started) < 1000
    assert torch.get_num_threads() == 2


def test_results_do_not_depend_on_the_number_of_threads(two_threads):
    def make():
        return decaying_turbulence(20, size=16, viscosity=0.05, peaks=(2.0, 4.0), snapshots=1)

    at_once = make()
    torch.set_num_threads(1)
    assert torch.equal(make(), at_once)


def test_a_chunk_fits_into_the_caches_of_a_core():
    assert chunk_length(64) == 8
    assert chunk_length(4096) == 1
