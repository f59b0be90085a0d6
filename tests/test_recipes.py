"""The two methods are values of the same code, and the paper's are what the paper says."""

import ast
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from btunet import (
    FinetuneSettings,
    Model,
    PretrainSettings,
    Progress,
    as_stack,
    finetune,
    learner,
    pretrain,
    pretraining,
    read,
    run,
    twin_learner,
    twins,
)
from btunet.cli import main
from btunet.labels import IGNORE, targets_of_strokes
from btunet.learner import Learner
from btunet.recipes import FINETUNING, PRETRAINING, Descent, FinetuneRecipe, PretrainRecipe
from btunet.settings import RECIPES
from btunet.views import twin_views

PAPER = PretrainSettings(recipe="paper", network="unet", steps=1, batch=8, patch_size=32)


def strokes_of(mask: np.ndarray, share: float = 0.2) -> np.ndarray:
    drawn = np.random.default_rng(0).random(mask.shape) < share
    return np.where(drawn, mask.astype(int) + 1, 0)


def recorded(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[tuple[Any, ...]]:
    """Let a function of a module record what it is called with; it computes what it did before."""
    calls: list[tuple[Any, ...]] = []
    function = getattr(module, name)

    def spy(*args: Any) -> Any:
        calls.append(tuple(a.detach().clone() if isinstance(a, Tensor) else a for a in args))
        return function(*args)

    monkeypatch.setattr(module, name, spy)
    return calls


# ---- values only


def test_every_recipe_a_user_can_choose_has_its_values_for_both_trainings() -> None:
    assert tuple(PRETRAINING) == tuple(FINETUNING) == RECIPES
    assert all(isinstance(recipe, PretrainRecipe) for recipe in PRETRAINING.values())
    assert all(isinstance(recipe, FinetuneRecipe) for recipe in FINETUNING.values())


def test_no_code_asks_which_recipe_it_is() -> None:
    """The names of the recipes are looked up in two dictionaries and appear nowhere else."""
    training = ("pretraining", "twin_learner", "finetuning", "learner", "barlow", "losses", "optimise")
    for module in (*training, "views", "patches", "model"):
        tree = ast.parse((Path(pretraining.__file__).parent / f"{module}.py").read_text())
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert not texts & set(RECIPES), module


def test_every_value_of_a_recipe_is_used() -> None:
    folder = Path(pretraining.__file__).parent
    source = "".join(
        (folder / f"{module}.py").read_text()
        for module in ("twin_learner", "twins", "finetuning", "learner", "optimise")
    )
    for kind, holders in ((PretrainRecipe, ["recipe"]), (FinetuneRecipe, ["recipe"]), (Descent, ["descent", "how"])):
        for field in fields(kind):
            assert any(f"{holder}.{field.name}" in source for holder in holders), field.name


def test_the_recipe_changes_what_is_learned(discs: Any) -> None:
    image, mask = discs(size=64)
    for train in (
        lambda recipe: pretrain([image], PretrainSettings(recipe=recipe, steps=1, batch=4, patch_size=32)),
        lambda recipe: finetune([image], [mask + 1], FinetuneSettings(recipe=recipe, steps=1, batch=2, patch_size=32)),
    ):
        ours, theirs = (run(train(recipe)) for recipe in ("default", "paper"))
        assert ours.network == theirs.network and ours.weights.keys() >= theirs.weights.keys()
        assert any(not np.array_equal(ours.weights[name], weight) for name, weight in theirs.weights.items())


# ---- the paper's pre-training


def test_the_paper_compares_128_features_of_the_bottleneck_with_its_lambda(
    discs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Progress] = []
    calls = recorded(monkeypatch, twin_learner, "barlow_twins")
    run(pretrain([discs(planes=2)[0]], PAPER), seen.append)
    ((z_a, z_b, redundancy),) = calls
    assert redundancy == 5e-3 and z_a.shape == z_b.shape == (8, 128)
    a, b = (z.double().numpy() for z in (z_a, z_b))
    a, b = ((z - z.mean(0)) / z.std(0) for z in (a, b))  # numpy's is the population's
    c = a.T @ b / len(a)
    on_diagonal = ((np.diagonal(c) - 1) ** 2).sum()
    off_diagonal = 5e-3 * ((c**2).sum() - (np.diagonal(c) ** 2).sum())
    values = seen[-1].values
    assert values["on diagonal"] == pytest.approx(on_diagonal, rel=2e-3)
    assert values["off diagonal"] == pytest.approx(off_diagonal, rel=2e-3)
    assert values["loss"] == pytest.approx(on_diagonal + off_diagonal, rel=2e-3)


def test_the_paper_projects_the_bottleneck_alone_through_two_hidden_layers_of_128(
    discs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = recorded(monkeypatch, twin_learner, "Projector")
    run(pretrain([discs()[0]], PAPER))
    assert calls == [((256,), (128, 128), 128)]


def test_the_papers_views_are_crops_flips_and_turns_of_unchanged_light(
    discs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value of a view lies between values of its patch; a change of light would leave that range."""
    calls = recorded(monkeypatch, twins, "twin_views")
    run(pretrain([discs(planes=2)[0]], PAPER))
    ((patches, size, crop, light, generator, *_),) = calls
    assert patches.shape == (8, 1, 32, 32) and size == 32 and crop == (0.75, 1.0)
    for view in twin_views(patches, size, crop, light, generator):
        assert (view.amin((1, 2, 3)) >= patches.amin((1, 2, 3)) - 1e-5).all()
        assert (view.amax((1, 2, 3)) <= patches.amax((1, 2, 3)) + 1e-5).all()


@pytest.mark.parametrize(("images", "rate"), [("discs", 5e-3), ("nuclei", 0.0)])
def test_the_papers_pretraining_learns_and_does_not_collapse(
    request: pytest.FixtureRequest, discs: Any, images: str, rate: float
) -> None:
    if images == "nuclei":
        shared: Path = request.getfixturevalue("shared")
        pictures: list[Any] = [read(file) for file in sorted((shared / "kdsb18_fluo" / "images").glob("*.png"))[:12]]
    else:
        pictures = [discs(planes=4)[0]]
    seen: list[Progress] = []
    settings = replace(PAPER, steps=30, batch=24, patch_size=64, learning_rate=rate)
    run(pretrain(pictures, settings), seen.append)
    losses = [p.values["loss"] for p in seen[1:]]
    assert np.mean(losses[-8:]) < 0.85 * np.mean(losses[:8])
    assert min(p.values["rank"] for p in seen[-5:]) > 2


# ---- the paper's fine-tuning


def test_the_papers_loss_is_the_average_of_binary_cross_entropy_and_dice_of_the_object(
    discs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, mask = discs(size=64)
    seen: list[Progress] = []
    calls = recorded(monkeypatch, learner, "masked_loss")
    settings = FinetuneSettings(recipe="paper", steps=2, batch=4, patch_size=32)
    run(finetune([image], [strokes_of(mask)], settings), seen.append)
    for (logits, target, _), progress in zip(calls[-2:], seen[1:], strict=True):  # the first measures the memory
        x, t = logits.double().numpy(), target.numpy()
        known = t != IGNORE
        p, t = 1 / (1 + np.exp(x[:, 0] - x[:, 1]))[known], t[known].astype(float)
        cross_entropy = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
        dice_loss = 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
        assert progress.values["loss"] == pytest.approx(0.5 * (cross_entropy + dice_loss), abs=1e-5)
        assert progress.values["cross-entropy"] == pytest.approx(cross_entropy, abs=1e-5)
        assert progress.values["dice"] == pytest.approx(1 - dice_loss, abs=1e-5)


def test_the_paper_keeps_the_last_weights_and_ours_their_average(discs: Any) -> None:
    image, mask = discs(size=64)
    stacks = [as_stack(image)]
    for recipe in RECIPES:
        settings = FinetuneSettings(recipe=recipe, steps=3, batch=2, patch_size=32)
        targets = targets_of_strokes(stacks, [mask[:] + 1])
        student = Learner(Model("unet", 1, (), {}), ["a", "b"], stacks, targets, settings)
        for step in range(3):
            student.step(step / 3)
        last = student.network.state_dict()
        moved = [name for name, value in student.network.named_parameters() if value.requires_grad]
        same = [torch.equal(last[name], student.average.state[name]) for name in moved]
        assert all(same) if recipe == "paper" else not any(same)


@pytest.mark.parametrize(("recipe", "rare"), [("default", 0.5), ("paper", 0.1)])
def test_ours_draws_a_rare_class_as_often_as_the_others_and_the_paper_as_often_as_there_is_of_it(
    discs: Any, recipe: str, rare: float
) -> None:
    image = discs(size=96)[0]
    strokes = np.ones((1, 96, 96), int)
    strokes[0, :, :10] = 2  # a tenth
    stacks, settings = [as_stack(image)], FinetuneSettings(recipe=recipe, steps=1, batch=1, patch_size=16)
    student = Learner(Model("unet", 1, (), {}), ["a", "b"], stacks, targets_of_strokes(stacks, [strokes]), settings)
    balanced, drawn = student.recipe.balanced, 0
    for _ in range(400):
        _, _, y, x = student.annotations.draw(student.rng, balanced)
        drawn += int(strokes[0, y, x] == 2)
    assert drawn / 400 == pytest.approx(rare, abs=0.08)


# ---- from the command line


def test_the_record_of_a_model_says_which_recipe_made_it(discs: Any, tmp_path: Path, capsys: Any) -> None:
    import tifffile

    image, mask = discs(size=64)
    tifffile.imwrite(tmp_path / "a.tif", image[0])
    tifffile.imwrite(tmp_path / "mask.tif", mask[0] + 1)
    quick = ["--recipe", "paper", "--steps", "2", "--batch", "4", "--patch-size", "32"]
    encoder, model = tmp_path / "e.safetensors", tmp_path / "m.safetensors"
    files = ["--images", str(tmp_path / "a.tif"), "--labels", str(tmp_path / "mask.tif")]
    network = ["--network", "unet"]
    assert main(["pretrain", str(tmp_path / "a.tif"), "--out", str(encoder), *network, *quick]) == 0
    assert main(["finetune", *files, "--start-from", str(encoder), "--out", str(model), *quick]) == 0
    made = Model.load(model)
    assert made.network == "unet"
    assert [record["settings"]["recipe"] for record in made.history] == ["paper", "paper"]
    assert "unet" in capsys.readouterr().out
