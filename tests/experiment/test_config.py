"""Settings that cannot be, and the record of those that can."""

import json
from functools import partial

import pytest
from torch import nn

from isospan.errors import OptionError
from isospan.experiment import TrainConfig


class Encoder(nn.Module):
    pass


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent": 0}, "'auto' or an integer of at least 1, got 0"),
        ({"latent": "many"}, "got 'many'"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"augment": True}, "Only periodic fields can be shifted"),
    ],
)
def test_settings_that_cannot_be(changes, message):
    with pytest.raises(OptionError, match=message):
        TrainConfig(quantities={"a": ""}, **changes)


def test_the_record_holds_what_decides_the_result_and_nothing_else():
    def record(**changes):
        return TrainConfig(quantities={"a": "", "b": abs}, files=["x/y.nc"], **changes).settings()

    assert json.loads(json.dumps(record(dx=(0.1, 0.2)))) == record(dx=(0.1, 0.2))
    assert record(out="elsewhere", device="cuda", resume=True) == record()
    assert record(seed=1) != record()
    assert record()["quantities"] == {"a": "a", "b": "builtins:abs"}
    assert record()["files"] == ["y.nc"]


def test_periodic_fields_are_shifted_by_default():
    assert TrainConfig(quantities={}, periodic=True).augments
    assert not TrainConfig(quantities={}, periodic=True, augment=False).augments
    assert not TrainConfig(quantities={}).augments


def test_an_encoder_is_known_by_where_its_class_is_found():
    assert TrainConfig(quantities={}, encoder="m:C").encoder_reference == "m:C"
    assert TrainConfig(quantities={}, encoder="m:C").encoder_class is None
    given = TrainConfig(quantities={}, encoder=Encoder)
    assert given.encoder_reference == f"{__name__}:Encoder"
    assert given.encoder_class is Encoder
    assert TrainConfig(quantities={}).encoder_reference is None


def test_an_encoder_that_could_not_be_loaded_is_refused_before_training():
    class Local(nn.Module):
        pass

    for encoder in (Local, lambda *size: Encoder(), partial(Encoder)):
        with pytest.raises(OptionError, match=r"class that can be imported .*, got "):
            TrainConfig(quantities={}, encoder=encoder)
