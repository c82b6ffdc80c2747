"""A file that is cut, lengthened or has flipped bits gives the right data or a named error."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isospan.experiment.readers import open_arrays, open_fields
from isospan.integrations import load_tree, save_tree
from isospan.subspaces import LatentSpace

from .strategies import outcome

xarray = pytest.importorskip("xarray")
FIELD = np.random.default_rng(0).standard_normal((5, 4, 6))
NUMBERS = itertools.count()
DATASET = xarray.Dataset({"u": (("t", "y", "x"), FIELD)})


class Originals(dict):
    """The bytes of each whole file and what they are read as; a failure does not print them."""

    def __repr__(self):
        return "originals"


def the_space():
    one = torch.arange(1.0, 9.0)
    return LatentSpace(
        {"a": one.view(2, 4)}, {"a": one.view(2, 4)}, one[:4], {"a": one[:4]}, {"a": one[0]}, {"a": (2, 2)}
    )


def read_fields(path):
    with open_fields(path) as source:
        return source.fields[0 : len(source)]


def read_arrays(path):
    return [array[0 : len(array)] for array in open_arrays(path).values()]


def read_both(path):
    return [read_fields(path), *read_arrays(path)]


def parts(space):
    return [space.z_mean, *space.W.values(), *space.A.values(), *space.y_mean.values(), *space.y_scale.values()]


TREE = {"x": torch.arange(5.0), "n": [1, 2.5, None, "text"]}
KINDS = {
    "space.safetensors": (lambda path: the_space().save(path), lambda path: parts(LatentSpace.load(path))),
    "tree.safetensors": (
        lambda path: save_tree(path, TREE, kind="test"),
        lambda path: [load_tree(path, kind="test")["x"]],
    ),
    "fields.npy": (lambda path: np.save(path, FIELD), read_both),
    "fields.npz": (lambda path: np.savez(path, u=FIELD, s=FIELD[:, 0, 0]), read_both),
    "packed.npz": (lambda path: np.savez_compressed(path, u=FIELD), read_both),
    "fields.nc": (lambda path: DATASET.to_netcdf(path, format="NETCDF4"), read_both),
    "classic.nc": (
        lambda path: DATASET.to_netcdf(path, format="NETCDF3_64BIT"),
        read_both,
    ),
}
WITHOUT_CHECKSUM = ("fields.npy", "fields.nc", "classic.nc")
"""Formats in which a changed number looks like any other."""


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, (write, _) in KINDS.items():
        write(folder / name)
    return Originals({name: ((folder / name).read_bytes(), KINDS[name][1](folder / name)) for name in KINDS})


@pytest.mark.parametrize("name", KINDS)
@given(
    st.sampled_from(["cut", "longer", "bit", "zeros", "noise"]),
    st.floats(0, 0.9999),
    st.integers(0, 7),
    st.integers(1, 200),
)
def test_a_damaged_file(originals, tmp_path, name, damage, where, bit, length):
    content, expected = originals[name]
    at = int(where * len(content))
    if damage == "bit":
        changed = content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]
    else:
        noise = np.random.default_rng(length).bytes(length)
        middle = {"cut": None, "longer": noise, "zeros": bytes(length), "noise": noise}[damage]
        rest = content[at:] if damage == "longer" else content[at + length :]
        changed = content[:at] if middle is None else content[:at] + middle + rest
    path = tmp_path / f"{next(NUMBERS)}-{name}"  # readers keep files of a name open
    path.write_bytes(changed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the readers of others
        read = outcome(KINDS[name][1], path)
    if read is not None and (damage == "cut" or name not in WITHOUT_CHECKSUM):
        assert len(read) == len(expected)
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(read, expected, strict=True))


@given(st.binary(max_size=300), st.sampled_from(list(KINDS)))
def test_a_file_of_anything(tmp_path, content, name):
    path = tmp_path / f"{next(NUMBERS)}-{name}"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert outcome(KINDS[name][1], path) is None
