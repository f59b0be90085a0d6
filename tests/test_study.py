import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile

from btunet import FinetuneSettings, Model, PretrainSettings, Progress, run
from btunet.cli import main
from btunet.datasets import Dataset, find_pairs
from btunet.errors import BtunetError
from btunet.images import Stack, as_stack
from btunet.labels import IGNORE
from btunet.settings import StudySettings
from btunet.studies import bench, find_split, split_set, study
from btunet.studies.plan import Plan, Run, chain, planes_of
from btunet.studies.report import COLUMNS
from btunet.studies.sets import Labelled

Masks = dict[tuple[int, int], np.ndarray]
REPORT = importlib.import_module("btunet.studies.report")  # the package gives its function
STARTS = ("random", "barlow", "random+barlow")


def masks_of(*classes: Sequence[int]) -> Masks:
    """Return a tiny mask per plane that shows the given classes."""
    return {(i, 0): np.resize(np.array(shown, np.uint8), (4, 4)) for i, shown in enumerate(classes)}


def plan_of(count: int = 20, masks: Masks | None = None, **settings: Any) -> Plan:
    chosen = {"budgets": ("2",)} | settings
    return Plan(masks or masks_of(*[(0, 1)] * count), StudySettings(**chosen))


def planes(plan: Plan, run: Run) -> set[tuple[int, int]]:
    """Return the planes a run is trained on."""
    return {(image, plane) for image, drawn in plan.labels(run)[0].items() for plane in drawn}


