import errno
from pathlib import Path

import pytest

from btunet import BtunetError
from btunet.replace import replacing


def test_the_file_is_there_when_the_block_ends_and_nothing_else(tmp_path: Path) -> None:
    with replacing(tmp_path / "new" / "a.txt") as part:
        assert part.parent == tmp_path / "new" and part.suffix == ".txt" and part.name.startswith(".")
        part.write_text("whole")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.txt"]
    assert (tmp_path / "new" / "a.txt").read_text() == "whole"


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "old").write_text("old")
    with replacing(tmp_path / "a.zarr") as part:
        part.mkdir()
        (part / "new").write_text("new")
    assert [p.name for p in (tmp_path / "a.zarr").iterdir()] == ["new"]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_no_part(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(type(error)), replacing(tmp_path / "a.txt") as part:
        part.write_text("ha")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_an_error_of_the_system_is_one_sentence(tmp_path: Path) -> None:
    message = r"a\.txt cannot be written: No space left on device; free some space or choose another folder$"
    with pytest.raises(BtunetError, match=message), replacing(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BtunetError, match=r"a\.txt cannot be written"), replacing(tmp_path / "a.txt"):
        pass
