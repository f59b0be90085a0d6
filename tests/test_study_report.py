import csv
import json
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from btunet.errors import BtunetError
from btunet.settings import StudySettings
from btunet.studies.report import COLUMNS, difference, report, steps_to, verdict

Record = dict[str, Any]
Arm = list[Record]


def arm(*images: Sequence[float | None], first: int = 0) -> Arm:
    """Return runs with the given Dice of every test image, one run per seed."""
    return [{"seed": seed, "images": list(dice)} for seed, dice in enumerate(images, first)]


# ---- difference


def test_the_difference_is_the_mean_over_pairs_of_seed_and_image() -> None:
    found = difference(arm([0.9, 0.5], [0.7, 0.8]), arm([0.6, 0.6], [0.5, 0.4]))
    assert found is not None and found[0] == pytest.approx((0.3 - 0.1 + 0.2 + 0.4) / 4)


def test_a_small_bootstrap_is_bounded_by_all_its_draws() -> None:
    pairs = np.array([[0.3, -0.1], [0.2, 0.4]])  # (seeds, images)
    two = [(0, 0), (0, 1), (1, 0), (1, 1)]
    draws = [pairs[np.ix_(seeds, images)].mean() for seeds, images in product(two, two)]  # each has 6 % of the chance
    found = difference(arm(*pairs.tolist()), arm([0, 0], [0, 0]))
    assert found == pytest.approx((pairs.mean(), min(draws), max(draws)))


def test_the_interval_is_that_of_a_bootstrap_done_by_hand(rng: np.random.Generator) -> None:
    pairs = rng.normal(0.02, 0.1, (5, 30)) + rng.normal(0, 0.05, (5, 1))
    means = []
    for _ in range(4000):
        seeds, images = rng.choice(5, 5), rng.choice(30, 30)
        means.append(np.mean([[pairs[s, i] for i in images] for s in seeds]))
    found = difference(arm(*pairs.tolist()), arm(*np.zeros((5, 30)).tolist()))
    assert found == pytest.approx((pairs.mean(), *np.percentile(means, [2.5, 97.5])), abs=0.006)


def test_equal_arms_do_not_differ_at_all(rng: np.random.Generator) -> None:
    dice = rng.random((3, 8)).tolist()
    assert difference(arm(*dice), arm(*dice)) == (0, 0, 0)


def test_a_constant_shift_is_found_exactly(rng: np.random.Generator) -> None:
    dice = rng.random((3, 8))
    assert difference(arm(*(dice + 0.125)), arm(*dice)) == pytest.approx((0.125, 0.125, 0.125))
    assert difference(arm(*dice), arm(*(dice + 0.125))) == pytest.approx((-0.125, -0.125, -0.125))


def test_the_interval_covers_seeds_that_differ_and_images_that_differ() -> None:
    zero = arm(*np.zeros((6, 6)))
    for pairs in (
        np.repeat([[0.0], [1.0]], [3, 3], 0).repeat(6, 1),
        np.repeat([[0.0], [1.0]], [3, 3], 0).repeat(6, 1).T,
    ):
        found = difference(arm(*pairs), zero)
        assert found is not None and found[1] < 0.25 and found[2] > 0.75


def test_images_without_a_dice_in_one_run_are_left_out() -> None:
    first, second = arm([0.5, None, 0.9], [0.5, 0.2, 0.9]), arm([0.25, 0.0, 0.0], [0.25, 0.0, None])
    assert difference(first, second) == pytest.approx((0.25, 0.25, 0.25))
    assert difference(arm([None, None]), arm([0.5, 0.5])) is None


def test_seeds_that_only_one_arm_has_are_left_out() -> None:
    first, second = arm([0.5], [0.5], [0.9]), arm([0.1], [0.25], [0.25], first=-1)
    assert difference(first, second) == pytest.approx((0.25, 0.25, 0.25))
    assert difference(arm([0.5]), arm([0.5], first=1)) is None
    assert difference([], arm([0.5])) is None


def test_the_order_of_the_runs_does_not_matter(rng: np.random.Generator) -> None:
    dice, others = rng.random((2, 4, 6)).tolist()
    assert difference(arm(*dice), arm(*others)) == difference(arm(*dice)[::-1], arm(*others))