@pytest.fixture
def file_of(tmp_path: Path, lively: Any, model_of: Any) -> Callable[..., str]:
    """Write a model file."""

    def make(name: str, network: str = "unet") -> str:
        model = model_of(lively(classes=2, name=network), classes=2, name=network)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        return str(model.save(tmp_path / name))

    return make


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let studies train on tiny patches, and draw nothing."""
    monkeypatch.setattr(REPORT, "find_spec", lambda name: None)
    monkeypatch.setattr(bench, "FinetuneSettings", partial(FinetuneSettings, patch_size=32, batch=2))
    monkeypatch.setattr(bench, "PretrainSettings", partial(PretrainSettings, patch_size=16, batch=4))


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch, quick: None) -> Callable[[str], list[Any]]:
    """Record what a task of a study is called with: (positional, by keyword) of every call."""

    def spy(name: str) -> list[Any]:
        real, calls = getattr(bench, name), list[Any]()

        def call(*args: Any, **options: Any) -> Any:
            calls.append((args, options))
            return real(*args, **options)

        monkeypatch.setattr(bench, name, call)
        return calls

    return spy


@pytest.fixture
def labelled(discs: Any) -> Callable[..., list[Labelled]]:
    """Make images of one plane with their masks."""

    def make(count: int, seed: int = 0) -> list[Labelled]:
        images, masks = discs(planes=count, size=48, seed=seed)
        return [
            (as_stack(image, name=f"{seed}-{i}"), m) for i, (image, m) in enumerate(zip(images, masks, strict=True))
        ]

    return make


def settings_of(**changed: Any) -> StudySettings:
    few = {"networks": ("unet",), "initialisations": ("random",), "budgets": ("2",)}
    return StudySettings(**(few | {"seeds": 1, "steps": 2, "pretrain_steps": 1} | changed))


@pytest.fixture
def made(tmp_path: Path, labelled: Any, quick: None) -> Callable[..., Path]:
    """Make a study of six discs for training and two for the test; return its folder."""

    def make(
        train: list[Labelled] | None = None,
        test: list[Labelled] | None = None,
        *,
        out: str = "out",
        on_progress: Callable[[Progress], Any] | None = None,
        unlabelled: Sequence[Stack] = (),
        **settings: Any,
    ) -> Path:
        sides = train or labelled(6), test or labelled(2, 9)
        task = study(*sides, tmp_path / out, settings_of(**settings), unlabelled=unlabelled)
        return run(task, on_progress).parent

    return make


def records(out: Path) -> dict[str, dict[str, Any]]:
    return {file.stem: json.loads(file.read_text()) for file in sorted((out / "runs").iterdir())}


# ---- which runs, on which planes


@pytest.mark.parametrize(
    ("budget", "meant"),
    [
        ("5", (5, 0)),
        ("10%", (8, 0)),
        ("0.1%", (1, 0)),
        ("12.5%", (10, 0)),
        ("100%", (80, 0)),
        ("all", (80, 0)),
        ("3x5", (3, 5)),
        ("200", (200, 0)),
    ],
)
def test_a_budget_is_planes_a_share_all_or_strokes(budget: str, meant: tuple[int, int]) -> None:
    assert planes_of(budget, 80) == meant


@pytest.mark.parametrize(
    "budget", ["0", "-1", "5.5", "0%", "101%", "%", "x5", "3x", "3x0", "0x3", "3×5", "ALL", "", " 5"]
)
def test_a_budget_that_is_none_of_these_is_refused_with_one_sentence(budget: str) -> None:
    with pytest.raises(ValueError, match=r"the budget .* is not understood; write 5, 10%, all, or 3x5"):
        plan_of(budgets=("2", budget))


def test_budgets_of_more_planes_than_there_are_are_left_out() -> None:
    plan = plan_of(10, budgets=("2", "8", "9", "9x2", "all"))  # two of the ten are held out
    assert [r.budget for r in plan.runs if r.seed == 0 and r.initialisation == "random"] == ["2", "8", "all"]
    assert len(planes(plan, Run("unet", "random", "all", 0))) == 8


def test_a_study_of_which_nothing_is_possible_is_refused() -> None:
    with pytest.raises(ValueError, match="there are 8 labelled planes to train on; give a budget of that or less"):
        plan_of(10, budgets=("20", "9x3"))


def test_a_bigger_budget_holds_the_smaller_ones_of_its_seed() -> None:
    plan = plan_of(40, budgets=("2", "5", "5x3", "50%", "all"), seeds=4)
    for seed in range(4):
        sets = [planes(plan, Run("unet", "random", budget, seed)) for budget in ("2", "5", "5x3", "50%", "all")]
        assert [len(s) for s in sets] == [2, 5, 5, 17, 34]
        assert all(smaller <= bigger for smaller, bigger in pairwise(sets))


def test_all_networks_and_starts_see_the_same_labels_and_another_seed_does_not() -> None:
    masks = {place: np.resize(np.eye(40, dtype=np.uint8), (40, 40)) for place in masks_of(*[(0, 1)] * 40)}
    plan = plan_of(masks=masks, networks=("unet", "plain-unet"), initialisations=STARTS, budgets=("3", "3x2"), seeds=3)
    seen: dict[tuple[int, str], list[bytes]] = {}
    for planned in plan.runs:
        chosen, strokes = plan.labels(planned)
        assert strokes == (2 if "x" in planned.budget else 0)
        drawn = b"".join(bytes([i, p]) + chosen[i][p].tobytes() for i in sorted(chosen) for p in sorted(chosen[i]))
        seen.setdefault((planned.seed, planned.budget), []).append(drawn)
    assert all(len(arms) == 6 and len(set(arms)) == 1 for arms in seen.values())
    assert len({arms[0] for arms in seen.values()}) == 6


def test_the_first_planes_show_all_classes() -> None:
    rare = masks_of(*[(0,)] * 20, *[(0, 1)] * 20, *[(0, 2)] * 3, *[(0, 3)] * 3)
    plan = plan_of(masks=rare, budgets=("3", "all"), seeds=10)
    for seed in range(10):
        shown = {int(k) for p in planes(plan, Run("unet", "random", "3", seed)) for k in np.unique(rare[p])}
        assert shown == {0, 1, 2, 3}


@pytest.mark.parametrize(("count", "held_out"), [(1, 0), (4, 0), (5, 1), (14, 2), (30, 6), (500, 6)])
def test_at_most_a_fifth_and_six_planes_are_held_out_and_never_trained_on(count: int, held_out: int) -> None:
    plan = plan_of(count, budgets=("1", "all"), seeds=5)
    assert len(plan.held_out) == held_out
    assert sorted([*plan.planes, *plan.held_out]) == sorted(plan.masks)
    for planned in plan.runs:
        assert not planes(plan, planned) & set(plan.held_out)
    assert plan_of(count, budgets=("1",), seeds=2).held_out == plan.held_out


def test_the_last_plane_that_shows_a_class_is_not_held_out() -> None:
    for place in range(10):
        masks = masks_of(*[(0,)] * 10)
        masks[place, 0] = masks_of((0, 1))[0, 0]
        assert (place, 0) in plan_of(masks=masks, budgets=("1",)).planes


def test_planes_that_show_one_class_only_are_refused_before_the_first_run() -> None:
    masks = masks_of(*[(1,)] * 6, *[(0, 1)] * 2)
    with pytest.raises(ValueError, match=r"the first 1 planes of seed . show one class only; give a bigger budget"):
        plan_of(masks=masks, budgets=("1", "all"), seeds=9)
    assert plan_of(masks=masks, budgets=("all",), seeds=9)


def test_what_is_to_be_ignored_is_no_class() -> None:
    with pytest.raises(ValueError, match="show one class only"):
        plan_of(masks=masks_of(*[(1, IGNORE)] * 6), budgets=("2",))


def test_runs_of_a_seed_come_together_and_rates_are_tried_first() -> None:
    plan = plan_of(budgets=("2", "5", "all"), seeds=3, networks=("unet", "plain-unet"), rates=(0.001, 0.01))
    tuning, others = plan.runs[:4], plan.runs[4:]
    assert [(r.network, r.rate) for r in tuning] == [(n, r) for n in plan.settings.networks for r in (0.001, 0.01)]
    assert {(r.initialisation, r.budget, r.seed) for r in tuning} == {("random", "5", 0)}
    assert [r.seed for r in others] == sorted(r.seed for r in others) and not any(r.rate for r in others)
    assert len(others) == 3 * 2 * 2 * 3


@pytest.mark.parametrize("rates", [(0.0, 0.1), (-0.1,), (2.0,), (float("nan"),)])
def test_rates_that_cannot_be_are_refused(rates: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"the rates are .*; each must be above 0 and at most 1"):
        plan_of(rates=rates)


def test_rates_without_planes_to_choose_them_on_are_refused() -> None:
    with pytest.raises(ValueError, match="4 labelled planes are too few to choose a rate on some; give no rates"):
        plan_of(4, rates=(0.001,))


def test_names_of_runs_are_unique_and_safe_as_names_of_files(tmp_path: Path, file_of: Any) -> None:
    file = file_of("deep/my encoder.v2.safetensors")
    networks = ("unet", "smp:resnet18", "smp:tu-hub:who/what")
    starts = ("random", "barlow", "random+barlow", file, f"{file}+barlow", "imagenet", "imagenet+barlow")
    plan = plan_of(networks=networks, initialisations=starts, budgets=("1", "10%", "1x1", "all"), rates=(0.001, 1e-05))
    names = [planned.name for planned in plan.runs]
    assert len(set(names)) == len(names) == 6 + 3 * 4 * (5 + 5 + 5)
    for name in names:
        assert not set(name) & set('/\\:%*?"<>|') and not name.startswith(".")
        (tmp_path / f"{name}.json").touch()
    assert len(list(tmp_path.glob("*.json"))) == len(names)
    assert Run("smp:resnet18", file, "10%", 3).name == "smp-resnet18__my encoder.v2__10pc__seed3"


@pytest.mark.parametrize(
    "twice",
    [
        {"networks": ("unet", "unet")},
        {"initialisations": ("barlow", "barlow")},
        {"budgets": ("2", "2")},
        {"rates": (0.01, 0.01)},
    ],
)
def test_what_is_given_twice_is_refused(twice: Any) -> None:
    with pytest.raises(ValueError, match="two runs of the study have one name"):
        plan_of(**twice)


def test_two_files_of_one_name_are_refused(file_of: Any) -> None:
    with pytest.raises(ValueError, match="two runs of the study have one name"):
        plan_of(initialisations=(file_of("a/encoder.safetensors"), file_of("b/encoder.safetensors")))


@pytest.mark.parametrize("nothing", ["networks", "initialisations"])
def test_nothing_to_compare_is_refused(nothing: str) -> None:
    with pytest.raises(ValueError, match="there is nothing to compare"):
        plan_of(**{nothing: ()})


# ---- starts


@pytest.mark.parametrize(
    ("start", "links"),
    [
        ("random", ["random"]),
        ("barlow", ["barlow"]),
        ("imagenet+barlow", ["imagenet", "barlow"]),
        ("a/b+c.safetensors", ["a/b+c.safetensors"]),
        ("a/b+c.safetensors+barlow+barlow", ["a/b+c.safetensors", "barlow", "barlow"]),
    ],
)
def test_a_start_is_a_chain(start: str, links: list[str]) -> None:
    assert chain(start) == links


@pytest.mark.parametrize(
    "start", ["barlow+imagenet", "barlow+random", "simclr", "+barlow", "", "gone.safetensors", "."]
)
def test_a_start_that_nobody_knows_is_refused(start: str) -> None:
    with pytest.raises(ValueError, match="is none of random, barlow and imagenet, and there is no such file"):
        plan_of(initialisations=("random", start))


def test_a_start_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a model")
    with pytest.raises(BtunetError, match=r"notes.txt is not a model file"):
        plan_of(initialisations=(str(tmp_path / "notes.txt"),))


def test_a_file_starts_the_network_it_is_of_and_imagenet_those_of_the_zoo(file_of: Any) -> None:
    file = file_of("residual.safetensors", "plain-unet")
    networks, starts = ("unet", "plain-unet", "smp:resnet18"), ("random", file, "imagenet+barlow")
    plan = plan_of(networks=networks, initialisations=starts, seeds=1)
    assert [(r.network, r.initialisation) for r in plan.runs] == [
        ("unet", "random"),
        ("plain-unet", "random"),
        ("plain-unet", file),
        ("smp:resnet18", "random"),
        ("smp:resnet18", "imagenet+barlow"),
    ]


def test_rates_are_tried_from_the_first_start_that_fits_the_network() -> None:
    starts = ("imagenet", "random")
    plan = plan_of(networks=("unet", "smp:resnet18"), initialisations=starts, seeds=1, rates=(0.01,))
    assert [(r.network, r.initialisation) for r in plan.runs if r.rate] == [
        ("unet", "random"),
        ("smp:resnet18", "imagenet"),
    ]


def test_a_start_that_fits_no_network_and_a_network_that_no_start_fits_are_refused(file_of: Any) -> None:
    file = file_of("e.safetensors", "plain-unet")
    with pytest.raises(ValueError, match=r"the start .*e.safetensors fits none of the networks unet, attention-unet"):
        plan_of(networks=("unet", "attention-unet"), initialisations=("random", file))
    with pytest.raises(ValueError, match="the start imagenet fits none of the networks unet"):
        plan_of(initialisations=("random", "imagenet"))
    with pytest.raises(ValueError, match="the network unet fits none of the starts imagenet"):
        plan_of(networks=("unet", "smp:resnet18"), initialisations=("imagenet",))


def test_a_network_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="network is 'vit'; choose one of: unet, "):
        plan_of(networks=("unet", "vit"))


# ---- a study and what it writes


def test_a_study_writes_a_row_per_run_a_summary_its_settings_and_pictures(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(REPORT, "find_spec", importlib.util.find_spec)
    out = made(initialisations=("random", "barlow"), budgets=("2", "2x3", "all", "50"), seeds=2)
    runs = records(out)
    assert len(runs) == 2 * 3 * 2
    with (out / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS and len(rows) == len(runs)
    assert all(value != "" for row in rows for value in row.values())
    for row, record in zip(rows, runs.values(), strict=True):
        for key in ("network", "initialisation", "budget", "collapsed", "tuning"):
            assert row[key] == str(record[key])
        for key in ("planes", "strokes", "seed", "rate", "precision", "recall", "dice", "mean_iou", "foreground_iou"):
            assert float(row[key]) == record[key]
        assert float(row["validation_dice"]) == record["curve"][-1][1]
        assert [step for step, _ in record["curve"]] == [1, 2] and len(record["images"]) == 2
    assert {(r["budget"], r["planes"], r["strokes"]) for r in runs.values()} == {
        ("2", 2, 0),
        ("2x3", 2, 3),
        ("all", 5, 0),
    }
    assert [entry["verb"] for r in runs.values() for entry in r["start"]] == ["pretrain"] * 6
    kept = json.loads((out / "settings.json").read_text())
    assert kept["steps"] == 2 and kept["train planes"] == 6 and kept["test images"] == 2
    summary = (out / "summary.md").read_text(encoding="utf-8")
    assert summary.startswith("# Study\n\n12 runs of 2 steps") and "fewer images: 50 labelled images." in summary
    for picture in ("dice_by_labels.png", "convergence.png"):
        assert f"![{picture}]({picture})" in summary
        assert imageio.imread(out / picture).ndim == 3
    assert {p.name for p in out.iterdir()} >= {"runs", "encoders", "runs.csv", "summary.md", "settings.json"}
    assert not list(out.rglob(".*"))


def test_without_matplotlib_there_are_no_pictures_and_all_else(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_for: list[str] = []
    monkeypatch.setattr(REPORT, "find_spec", looked_for.append)
    out = made()
    assert not list(out.glob("*.png")) and "![" not in (out / "summary.md").read_text(encoding="utf-8")
    assert (out / "runs.csv").exists() and looked_for == ["matplotlib"]


def test_finished_runs_are_not_made_again(made: Any, spied: Any) -> None:
    calls, encoders = spied("finetune"), spied("pretrain")
    asked = {"initialisations": ("random", "barlow"), "seeds": 2}
    out = made(**asked)
    assert (len(calls), len(encoders)) == (4, 1)
    before = {file: file.stat().st_mtime_ns for file in (out / "runs").iterdir()}
    made(**asked)
    assert (len(calls), len(encoders)) == (4, 1)
    assert before == {file: file.stat().st_mtime_ns for file in (out / "runs").iterdir()}


def test_more_seeds_budgets_networks_and_starts_make_the_new_runs_only(made: Any, spied: Any) -> None:
    calls = spied("finetune")
    out = made()
    old = records(out)
    for count, more in (
        (2, {"seeds": 2}),
        (4, {"seeds": 2, "budgets": ("2", "3")}),
        (8, {"seeds": 2, "budgets": ("2", "3"), "initialisations": ("random", "barlow")}),
    ):
        made(**more)
        assert len(calls) == len(records(out)) == count
    made(networks=("plain-unet", "unet"))
    assert len(calls) == 9 and old.items() <= records(out).items()


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"steps": 3}, "steps 2, not 3"),
        ({"pretrain_steps": 2}, "pretrain_steps 1, not 2"),
        ({"recipe": "paper"}, "recipe bare, not paper"),
        ({"rates": (0.01,)}, r"rates \[\], not \[0.01\]"),
    ],
)
def test_a_folder_with_other_settings_is_refused(made: Any, spied: Any, other: Any, named: str) -> None:
    out = made()
    calls, before = spied("finetune"), (out / "settings.json").read_bytes()
    with pytest.raises(BtunetError, match=f"out holds a study with {named}; choose another folder$"):
        made(**other)
    assert not calls and (out / "settings.json").read_bytes() == before


def test_a_folder_with_other_images_is_refused(made: Any, labelled: Any) -> None:
    made()
    with pytest.raises(BtunetError, match="train planes 6, not 7"):
        made(train=labelled(7))
    with pytest.raises(BtunetError, match=r"masks .*, not .*; choose another folder"):
        made(train=labelled(6, seed=5))
    with pytest.raises(BtunetError, match=r"masks .*, not .*; choose another folder"):
        made(test=labelled(2, seed=5))
    with pytest.raises(BtunetError, match="unlabelled images 0, not 1"):
        made(unlabelled=[labelled(1)[0][0]])


def test_rates_that_were_tried_on_another_budget_are_not_mixed_with_new_ones(made: Any) -> None:
    made(rates=(0.001,), budgets=("2",))
    made(rates=(0.001,), budgets=("2",), seeds=2)
    with pytest.raises(BtunetError, match="rates tried on 2, from random, not 3, from random"):
        made(rates=(0.001,), budgets=("2", "3"))


def test_a_study_of_an_older_version_that_remembered_less_is_gone_on_with(made: Any, spied: Any) -> None:
    out, calls = made(), spied("finetune")
    kept = json.loads((out / "settings.json").read_text())
    (out / "settings.json").write_text(
        json.dumps({k: v for k, v in kept.items() if k not in ("masks", "unlabelled images")})
    )
    made()
    assert not calls and json.loads((out / "settings.json").read_text()) == kept


@pytest.mark.parametrize(("at", "number"), [("reading", 3), ("pre-training", 2), ("fine-tuning", 3), ("predicting", 3)])
def test_a_true_reply_stops_and_leaves_no_half_run(made: Any, spied: Any, at: str, number: int) -> None:
    asked = {"initialisations": ("random", "barlow"), "seeds": 2}
    seen: list[str] = []

    def reply(progress: Progress) -> bool:
        seen.append(progress.stage)
        return progress.stage.startswith(f"run {number}/4") and at in progress.stage

    out = made(on_progress=reply, **asked)
    assert seen[-1].startswith(f"run {number}/4") and at in seen[-1]
    assert len(records(out)) == number - 1 and not list(out.rglob(".*"))
    assert f"{number - 1} runs of" in (out / "summary.md").read_text(encoding="utf-8")
    calls = spied("finetune")
    made(**asked)
    assert len(calls) == 4 - (number - 1) and len(records(out)) == 4


def test_a_study_that_is_stopped_at_once_still_has_a_summary(made: Any) -> None:
    out = made(on_progress=lambda progress: True)
    assert "None yet." in (out / "summary.md").read_text(encoding="utf-8")
    assert not list(out.glob("*.png")) and not (out / "runs").exists()


def test_the_stage_says_which_run_of_how_many(made: Any) -> None:
    stages: list[str] = []
    made(seeds=2, on_progress=lambda progress: stages.append(progress.stage))
    assert stages[0] == "run 1/2: unet, random, 2, seed 0: reading images"
    assert stages[-1] == "run 2/2, 0 min left: unet, random, 2, seed 1: predicting"


def timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if k not in ("seconds", "start")}


def test_the_same_study_gives_the_same_numbers(made: Any) -> None:
    asked = {"initialisations": ("random", "barlow"), "budgets": ("2x2",)}
    first, second = (records(made(out=out, **asked)) for out in ("a", "b"))
    assert first.keys() == second.keys()
    for name, record in first.items():
        assert timeless(record) == timeless(second[name])


def test_a_run_that_is_made_again_gives_the_same_numbers(made: Any) -> None:
    asked = {"initialisations": ("random", "barlow"), "seeds": 2}
    out = made(**asked)
    before = records(out)
    for name in ("unet__barlow__2__seed1", "unet__random__2__seed0"):
        (out / "runs" / f"{name}.json").unlink()
    made(**asked)
    assert {name: timeless(r) for name, r in records(out).items()} == {name: timeless(r) for name, r in before.items()}
    assert before["unet__barlow__2__seed1"]["start"] == records(out)["unet__barlow__2__seed1"]["start"]


def test_all_arms_of_a_seed_differ_in_their_start_only(made: Any, spied: Any) -> None:
    calls = spied("finetune")
    made(initialisations=("random", "barlow"), seeds=2)
    (first, second), (third, _) = calls[:2], calls[2:]
    for one, other in ((first, second),):
        assert [s.name for s in one[0][0]] == [s.name for s in other[0][0]] and one[0][2] == other[0][2]
        assert all(np.array_equal(a[0], b[0]) for a, b in zip(one[0][1], other[0][1], strict=True))
        assert not one[1]["start_from"].weights and other[1]["start_from"].weights
    assert third[0][2].seed == 1 and first[0][2].seed == 0


# ---- rates


def test_the_rate_that_validates_best_is_used_and_test_images_are_not_looked_at(made: Any, spied: Any) -> None:
    predicted = spied("predict")
    out = made(rates=(1e-4, 1e-2), networks=("unet", "plain-unet"))
    assert [len(args[1]) for args, _ in predicted] == [0, 0, 0, 0, 2, 2]
    runs = records(out)
    for network in ("unet", "plain-unet"):
        tried = {r["rate"]: r["curve"][-1][1] for r in runs.values() if r["tuning"] and r["network"] == network}
        (final,) = (r for r in runs.values() if not r["tuning"] and r["network"] == network)
        assert set(tried) == {1e-4, 1e-2} and tried[final["rate"]] == max(tried.values())
    assert all("dice" not in r and "images" not in r for r in runs.values() if r["tuning"])
    with (out / "runs.csv").open(newline="") as file:
        assert [row["dice"] == "" for row in csv.DictReader(file)] == [r["tuning"] for r in runs.values()]
    assert "Learning rates tried" in (out / "summary.md").read_text(encoding="utf-8")
    assert "2 runs of" in (out / "summary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("best", [1e-4, 1e-2])
def test_the_rate_follows_what_the_trials_say(made: Any, best: float) -> None:
    out = made(rates=(1e-4, 1e-2))
    for name, record in records(out).items():
        file = out / "runs" / f"{name}.json"
        if record["tuning"]:
            file.write_text(json.dumps(record | {"curve": [[1, 1.0], [2, 0.9 if record["rate"] == best else 0.1]]}))
        else:
            file.unlink()
    made(rates=(1e-4, 1e-2))
    assert [r["rate"] for r in records(out).values() if not r["tuning"]] == [best]


# ---- what runs are given, and how they are scored


def test_a_budget_of_strokes_trains_from_strokes(made: Any, spied: Any) -> None:
    calls = spied("finetune")
    made(budgets=("2x1", "2"))
    strokes, dense = (((args[1]), options["dense"]) for args, options in calls)
    assert not strokes[1] and dense[1]
    for drawn, whole in zip(strokes[0], dense[0], strict=True):
        (values,), (mask,) = drawn.values(), whole.values()
        assert set(np.unique(values)) == {0, 1, 2} and np.array_equal(values[values > 0], mask[values > 0] + 1)


def test_one_pre_training_serves_all_seeds_and_budgets_and_sees_all_images(
    made: Any, spied: Any, labelled: Any
) -> None:
    calls, tuned = spied("pretrain"), spied("finetune")
    more = [stack for stack, _ in labelled(2, 7)]
    out = made(initialisations=("barlow",), seeds=2, budgets=("2", "all"), unlabelled=more)
    (((images, settings), options),) = calls
    assert [s.name for s in images] == [*(f"0-{i}" for i in range(6)), "7-0", "7-1"]
    assert settings.network == options["start_from"].network == "unet" and settings.steps == 1
    assert [file.name for file in (out / "encoders").iterdir()] == ["unet__barlow.safetensors"]
    encoder = Model.load(out / "encoders" / "unet__barlow.safetensors")
    assert len(tuned) == 4 and all(
        np.array_equal(o["start_from"].weights[key], w) for _, o in tuned for key, w in encoder.weights.items()
    )


def test_a_chain_pre_trains_what_a_file_begins(made: Any, spied: Any, file_of: Any) -> None:
    calls, file = spied("pretrain"), file_of("my+encoder.safetensors", "unet")
    out = made(initialisations=("random", file, f"{file}+barlow", "barlow+barlow"))
    given = Model.load(file)
    assert len(calls) == 3  # barlow+barlow is two
    assert np.array_equal(calls[0][1]["start_from"].weights["head.weight"], given.weights["head.weight"])
    starts = {r["initialisation"]: [e["verb"] for e in r["start"]] for r in records(out).values()}
    assert starts == {
        "random": [],
        file: ["finetune"],
        f"{file}+barlow": ["finetune", "pretrain"],
        "barlow+barlow": ["pretrain", "pretrain"],
    }


def test_weights_are_fetched_before_the_first_run_and_a_true_reply_stops_there_too(
    made: Any, spied: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, there_is_internet = spied("finetune"), False

    def fetch(network: str, channels: int, weights: str) -> Any:
        yield Progress("fetching weights", 0, 0)
        if not there_is_internet:
            raise BtunetError("the weights cannot be fetched")
        return Model(network, channels, (), {})

    monkeypatch.setattr(bench, "import_encoder", fetch)
    asked = {"networks": ("unet", "smp:resnet18"), "initialisations": ("random", "imagenet+barlow")}
    with pytest.raises(BtunetError, match="the weights cannot be fetched"):
        made(**asked)
    there_is_internet, replies = True, iter([True])
    out = made(on_progress=lambda progress: next(replies, False), **asked)
    assert not calls and "0 runs of" in (out / "summary.md").read_text(encoding="utf-8")


def test_a_file_may_be_called_like_imagenet(
    made: Any, file_of: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file_of("imagenet-like.safetensors", "unet")
    monkeypatch.chdir(tmp_path)
    out = made(initialisations=("imagenet-like.safetensors",))
    assert list(records(out)) == ["unet__imagenet-like__2__seed0"]


def test_a_file_is_the_same_start_from_wherever_it_is_named(
    made: Any, file_of: Any, spied: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = file_of("encoder.safetensors", "unet")
    made(initialisations=("random", file))
    calls = spied("finetune")
    monkeypatch.chdir(tmp_path)
    out = made(initialisations=("random", "encoder.safetensors"))
    assert not calls and "| unet | encoder |" in (out / "summary.md").read_text(encoding="utf-8")


def test_the_planes_of_a_stack_count_each(made: Any, discs: Any) -> None:
    image, mask = discs(planes=8, size=48)
    pair = [(as_stack(image), mask)]
    out = made(train=pair, test=[(as_stack(image[:3]), mask[:3])], budgets=("2", "all"))
    runs = records(out)
    assert {r["budget"]: r["planes"] for r in runs.values()} == {"2": 2, "all": 7}
    assert all(len(r["images"]) == 3 for r in runs.values())


@pytest.fixture
def predicting(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[np.ndarray]], None]:
    """Let every run predict given masks."""

    def fake(masks: Sequence[np.ndarray]) -> None:
        def predict(model: Model, images: Sequence[Stack]) -> Any:
            yield Progress("predicting", 1, 1)
            return list(masks)

        monkeypatch.setattr(bench, "predict", predict)

    return fake


def score(made: Any, predicting: Any, found: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> dict[str, Any]:
    predicting(found)
    noise = np.random.default_rng(0).integers(0, 99, (len(truths), *truths[0].shape), np.uint8)
    (record,) = records(made(test=[(as_stack(n), t) for n, t in zip(noise, truths, strict=True)])).values()
    return dict(record)


def test_images_without_the_class_have_no_dice_and_the_mean_is_of_the_others(made: Any, predicting: Any) -> None:
    half, none = np.zeros((48, 48), np.uint8), np.zeros((48, 48), np.uint8)
    half[:24] = 1
    quarter = half.copy()
    quarter[:12] = 0
    record = score(made, predicting, [quarter, none, half], [half, none, none])
    assert record["images"] == [pytest.approx(2 / 3), None, 0.0]
    assert record["dice"] == pytest.approx(1 / 3)
    tp, fp, fn = 12, 24, 12
    assert record["dice_pooled"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert record["precision"] == pytest.approx(tp / (tp + fp)) and record["recall"] == pytest.approx(tp / (tp + fn))
    iou = [(3 * 48 - tp - fp - fn) / (3 * 48 - tp), tp / (tp + fp + fn)]
    assert record["mean_iou"] == pytest.approx(np.mean(iou)) and record["foreground_iou"] == pytest.approx(iou[1])
    assert not record["collapsed"]


@pytest.mark.parametrize(("rows", "is_collapsed"), [(0, True), (2, True), (3, False), (48, True)])
def test_a_run_is_collapsed_when_it_finds_next_to_nothing_or_one_class(
    made: Any, predicting: Any, rows: int, is_collapsed: bool
) -> None:
    truth, found = np.zeros((48, 48), np.uint8), np.zeros((48, 48), np.uint8)
    truth[:45] = 1
    found[:rows] = 1
    assert score(made, predicting, [found], [truth])["collapsed"] is is_collapsed


def test_a_class_that_no_test_image_shows_is_not_scored(made: Any, predicting: Any) -> None:
    truth = np.zeros((48, 48), np.uint8)
    truth[:24] = 2
    record = score(made, predicting, [truth], [truth])
    assert (record["precision"], record["recall"], record["dice"], record["dice_pooled"]) == (1, 1, 1, 1)


def test_a_test_without_any_object_is_scored_as_nothing_found(made: Any, predicting: Any) -> None:
    none = np.zeros((48, 48), np.uint8)
    record = score(made, predicting, [none], [none])
    assert record["dice"] == 0 and record["images"] == [None] and record["collapsed"]


# ---- what would end a study after hours is refused at its start


def test_mistakes_are_refused_before_the_first_step(made: Any, spied: Any, labelled: Any, tmp_path: Path) -> None:
    calls, train, test = spied("finetune"), labelled(6), labelled(2, 9)
    (image, mask), (probe, truth) = train[0], test[0]
    colour = as_stack(np.zeros((48, 48, 3), np.uint8), "YXS", "colour")
    flat = as_stack(np.full((48, 48), 7, np.uint8), name="flat")
    for bad, sentence in (
        ({"train": [(image, mask[:40]), *train[1:]]}, r"mask of 0-0 are \(40, 48\) but the image is \(48, 48\)"),
        ({"test": [(probe, truth[:40])]}, r"mask of 9-0 are \(40, 48\) but the image is \(48, 48\)"),
        ({"test": [(colour, truth)]}, "colour, to test on, has 3 channels; those to train on 1"),
        ({"train": [*train, (flat, mask)]}, "flat has the same value everywhere"),
        ({"unlabelled": [colour]}, "colour has 3 channels but 0-0 has 1"),
        ({"train": [(image, mask * 0) for image, mask in train]}, "only 'background' is annotated"),
        ({"train": [(image, mask / 2) for image, mask in train]}, "hold float64 values; expected whole numbers"),
        ({"train": [(image, mask * 300.0) for image, mask in train]}, "hold float64 values; expected whole numbers"),
        ({"test": [(probe, truth * 255)]}, "the masks hold 0 and 255 only"),
        ({"test": [(probe, truth * 0 + 255)]}, "the masks to test on hold 255, 'ignore', everywhere"),
    ):
        with pytest.raises(ValueError, match=sentence):
            made(**bad)
    for sides in (([], test), (train, [])):
        with pytest.raises(ValueError, match="labelled images to train on and"):
            run(study(*sides, tmp_path / "out", settings_of()))
    assert not calls and not (tmp_path / "out").exists()


def test_a_test_image_that_is_black_is_no_mistake(made: Any) -> None:
    black = np.zeros((48, 48), np.uint8)
    assert len(records(made(test=[(as_stack(black), black)]))) == 1


def test_what_a_killed_process_left_half_written_is_not_taken_for_a_run(made: Any) -> None:
    out = made()
    name = next(iter(records(out)))
    (out / "runs" / f".{name}.123.part.json").write_text('{"network": "unet", "ini')
    made(seeds=2)
    assert (out / "runs.csv").read_text().count("unet") == 2


def test_a_run_that_was_cut_off_is_named(made: Any) -> None:
    out = made()
    (file,) = (out / "runs").iterdir()
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(BtunetError, match=f"{file.name} is broken .*; delete it, and what it held is made again"):
        made()
    file.unlink()
    assert len(records(made())) == 1


def test_settings_that_were_altered_are_named(made: Any) -> None:
    (made() / "settings.json").write_text("steps: 2")
    with pytest.raises(BtunetError, match=r"settings.json is broken"):
        made()


def test_images_and_masks_are_not_written_to(made: Any, labelled: Any) -> None:
    train, test = labelled(6), labelled(2, 9)
    for stack, mask in (*train, *test):
        stack.data.setflags(write=False)
        mask.setflags(write=False)
    made(train=train, test=test, initialisations=("random", "barlow"), budgets=("2", "2x2"))


# ---- sets


@pytest.fixture
def folder(tmp_path: Path, discs: Any) -> Path:
    """Make images/ and masks/ with p1.png … p8.png, masks as 0 and 255."""
    write_set(tmp_path, [f"p{i}" for i in range(1, 9)], discs)
    return tmp_path


def write_set(place: Path, names: Sequence[str], discs: Any, seed: int = 0) -> None:
    for part in ("images", "masks"):
        (place / part).mkdir(parents=True, exist_ok=True)
    for name, image, mask in zip(names, *discs(planes=len(names), size=48, seed=seed), strict=True):
        imageio.imwrite(place / "images" / f"{name}.png", image)
        imageio.imwrite(place / "masks" / f"{name}.png", mask * 255)


def pairs(place: Path) -> Dataset:
    return find_pairs(place / "images", place / "masks")


def split_file(place: Path, **sides: Any) -> Path:
    place.write_text(json.dumps(sides))
    return place


def names(side: Sequence[Labelled]) -> list[str]:
    return [stack.name for stack, _ in side]


@pytest.mark.parametrize("form", ["{}", "{}.png", "images/{}.png", "{}.tif"])
def test_a_split_names_images_with_or_without_suffix(folder: Path, form: str) -> None:
    split = split_file(folder / "split.json", train=[form.format("p3"), form.format("p1")], test=[form.format("p2")])
    train, test, how = split_set(pairs(folder), split)
    assert (names(train), names(test), how) == (["p3.png", "p1.png"], ["p2.png"], "as in split.json")
    assert set(np.unique(train[0][1])) == {0, 1} and train[0][1].shape == (48, 48)


def test_a_split_names_nifti_files_with_or_without_suffix(tmp_path: Path, discs: Any) -> None:
    nibabel = pytest.importorskip("nibabel")
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for name in "ab":
        for part, data in zip(("images", "masks"), discs(planes=2, size=32), strict=True):
            nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), tmp_path / part / f"{name}.nii.gz")
    split = split_file(tmp_path / "split.json", train=["a.nii.gz"], test=["b"])
    train, test, _ = split_set(pairs(tmp_path), split)
    assert (names(train), names(test)) == (["a.nii.gz"], ["b.nii.gz"])


def test_a_split_may_name_images_by_number(tmp_path: Path, discs: Any) -> None:
    write_set(tmp_path, ["1", "2"], discs)
    train, test, _ = split_set(pairs(tmp_path), split_file(tmp_path / "s.json", train=[2], test=[1]))
    assert (names(train), names(test)) == (["2.png"], ["1.png"])


@pytest.mark.parametrize(
    ("train", "test", "sentence"),
    [
        (["p1", "gone", "lost.png"], ["p2"], r"names 3 images of which 2 are not there \(first: gone\)"),
        (["p1"], ["gone"], r"names 1 images of which 1 are not there \(first: gone\)"),
        ([], ["p1"], "names 0 images"),
        (["p1"], [], "names 0 images"),
        (["p1", "p2"], ["p3", "p2.png"], "names p2 to train on and to test on; name each on one side"),
        ([0, 1], [2], r"names 2 images of which 2 are not there \(first: 0\)"),
        ("p1", ["p2"], r"names 2 images of which 2 are not there \(first: p\)"),
    ],
)
def test_a_split_that_does_not_fit_is_answered_with_one_sentence(
    folder: Path, train: Any, test: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        split_set(pairs(folder), split_file(folder / "split.json", train=train, test=test))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"train": ["p1"]}', '{"train": 1, "test": 2}', "null", b"\xff\xfe\x00"]
)
def test_a_broken_split_is_answered_with_one_sentence(folder: Path, content: Any) -> None:
    split = folder / "split.json"
    split.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BtunetError, match=r"split.json cannot be read as a split .*; expected JSON with the lists"):
        split_set(pairs(folder), split)


def test_a_split_that_is_not_there_is_answered_with_one_sentence(folder: Path) -> None:
    with pytest.raises(BtunetError, match=r"gone.json cannot be read as a split"):
        split_set(pairs(folder), folder / "gone.json")


def test_a_split_is_found_in_the_folder_of_the_images_or_beside_it(folder: Path) -> None:
    images = folder / "images"
    assert find_split(images) is None and find_split(images / "p1.png") is None
    beside = split_file(folder / "split.json", train=[], test=[])
    assert find_split(images) == find_split(folder) == beside
    within = split_file(images / "split.json", train=[], test=[])
    assert find_split(images) == find_split(images / "p1.png") == within


@pytest.fixture
def stack(tmp_path: Path, discs: Any) -> Dataset:
    image, mask = discs(planes=10, size=32)
    image[:, 0, 0] = np.arange(10)  # tells the planes apart
    tifffile.imwrite(tmp_path / "stack.tif", image, photometric="minisblack")
    tifffile.imwrite(tmp_path / "labels.tif", mask, photometric="minisblack")
    return find_pairs(tmp_path / "stack.tif", tmp_path / "labels.tif")


def test_a_split_of_a_single_stack_names_planes(stack: Dataset, tmp_path: Path) -> None:
    split = split_file(tmp_path / "split.json", train=[5, 0, 7, 5], test=[9, 1])
    ((image, mask),), ((other, _),), how = split_set(stack, split)
    assert (
        [int(image.read(p)[0, 0, 0]) for p in range(3)] == [5, 0, 7] and image.planes == 3 and mask.shape == (3, 32, 32)
    )
    assert [int(other.read(p)[0, 0, 0]) for p in range(2)] == [9, 1] and how == "planes as in split.json"
    whole = stack.samples[0].read_mask().data
    assert np.array_equal(mask, whole[[5, 0, 7]])


@pytest.mark.parametrize(
    ("train", "test", "sentence"),
    [
        ([0, 10], [1], "names the planes 0, 10 …, but stack.tif has 10 planes"),
        ([0], [-1], "names the planes -1 …"),
        ([0], [], "names the planes none …"),
        ([0, 1], [1, 2], "names 1 to train on and to test on"),
    ],
)
def test_planes_that_are_not_there_are_refused(
    stack: Dataset, tmp_path: Path, train: Any, test: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        split_set(stack, split_file(tmp_path / "split.json", train=train, test=test))


def test_without_a_split_the_last_planes_of_a_single_stack_are_for_the_test(stack: Dataset) -> None:
    ((train, mask),), ((test, truth),), how = split_set(stack)
    assert (train.planes, test.planes, len(mask), len(truth)) == (7, 3, 7, 3)
    assert [int(test.read(p)[0, 0, 0]) for p in range(3)] == [7, 8, 9] and "last 30%" in how


def test_a_single_image_cannot_be_split(tmp_path: Path, discs: Any) -> None:
    write_set(tmp_path, ["only"], discs)
    with pytest.raises(ValueError, match="there is a single labelled image; give a split file or test images"):
        split_set(pairs(tmp_path))


def test_a_draw_keeps_patients_together_and_is_the_same_every_time(tmp_path: Path, discs: Any) -> None:
    write_set(tmp_path, [f"patient{p:03}_slice{s}" for p in range(10) for s in range(3)], discs)
    train, test, how = split_set(pairs(tmp_path))
    patients = [{name.split("_")[0] for name in names(side)} for side in (train, test)]
    assert not patients[0] & patients[1] and [len(p) for p in patients] == [7, 3]
    assert len(train) == 21 and len(test) == 9 and how == "30% of the images drawn for the test"
    again = split_set(pairs(tmp_path))
    assert names(again[0]) == names(train) and names(again[1]) == names(test)


def test_images_of_one_patient_cannot_be_drawn_from(tmp_path: Path, discs: Any) -> None:
    write_set(tmp_path, ["patient1_a", "patient1_b"], discs)
    with pytest.raises(ValueError, match="all labelled images are of patient1; give a split file or test images"):
        split_set(pairs(tmp_path))


def test_two_images_are_one_to_train_on_and_one_to_test_on(tmp_path: Path, discs: Any) -> None:
    write_set(tmp_path, ["a", "b"], discs)
    assert [len(side) for side in split_set(pairs(tmp_path))[:2]] == [1, 1]


def test_given_test_images_leave_all_others_for_training(folder: Path, discs: Any) -> None:
    write_set(folder / "more", ["p1", "q"], discs, seed=4)
    train, test, how = split_set(pairs(folder), None, pairs(folder / "more"))
    assert (len(train), names(test), how) == (8, ["p1.png", "q.png"], "test images given")


def write_values(place: Path, *values: int) -> Dataset:
    for part in ("images", "masks"):
        (place / part).mkdir(parents=True)
        imageio.imwrite(place / part / "a.png", np.resize(np.array(values, np.uint8), (16, 16)))
    return pairs(place)


@pytest.mark.parametrize(
    ("ours", "others", "expected"),
    [
        ((0, 1, 2), (0, 2), ({0, 1, 2}, {0, 2})),  # alone, the 2 of the test would be class 1
        ((0, 2), (0, 1, 2), ({0, 2}, {0, 1, 2})),
        ((0, 1), (0, 255), ({0, 1}, {0, 1})),
        ((0, 255), (0, 0), ({0, 1}, {0})),
    ],
)
def test_a_value_means_the_same_in_training_and_test_masks(
    tmp_path: Path, ours: Any, others: Any, expected: Any
) -> None:
    sets = write_values(tmp_path / "a", *ours), write_values(tmp_path / "b", *others)
    train, test, _ = split_set(sets[0], None, sets[1])
    assert tuple({int(v) for v in np.unique(mask)} for ((_, mask),) in (train, test)) == expected


def test_values_that_cannot_mean_the_same_are_refused(tmp_path: Path) -> None:
    sets = write_values(tmp_path / "a", 0, 1, 2), write_values(tmp_path / "b", 0, 1, 3)
    with pytest.raises(ValueError, match="the masks to train on hold 0, 1, 2, those to test on 0, 1, 3; write both"):
        split_set(sets[0], None, sets[1])


# ---- the command


Shell = Callable[[str], tuple[int, str, str]]


def line(out: str, place: str = "--images images --masks masks", **changed: Any) -> str:
    """Return a command that is done in a second."""
    few = {"networks": "unet", "initialisations": "random", "budgets": 2, "seeds": 1}
    chosen = few | {"steps": 2, "pretrain-steps": 1} | changed
    return f"study {place} --out {out} " + " ".join(f"--{name} {value}" for name, value in chosen.items())


@pytest.fixture
def shell(capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick: None) -> Shell:
    """Run the command line in the test's folder; return exit status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def call(command: str) -> tuple[int, str, str]:
        status = main(command.split())
        return status, *capsys.readouterr()

    return call


