"""What the text of an option becomes."""

import pytest

from isospan.cli._options import quantities_of
from isospan.errors import OptionError


@pytest.mark.parametrize(
    ("text", "expected"), [("a", ("a", "")), ("a=b:c", ("a", "b:c")), (" a = b ", ("a", "b")), ("a=b=c", ("a", "b=c"))]
)
def test_assignments(text, expected):
    assert quantities_of([text]) == dict([expected])


def test_an_assignment_needs_a_name():
    with pytest.raises(OptionError, match="written NAME or NAME=how, got '=x'"):
        quantities_of(["=x"])
