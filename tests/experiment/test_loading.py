"""Names of functions and classes as a user writes them."""

import math
import sys

import pytest

from isospan.errors import OptionError
from isospan.experiment._loading import load_object


def test_installed_modules_and_the_working_directory_are_searched(tmp_path, monkeypatch):
    (tmp_path / "my_physics.py").write_text("def doubled(x):\n    return 2 * x\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert load_object("math:sqrt") is math.sqrt
    assert load_object("my_physics:doubled")(3) == 6
    assert sys.path == before
    sys.modules.pop("my_physics")


def test_a_file_is_loaded_by_its_path(tmp_path):
    path = tmp_path / "elsewhere.py"
    path.write_text("class Model: pass\n")
    assert load_object(f"{path}:Model").__name__ == "Model"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("sqrt", "must have the form module:name"),
        ("math:", "must have the form module:name"),
        (":sqrt", "must have the form module:name"),
        ("no_such_module:f", r"'no_such_module' .* cannot be imported \(ModuleNotFoundError"),
        ("no/such/file.py:f", "there is no file no/such/file.py"),
        ("isospan.errors:Missing", r"has no 'Missing'. It has DegenerateDataError, "),
    ],
)
def test_what_refers_to_nothing_is_named(reference, message):
    with pytest.raises(OptionError, match=message):
        load_object(reference)


def test_an_error_inside_a_users_module_is_shown(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("1 / 0\n")
    with pytest.raises(OptionError, match=r"ZeroDivisionError: division by zero"):
        load_object(f"{path}:f")