def test_the_command_compares_images_in_a_folder(folder: Path, shell: Shell) -> None:
    status, out, err = shell(line("found", initialisations="random barlow"))
    assert (status, out) == (0, "found/summary.md\n"), err
    assert "8 images with a mask (images and masks in two places); in the masks 0 is class 0, 255 is class 1" in err
    assert "6 to train on, 2 to test (30% of the images drawn for the test)" in err
    assert len(records(folder / "found")) == 2
    assert shell(line("again", "--images ."))[0] == 0  # images/ and masks/ in it
    first, second = (
        next(r for r in records(folder / o).values() if r["initialisation"] == "random") for o in ("found", "again")
    )
    assert timeless(first) == timeless(second)


def test_the_command_goes_on_and_refuses_other_settings(folder: Path, shell: Shell) -> None:
    assert shell(line("found"))[0] == 0
    assert shell(line("found", seeds=2))[0] == 0
    assert len(records(folder / "found")) == 2
    status, out, err = shell(line("found", steps=9))
    assert (status, out) == (2, "")
    assert err.splitlines()[-1] == "btunet: found holds a study with steps 2, not 9; choose another folder"


def test_the_command_takes_test_images_and_unlabelled_ones(folder: Path, shell: Shell, discs: Any, spied: Any) -> None:
    calls = spied("pretrain")
    write_set(folder / "t", ["one", "two", "three"], discs, seed=3)
    write_set(folder / "u", ["free"], discs, seed=5)
    place = "--images images --masks masks --test-images t/images --test-masks t/masks --unlabelled u/images"
    status, _, err = shell(line("found", place, initialisations="barlow"))
    assert status == 0 and "8 to train on, 3 to test (test images given)" in err
    assert [s.name for s in calls[0][0][0]] == [*(f"p{i}.png" for i in range(1, 9)), "free.png"]
    assert [len(r["images"]) for r in records(folder / "found").values()] == [3]


