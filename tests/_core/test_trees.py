"""Nested states survive the file exactly; damaged and foreign files are named."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from isospan._core.trees import load_tree, save_tree
from isospan.errors import DtypeError, FileFormatError


def optimizer_state():
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def assert_equal_trees(a, b):
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_equal_trees(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal_trees(x, y)
    else:
        assert a == b


def test_the_state_of_an_optimizer_and_of_generators_comes_back_exactly(tmp_path):
    tree = {
        "optimizer": optimizer_state(),
        "generator": torch.Generator().manual_seed(3).get_state(),
        "numbers": [1, 2.5, 0.1 + 0.2, 1e-300, True, None, "é"],
        ("a", 1): (torch.tensor(3), torch.zeros(0, 2), torch.randn(2, dtype=torch.float64)),
        "empty": {"list": [], "dict": {}},
    }
    save_tree(tmp_path / "state", tree, kind="state")
    assert_equal_trees(load_tree(tmp_path / "state", kind="state"), tree)


def test_tensors_that_share_memory_or_are_strided_are_kept(tmp_path):
    x = torch.randn(4, 6)
    tree = {"whole": x, "part": x[1:3, ::2], "changed": x.T}
    save_tree(tmp_path / "state", tree, kind="state")
    assert_equal_trees(load_tree(tmp_path / "state", kind="state"), tree)


def test_the_file_holds_no_pickle(tmp_path):
    save_tree(tmp_path / "state", optimizer_state(), kind="state")
    content = (tmp_path / "state").read_bytes()
    assert content[8:9] == b"{"  # the JSON header of safetensors
    assert b"PK\x03\x04" not in content[:4]


def test_what_cannot_be_stored_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(DtypeError, match="got ndarray"):
        save_tree(tmp_path / "state", {"a": np.zeros(2)}, kind="state")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_is_named(tmp_path, kept):
    path = tmp_path / "state"
    save_tree(path, {"x": torch.randn(100)}, kind="state")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(FileFormatError, match=r"state is not a readable state \(SafetensorError"):
        load_tree(path, kind="state")


def test_foreign_and_missing_files_are_named(tmp_path):
    with pytest.raises(FileFormatError, match="not a readable state"):
        load_tree(tmp_path / "missing", kind="state")
    save_file({"x": torch.zeros(2)}, tmp_path / "weights")
    with pytest.raises(FileFormatError, match="not a readable state"):
        load_tree(tmp_path / "weights", kind="state")
    save_tree(tmp_path / "other", {}, kind="something else")
    with pytest.raises(FileFormatError, match="holds a 'something else' of schema 1, expected a 'state'"):
        load_tree(tmp_path / "other", kind="state")
