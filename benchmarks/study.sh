#!/usr/bin/env bash
# The papers' comparison on four real sets: random start against Barlow Twins, two networks, 2, 5, 20 and all labelled
# images, three seeds. Usage: benchmarks/study.sh DATA OUT; go on after a stop by calling it again. The networks of one
# set may be run side by side: NETWORKS=unet in one call and NETWORKS=attention-unet in another, on the same OUT.
set -euo pipefail
data=$1 out=$2
for seeds in 1 2 3; do
    for set in kdsb18_fluo acdc busi isic2018; do
        # shellcheck disable=SC2086
        btunet study --images "$data/$set/images" --masks "$data/$set/masks" --out "$out/$set" \
            --networks ${NETWORKS:-unet attention-unet} --budgets 2 5 20 all --seeds "$seeds" \
            --steps 100 --pretrain-steps 300 --rates 2e-3 5e-3 1e-2
    done
done