@pytest.mark.parametrize(
    ("low", "high", "seeds", "said"),
    [
        (0.01, 0.2, 3, "helps"),
        (-0.2, -0.01, 3, "hurts"),
        (-0.1, 0.1, 3, "no clear difference"),
        (0.0, 0.0, 3, "no clear difference"),
        (0.0, 0.1, 3, "no clear difference"),
        (0.1, 0.2, 1, "one seed only"),
    ],
)
def test_a_verdict_needs_an_interval_on_one_side_of_zero_and_two_seeds(
    low: float, high: float, seeds: int, said: str
) -> None:
    assert verdict(low, high, seeds) == said


def test_convergence_is_the_first_step_that_reaches_the_goal() -> None:
    curve = [(10, 0.2), (20, 0.7), (30, 0.6), (40, 0.8)]
    assert [steps_to(curve, goal) for goal in (0.1, 0.65, 0.7, 0.75, 0.9)] == [10, 20, 20, 40, float("inf")]
    assert steps_to([], 0.5) == float("inf")


# ---- the summary


def record_of(network: str, start: str, budget: str, seed: int, dice: float, **changed: Any) -> Record:
    return {
        "network": network,
        "initialisation": start,
        "budget": budget,
        "planes": int(budget) if budget.isdigit() else 9,
        "strokes": int(budget.split("x")[1]) if "x" in budget else 0,
        "seed": seed,
        "rate": 0.002,
        "tuning": False,
        "precision": dice / 2,
        "recall": dice / 3,
        "dice": dice,
        "dice_pooled": dice / 4,
        "mean_iou": dice / 5,
        "foreground_iou": dice / 6,
        "collapsed": False,
        "images": [dice, dice - 0.125],
        "curve": [[5, dice / 2], [10, dice]],
        "seconds": 1.5,
        "start": [],
    } | changed


SETTINGS = StudySettings(networks=("unet", "plain-unet"), initialisations=("random", "barlow"), budgets=("2", "all"))


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[Sequence[Record]], Path]:
    """Make a folder with runs."""

    def make(records: Sequence[Record]) -> Path:
        (tmp_path / "runs").mkdir()
        for i, record in enumerate(records):
            (tmp_path / "runs" / f"{i:03}.json").write_text(json.dumps(record))
        return tmp_path

    return make


@pytest.fixture
def records(rng: np.random.Generator) -> list[Record]:
    """Make all runs of a study of three seeds."""
    arms = product(SETTINGS.networks, SETTINGS.initialisations, SETTINGS.budgets, range(3))
    return [record_of(*arm, round(float(rng.uniform(0.3, 0.9)), 4)) for arm in arms]


def summary_of(out: Path, settings: StudySettings = SETTINGS) -> str:
    return report(out, settings, pictures=False).read_text(encoding="utf-8")


def tables(summary: str) -> dict[str, list[dict[str, str]]]:
    """Return the tables of a summary by their headings."""
    found: dict[str, list[dict[str, str]]] = {}
    heading, head = "", list[str]()
    for line in summary.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("#"):
            heading, head = line.lstrip("# "), []
        elif line.startswith("|") and not head:
            head = cells
        elif line.startswith("|") and set(cells) != {"---"}:
            assert len(cells) == len(head), line
            found.setdefault(heading, []).append(dict(zip(head, cells, strict=True)))
    return found


def of(records: Sequence[Record], **choice: Any) -> list[Record]:
    return [r for r in records if all(r[key] == value for key, value in choice.items())]


def test_tables_hold_the_medians_and_ranges_of_the_runs(folder: Any, records: list[Record]) -> None:
    found = tables(summary_of(folder(records)))
    for budget, heading in (("2", "2 labelled images"), ("all", "all labelled images")):
        rows = found[heading]
        assert [(r["network"], r["start"]) for r in rows] == [*product(SETTINGS.networks, SETTINGS.initialisations)]
        for row in rows:
            runs = of(records, network=row["network"], initialisation=row["start"], budget=budget)
            for column, key in (("precision", "precision"), ("Dice", "dice"), ("mean IoU", "mean_iou")):
                low, middle, high = sorted(r[key] for r in runs)
                assert row[column] == f"{middle:.3f} ({low:.3f} – {high:.3f})"
            assert row["collapsed"] == "0 of 3"


