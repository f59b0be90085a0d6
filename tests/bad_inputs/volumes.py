"""NIfTI files."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from .case import Case, Make, picture
from .tiffs import CLAIM, LEARNED, READ, cut, patched, raw

PLANES = np.stack([picture(np.int16)] * 3)  # (Z, Y, X)
NII, GZ = "bad.nii cannot be read", "bad.nii.gz cannot be read"


def nifti(data: np.ndarray = PLANES, suffix: str = ".nii", tail: bytes = b"", **header: Any) -> Make:
    """Make a volume (Z, Y, X) whose header says in some fields what it is told to say."""

    def make(folder: Path) -> Path:
        image = nibabel.Nifti1Image(data.T, np.eye(4), dtype=data.dtype)
        image.header.set_data_dtype(data.dtype)
        content = bytearray(image.to_bytes())
        lying = nibabel.Nifti1Header(bytes(content[:348]), check=False)
        for name, value in header.items():
            lying[name] = value
        content[:348] = lying.binaryblock
        path = Path(f"bad{suffix}")
        (folder / path).write_bytes(gzip.compress(content + tail, 1) if suffix.endswith("gz") else content + tail)
        return path

    return make


def dim(*sizes: int) -> list[int]:
    return [len(sizes), *sizes, *[1] * (7 - len(sizes))]


def big_end() -> Make:
    def make(folder: Path) -> Path:
        header = nibabel.Nifti1Header(endianness=">")
        header.set_data_dtype(np.int16)
        nibabel.Nifti1Image(PLANES.T, np.eye(4), header).to_filename(folder / "bad.nii")
        return Path("bad.nii")

    return make


def nan() -> np.ndarray:
    data = PLANES.astype(np.float32)
    data[0, 3, 3] = np.nan
    return data


SQUARE = dim(CLAIM // 100, CLAIM // 100, 100)  # a side is 16 bits

CASES = [
    Case("an empty NIfTI", READ, raw(b"", "bad.nii"), NII),
    Case("an empty compressed NIfTI", READ, raw(b"", "bad.nii.gz"), GZ),
    Case("text called NIfTI", READ, raw(b"not an image\n" * 99, "bad.nii"), NII),
    Case("text called compressed NIfTI", READ, raw(b"not an image\n" * 99, "bad.nii.gz"), GZ),
    Case("a NIfTI without its magic", READ, nifti(magic=b"abc"), NII),
    Case("half of a NIfTI", READ, cut(nifti(), 0.5), NII),
    Case("half of a compressed NIfTI", READ, cut(nifti(suffix=".nii.gz"), 0.5), GZ),
    Case("a wrong byte in a compressed NIfTI", READ, patched(nifti(suffix=".nii.gz"), -400, b"!"), GZ),
    Case("a NIfTI bomb", READ, nifti(dim=SQUARE), NII),
    Case("a compressed NIfTI bomb", READ, nifti(suffix=".nii.gz", dim=SQUARE), "claims"),
    Case(
        "a NIfTI of 32 767 pixels in five axes",
        READ,
        nifti(suffix=".nii.gz", dim=dim(*[32_767] * 5)),
        "claims|cannot be read",
    ),
    Case("much behind the voxels of a NIfTI", READ, nifti(suffix=".nii.gz", tail=bytes(10**8)), "bad.nii.gz"),
    Case("a negative size", READ, nifti(dim=dim(48, -40, 3)), NII),
    Case("a size of 0", READ, nifti(dim=dim(48, 0, 3)), "bad.nii"),
    Case("nine axes", READ, nifti(dim=[9, 48, 40, 3, 1, 1, 1, 1]), NII),
    Case("no axes", READ, nifti(dim=[0, 48, 40, 3, 1, 1, 1, 1]), "bad.nii"),
    Case("an unknown type of voxels", READ, nifti(datatype=77), NII),
    Case("bits that do not fit the type", READ, nifti(datatype=64, bitpix=8), NII),
    Case("voxels behind the end", READ, nifti(vox_offset=1e9), NII),
    Case("voxels before the beginning", READ, nifti(vox_offset=-5000), NII),
    Case("voxels nowhere", READ, nifti(vox_offset=np.nan), NII),
    Case("voxels nowhere in a compressed NIfTI", READ, nifti(suffix=".nii.gz", vox_offset=np.inf), GZ),
    Case("an infinite slope, which means none", ("predict",), nifti(scl_slope=np.inf), truth=PLANES[:1]),
    Case(
        "a slope that no float32 holds",
        LEARNED,
        nifti(PLANES.astype(np.float32), scl_slope=3e38, scl_inter=1),
        "bad.nii",
    ),
    Case("voxels that are not numbers", LEARNED, nifti(nan()), "NaN or infinite in plane 0"),
    Case("complex voxels", READ, nifti(PLANES.astype(np.complex64)), "expected real numbers"),
    Case(
        "an extension longer than the file",
        ("predict",),
        patched(nifti(tail=bytes(64)), 348, b"\1\0\0\0" + (2**31 - 16).to_bytes(4, "little")),
    ),
    Case("a NIfTI with the big end first", ("info", "pretrain", "predict"), big_end(), truth=PLANES[:1]),
    Case("a NIfTI of doubles", ("predict",), nifti(PLANES / 3, ".nii.gz"), truth=PLANES[:1] / 3),
    Case("a NIfTI of 64-bit integers", ("predict",), nifti(PLANES.astype(np.int64)), truth=PLANES[:1]),
]
