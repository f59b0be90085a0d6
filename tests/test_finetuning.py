from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from btunet import (
    BtunetError,
    FinetuneSettings,
    Model,
    PretrainSettings,
    Progress,
    Steer,
    finetune,
    finetuning,
    predict,
    pretrain,
    run,
)
from btunet.images import as_stack
from btunet.labels import targets_of_strokes
from btunet.learner import Learner
from btunet.recipes import FINETUNING

Discs = Callable[..., tuple[np.ndarray, np.ndarray]]
QUICK = FinetuneSettings(steps=2, batch=2, patch_size=32)


def strokes_of(mask: np.ndarray, share: float = 0.1, seed: int = 0) -> np.ndarray:
    """Annotate a share of the pixels: 1 = background, 2.. = classes, 0 = not annotated."""
    drawn = np.random.default_rng(seed).random(mask.shape) < share
    return np.where(drawn, mask.astype(np.int32) + 1, 0)


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def same(a: Model, b: Model) -> bool:
    return all(np.array_equal(a.weights[name], b.weights[name]) for name in a.weights)


@pytest.fixture
def scene(discs: Discs) -> tuple[np.ndarray, np.ndarray]:
    image, mask = discs(planes=2, size=64)
    return image, strokes_of(mask)


def learner(image: np.ndarray, strokes: Any, settings: FinetuneSettings = QUICK, classes: int = 2) -> Learner:
    stacks = [as_stack(image)]
    names = [f"class {k}" for k in range(classes)]
    return Learner(Model("unet", 1, (), {}), names, stacks, targets_of_strokes(stacks, [strokes]), settings)


# ---- what is learned


@pytest.mark.parametrize("dense", [False, True])
def test_bright_discs_on_noise_are_learned_in_a_few_steps(discs: Discs, dense: bool) -> None:
    image, mask = discs(planes=2, size=64)
    labels = mask if dense else strokes_of(mask)
    model = run(finetune([image], [labels], FinetuneSettings(steps=30, batch=2, patch_size=32), dense=dense))
    unseen, truth = discs(seed=5)
    (found,) = run(predict(model, [unseen]))
    assert dice(found == 1, truth == 1) > 0.9


def test_three_classes_are_learned(rng: np.random.Generator) -> None:
    mask = np.kron(rng.integers(0, 3, (8, 8)), np.ones((12, 12), int)).astype(np.uint8)
    image = mask * 50.0 + rng.normal(0, 8, mask.shape)
    settings = FinetuneSettings(steps=60, batch=2, patch_size=32)
    model = run(finetune([image], [strokes_of(mask, 0.2)], settings, classes=["none", "dim", "bright"]))
    assert model.classes == ("none", "dim", "bright")
    (found,) = run(predict(model, [image]))
    assert (found == mask).mean() > 0.9


