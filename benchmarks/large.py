"""Predict an image larger than memory: time and peak memory of `btunet predict` on a zarr made on the spot.

    python benchmarks/large.py FOLDER [--gb 20] [--memory 512] [--tile 512] [--network unet] [--jobs 1]

Makes FOLDER/image-GB.zarr (4 channels of float32 in chunks of 512, smooth shapes under noise, so that they compress
somewhat), a model with random weights, and predicts it in a process whose memory (resident, with all its children) is
looked at ten times a second. Interrupted with Ctrl-C, or killed, the same command goes on; times add up.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import zarr

import btunet

CHANNELS, CHUNK = 4, 512


def make_image(path: Path, gigabytes: float) -> int:
    """Write the image, or what is missing of it; return its side."""
    side = math.isqrt(int(gigabytes * 1e9 / (CHANNELS * 4)))
    array = zarr.open_array(
        path, mode="a", shape=(CHANNELS, side, side), dtype="f4", chunks=(1, CHUNK, CHUNK), dimension_names="cyx"
    )
    x = np.arange(side, dtype=np.float32)
    for top in range(array.attrs.get("rows", 0), side, CHUNK):
        rng, rows = np.random.default_rng(top), slice(top, min(side, top + CHUNK))
        y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
        shapes = np.sin(y / 23) * np.sin(x / 31) + np.sin((x + y) / 210)
        for channel in range(CHANNELS):
            noise = rng.integers(-8, 8, shapes.shape, dtype=np.int8)
            array[channel, rows] = np.round(shapes * 50 * (channel + 1)) + noise + 500
        array.attrs["rows"] = rows.stop
    return side


def make_model(path: Path, name: str) -> None:
    network = btunet.Model(name, CHANNELS, (), {}).build(2).state_dict()
    btunet.Model(name, CHANNELS, ("background", "shape"), {}).trained("finetune", network, steps=0).save(path)


def watch(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process and return the most memory it and its children held, bytes."""
    most, root = 0, psutil.Process(process.pid)
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess, KeyboardInterrupt):  # it gets the signal too, and keeps what is done
            most = max(most, sum(p.memory_info().rss for p in (root, *root.children(recursive=True))))
            time.sleep(0.1)
    return most


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gb", type=float, default=20)
    parser.add_argument("--network", default="unet")
    for flag, default in (("--memory", 512), ("--tile", 512), ("--jobs", 1)):
        parser.add_argument(flag, type=int, default=default)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    image, model = args.folder / f"image-{args.gb:g}.zarr", args.folder / f"{args.network}.safetensors"
    begun = time.monotonic()
    side = make_image(image, args.gb)
    stored = sum(f.stat().st_size for f in image.rglob("*") if f.is_file()) / 1e9
    made = f"{CHANNELS} × {side} × {side} float32, {args.gb:g} GB ({stored:.2f} GB compressed)"
    print(f"{made}, made in {time.monotonic() - begun:.0f} s", flush=True)
    if not model.exists():
        make_model(model, args.network)
    record = args.folder / f"run-{args.gb:g}-{args.network}-{args.memory}-{args.tile}-{args.jobs}.json"
    before = json.loads(record.read_text()) if record.exists() else {"seconds": 0.0, "peak": 0}
    flags = [f"--{name}={getattr(args, name)}" for name in ("memory", "tile", "jobs")]
    command = [sys.executable, "-m", "btunet", "predict", str(model), str(image), "--out", str(args.folder / "masks")]
    begun = time.monotonic()
    with subprocess.Popen([*command, "--format", "zarr", *flags]) as process:
        peak = watch(process)
        status = process.wait()
    seconds, peak = before["seconds"] + time.monotonic() - begun, max(before["peak"], peak)
    if status:
        record.write_text(json.dumps({"seconds": seconds, "peak": peak}))
        sys.exit(f"not finished after {seconds:.0f} s; the same command goes on")
    record.unlink(missing_ok=True)
    rate, threads = side**2 / 1e6 / seconds, os.environ.get("OMP_NUM_THREADS", "all")
    print(
        f"{args.gb:g} GB, {side**2 / 1e6:.0f} megapixels, {args.network}, tile {args.tile}, memory {args.memory} MB, "
        f"{args.jobs} jobs, threads {threads}: {seconds:.0f} s, {rate:.2f} MP/s, peak memory {peak / 1e9:.2f} GB"
    )


if __name__ == "__main__":
    main()
