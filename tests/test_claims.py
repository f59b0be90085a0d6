import os
from pathlib import Path

import numpy as np
import pytest

from btunet import BtunetError, claims
from btunet.claims import check_density, check_file, check_room, free_memory


def test_what_no_compression_makes_of_its_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(bytes(10_000))
    check_density(path, (20_000, 20_000), np.uint8)  # 40 000 bytes of each
    with pytest.raises(BtunetError, match=r"a\.tif claims to hold 20001 × 20000 values of uint8, 0\.4 GB in 10,000"):
        check_density(path, (20_001, 20_000), np.uint8)


def test_a_claim_is_counted_in_numbers_of_any_size(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(bytes(10_000))
    with pytest.raises(BtunetError, match="claims to hold"):
        check_density(path, np.array([2**31, 2**31, 4]), np.uint8)  # type: ignore[arg-type]  # 0 in 64 bits


def test_what_is_more_than_is_free_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "free_memory", lambda: 2.0**30)
    check_room("a.tif", (2**15, 2**15), np.uint8)
    with pytest.raises(BtunetError, match=r"4\.0 GB, but 1\.0 GB of memory are free; save it as zarr"):
        check_room("a.tif", (2**15, 2**15), np.float32)


def test_some_memory_is_free() -> None:
    assert free_memory() > 2**20


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are POSIX")
def test_files_and_folders_may_be_read_and_pipes_not(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "file").touch()
    for name in ("", "file", "none"):
        check_file(tmp_path / name)
    for name in ("pipe", "link"):
        with pytest.raises(ValueError, match=f"{name} is neither a file nor a folder"):
            check_file(tmp_path / name)
