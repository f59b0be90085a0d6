from typing import Any

import pytest
from qtpy.QtCore import Qt

import btunet
from btunet.settings import NETWORKS
from napari_btunet import _network
from napari_btunet._network import NetworkChoice

from .conftest import discs


def names(choice: NetworkChoice) -> list[str]:
    return [choice.combo.itemData(i) for i in range(choice.combo.count())]


def test_every_network_is_offered_with_a_sentence(qtbot: Any) -> None:
    choice = NetworkChoice()
    qtbot.addWidget(choice)
    assert names(choice)[: len(NETWORKS)] == list(NETWORKS)
    assert choice.value() == "unet"
    for name, sentence in NETWORKS.items():
        choice.set_value(name)
        assert choice.value() == name
        assert choice.sentence.text().lower() == sentence.lower()


def test_encoders_of_the_zoo_are_offered_when_its_packages_are_there(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_network.btunet, "zoo_available", lambda: (True, ""))
    choice = NetworkChoice()
    qtbot.addWidget(choice)
    assert {f"smp:{encoder}" for encoder in btunet.ZOO_ENCODERS} <= set(names(choice))
    assert choice.weights_button.isHidden()
    choice.set_value("smp:resnet18")
    assert not choice.weights_button.isHidden()


def test_without_its_packages_the_zoo_is_named_with_the_reason_and_cannot_be_chosen(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_network.btunet, "zoo_available", lambda: (False, "install more"))
    choice = NetworkChoice()
    qtbot.addWidget(choice)
    last = choice.combo.count() - 1
    assert last == len(NETWORKS)
    assert not choice.combo.model().item(last).isEnabled()
    assert choice.combo.itemData(last, Qt.ItemDataRole.ToolTipRole) == "install more"


def test_a_network_nobody_listed_is_shown_too(qtbot: Any) -> None:
    choice = NetworkChoice()
    qtbot.addWidget(choice)
    choice.set_value("smp:vgg11")
    assert choice.value() == "smp:vgg11"


def test_the_chosen_network_and_recipe_are_trained(window: Any) -> None:
    w = window(discs(planes=1))
    w.hurry(2)
    w.panel.network_choice.set_value("rca-iunet")
    w.panel.pretrain_form.container.recipe.value = "paper"
    w.annotate()
    w.click("pretrain_button")
    w.wait(lambda: w.session.encoder is not None and not w.session.is_busy)
    assert w.session.encoder.network == "rca-iunet"
    assert w.session.encoder.history[-1]["settings"]["recipe"] == "paper"
    w.click("finetune_button")
    w.wait(lambda: w.session.model is not None and not w.session.is_busy)
    assert w.session.model.network == "rca-iunet"
    assert [record["verb"] for record in w.session.model.history] == ["pretrain", "finetune"]
    assert w.errors == []


def test_an_encoder_of_another_network_is_left_alone(window: Any) -> None:
    w = window(discs(planes=1))
    w.hurry(2)
    w.session.encoder = btunet.Model("plain-unet", 1, (), {})
    w.session.changed.emit()
    assert w.panel.network_choice.value() == "plain-unet"  # a new encoder shows its network
    w.panel.network_choice.set_value("unet")
    w.annotate()
    w.click("finetune_button")
    w.wait(lambda: w.session.model is not None and not w.session.is_busy)
    assert w.session.model.network == "unet"
    assert w.session.encoder.network == "plain-unet"
    assert w.errors == []


def test_weights_learned_elsewhere_become_the_encoder(window: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    w = window(discs(planes=1))
    asked: list[tuple[Any, ...]] = []

    def in_child(*call: Any, **_: Any) -> Any:
        asked.append(call)
        yield btunet.Progress("reading weights", 0, 0)
        return btunet.Model("smp:resnet18", 1, (), {})

    monkeypatch.setattr(btunet, "in_child", in_child)
    w.panel.network_choice.set_value("smp:resnet18")
    w.panel.network_choice.weights_wanted.emit("weights.pth")
    w.wait(lambda: w.session.encoder is not None and not w.session.is_busy)
    assert asked == [("import_encoder", "smp:resnet18", 1, "weights.pth")]
    assert "will start from it" in w.panel.status_label.text()
