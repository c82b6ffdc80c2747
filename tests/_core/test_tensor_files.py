"""A file of tensors comes back as it was written, or is refused with its path and a remedy."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from isospan._core import tensor_files
from isospan._core.tensor_files import load_tensors, save_tensors
from isospan.errors import FileFormatError

TENSORS = {
    "w": torch.arange(6.0).reshape(2, 3),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "flag": torch.tensor(True),
    "none": torch.zeros(0, 2),
    "n": torch.arange(3),
}


def load(path):
    parse = lambda header, tensors: (header["record"], tensors)  # noqa: E731
    return load_tensors(path, parse, kind="k", schema=1, what="a readable file", remedy="Write it again.")


@pytest.fixture
def path(tmp_path):
    save_tensors(tmp_path / "x", TENSORS, kind="k", schema=1, record={"a": [1, 2.5, "é"]})
    return tmp_path / "x"


def is_whole(loaded):
    record, tensors = loaded
    same = [torch.equal(tensors[name], value) and tensors[name].dtype == value.dtype for name, value in TENSORS.items()]
    return record == {"a": [1, 2.5, "é"]} and len(tensors) == len(TENSORS) and all(same)


def test_every_flipped_bit_is_found_or_harmless(path):
    content = path.read_bytes()
    refused = 0
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            assert is_whole(load(path)), f"byte {at} of {len(content)}"
        except FileFormatError as error:
            refused += 1
            named = str(path) in str(error) and ("Write it again." in str(error) or "Pass another file" in str(error))
            assert named, str(error)  # noqa: PT017
    assert refused > len(content) * 0.8  # others are padding, or the name under which the checksum is found


def test_every_truncation_is_found(path):
    content = path.read_bytes()
    for kept in range(len(content)):
        path.write_bytes(content[:kept])
        with pytest.raises(FileFormatError, match="is not a readable file"):
            load(path)


def test_a_weight_with_a_flipped_bit_does_not_have_the_checksum(path):
    content = bytearray(path.read_bytes())
    content[content.rindex(torch.tensor([4.0]).numpy().tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"is damaged: its content does not have the checksum .* Write it again"):
        load(path)


def test_a_file_from_before_there_were_checksums_is_read(path):
    with safe_open(path, framework="pt") as file:
        header = file.metadata()["isospan"]
    save_file(load_file(path), path, {"isospan": header})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensor_files, "_checksum", None)  # there is nothing to compare one with
        assert is_whole(load(path))


@pytest.mark.parametrize("header", ["[]", "7", "{}", "[" * 100_000, "{"])
def test_headers_that_are_none(path, header):
    save_file({"w": torch.ones(1)}, path, {"isospan": header})
    with pytest.raises(FileFormatError, match=r"x (is not a readable file|holds a None)"):
        load(path)


@pytest.mark.parametrize("error", [KeyError("w"), TypeError("w"), RecursionError(), MemoryError(), OverflowError()])
def test_whatever_parsing_raises_names_the_file(path, error):
    def parse(header, tensors):
        raise error

    with pytest.raises(FileFormatError, match=f"x is not a file \\({type(error).__name__}.* Again"):
        load_tensors(path, parse, kind="k", schema=1, what="a file", remedy="Again.")


def test_the_record_is_json(path):
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["isospan"])["record"] == {"a": [1, 2.5, "é"]}
