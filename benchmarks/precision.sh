#!/usr/bin/env bash
# Does training in bfloat16 end where float32 does? Both on three real sets, three seeds, from a random start and from
# Barlow Twins. Usage: benchmarks/precision.sh DATA OUT; finished runs are not repeated.
set -euo pipefail
data=$1 out=$2
for set in kdsb18_fluo acdc isic2018; do
    for precision in float32 bfloat16; do
        BTUNET_PRECISION=$precision btunet study --images "$data/$set/images" --masks "$data/$set/masks" \
            --out "$out/$set-$precision" --networks unet --budgets 20 --seeds 3 --steps 100 --pretrain-steps 100 \
            --rates 5e-3
    done
done
python3 - "$out" <<'PYTHON'
import csv, pathlib, statistics, sys

print("| set | start | float32, three seeds | bfloat16, three seeds | medians differ by |\n|---|---|---|---|---|")
for path in sorted(pathlib.Path(sys.argv[1]).glob("*-float32")):
    rows = {}
    for precision in ("float32", "bfloat16"):
        with open(path.with_name(path.name.replace("float32", precision)) / "runs.csv", newline="") as file:
            for row in csv.DictReader(file):
                if row["dice"]:  # not a trial of a learning rate
                    rows.setdefault(row["initialisation"], {}).setdefault(precision, []).append(float(row["dice"]))
    for start, found in rows.items():
        cells = [" ".join(f"{dice:.3f}" for dice in sorted(dices)) for dices in found.values()]
        medians = [statistics.median(dices) for dices in found.values()]
        print(f"| {path.name.removesuffix('-float32')} | {start} | {' | '.join(cells)} | {medians[1] - medians[0]:+.3f} |")
PYTHON
