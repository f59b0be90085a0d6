#!/usr/bin/env bash
# The loop of the README on three real sets: pre-train on all training images, fine-tune on ten dense masks, predict
# the test images, evaluate. Usage: benchmarks/loop.sh DATA OUT [MINUTES]; finished parts are not repeated.
set -euo pipefail
data=$1 out=$2 minutes=${3:-2}
mkdir -p "$out"

names() { # SET PART [COUNT]
    python3 - "$data/$1/split.json" "$2" "${3:-1000000}" <<'EOF'
import json, sys
print(*json.load(open(sys.argv[1]))[sys.argv[2]][: int(sys.argv[3])], sep="\n")
EOF
}

folder_set() { # a set of single images with a split
    local set=$1 work=$out/$1
    [ -e "$work.json" ] && return
    mkdir -p "$work/train" "$work/labels" "$work/test"
    names "$set" train | while read -r name; do ln -sf "$(realpath "$data/$set/images/$name")" "$work/train/"; done
    names "$set" train 10 | while read -r name; do ln -sf "$(realpath "$data/$set/masks/$name")" "$work/labels/"; done
    names "$set" test | while read -r name; do ln -sf "$(realpath "$data/$set/images/$name")" "$work/test/"; done
    btunet pretrain "$data/$set/images" --minutes "$minutes" --out "$work/encoder.safetensors"
    btunet finetune --images "$work/train" --labels "$work/labels" --dense --start-from "$work/encoder.safetensors" \
        --minutes "$minutes" --out "$work/model.safetensors"
    btunet predict "$work/model.safetensors" "$work/test" --out "$work/masks" >"$work/masks.txt"
    btunet evaluate "$work/masks" "$data/$set/masks" --json "$work.json" | tee "$work.txt"
}

stack_set() { # one stack: ten training planes have masks, the last twelve planes are the test
    local set=$1 work=$out/$1
    [ -e "$work.json" ] && return
    mkdir -p "$work"
    python3 - "$data/$set" "$work" <<'EOF'
import sys
from pathlib import Path

import numpy as np
import tifffile

source, work = map(Path, sys.argv[1:])
labels = tifffile.imread(source / "labels.tif")
known = np.full_like(labels, 255)
known[:18:2] = labels[:18:2]
known[17] = labels[17]
tifffile.imwrite(work / "known.tif", known)
truth = np.full_like(labels, 255)
truth[18:] = labels[18:]
tifffile.imwrite(work / "truth.tif", truth)
EOF
    btunet pretrain "$data/$set/stack.tif" "$data/$set/stack_unlabeled.tif" --minutes "$minutes" \
        --out "$work/encoder.safetensors"
    btunet finetune --images "$data/$set/stack.tif" --labels "$work/known.tif" --dense \
        --start-from "$work/encoder.safetensors" --minutes "$minutes" --out "$work/model.safetensors"
    btunet predict "$work/model.safetensors" "$data/$set/stack.tif" --out "$work/masks" >"$work/masks.txt"
    btunet evaluate "$work/masks/stack.tif" "$work/truth.tif" --json "$work.json" | tee "$work.txt"
}

folder_set kdsb18_fluo
stack_set isbi2012_em
folder_set kdsb18_he