def test_the_command_follows_the_split_beside_the_images_or_the_one_it_is_given(folder: Path, shell: Shell) -> None:
    split_file(folder / "split.json", train=["p1", "p2", "p3"], test=["p4"])
    assert "3 to train on, 1 to test (as in split.json)" in shell(line("a"))[2]
    split_file(folder / "mine.json", train=["p1", "p2"], test=["p4", "p5"])
    assert "2 to train on, 2 to test (as in mine.json)" in shell(line("b", split="mine.json"))[2]


def test_the_command_takes_numbered_objects(folder: Path, shell: Shell) -> None:
    for i, file in enumerate(sorted((folder / "masks").iterdir())):
        numbers = (imageio.imread(file) > 0) * np.arange(1, 49, dtype=np.uint8)[:, None]
        imageio.imwrite(file, np.where(numbers > 40 - i, 0, numbers).astype(np.uint8))
    status, _, err = shell(line("found"))
    assert status == 2 and "say that they are instances" in err
    status, _, err = shell(line("found", "--images images --masks masks --instances"))
    assert status == 0 and "every value above 0 is class 1" in err


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("--images gone", "gone does not exist; check the spelling"),
        ("--images images --masks gone", "gone does not exist; check the spelling"),
        ("--images images", "images holds 8 images but no mask"),
        ("--images images --masks masks --split gone.json", "gone.json cannot be read as a split"),
        ("--images images --masks masks --test-masks masks", "--test-masks needs --test-images; give both, or neither"),
        (
            "--images images --masks masks --split a.json --test-images images",
            "--split and --test-images both say what to test on; leave one of them out",
        ),
        ("--images images --masks masks --budgets many", "the budget 'many' is not understood"),
        (
            "--images images --masks masks --budgets 99",
            "there are 5 labelled planes to train on; give a budget of that",
        ),
        ("--images images --masks masks --networks vit", "network is 'vit'; choose one of: unet, "),
        ("--images images --masks masks --initialisations moco", "the start 'moco' is none of random, barlow and"),
        ("--images images --masks masks --initialisations imagenet", "the start imagenet fits none of the networks"),
        ("--images images --masks masks --seeds 0", "seeds is 0; it must be at least 1"),
        ("--images images --masks masks --rates 0", "the rates are 0.0; each must be above 0 and at most 1"),
        ("--images images --masks masks --unlabelled gone", "gone does not exist; check the spelling"),
        ("--images images --masks masks --recipe theirs", "recipe|theirs"),
        ("--masks masks", "images"),
    ],
)
def test_a_mistake_is_answered_with_one_sentence_and_leaves_no_folder(
    folder: Path, shell: Shell, given: str, sentence: str
) -> None:
    status, out, err = shell(f"study {given} --out found")
    assert (status, out) == (2, "") and "Traceback" not in err
    said = [s for s in err.splitlines() if s.startswith("btunet: ")]
    assert len(said) == 1 and err.splitlines()[-1] == said[0]
    assert any(part in said[0] for part in sentence.split("|"))
    assert not (folder / "found").exists()


