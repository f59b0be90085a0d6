#!/usr/bin/env bash
# Every network from the command line on one real set: pre-train, fine-tune on ten dense masks, predict the test images,
# evaluate. Usage: benchmarks/networks.sh DATA OUT [STEPS]; finished networks are not repeated.
set -euo pipefail
data=$1/kdsb18_fluo out=$2 steps=${3:-60}
mkdir -p "$out/labels" "$out/test"
names() {
    python3 -c 'import json, sys; _, file, side, most = sys.argv; print(*json.load(open(file))[side][:int(most)], sep="\n")' \
        "$data/split.json" "$@"
}
names train 10 | while read -r name; do ln -sf "$(realpath "$data/masks/$name")" "$out/labels/"; done
names test 20 | while read -r name; do ln -sf "$(realpath "$data/images/$name")" "$out/test/"; done
for network in ${NETWORKS:-unet plain-unet attention-unet inception-unet rca-iunet}; do
    work=$out/$network
    [ -e "$work.json" ] && continue
    btunet pretrain "$data/images" --network "$network" --steps $((steps / 2)) --out "$work-encoder.safetensors"
    btunet finetune --images "$data/images" --labels "$out/labels" --dense --start-from "$work-encoder.safetensors" \
        --steps "$steps" --out "$work.safetensors"
    btunet predict "$work.safetensors" "$out/test" --out "$work-masks" >/dev/null
    btunet evaluate "$work-masks" "$data/masks" --json "$work.json"
done
