from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from btunet import Model, PretrainSettings, Progress, pretrain, read, run
from btunet.health import COLLAPSING, FLAT, LEARNING, MOST, RECENT, SENTENCES, Health, Watch, health

Values = list[dict[str, float]]


def history(losses: Any, ranks: Any = 40.0) -> Values:
    losses = np.asarray(losses, float)
    return [
        {"loss": loss, "on diagonal": 0.6 * loss, "off diagonal": 0.4 * loss, "rank": rank}
        for loss, rank in zip(losses.tolist(), np.broadcast_to(ranks, losses.shape).tolist(), strict=True)
    ]


def falling(steps: int = 200, noise: float = 0.05, seed: int = 0) -> np.ndarray:
    steady = 8 + 12 * np.exp(-np.arange(steps) / steps * 3)
    return np.asarray(steady * np.exp(noise * np.random.default_rng(seed).standard_normal(steps)))


def words(values: Values) -> list[str]:
    watch = Watch()
    return [watch.note(each).word for each in values]


def changes(said: list[str]) -> list[str]:
    return [word for n, word in enumerate(said) if n == 0 or word != said[n - 1]]


def test_a_falling_loss_is_learning() -> None:
    assert changes(words(history(falling()))) == [LEARNING]


def test_a_loss_that_stays_flat_is_no_longer_improving() -> None:
    losses = np.concatenate([falling(100), 8.6 * np.exp(0.05 * np.random.default_rng(1).standard_normal(500))])
    said = words(history(losses))
    assert changes(said) == [LEARNING, FLAT]
    assert said[99] == LEARNING and said[-1] == FLAT


def test_a_loss_that_rises_is_no_longer_improving() -> None:
    assert words(history(np.linspace(8, 12, 200)))[-1] == FLAT


def test_a_few_steps_say_nothing_bad() -> None:
    assert set(words(history(np.full(99, 8.0)))) == {LEARNING}
    assert health([]) == Health()


@pytest.mark.parametrize("rank", [1.0, 1.5])
def test_features_that_are_the_same_everywhere_are_a_collapse(rank: float) -> None:
    said = words(history(np.full(60, 32.0), rank))
    assert said[0] == LEARNING and changes(said) == [LEARNING, COLLAPSING]
    assert said.index(COLLAPSING) <= 3 * RECENT


def test_embeddings_that_say_nothing_about_the_image_are_a_collapse() -> None:
    dead = [{"loss": 32.0, "on diagonal": 32.0, "off diagonal": 0.0, "rank": 40.0}] * 60
    assert words(dead)[-1] == COLLAPSING


def test_directions_that_are_lost_one_after_the_other_are_a_collapse() -> None:
    assert words(history(falling(), np.geomspace(50, 5, 200)))[-1] == COLLAPSING
    assert words(history(falling(), np.geomspace(50, 35, 200)))[-1] == LEARNING  # every training loses some


def test_noise_does_not_make_the_word_flip() -> None:
    """Around the border between two words, whatever the noise, it changes at most a few times in 2000 steps."""
    for seed in range(5):
        level = 10 * np.linspace(1, 0.88, 2000) * np.exp(0.1 * np.random.default_rng(seed).standard_normal(2000))
        assert len(changes(words(history(level)))) <= 4
        ranks = 10 + 30 * (np.random.default_rng(seed).random(200) > 0.1)  # some bad steps in between
        assert changes(words(history(falling(), ranks))) == [LEARNING]


def test_a_collapse_of_a_moment_is_not_said_and_a_recovery_is() -> None:
    ranks = np.full(400, 40.0)
    ranks[100:112] = 1
    assert set(words(history(falling(400), ranks))) == {LEARNING}
    ranks[100:200] = 1
    assert changes(words(history(falling(400), ranks))) == [LEARNING, COLLAPSING, LEARNING]


def test_every_word_comes_with_a_sentence_and_learning_with_how_much() -> None:
    assert health(history(falling())).sentence == "Learning: the loss has fallen by 50 %."
    for word, sentence in SENTENCES.items():
        assert sentence.lower().startswith(word) and sentence.endswith(".")


def test_a_long_training_is_thinned_out_and_said_the_same() -> None:
    watch = Watch()
    losses = np.concatenate([falling(MOST), np.full(6 * MOST, 8.5)])
    said = [watch.note(values).word for values in history(losses)]
    assert len(watch._history) < MOST
    assert changes(said) == [LEARNING, FLAT]


# ---- real trainings


def test_a_real_training_is_learning_at_first(shared: Path) -> None:
    pictures = [read(file) for file in sorted((shared / "kdsb18_fluo" / "images").glob("*.png"))[:12]]
    seen: list[Progress] = []
    run(pretrain(pictures, PretrainSettings(steps=30, batch=24, patch_size=32)), seen.append)
    said = [p.health for p in seen if p.health]
    assert {each.word for each in said} == {LEARNING}
    assert "has fallen by" in said[-1].sentence


class _Constant(torch.nn.Module):
    """An encoder whose maps are the same whatever it sees."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [0 * maps for maps in self.encoder(images)]


def test_a_real_training_of_constant_features_is_a_collapse(discs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    build = Model.build

    def broken(self: Model, classes: int | None = None, seed: int = 0) -> Any:
        network = build(self, classes, seed)
        network.encoder = _Constant(network.encoder)
        return network

    monkeypatch.setattr(Model, "build", broken)
    seen: list[Progress] = []
    run(pretrain([discs()[0]], PretrainSettings(steps=30, batch=8, patch_size=16)), seen.append)
    assert seen[-1].health is not None and seen[-1].health.word == COLLAPSING