def test_differences_are_taken_from_the_first_start(folder: Any, records: list[Record]) -> None:
    out = folder(records)
    for base, other in (("random", "barlow"), ("barlow", "random")):
        settings = StudySettings(networks=SETTINGS.networks, initialisations=(base, other), budgets=SETTINGS.budgets)
        rows = tables(summary_of(out, settings))[f"Difference in Dice from {base}"]
        assert [(r["labels"], r["network"], r["start"]) for r in rows] == [
            (budget, network, other) for budget in ("2", "all") for network in SETTINGS.networks
        ]
        for row in rows:
            arms = (
                of(records, network=row["network"], budget=row["labels"], initialisation=start)
                for start in (other, base)
            )
            found = difference(*arms)
            assert found is not None
            mean, low, high = found
            assert row["difference"] == f"{mean:+.3f}" and row["interval"] == f"{low:+.3f} to {high:+.3f}"
            assert row["verdict"] == verdict(low, high, 3) and row["pairs with a collapsed run"] == "0 of 3"


def test_collapsed_runs_are_counted_and_so_are_the_pairs_they_are_in(folder: Any) -> None:
    runs = [record_of("unet", "random", "2", seed, 0.5, collapsed=seed in (0, 4)) for seed in range(5)]
    runs += [record_of("unet", "barlow", "2", seed, 0.5, collapsed=seed in (1, 2)) for seed in range(4)]
    settings = StudySettings(budgets=("2",), seeds=5)
    found = tables(summary_of(folder(runs), settings))
    assert [row["collapsed"] for row in found["2 labelled images"]] == ["2 of 5", "2 of 4"]
    (row,) = found["Difference in Dice from random"]
    assert row["pairs with a collapsed run"] == "3 of 4"  # seed 4 is in no pair


def test_convergence_is_measured_against_the_first_start_of_the_same_seed(folder: Any) -> None:
    curves = {  # goals of the seeds: 0.76, 0.38, 0.57
        "random": [[[5, 0.7], [10, 0.8]], [[5, 0.39], [10, 0.4]], [[5, 0.1], [10, 0.6]]],
        "barlow": [[[5, 0.8], [10, 0.8]], [[5, 0.1], [10, 0.2]], [[5, 0.6], [10, 0.1]]],
        "late": [[[5, 0.1], [10, 0.1]], [[5, 0.1], [10, 0.1]], [[5, 0.6], [10, 0.6]]],
    }
    runs = [record_of("unet", i, "2", s, 0.5, curve=c) for i, found in curves.items() for s, c in enumerate(found)]
    settings = StudySettings(initialisations=tuple(curves), budgets=("2",))
    rows = tables(summary_of(folder(runs), settings))["Convergence"]
    assert {row["start"]: row["steps"] for row in rows} == {"random": "10", "barlow": "5", "late": "not reached"}


def test_nothing_converges_to_a_run_that_collapsed(folder: Any) -> None:
    flat = {"curve": [[5, 0.0], [10, 0.0]], "collapsed": True}
    runs = [
        record_of("unet", "random", "2", 0, 0.0, **flat),
        record_of("unet", "random", "2", 1, 0.8),
    ]
    runs += [record_of("unet", "barlow", "2", seed, 0.8) for seed in range(2)]
    rows = tables(summary_of(folder(runs), StudySettings(budgets=("2",), seeds=2)))["Convergence"]
    assert [row["steps"] for row in rows] == ["10", "10"]


def test_runs_without_held_out_planes_have_no_convergence(folder: Any) -> None:
    out = folder([record_of("unet", "random", "2", 0, 0.5, curve=[])])
    assert "Convergence" not in tables(summary_of(out)) and "None yet." in summary_of(out)
    with (out / "runs.csv").open(newline="") as file:
        assert [row["validation_dice"] for row in csv.DictReader(file)] == [""]
    report(out, SETTINGS)
    assert (out / "dice_by_labels.png").exists() and not (out / "convergence.png").exists()


@pytest.mark.parametrize("count", [0, 1, 2, 5, 11])
def test_an_unfinished_study_has_a_summary(folder: Any, records: list[Record], count: int) -> None:
    out = folder(sorted(records, key=lambda r: r["seed"])[:count])
    summary = report(out, SETTINGS).read_text(encoding="utf-8")
    assert f"{count} runs of 200 steps" in summary
    assert sum(len(rows) for heading, rows in tables(summary).items() if "labelled" in heading) == min(count, 8)
    assert (out / "dice_by_labels.png").exists() == (count > 0)
    assert ("None yet." in summary) == (count < 3)


def test_one_seed_gives_no_verdict(folder: Any, records: list[Record]) -> None:
    rows = tables(summary_of(folder(of(records, seed=0))))["Difference in Dice from random"]
    assert {row["verdict"] for row in rows} == {"one seed only"}


