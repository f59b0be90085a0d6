import json
from dataclasses import FrozenInstanceError, fields

import pytest

from btunet import FinetuneSettings, ObjectSettings, PredictSettings, PretrainSettings, ViewSettings
from btunet.settings import Settings

ALL = [PretrainSettings, FinetuneSettings, PredictSettings, ObjectSettings, ViewSettings]


@pytest.mark.parametrize("kind", ALL)
def test_every_field_says_what_it_is_and_there_are_few(kind: type[Settings]) -> None:
    assert len(fields(kind)) <= 8
    for f in fields(kind):
        assert f.metadata["help"] and f.kw_only


@pytest.mark.parametrize("kind", ALL)
def test_the_defaults_lie_within_the_limits(kind: type[Settings]) -> None:
    assert kind() == kind(**kind().as_dict())


@pytest.mark.parametrize("kind", ALL)
def test_a_value_on_a_limit_is_allowed_and_one_beyond_is_refused_by_name(kind: type[Settings]) -> None:
    for f in fields(kind):
        for limit, beyond, words in (("min", -1, "at least"), ("max", 1, "at most")):
            value = f.metadata[limit]
            if value is not None:
                assert getattr(kind(**{f.name: value}), f.name) == value
                name = f.name.replace("_", " ")
                with pytest.raises(ValueError, match=f"^{name} is .*; it must be {words} {value}$"):
                    kind(**{f.name: value + beyond})


@pytest.mark.parametrize("kind", ALL)
def test_a_number_that_is_none_is_refused(kind: type[Settings]) -> None:
    for f in fields(kind):
        if f.metadata["min"] is not None:
            with pytest.raises(ValueError, match="is nan; it must be at least"):
                kind(**{f.name: float("nan")})


def test_a_choice_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="network is 'vit'; choose one of: unet"):
        PretrainSettings(network="vit")


@pytest.mark.parametrize("kind", ALL)
def test_settings_are_json_and_cannot_be_changed(kind: type[Settings]) -> None:
    settings = kind()
    assert kind(**json.loads(json.dumps(settings.as_dict()))) == settings
    with pytest.raises(FrozenInstanceError):
        setattr(settings, fields(kind)[0].name, 1)
