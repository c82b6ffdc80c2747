"""Several processes with a part of the batch each, against one process with the whole of it."""

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


def load_cases():
    spec = spec_from_file_location("cases", HERE / "cases.py")
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CASES


CASES = load_cases()
TOLERANCES = {
    # the float64 state of a training in float32
    "ddp_default_in_float32": 1e-6,
    "ddp_plain_in_float32": 2e-6,
    # float64 data with an offset of a million standard deviations are themselves rounded at 1e-10
    "moments_with_an_offset_and_an_empty_rank": 1e-9,
}


@pytest.fixture(scope="module", params=[2, 3], ids=["two", "three"])
def ranks(request, tmp_path_factory):
    """What every case returned, by rank."""
    world, directory = request.param, tmp_path_factory.mktemp("ranks")
    command = [sys.executable, str(HERE / "worker.py")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(world), str(directory)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world)
    ]
    try:
        said = [process.communicate(timeout=200)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * world, "\n".join(said)
    return [torch.load(directory / f"rank{rank}.pt") for rank in range(world)]


@pytest.mark.parametrize("name", CASES)
def test_case(ranks, name):
    results = [rank.get(name, {"error": "not reached"}) for rank in ranks]
    errors = [result["error"] for result in results if "error" in result]
    assert not errors, "\n".join(errors)
    for result in results:
        assert result.get("true", True), result
        for key, value in results[0].get("bits", {}).items():
            assert torch.equal(result["bits"][key], value), key
    if name.startswith("only_"):
        return
    alone = CASES[name](0, 1)
    for result in results:
        for key, value in result["whole"].items():
            check_close(value, alone["whole"][key], key, TOLERANCES.get(name))
    for key, value in alone.get("rows", {}).items():
        check_close(torch.cat([result["rows"][key] for result in results]), value, key)


def check_close(got, expected, name, tolerance=None):
    """To 1e-10 in float64, and 1e-6 in float32, of the largest entry: what sums in another order differ by."""
    tolerance = tolerance or (1e-6 if expected.dtype == torch.float32 else 1e-10)
    atol = tolerance * max(float(expected.abs().max()), 1e-12)
    torch.testing.assert_close(got, expected, rtol=0, atol=atol, msg=lambda message: f"{name}: {message}")
