import numpy as np
import pytest
import torch

from btunet.labels import IGNORE
from btunet.losses import masked_loss


def batch(seed: int = 0, classes: int = 3, known: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, 9, 7, generator=generator) * 3
    target = torch.randint(classes, (2, 9, 7), generator=generator)
    target[torch.rand(2, 9, 7, generator=generator) > known] = IGNORE
    return logits, target


def reference(logits: torch.Tensor, target: torch.Tensor) -> tuple[float, float]:
    """Class-balanced cross-entropy and 1 - soft Dice, pixel by pixel in float64."""
    x, t = logits.double().numpy(), target.numpy()
    classes = x.shape[1]
    pixels = [(x[n, :, i, j], t[n, i, j]) for n, i, j in np.argwhere(t != IGNORE)]
    losses: list[list[float]] = [[] for _ in range(classes)]
    overlap, predicted, true = np.zeros(classes), np.zeros(classes), np.zeros(classes)
    for scores, k in pixels:
        p = np.exp(scores - scores.max())
        p /= p.sum()
        losses[k].append(-np.log(p[k]))
        overlap[k] += p[k]
        predicted += p
        true[k] += 1
    dice = (2 * overlap + 1) / (predicted + true + 1)
    return float(np.mean([np.mean(of) for of in losses if of])), float(1 - dice[true > 0].mean())


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_both_parts_equal_a_pixel_by_pixel_computation(classes: int) -> None:
    for seed in range(5):
        logits, target = batch(seed, classes)
        found = [part.item() for part in masked_loss(logits, target)]
        assert found == pytest.approx(reference(logits, target), abs=1e-5)


def test_a_class_that_is_absent_from_the_target_weighs_nothing() -> None:
    logits, target = batch(classes=4)
    target[target == 2] = IGNORE
    found = [part.item() for part in masked_loss(logits, target)]
    assert found == pytest.approx(reference(logits, target), abs=1e-5)


@pytest.mark.parametrize("part", [0, 1])
def test_unlabelled_pixels_get_exactly_no_gradient(part: int) -> None:
    logits, target = batch()
    logits.requires_grad_()
    masked_loss(logits, target)[part].backward()
    gradient = logits.grad
    assert gradient is not None
    unknown = (target == IGNORE)[:, None].expand_as(logits)
    assert (gradient[unknown] == 0).all()
    assert (gradient[~unknown] != 0).any()


def test_what_the_network_says_of_unlabelled_pixels_changes_nothing() -> None:
    logits, target = batch()
    other = torch.where((target == IGNORE)[:, None], torch.full_like(logits, 1e4), logits)
    assert masked_loss(logits, target) == masked_loss(other, target)


@pytest.mark.parametrize("wild", [torch.nan, torch.inf])
def test_not_even_nan_at_unlabelled_pixels_reaches_the_loss(wild: float) -> None:
    logits, target = batch()
    logits = torch.where((target == IGNORE)[:, None], wild, logits).requires_grad_()
    (sum(masked_loss(logits, target))).backward()  # type: ignore[union-attr]
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_more_pixels_of_one_class_do_not_change_the_cross_entropy() -> None:
    logits, target = (
        torch.randn(1, 2, 1, 6, generator=torch.Generator().manual_seed(0)),
        torch.tensor([[[0] * 3 + [1] * 3]]),
    )
    twice = (
        torch.cat([logits, logits[..., 3:], logits[..., 3:]], 3),
        torch.cat([target, target[..., 3:], target[..., 3:]], 2),
    )
    assert masked_loss(*twice)[0].item() == pytest.approx(masked_loss(logits, target)[0].item(), rel=1e-6)


def test_a_batch_without_any_label_is_worth_exactly_nothing() -> None:
    logits = torch.randn(2, 3, 8, 8, requires_grad=True)
    cross_entropy, dice = masked_loss(logits, torch.full((2, 8, 8), IGNORE))
    assert (cross_entropy.item(), dice.item()) == (0, 0)
    (cross_entropy + dice).backward()
    assert logits.grad is not None and (logits.grad == 0).all()


def test_a_perfect_answer_costs_almost_nothing_and_a_wrong_one_much() -> None:
    _, target = batch()
    sure = torch.nn.functional.one_hot(target.clamp(max=2), 3).movedim(-1, 1) * 50.0
    assert sum(masked_loss(sure, target)).item() < 1e-3  # type: ignore[union-attr]
    assert sum(masked_loss(-sure, target)).item() > 10  # type: ignore[union-attr]


def test_half_precision_logits_are_summed_in_single_precision() -> None:
    logits, target = batch()
    assert masked_loss(logits.half(), target)[0].dtype == torch.float32
    assert masked_loss(logits.half(), target)[0].item() == pytest.approx(
        masked_loss(logits, target)[0].item(), abs=1e-2
    )


# ---- not balanced, as in the paper


def test_for_two_classes_the_papers_terms_are_binary_cross_entropy_and_dice_of_the_object() -> None:
    for seed in range(5):
        logits, target = batch(seed, classes=2)
        known = (target != IGNORE).numpy()
        x, t = logits.double().numpy(), target.numpy()[known].astype(float)
        p = 1 / (1 + np.exp(x[:, 0] - x[:, 1]))[known]
        cross_entropy = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
        dice = (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
        found = [part.item() for part in masked_loss(logits, target, balanced=False)]
        assert found == pytest.approx([cross_entropy, 1 - dice], abs=1e-5)


def test_unbalanced_every_pixel_weighs_the_same() -> None:
    logits = torch.tensor([[[[0.0, 0, 0, 3]], [[0.0, 0, 0, 0]]]])  # sure and wrong at the last pixel, else undecided
    target = torch.tensor([[[0, 0, 0, 1]]])
    sure = np.log(1 + np.exp(3))
    assert masked_loss(logits, target, balanced=False)[0].item() == pytest.approx((3 * np.log(2) + sure) / 4, rel=1e-5)
    assert masked_loss(logits, target, balanced=True)[0].item() == pytest.approx((np.log(2) + sure) / 2, rel=1e-5)


def test_unbalanced_dice_is_that_of_all_objects_present_or_not() -> None:
    logits = torch.zeros(1, 3, 1, 6)
    target = torch.tensor([[[0, 0, 0, 1, 1, IGNORE]]])
    dice = [(2 * 2 / 3 + 1) / (5 / 3 + 2 + 1), 1 / (5 / 3 + 1)]  # classes 1 and 2; a third everywhere
    assert masked_loss(logits, target, balanced=False)[1].item() == pytest.approx(1 - np.mean(dice), rel=1e-5)


def test_unbalanced_unlabelled_pixels_get_exactly_no_gradient_either() -> None:
    logits, target = batch()
    logits.requires_grad_()
    (sum(masked_loss(logits, target, balanced=False))).backward()  # type: ignore[union-attr]
    assert logits.grad is not None
    assert (logits.grad[(target == IGNORE)[:, None].expand_as(logits)] == 0).all()
