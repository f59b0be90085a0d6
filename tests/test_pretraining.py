from typing import Any

import numpy as np
import pytest
import torch

from btunet import Model, PretrainSettings, Progress, as_stack, finetune, pretrain, run
from btunet.barlow import Projector
from btunet.patches import random_place
from btunet.views import twin_views

QUICK = PretrainSettings(steps=2, batch=8, patch_size=32)


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.random((3, 48, 48))


def same(a: Model, b: Model) -> bool:
    return all(np.array_equal(a.weights[name], b.weights[name]) for name in a.weights)


def test_an_encoder_and_nothing_else_is_returned(image: np.ndarray) -> None:
    model = run(pretrain([image], QUICK))
    assert model.is_encoder and model.channels == 1
    assert {name.split(".")[0] for name in model.weights} == {"encoder"}
    assert set(model.weights) == {name for name in model.build(2).state_dict() if name.startswith("encoder.")}


def test_there_are_fewer_features_than_patches(image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    from btunet import twin_learner

    class Watched(Projector):
        def forward(self, features: Any) -> torch.Tensor:
            out = super().forward(features)
            seen.append((len(out) // 2, out.shape[1]))
            return out

    monkeypatch.setattr(twin_learner, "Projector", Watched)
    run(pretrain([image], QUICK))
    assert seen == [(8, 4)] * 2  # N patches, D features: the correlation matrix can have full rank


def test_the_loss_falls_and_the_rank_stays_above_collapse(discs: Any) -> None:
    image, _ = discs(planes=4)
    seen: list[Progress] = []
    run(pretrain([image], PretrainSettings(steps=20, batch=16, patch_size=16)), seen.append)
    losses = [p.values["loss"] for p in seen[1:]]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert seen[-1].values["rank"] > 1.5


def test_the_loss_is_the_sum_of_the_parts_that_are_shown(image: np.ndarray) -> None:
    seen: list[Progress] = []
    run(pretrain([image], QUICK), seen.append)
    assert [(p.stage, p.step) for p in seen] == [("reading images", 0), ("pre-training", 1), ("pre-training", 2)]
    for progress in seen[1:]:
        values = progress.values
        assert values["loss"] == pytest.approx(values["on diagonal"] + values["off diagonal"], rel=1e-5)
        assert 1 <= values["rank"] <= 2 * 8 - 1


def test_the_seed_and_the_steps_decide_the_weights_bit_for_bit(image: np.ndarray) -> None:
    one, again, other = (
        run(pretrain([image], PretrainSettings(steps=2, batch=8, patch_size=32, seed=seed))) for seed in (3, 3, 4)
    )
    assert same(one, again)
    assert not same(one, other)


def test_training_leaves_the_global_random_state_and_the_image_alone(image: np.ndarray) -> None:
    copy, before = image.copy(), torch.get_rng_state()
    run(pretrain([image], QUICK))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(image, copy)


def test_the_reply_true_stops_and_keeps_what_was_learned(image: np.ndarray) -> None:
    model = run(pretrain([image], PretrainSettings(steps=1000, batch=4, patch_size=16)), lambda p: p.step == 2)
    assert model.history[0]["steps"] == 2


def test_a_time_budget_ends_the_training(image: np.ndarray) -> None:
    model = run(pretrain([image], PretrainSettings(minutes=0.01, batch=4, patch_size=16)))
    assert model.history[0]["seconds"] >= 0.6
    assert model.history[0]["steps"] > 1


def test_images_of_many_sizes_and_smaller_than_a_patch_are_used(rng: np.random.Generator) -> None:
    images = [rng.random(shape) for shape in ((20, 100), (5, 16, 17), (64, 64))]
    model = run(pretrain(images, QUICK))
    assert model.history[0]["images"] == ["image 0", "image 1", "image 2"]


def test_an_encoder_is_trained_further_from_where_it_was(image: np.ndarray) -> None:
    first = run(pretrain([image], QUICK))
    tiny = PretrainSettings(steps=1, batch=8, patch_size=32, learning_rate=1e-7)
    second = run(pretrain([image], tiny, start_from=first))
    assert [record["verb"] for record in second.history] == ["pretrain", "pretrain"]
    learned = [name for name in first.weights if name.endswith(".weight")]
    assert all(np.allclose(first.weights[name], second.weights[name], atol=1e-5) for name in learned)
    assert len(first.history) == 1


def test_the_encoder_of_a_model_with_classes_can_be_trained_further(image: np.ndarray, discs: Any) -> None:
    from btunet import FinetuneSettings

    picture, mask = discs(size=48)
    model = run(finetune([picture], [mask + 1], FinetuneSettings(steps=1, batch=1, patch_size=32)))
    encoder = run(pretrain([image], QUICK, start_from=model))
    assert encoder.is_encoder
    assert [record["verb"] for record in encoder.history] == ["finetune", "pretrain"]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "no image was given"),
        ([np.full((30, 30), 7)], "image 0 has the same value everywhere"),
        ([np.array([[1.0, np.nan]] * 20)], "image 0 has 20 values that are NaN or infinite in plane 0"),
        ([np.array([[1.0, np.inf]] * 20)], "image 0 has 20 values that are NaN or infinite in plane 0"),
        ([np.zeros((0, 30))], r"image 0 is empty: its shape is \(0, 30\)"),
        ([np.arange(9)], r"image 0 has shape \(9,\) and axes X"),
        ([np.zeros((30, 30), complex)], "image 0 holds complex128 values; expected real numbers"),
    ],
)
def test_images_nothing_can_be_learned_from_are_refused(images: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(pretrain(images, QUICK))


def test_images_of_other_channels_are_refused(image: np.ndarray) -> None:
    colour = as_stack(np.random.default_rng(0).random((40, 40, 3)), "YXS", "photo")
    with pytest.raises(ValueError, match="photo has 3 channels but image 0 has 1"):
        run(pretrain([image, colour], QUICK))
    with pytest.raises(ValueError, match="photo has 3 channels but the model was trained on 1"):
        run(pretrain([colour], QUICK, start_from=Model("unet", 1, (), {})))


def test_another_network_than_that_of_the_model_it_starts_from_is_refused(image: np.ndarray) -> None:
    settings = PretrainSettings(network="plain-unet", steps=1, batch=8, patch_size=32)
    with pytest.raises(ValueError, match="the model to start from is a unet, not a plain-unet; leave the network"):
        run(pretrain([image], settings, start_from=Model("unet", 1, (), {})))


def test_a_patch_and_its_views_have_the_sizes_that_were_asked_for(image: np.ndarray) -> None:
    from btunet.normalise import Normalisation
    from btunet.patches import Source
    from btunet.windows import Windows

    sources = [Source(as_stack(image), Normalisation())]
    rng = np.random.default_rng(0)
    patches = Windows(sources, torch.device("cpu"))([random_place(sources, 40, rng) for _ in range(4)], 40)
    views = twin_views(patches, 32, (0.7, 1.0), 1.0, torch.Generator().manual_seed(0))
    assert [view.shape for view in views] == [(4, 1, 32, 32)] * 2