def test_pixels_without_label_do_not_move_the_weights(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, strokes = scene
    student = learner(image, strokes)
    places = student.annotations.places(4, 32, student.rng)
    patches, target = student.windows(places, 32).numpy(), student.annotations.known(places, 32)
    logits = student.network(torch.from_numpy(patches))
    logits.retain_grad()
    from btunet.losses import masked_loss

    sum(masked_loss(logits, torch.from_numpy(target))).backward()  # type: ignore[union-attr]
    unknown = torch.from_numpy(target == 255)[:, None].expand_as(logits)
    assert unknown.float().mean() > 0.8
    assert (logits.grad[unknown] == 0).all() and (logits.grad[~unknown] != 0).any()


def test_the_loss_of_strokes_does_not_unlearn_how_common_classes_are(
    scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from btunet import learner as module

    stacks = [as_stack(scene[0])]
    targets = targets_of_strokes(stacks, [scene[1]])
    student = Learner(Model("unet", 1, (), {}), ["a", "b"], stacks, targets, QUICK, strokes=True)
    assert student.guide is not None
    student.guide.prior = np.array([0.5, -1.5], np.float32)
    lost, given, real = [], [], module.masked_loss
    monkeypatch.setattr(module, "masked_loss", lambda logits, *more: lost.append(logits) or real(logits, *more))  # type: ignore[func-returns-value]
    student.network.register_forward_hook(lambda *results: given.append(results[-1]))
    student.step(0.0)
    assert (given[-1] - lost[-1])[0, :, 3, 4].tolist() == pytest.approx([0.5, -1.5], abs=1e-5)


def test_planes_without_strokes_do_not_move_the_weights_where_there_is_no_guide(scene: Any) -> None:
    image, strokes = scene
    strokes = strokes.copy()
    strokes[1] = 0
    other = image.copy()
    other[1] = image[0, ::-1]  # another content with the same range of values
    image[1] = image[0]
    settings = replace(QUICK, recipe="paper")
    one, two = (run(finetune([i], [strokes], settings)) for i in (image, other))
    assert same(one, two)


def test_augmentation_turns_image_and_target_alike(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image = scene[0][:1]
    strokes = np.where(image > 100, 2, 1)
    settings = FinetuneSettings(recipe="bare", steps=1, batch=16, patch_size=32)
    student, seen = learner(image, strokes, settings), []
    from btunet import learner as learning

    def spy(logits: torch.Tensor, target: torch.Tensor, balanced: bool) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(target)
        return real(logits, target, balanced)

    real = learning.masked_loss
    inputs: list[torch.Tensor] = []
    student.network.register_forward_pre_hook(lambda _module, args: inputs.append(args[0]))
    learning.masked_loss = spy
    try:
        student.step(0.5)
    finally:
        learning.masked_loss = real
    bright, target = inputs[0][:, 0], seen[0]
    known = target != 255
    assert set(target.unique().tolist()) <= {0, 1, 255}
    gaps = [
        bright[i][target[i] == 1].mean() - bright[i][target[i] == 0].mean()
        for i in range(16)
        if (target[i] == 1).sum() > 9
    ]
    assert known.any() and len(gaps) > 3 and min(gaps) > 0.5


def test_the_seed_and_the_steps_decide_the_weights_bit_for_bit(scene: tuple[np.ndarray, np.ndarray]) -> None:
    one, again, other = (
        run(finetune([scene[0]], [scene[1]], FinetuneSettings(steps=3, batch=2, patch_size=32, seed=seed)))
        for seed in (0, 0, 1)
    )
    assert same(one, again)
    assert not same(one, other)


def test_training_leaves_the_global_random_state_and_the_inputs_alone(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, strokes = scene
    copies, before = (image.copy(), strokes.copy()), torch.get_rng_state()
    run(finetune([image], [strokes], QUICK))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(image, copies[0]) and np.array_equal(strokes, copies[1])


# ---- where it starts


@pytest.fixture(scope="module")
def encoder() -> Model:
    image = np.random.default_rng(0).random((2, 64, 64))
    return run(pretrain([image], PretrainSettings(steps=2, batch=8, patch_size=32)))


def test_a_pretrained_encoder_is_exactly_where_training_starts(encoder: Model, scene: Any) -> None:
    stacks = [as_stack(scene[0])]
    student = Learner(encoder, ["a", "b"], stacks, targets_of_strokes(stacks, [scene[1]]), QUICK)
    state = student.network.state_dict()
    assert all(np.array_equal(state[name].numpy(), weight) for name, weight in encoder.weights.items())
    assert all(np.array_equal(student.average.state[name].numpy(), w) for name, w in encoder.weights.items())


def test_an_encoder_is_trained_further_and_its_history_is_kept(encoder: Model, scene: Any) -> None:
    model = run(finetune([scene[0]], [scene[1]], QUICK, start_from=encoder))
    assert [record["verb"] for record in model.history] == ["pretrain", "finetune"]
    assert any(not np.array_equal(model.weights[name], weight) for name, weight in encoder.weights.items())


def test_a_model_can_be_trained_further(scene: Any) -> None:
    first = run(finetune([scene[0]], [scene[1]], QUICK))
    stacks = [as_stack(scene[0])]
    student = Learner(first, first.classes, stacks, targets_of_strokes(stacks, [scene[1]]), QUICK, strokes=True)
    assert all(np.array_equal(student.average.state[name].numpy(), w) for name, w in first.weights.items())
    second = run(finetune([scene[0]], [scene[1]], QUICK, start_from=first))
    assert len(second.history) == 2 and len(first.history) == 1


# ---- what is kept and recorded


def test_the_average_is_kept_and_not_the_last_step(scene: Any) -> None:
    student = learner(*scene)
    student.step(0.1)
    before = {name: value.clone() for name, value in student.average.state.items()}
    student.step(0.2)
    for name, value in student.network.state_dict().items():
        if "running" in name:  # statistics fit the weights they were made with
            assert torch.equal(student.average.state[name], value), name
        elif value.dtype.is_floating_point:
            expected = before[name] + (value - before[name]) * (1 - 2 / 6)
            assert torch.allclose(student.average.state[name], expected, atol=1e-6), name


def test_the_record_says_how_the_model_came_to_be(scene: Any) -> None:
    model = run(finetune([scene[0], scene[0]], [scene[1], np.zeros_like(scene[1])], QUICK))
    (record,) = model.history
    assert record["steps"] == 2
    assert record["images"] == ["image 0"]  # the other has no strokes
    assert record["settings"] == QUICK.as_dict()
    assert set(record["final"]) == {"loss", "cross-entropy", "dice", "guide"}


def test_a_time_budget_ends_the_training(scene: Any) -> None:
    seen: list[Progress] = []
    settings = FinetuneSettings(minutes=0.02, batch=2, patch_size=32)
    model = run(finetune([scene[0]], [scene[1]], settings), seen.append)
    assert model.history[0]["steps"] == seen[-1].step > 1
    assert model.history[0]["seconds"] >= 1.2


# ---- while it runs


def test_the_reply_true_stops_and_keeps_a_model_that_predicts(scene: Any) -> None:
    settings = FinetuneSettings(steps=1000, batch=1, patch_size=32)
    model = run(finetune([scene[0]], [scene[1]], settings), lambda p: p.step == 2)
    assert model.history[0]["steps"] == 2
    (found,) = run(predict(model, [scene[0]]))
    assert found.shape == scene[0].shape


def test_progress_counts_every_step_and_carries_the_losses(scene: Any) -> None:
    seen: list[Progress] = []
    run(finetune([scene[0]], [scene[1]], QUICK), seen.append)
    assert [(p.stage, p.step, p.total) for p in seen] == [
        ("reading images", 0, 0),
        ("fine-tuning", 1, 2),
        ("fine-tuning", 2, 2),
    ]
    for progress in seen[1:]:
        values = progress.values
        strokes, weight = (values["cross-entropy"] + 1 - values["dice"]) / 2, FINETUNING["default"].guide
        assert weight > 0 and values["loss"] == pytest.approx(strokes + weight * values["guide"], abs=1e-5)


def test_a_steer_moves_the_look_and_the_plane_comes_with_the_next_step(scene: Any) -> None:
    task = finetune([scene[0]], [scene[1]], FinetuneSettings(steps=50, batch=1, patch_size=32), look_at=(0, 0))
    next(task)
    next(task)
    (plane,) = task.send(Steer(look_at=(0, 1))).planes
    assert (plane.image, plane.plane) == (0, 1)
    assert plane.mask.shape == (64, 64) and plane.mask.dtype == np.uint8 and plane.mask.max() <= 1
    task.close()


@pytest.fixture
def looks(scene: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """At which seconds a plane in sight is looked at, where a step takes one second and a look as long as is said."""

    def looked_at(takes: float, steer: Callable[[int], Steer | None] = lambda _: None) -> list[int]:
        now = [0.0]
        monkeypatch.setattr(finetuning, "time", SimpleNamespace(perf_counter=lambda: now[0]))
        step, preview = Learner.step, Learner.preview

        def slow_step(self: Learner, *args: Any) -> dict[str, float]:
            now[0] += 1
            return {} if now[0] > 1 else step(self, *args)

        def slow_preview(self: Learner, *args: int) -> Any:
            now[0] += takes
            return preview(self, *args)

        monkeypatch.setattr(Learner, "step", slow_step)
        monkeypatch.setattr(Learner, "preview", slow_preview)
        found: list[int] = []
        settings = FinetuneSettings(steps=60, batch=1, patch_size=32)
        run(
            finetune([scene[0]], [scene[1]], settings, look_at=(0, 0)),
            lambda p: (p.step and p.planes and found.append(p.step)) or steer(p.step),
        )
        return found

    return looked_at


def test_looks_take_no_more_than_a_twentieth_of_the_time(looks: Callable[..., list[int]]) -> None:
    assert looks(0.0) == list(range(1, 60, 2))  # every two seconds
    assert looks(1.0) == [1, 20, 39, 58]


def test_new_strokes_are_looked_at_soon(looks: Callable[..., list[int]]) -> None:
    assert looks(1.0, lambda step: Steer(strokes={0: {}}) if step in (5, 21) else None) == [1, 6, 22, 41, 60]


def test_strokes_painted_meanwhile_are_learned(scene: Any) -> None:
    image, strokes = scene
    task = finetune([image], [{0: strokes[0]}], FinetuneSettings(steps=4, batch=2, patch_size=32))
    model = run(task, lambda p: Steer(strokes={0: {1: strokes[1]}}) if p.step == 1 else None)
    without = run(finetune([image], [{0: strokes[0]}], FinetuneSettings(steps=4, batch=2, patch_size=32)))
    assert not same(model, without)
    student = learner(image, {0: strokes[0]})
    student.take(Steer(strokes={0: {1: strokes[1]}}))
    assert sorted(student.annotations.targets) == [(0, 0), (0, 1)]


def test_erasing_one_plane_forgets_it(scene: Any) -> None:
    student = learner(*scene)
    student.take(Steer(strokes={0: {0: np.zeros((64, 64), int)}}))
    assert list(student.annotations.targets) == [(0, 1)]


def test_erasing_everything_goes_on_with_what_there_was(scene: Any) -> None:
    nothing = {0: {0: np.zeros((64, 64), np.int32), 1: np.zeros((64, 64), np.int32)}}
    task = finetune([scene[0]], [scene[1]], FinetuneSettings(steps=4, batch=2, patch_size=32))
    model = run(task, lambda _: Steer(strokes=nothing))
    assert model.history[0]["steps"] == 4
    assert model.history[0]["images"] == ["image 0"]


@pytest.mark.parametrize("value", [4, 200, 255, 256, 257, 258, 300, 2**20])
def test_a_class_the_model_has_no_name_for_is_not_learned_as_another(scene: Any, value: int) -> None:
    student = learner(*scene)
    painted = scene[1][0].copy()
    painted[:5] = value
    student.take(Steer(strokes={0: {0: painted}}))
    target = student.annotations.targets[0, 0]
    assert (target[:5] == 255).all()
    assert np.array_equal(target[5:], np.where(painted[5:] == 0, 255, painted[5:] - 1))


def test_a_training_that_diverges_says_so(scene: Any) -> None:
    student = learner(*scene)
    with torch.no_grad():
        student.network.head.bias += torch.nan
    with pytest.raises(BtunetError, match=r"the training diverged .*; lower the learning rate"):
        student.step(0.5)


# ---- what is held out


def held_out(discs: Discs) -> list[tuple[Any, np.ndarray]]:
    pairs = [discs(planes=2, size=48, seed=7), discs(size=64, seed=8)]
    pairs[0][1][0, :9] = 255  # not known
    pairs[0][1][0, 9:12] = 1  # and what nobody can know
    return [(as_stack(image), mask) for image, mask in pairs]


@pytest.mark.parametrize("recipe", ["default", "paper"])
def test_validation_is_the_dice_of_what_the_model_at_the_end_predicts(scene: Any, discs: Discs, recipe: str) -> None:
    validation, seen = held_out(discs), []
    settings = FinetuneSettings(recipe=recipe, steps=5, batch=2, patch_size=32)
    task = finetune([scene[0]], [scene[1]], settings, validation=validation, validate_every=2)
    model = run(task, seen.append)
    assert [p.step for p in seen if "validation dice" in p.values] == [2, 4, 5]
    found = run(predict(model, [stack for stack, _ in validation]))
    known = [(f[m != 255], m[m != 255]) for f, (_, m) in zip(found, validation, strict=True)]
    expected = dice(*(np.concatenate(part) == 1 for part in zip(*known, strict=True)))
    assert 0.05 < expected < 1
    assert seen[-1].values["validation dice"] == pytest.approx(expected, abs=1e-9)
    assert model.history[-1]["final"]["validation dice"] == seen[-1].values["validation dice"]


def test_validation_averages_the_classes_but_the_background(rng: np.random.Generator) -> None:
    mask = np.kron(rng.integers(0, 3, (6, 6)), np.ones((12, 12), int)).astype(np.uint8)
    image = mask * 50.0 + rng.normal(0, 8, mask.shape)
    settings, seen = FinetuneSettings(steps=8, batch=2, patch_size=32), []
    task = finetune([image], [mask], settings, dense=True, validation=[(as_stack(image), mask)], validate_every=100)
    (found,) = run(predict(run(task, seen.append), [image]))
    expected = np.mean([dice(found == k, mask == k) for k in (1, 2)])
    assert seen[-1].values["validation dice"] == pytest.approx(expected, abs=1e-9)


def test_what_is_held_out_moves_no_weight(scene: Any, discs: Discs) -> None:
    settings = FinetuneSettings(network="unet", steps=4, batch=2, patch_size=32)  # has dropout and statistics
    without = run(finetune([scene[0]], [scene[1]], settings))
    validation = held_out(discs)
    for every in (0, 1, 3):
        task = finetune([scene[0]], [scene[1]], settings, validation=validation, validate_every=every)
        assert same(run(task), without)


def test_nothing_is_validated_unless_asked_for(scene: Any, discs: Discs) -> None:
    seen: list[Progress] = []
    run(finetune([scene[0]], [scene[1]], QUICK, validation=held_out(discs)), seen.append)
    assert not any("validation dice" in progress.values for progress in seen)


# ---- what is refused


def refused(images: Any, labels: Any, message: str, **options: Any) -> None:
    with pytest.raises(ValueError, match=message) as error:
        run(finetune(images, labels, QUICK, **options))
    assert "\n" not in str(error.value)


IMAGE = np.random.default_rng(0).random((40, 40))
STROKES = np.where(IMAGE > 0.5, 2, 1)


def test_no_image_is_refused() -> None:
    refused([], [], "no image was given")


def test_images_without_their_labels_are_refused() -> None:
    refused([IMAGE, IMAGE], [STROKES], "there are 2 images but 1 labels; give one per image")


def test_a_constant_image_is_refused() -> None:
    refused([np.ones((40, 40))], [STROKES], "image 0 has the same value everywhere")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_image_with_nan_or_infinity_is_refused(bad: float) -> None:
    image = IMAGE.copy()
    image[3, 4] = bad
    refused(
        [image], [STROKES], "image 0 has 1 values that are NaN or infinite in plane 0, or beyond 3e38; replace them"
    )


def test_strokes_of_another_shape_are_refused() -> None:
    refused([IMAGE], [STROKES[:-1]], r"strokes of image 0 are \(39, 40\) but the image is \(40, 40\)")
    refused([IMAGE], [{0: STROKES[:-1]}], r"strokes of image 0 are \(39, 40\) but the image is \(40, 40\)")


def test_strokes_on_a_plane_that_does_not_exist_are_refused() -> None:
    refused([IMAGE], [{3: STROKES}], "name plane 3 but image 0 has 1 planes")
    refused([IMAGE], [{-1: STROKES}], "name plane -1 but image 0 has 1 planes")


def test_strokes_of_one_class_only_are_refused() -> None:
    refused([IMAGE], [np.where(STROKES == 1, 1, 0)], "only 'background' is annotated")
    refused([IMAGE], [np.where(STROKES == 1, 1, 0)], "only 'sky' is annotated", classes=["sky", "star"])


def test_empty_strokes_are_refused() -> None:
    refused([IMAGE], [STROKES * 0], "the strokes are empty; annotate at least two classes")
    refused([IMAGE], [{}], "the strokes are empty; annotate at least two classes")


@pytest.mark.parametrize("bad", [-1, 256, 70_000])
def test_strokes_beyond_the_range_of_classes_are_refused(bad: int) -> None:
    refused([IMAGE], [np.where(STROKES == 1, bad, 2)], "the strokes of image 0 hold values from .*; expected 0 to 255")


def test_strokes_that_are_not_whole_numbers_are_refused() -> None:
    refused([IMAGE], [STROKES.astype(float)], "hold float64 values; expected whole numbers")


def test_a_class_without_a_name_is_refused() -> None:
    refused([IMAGE], [STROKES + 1], "hold 3 but there are 2 classes: sky, star", classes=["sky", "star"])


def test_a_mask_with_0_and_255_only_is_refused() -> None:
    mask = np.where(STROKES == 1, 0, 255).astype(np.uint8)
    refused([IMAGE], [mask], "255 means 'ignore' here; write the object as 1", dense=True)


def test_a_mask_with_a_gap_in_its_values_is_refused() -> None:
    refused([IMAGE], [np.where(STROKES == 1, 0, 7)], "the masks hold the values 0, 7; expected 0", dense=True)


def test_a_mask_of_more_objects_than_there_can_be_classes_is_refused() -> None:
    objects = np.arange(1600).reshape(40, 40)
    refused([IMAGE], [objects], "object numbers of an instance mask are not classes", dense=True)


def test_a_mask_of_nothing_but_ignored_pixels_is_refused() -> None:
    refused([IMAGE], [np.full((40, 40), 255, np.uint8)], "the masks are empty", dense=True)


def test_images_of_other_channels_than_the_model_or_each_other_are_refused(encoder: Model) -> None:
    colour = as_stack(np.random.default_rng(0).random((40, 40, 3)), "YXS", "photo")
    refused([colour], [STROKES], "photo has 3 channels but the model was trained on 1", start_from=encoder)
    refused([IMAGE, colour], [STROKES, STROKES], "photo has 3 channels but image 0 has 1")


def test_a_stop_while_images_are_read_is_not_forgotten() -> None:
    image, strokes = np.zeros((64, 64)), np.zeros((64, 64), int)
    image[:32], strokes[10, :], strokes[50, :] = 1, 2, 1
    task = finetune([image], [strokes], FinetuneSettings(steps=1000, patch_size=32))
    model = run(task, lambda progress: progress.stage == "reading images")
    assert model.history[-1]["steps"] == 1


def test_another_network_than_that_of_the_model_it_starts_from_is_refused(encoder: Model) -> None:
    settings = FinetuneSettings(network="rca-iunet", steps=1, patch_size=32)
    with pytest.raises(ValueError, match="the model to start from is a unet, not a rca-iunet; leave the network out"):
        run(finetune([IMAGE], [STROKES], settings, start_from=encoder))


def test_held_out_masks_with_a_class_the_model_does_not_have_are_refused() -> None:
    mask = (STROKES - 1).astype(np.uint8)
    mask[0] = 2
    validation = [(as_stack(IMAGE), mask)]
    refused([IMAGE], [STROKES], "masks hold 2 but there are 2 classes", validation=validation, validate_every=1)


def test_held_out_images_of_other_channels_are_refused() -> None:
    colour = as_stack(np.random.default_rng(0).random((40, 40, 3)), "YXS", "photo")
    validation = [(colour, (STROKES - 1).astype(np.uint8))]
    message = "photo has 3 channels but the model was trained on 1"
    refused([IMAGE], [STROKES], message, validation=validation, validate_every=1)


def test_names_of_the_model_it_starts_from_are_kept() -> None:
    image, strokes = np.zeros((64, 64)), np.zeros((64, 64), int)
    image[:32], strokes[10, :], strokes[50, :] = 1, 2, 1
    settings = FinetuneSettings(steps=1, patch_size=32)
    first = run(finetune([image], [strokes], settings, classes=("ground", "cell", "debris")))
    assert run(finetune([image], [strokes], settings, start_from=first)).classes == ("ground", "cell", "debris")


def test_erasing_all_but_one_class_during_the_training_does_not_end_it(scene: Any) -> None:
    image, strokes = scene
    task = finetune([image], [strokes], replace(QUICK, steps=3))
    next(task), next(task)
    left = {plane: np.where(values == 1, 1, 0) for plane, values in enumerate(strokes)}
    assert task.send(Steer(strokes={0: left})).step == 2
    assert run(task).classes == ("background", "class 1")
