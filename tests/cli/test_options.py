"""What the text of an option becomes."""

import inspect
from dataclasses import fields

import pytest

from isospan.cli import _commands
from isospan.cli._options import quantities_of, settings_of
from isospan.errors import OptionError
from isospan.experiment import AuditConfig, TrainConfig


@pytest.mark.parametrize(
    ("text", "expected"), [("a", ("a", "")), ("a=b:c", ("a", "b:c")), (" a = b ", ("a", "b")), ("a=b=c", ("a", "b=c"))]
)
def test_assignments(text, expected):
    assert quantities_of([text]) == dict([expected])


def test_an_assignment_needs_a_name():
    with pytest.raises(OptionError, match="written NAME or NAME=how, got '=x'"):
        quantities_of(["=x"])


@pytest.mark.parametrize(("command", "config"), [("train", TrainConfig), ("size", TrainConfig), ("probe", AuditConfig)])
def test_defaults_are_those_of_the_settings(command, config):
    parameters = inspect.signature(getattr(_commands, command)).parameters
    given = {name: p.default for name, p in parameters.items() if p.default is not p.empty and name != "out"}
    defaults = {field.name: field.default for field in fields(config)}
    settings = settings_of(config, given)
    assert len(settings) >= 8
    assert settings == {name: defaults[name] for name in settings}