def test_an_out_that_is_a_file_is_refused(folder: Path, shell: Shell) -> None:
    (folder / "found").write_text("mine")
    status, _, err = shell(line("found"))
    assert status == 2 and "found cannot be written to; choose another folder" in err


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_ctrl_c_keeps_the_finished_runs_and_exits_with_130(folder: Path, shell: Shell, spied: Any) -> None:
    real, calls = bench.finetune, spied("predict")

    def interrupted(*args: Any, **options: Any) -> Any:
        if calls:
            os.kill(os.getpid(), signal.SIGINT)
        return (yield from real(*args, **options))

    handler = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "finetune", interrupted)
        status, out, err = shell(line("found", seeds=3))
    assert (status, out) == (130, "found/summary.md\n") and "stopping" in err
    assert len(records(folder / "found")) == 1 and signal.getsignal(signal.SIGINT) is handler


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_study_that_was_killed_goes_on_where_it_was(folder: Path, shell: Shell) -> None:
    command = line("found", seeds=4)
    runs, quiet = folder / "found" / "runs", {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-m", "btunet", *command.split()], cwd=folder, **quiet) as process:  # type: ignore[call-overload]
        while not list(runs.glob("[!.]*.json")):
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(0.2)  # into the next run
        process.kill()
    assert process.returncode == -signal.SIGKILL
    done = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in runs.glob("[!.]*.json")}
    assert 1 <= len(done) < 4
    status, _, err = shell(command)
    assert status == 0, err
    assert {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in done} == done
    assert sorted(records(folder / "found")) == [f"unet__random__2__seed{seed}" for seed in range(4)]
    assert (folder / "found" / "summary.md").read_text(encoding="utf-8").startswith("# Study\n\n4 runs of 2 steps")
    assert (folder / "found" / "runs.csv").read_text().count("unet,random,2") == 4
