"""Print the tables of docs/study.md: ``python benchmarks/study_table.py OUT``, where study.sh wrote to OUT."""

import sys
from pathlib import Path
from statistics import median

from btunet.studies.report import Record, difference, read_record, verdict

SETS, BUDGETS = ("kdsb18_fluo", "acdc", "busi", "isic2018"), ("2", "5", "20", "all")


def middle(runs: list[Record]) -> str:
    """Return the median over the seeds, smallest and largest Dice."""
    dice = [run["dice"] for run in runs]
    return f"{median(dice):.3f} ({min(dice):.3f} to {max(dice):.3f})"


def main(out: Path) -> None:
    """Print one table per network."""
    runs = {name: [read_record(file) for file in sorted((out / name / "runs").glob("*.json"))] for name in SETS}
    kept = {name: [run for run in found if not run["tuning"]] for name, found in runs.items()}
    for network in sorted({run["network"] for found in kept.values() for run in found}):
        some = [run for found in runs.values() for run in found if run["network"] == network]
        collapsed = sum(run["collapsed"] for run in some if not run["tuning"])
        print(f"\n`{network}`: {len(some)} runs, {collapsed} collapsed.\n")
        print(
            "| set | labels | random | Barlow Twins | difference (95 % interval) | verdict |\n|---|---|---|---|---|---|"
        )
        for name in SETS:
            for budget in BUDGETS:
                arms = [
                    [
                        r
                        for r in kept[name]
                        if (r["network"], r["budget"], r["initialisation"]) == (network, budget, start)
                    ]
                    for start in ("random", "barlow")
                ]
                if all(arms) and (found := difference(arms[1], arms[0])):
                    seeds = len({r["seed"] for r in arms[1]} & {r["seed"] for r in arms[0]})
                    mean, low, high = found
                    words = f"{mean:+.3f} ({low:+.3f} to {high:+.3f}) | {verdict(low, high, seeds)}"
                    print(f"| {name} | {budget} | {middle(arms[0])} | {middle(arms[1])} | {words} |")


main(Path(sys.argv[1]))