def test_a_network_without_the_first_start_has_scores_but_no_difference(folder: Any, records: list[Record]) -> None:
    runs = [r for r in records if (r["network"], r["initialisation"]) != ("unet", "random")]
    found = tables(summary_of(folder(runs)))
    assert len(found["2 labelled images"]) == 3
    for heading in ("Difference in Dice from random", "Convergence"):
        assert {row["network"] for row in found[heading]} == {"plain-unet"}


def test_the_summary_holds_what_is_asked_for_and_the_table_all_there_is(folder: Any, records: list[Record]) -> None:
    out = folder(records)
    settings = StudySettings(networks=("unet",), initialisations=("barlow",), budgets=("2",), seeds=2)
    summary = summary_of(out, settings)
    assert "2 runs of 200 steps" in summary and "2 seeds" in summary and "residual" not in summary
    (row,) = tables(summary)["2 labelled images"]
    low, high = sorted(r["dice"] for r in of(records, network="unet", initialisation="barlow", budget="2")[:2])
    assert row["Dice"] == f"{(low + high) / 2:.3f} ({low:.3f} – {high:.3f})"
    with (out / "runs.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(records)


def test_budgets_without_runs_are_named(folder: Any, records: list[Record]) -> None:
    out = folder(records)
    settings = StudySettings(budgets=("2", "all", "50", "10%", "3x5"))
    assert (
        summary_of(out, settings)
        .rstrip()
        .endswith(
            "fewer images: 50 labelled images, 10% of the labelled images, 5 strokes per class on each of 3 images."
        )
    )
    assert "fewer images" not in summary_of(out)


def test_trials_of_rates_are_named_and_not_mixed_with_the_runs(folder: Any, records: list[Record]) -> None:
    trial = record_of("unet", "random", "2", 0, 0.0, tuning=True, rate=0.01, curve=[[10, 0.4321]])
    for key in ("precision", "recall", "dice", "dice_pooled", "mean_iou", "foreground_iou", "collapsed", "images"):
        del trial[key]
    out = folder([*records, trial])
    summary = report(out, SETTINGS).read_text(encoding="utf-8")
    assert "(validation Dice): unet 0.01: 0.432." in summary and f"{len(records)} runs of" in summary
    with (out / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["tuning"] for row in rows] == ["False"] * len(records) + ["True"]
    assert rows[-1]["dice"] == "" and rows[-1]["validation_dice"] == "0.4321" and tuple(rows[0]) == COLUMNS


def test_a_file_is_called_by_its_name_alone(folder: Any) -> None:
    runs = [record_of("unet", start, "2", s, 0.5) for start in ("random", "/a/b/my enc.safetensors") for s in (0, 1)]
    runs.append(record_of("unet", "c/my enc.safetensors+barlow", "2", 0, 0.5))
    starts = ("random", "../my enc.safetensors", "d/my enc.safetensors+barlow")  # the same, seen from elsewhere
    rows = tables(summary_of(folder(runs), StudySettings(initialisations=starts, budgets=("2",))))
    assert [row["start"] for row in rows["2 labelled images"]] == ["random", "my enc", "my enc+barlow"]
    assert [row["start"] for row in rows["Difference in Dice from random"]] == ["my enc", "my enc+barlow"]


def test_pictures_are_drawn_and_linked(folder: Any, records: list[Record]) -> None:
    import imageio.v3 as imageio

    out = folder([*records, record_of("unet", "random", "3x5", 0, 0.5)])
    summary = report(out, SETTINGS).read_text(encoding="utf-8")
    for name in ("dice_by_labels.png", "convergence.png"):
        assert f"![{name}]({name})" in summary
        picture = imageio.imread(out / name)
        assert min(picture.shape[:2]) > 300 and len(np.unique(picture)) > 20


def test_pictures_of_strokes_alone_are_drawn(folder: Any) -> None:
    out = folder([record_of("unet", "random", "3x5", seed, 0.5) for seed in range(2)])
    report(out, StudySettings(budgets=("3x5",)))
    assert (out / "dice_by_labels.png").exists()


def test_what_is_being_written_is_no_run_and_what_is_broken_is_named(folder: Any, records: list[Record]) -> None:
    out = folder(records)
    (out / "runs" / ".000.7.part.json").write_text("{")
    assert f"{len(records)} runs of" in summary_of(out)
    (out / "runs" / "000.json").write_text("{")
    with pytest.raises(BtunetError, match=r"000.json is broken .*; delete it, and what it held is made again"):
        summary_of(out)
