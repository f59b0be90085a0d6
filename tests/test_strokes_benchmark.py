"""The ruler for few strokes: what its simulated person paints, what its table keeps, what its report says."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile

pytest.importorskip("sklearn", reason="needs the extra bench")

from btunet import Stack
from strokes.__main__ import main
from strokes.ablations import ABLATIONS, PARTS
from strokes.annotation import begin, correct, opened
from strokes.arms import ARMS, Work
from strokes.bench import Plan, bench, effort_of
from strokes.bootstrap import difference, paired
from strokes.features import MARGIN, TILE, Features
from strokes.finished import finished
from strokes.report import report
from strokes.results import Results
from strokes.rows import COLUMNS, append, read_rows
from strokes.scores import score
from strokes.sets import ImageSet, gather, load, names_in

Discs = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def images(discs: Discs) -> ImageSet:
    """Make a set of four images to learn from and two to test on, with discs of two classes."""
    labelled = []
    for seed in range(6):
        image, mask = discs(seed=seed)
        ring = (np.arange(96) % 96 > 60)[None, None] & (mask == 1)
        mask[ring], image[ring] = 2, 250
        labelled.append((Stack(image[0], "YX", f"image {seed}"), mask[0]))
    return gather("discs", labelled[:4], labelled[4:])


def truth_but(images: ImageSet, planes: Any, wrong: int) -> dict[Any, np.ndarray]:
    """Return predictions that call one class everything in the left half, and are right elsewhere."""
    found = {plane: images.masks[plane].copy() for plane in planes}
    for mask in found.values():
        mask[:, :48] = wrong
    return found


def test_first_strokes_lie_in_their_class_on_planes_that_show_all_classes(images: ImageSet) -> None:
    painting = begin(images, "2x3", seed=0)
    assert len(painting.labels) == 2
    seen = set()
    for plane, strokes in painting.labels.items():
        painted = strokes > 0
        assert (strokes[painted] - 1 == images.masks[plane][painted]).all()
        seen |= set(np.unique(strokes).tolist())
    assert seen == {0, 1, 2, 3}


def test_background_is_painted_beside_objects_and_far_from_them() -> None:
    mask = np.zeros((128, 128), np.uint8)
    mask[10:30, 10:30] = 1
    lone = gather("lone", [(Stack(mask, "YX"), mask)], [(Stack(mask, "YX"), mask)])
    y, x = np.nonzero(begin(lone, "1x2", seed=0).labels[0, 0] == 1)
    away = np.maximum(np.maximum(10 - y, y - 29), np.maximum(10 - x, x - 29))
    assert away.min() <= 20 < away.max()


def test_strokes_depend_on_their_seed_alone_and_larger_budgets_hold_the_planes_of_smaller_ones(
    images: ImageSet,
) -> None:
    again = [begin(images, "2x2", seed=seed).labels for seed in (1, 1, 2)]
    assert again[0].keys() == again[1].keys()
    assert all((again[0][plane] == again[1][plane]).all() for plane in again[0])
    assert again[0].keys() != again[2].keys() or any((again[0][p] != again[2][p]).any() for p in again[0])
    assert set(begin(images, "1x2", seed=1).labels) < set(again[0]) < set(begin(images, "3", seed=1).labels)


def test_what_was_painted_is_counted(images: ImageSet) -> None:
    painting = begin(images, "2x3", seed=0)
    assert painting.strokes == 2 * 3 * 3
    assert painting.pixels == sum((strokes > 0).sum() for strokes in painting.labels.values())
    assert painting.strokes <= painting.length < painting.pixels
    dense = begin(images, "2", seed=0)
    assert dense.dense
    assert (dense.strokes, dense.pixels) == (0, 2 * 96 * 96)
    assert dense.length > 0


def test_corrections_fall_where_the_prediction_is_wrong_and_in_the_true_class(images: ImageSet) -> None:
    painting = begin(images, "2x2", seed=0)
    found = truth_but(images, painting.labels, wrong=1)
    after = correct(painting, found, images, strokes=3, seed=0, turn=1)
    assert painting.strokes < after.strokes <= painting.strokes + 2 * 3
    assert after.length > painting.length
    for plane, strokes in after.labels.items():
        new = strokes != painting.labels[plane]
        truth = images.masks[plane]
        assert new.any()
        assert (truth[new] != found[plane][new]).all()
        assert (strokes[new] - 1 == truth[new]).all()
        assert (strokes[~new] == painting.labels[plane][~new]).all()


def test_a_right_prediction_is_not_corrected(images: ImageSet) -> None:
    painting = begin(images, "1x1", seed=0)
    after = correct(painting, images.masks, images, strokes=3, seed=0, turn=1)
    assert (after.strokes, after.pixels) == (painting.strokes, painting.pixels)


def test_corrections_depend_on_seed_and_round_alone(images: ImageSet) -> None:
    painting = begin(images, "1x1", seed=0)
    found = truth_but(images, painting.labels, wrong=1)
    (plane,) = painting.labels
    hands = [correct(painting, found, images, strokes=3, seed=0, turn=turn).labels[plane] for turn in (1, 1, 2)]
    assert (hands[0] == hands[1]).all()
    assert (hands[0] != hands[2]).any()


def test_a_person_may_open_further_planes(images: ImageSet) -> None:
    painting = opened(begin(images, "1x1", seed=0), images, 0, 2)
    assert list(painting.labels) == list(begin(images, "3x1", seed=0).labels)
    assert sum(values.any() for values in painting.labels.values()) == 1


def test_features_of_tiles_are_those_of_the_whole_plane(rng: np.random.Generator) -> None:
    from skimage.feature import multiscale_basic_features

    wide = rng.normal(size=(40, TILE + MARGIN + 40)).astype(np.float32)
    found = Features()(Stack(wide, "YX"), 0, raw=True)
    np.testing.assert_allclose(found, multiscale_basic_features(wide), atol=2e-5)


def test_features_are_computed_once_and_their_time_counts_again(images: ImageSet) -> None:
    features = Features()
    first = features(images.stacks[0], 0)
    assert features.saved == 0
    assert features(images.stacks[0], 0) is first
    assert features.saved > 0
    small = Features(megabytes=0)
    assert small(images.stacks[0], 0) is not small(images.stacks[1], 0)
    small(images.stacks[0], 0)
    assert small.saved == 0


@pytest.mark.parametrize("arm", ["forest", "logistic"])
def test_peers_find_bright_discs_from_strokes(images: ImageSet, arm: str) -> None:
    scores = score(ARMS[arm](Work(images, begin(images, "2x3", seed=0).labels)), images)
    assert len(scores.table) == 2
    assert scores.dice > 0.7
    assert not scores.collapsed


def test_one_class_everywhere_is_a_collapse(images: ImageSet) -> None:
    scores = score(lambda stack, plane: np.eye(3)[:, 0][:, None, None] * np.ones(stack.plane_shape), images)
    assert scores.collapsed
    assert scores.dice == 0


@pytest.mark.parametrize("arm", ["btunet-random", "btunet-barlow-1steps"])
def test_networks_are_trained_in_steps_and_their_encoder_is_kept(images: ImageSet, tmp_path: Path, arm: str) -> None:
    from btunet import FinetuneSettings, PretrainSettings
    from strokes.networks import network_arms

    before = PretrainSettings(steps=1, batch=4, patch_size=32)
    arms = network_arms(before, FinetuneSettings(batch=2, patch_size=32))
    bench(images, tmp_path, Plan(arms, ("1x1",), (0,), ("1steps",), test=1), say=lambda line: None)
    made = {row["arm"]: row for row in read_rows(tmp_path / "rows.csv")}
    assert made[arm]["effort"] == "1steps"
    assert len(list((tmp_path / "encoders").iterdir())) == 1


def guess(work: Work) -> Any:
    """Predict the background everywhere."""
    return lambda stack, plane: np.eye(3, dtype=np.float32)[:, 0][:, None, None] * np.ones(stack.plane_shape)


def test_every_part_that_is_taken_away_changes_the_network_and_comes_back(images: ImageSet) -> None:
    work = Work(images, begin(images, "2x3", seed=0).labels, steps=4)
    stack = images.stacks[0]
    full = ARMS["btunet-random"](work)
    for part in PARTS:
        assert np.abs(ABLATIONS[f"without-{part}"](work)(stack, 0) - full(stack, 0)).max() > 1e-3, part
    np.testing.assert_array_equal(ARMS["btunet-random"](work)(stack, 0), full(stack, 0))


def test_finished_runs_are_skipped_and_interrupted_ones_begin_again(images: ImageSet, tmp_path: Path) -> None:
    made: list[str] = []
    plan = Plan({"guess": guess}, ("1x1", "2"), (0, 1), ("1s", "2s"), rounds=2)
    bench(images, tmp_path, plan, made.append)
    assert len(made) == 2 * 2 * (3 + 1)  # seeds, efforts, rounds of strokes and none of masks
    whole = read_rows(tmp_path / "rows.csv")
    made.clear()
    bench(images, tmp_path, plan, made.append)
    assert not made
    lines = (tmp_path / "rows.csv").read_bytes().splitlines(keepends=True)
    (tmp_path / "rows.csv").write_bytes(b"".join(lines[:-1]) + lines[-1][:20])  # ended within a row
    bench(images, tmp_path, plan, made.append)
    assert len(made) == 1
    timeless = [
        [{**r, "train_seconds": 0, "test_seconds": 0} for r in rows]
        for rows in (whole, read_rows(tmp_path / "rows.csv"))
    ]
    assert timeless[0] == timeless[1]
    assert [row["strokes"] for row in whole[:3]] == [3, 6, 9]


def row(arm: str, seed: int, table: list[list[float | None]], **more: Any) -> dict[str, Any]:
    """Make a row of the table."""
    zero = {**dict.fromkeys(COLUMNS, 0), "set": "discs", "budget": "1x1", "effort": "", "collapsed": False}
    return {**zero, "arm": arm, "seed": seed, "table": table, "dice": table[0][0], **more}


def test_rows_are_read_as_they_were_written_and_the_last_of_a_run_counts(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "rows.csv"
    rows = [row("a", 0, [[0.5, None]]), row("a", 1, [[0.25]]), row("a", 0, [[0.75, None]], collapsed=True)]
    for each in rows:
        append(file, each)
    assert read_rows(file) == [rows[2], rows[1]]
    with file.open(newline="") as lines:
        assert next(csv.reader(lines)) == list(COLUMNS)
    assert [p.name for p in file.parent.iterdir()] == ["rows.csv"]


def test_rows_that_are_added_at_the_same_time_are_all_whole(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: append(tmp_path / "rows.csv", row("a", seed, [[0.5]] * 50)), range(64)))
    assert sorted(r["seed"] for r in read_rows(tmp_path / "rows.csv")) == list(range(64))


def test_a_constant_difference_has_an_interval_of_no_width() -> None:
    first, second = ([row(arm, s, [[d + 0.1 * s], [d]]) for s in range(3)] for arm, d in (("a", 0.7), ("b", 0.5)))
    found = difference(paired(first, second))
    assert found
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))
    assert (found.verdict, found.seeds) == ("better", 3)


def test_pairs_leave_out_seeds_and_images_that_one_side_lacks() -> None:
    first = [row("a", 0, [[0.5, 0.7], [0.1], [None]]), row("a", 1, [[1.0], [1.0], [1.0]])]
    second = [row("b", 0, [[0.4], [0.3], [0.9]])]
    np.testing.assert_allclose(paired(first, second), [[0.2, -0.2]])
    assert difference(paired(first, [])) is None


def test_an_interval_covers_seeds_and_images_and_every_set_counts_the_same() -> None:
    seeds, images = np.array([[0.0], [0.4]]), np.array([[0.0, 0.4]])
    for pairs in (seeds, images):
        found = difference(pairs)
        assert found
        assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.0, 0.4))
    both = difference(np.full((2, 9), 0.3), np.full((3, 1), 0.1))
    assert both
    assert (both.mean, both.low, both.seeds) == pytest.approx((0.2, 0.2, 2))


def test_the_report_names_medians_differences_costs_and_collapses(tmp_path: Path) -> None:
    for seed in range(2):
        for turn, (a, b) in enumerate([(0.5, 0.8), (0.6, 0.9)]):
            more = {"round": turn, "strokes": 6 * (turn + 1), "length": 100 * (turn + 1), "train_seconds": 2.0}
            append(tmp_path / "rows.csv", row("forest", seed, [[a]], **more))
            append(tmp_path / "rows.csv", row("net", seed, [[b]], effort="9s", collapsed=seed == 1, **more))
    text = report(tmp_path).read_text()
    assert "| discs | 1x1 | 0.500 | 0.800 |" in text
    assert "| 1x1 | net 9s | discs | +0.300 (+0.300 to +0.300) | better |" in text
    assert "| discs | 1x1 | net 9s | 0.800 | 0.900 | 6 | 100 | 2.0 |" in text
    assert "| net 9s | 2 of 4 | 2.0 |" in text
    with pytest.raises(ValueError, match="no runs of 'tree'"):
        report(tmp_path, ["tree"])


def test_fewer_strokes_on_as_many_images_count_before_corrections_do(tmp_path: Path) -> None:
    for budget, strokes, turn, dice in (
        ("2x1", 4, 0, 0.7),
        ("2x3", 12, 0, 0.5),
        ("2x3", 18, 1, 0.6),
        ("1x1", 2, 0, 0.9),
    ):
        append(tmp_path / "rows.csv", row("forest", 0, [[dice]], budget=budget, strokes=strokes, round=turn, length=9))
    text = report(tmp_path).read_text()
    assert "| discs | 2x3 | forest | 0.500 | 0.600 | 4 | 9 | 4.5 |" in text


def test_the_report_tells_classes_apart(tmp_path: Path) -> None:
    append(tmp_path / "rows.csv", row("forest", 0, [[0.5, 0.9], [0.7, None]]))
    text = report(tmp_path).read_text()
    assert "| discs | 1x1 | 1 | 0.600 |" in text
    assert "| discs | 1x1 | 2 | 0.900 |" in text


def test_sets_are_read_from_folders_and_run_from_the_command_line(
    discs: Discs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, mask = discs(planes=4)
    names = [f"{i}.png" for i in range(4)]
    for folder, planes in (("images", image), ("masks", mask)):
        (tmp_path / "data" / "cells" / folder).mkdir(parents=True)
        for name, plane in zip(names, planes, strict=True):
            imageio.imwrite(tmp_path / "data" / "cells" / folder / name, plane)
    (tmp_path / "data" / "stack").mkdir()
    tifffile.imwrite(tmp_path / "data" / "stack" / "stack.tif", image, photometric="minisblack")
    tifffile.imwrite(tmp_path / "data" / "stack" / "labels.tif", mask, photometric="minisblack")
    for name, items in (("cells", names), ("stack", list(range(4)))):
        split = json.dumps({"train": items[:3], "test": items[3:]})
        (tmp_path / "data" / name / "split.json").write_text(split)
    loaded = {name: load(tmp_path / "data", name) for name in names_in(tmp_path / "data")}
    assert {name: (len(s.stacks), len(s.masks), s.classes) for name, s in loaded.items()} == {
        "cells": (3, 3, 2),
        "stack": (1, 3, 2),
    }
    for _ in range(2):
        main(
            [
                "run",
                str(tmp_path / "data"),
                str(tmp_path / "out"),
                *["--arms", "logistic", "--budgets", "2x2", "--seeds", "1"],
            ]
        )
    main(["report", str(tmp_path / "out"), "--against", "logistic"])
    assert capsys.readouterr().out.count("logistic") == 2
    assert "| cells | 2x2 | 0." in (tmp_path / "out" / "report.md").read_text()


def test_the_best_of_several_peers_is_chosen_where_it_is_best() -> None:
    rows = [row("a", 0, [[0.5]]), row("b", 0, [[0.6]]), row("a", 0, [[0.9]], budget="2")]
    results = Results.of(rows)
    assert results.best("discs", "1x1", ("a", "b")) == "b"
    assert results.best("discs", "2", ("a", "b")) == "a"
    assert results.budgets == ["1x1", "2"]


def test_efforts_are_seconds_or_steps() -> None:
    assert (effort_of("60s"), effort_of("200steps"), effort_of("")) == ((60.0, 0), (0.0, 200), (0.0, 0))
    with pytest.raises(ValueError, match="write 60s or 200steps"):
        effort_of("fast")


def test_a_table_begins_with_its_header_and_its_rows_are_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.csv"
    assert finished(path, ("set", "seed", "dice"), ("set", "seed")) == set()
    with path.open("a") as file:
        file.write("cells,1,0.5\n")
    assert finished(path, ("set", "seed", "dice"), ("set", "seed")) == {("cells", "1")}
    assert path.read_text().splitlines() == ["set,seed,dice", "cells,1,0.5"]
