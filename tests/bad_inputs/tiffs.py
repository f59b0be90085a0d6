"""TIFF files: cut off, with tags that lie, with values that are no image, and odd ones that are fine."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from .case import WORKS, Case, Make, picture

READ = ("predict",)
LEARNED = ("pretrain", "predict")  # what is wrong shows only in the pixels
CLAIM = 2_000_000


def raw(content: bytes, name: str = "bad.tif") -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return Path(name)

    return make


def tiff(data: np.ndarray, **options: Any) -> Make:
    def make(folder: Path) -> Path:
        tifffile.imwrite(folder / "bad.tif", data, **{"photometric": "minisblack", **options})
        return Path("bad.tif")

    return make


def tagged(tags: dict[str, Any], data: np.ndarray | None = None, **options: Any) -> Make:
    """Make a file and let tags of its first page say something else."""

    def make(folder: Path) -> Path:
        path = tiff(picture() if data is None else data, **{"metadata": None, **options})(folder)
        with tifffile.TiffFile(folder / path, mode="r+b") as file:
            for name, value in tags.items():
                file.pages[0].tags[name].overwrite(value)
        return path

    return make


def cut(make: Make, share: float) -> Make:
    def shortened(folder: Path) -> Path:
        path = make(folder)
        content = (folder / path).read_bytes()
        (folder / path).write_bytes(content[: int(len(content) * share)])
        return path

    return shortened


def patched(make: Make, at: int, content: bytes) -> Make:
    """Overwrite bytes; negative places count from the end."""

    def changed(folder: Path) -> Path:
        path = make(folder)
        found = bytearray((folder / path).read_bytes())
        at_ = at % len(found)
        found[at_ : at_ + len(content)] = content
        (folder / path).write_bytes(found)
        return path

    return changed


def next_page(target: int) -> Make:
    """Make a file whose only page is followed by one at an offset."""

    def make(folder: Path) -> Path:
        path = tiff(picture(), metadata=None)(folder)
        content = bytearray((folder / path).read_bytes())
        (first,) = struct.unpack_from("<I", content, 4)
        (tags,) = struct.unpack_from("<H", content, first)
        struct.pack_into("<I", content, first + 2 + 12 * tags, target or first)
        (folder / path).write_bytes(content)
        return path

    return make


def holding(value: float) -> np.ndarray:
    data = picture(np.float32)
    data[3, 5] = value
    return data


def ome(xml: str) -> Make:
    return tiff(picture(), description=xml, metadata=None)


HUGE = {"ImageWidth": CLAIM, "ImageLength": CLAIM}
OME = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{}</OME>'
PIXELS = (
    '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="48" SizeY="40" SizeC="1" '
    'SizeZ="{}" SizeT="1" {}><TiffData/></Pixels></Image>'
)
LAUGHS = (
    '<!DOCTYPE OME [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {new} "{f"&{old};" * 20}">' for old, new in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)
BROKEN = "bad.tif cannot be read"

REFUSED = [
    Case("an empty file", ("info", "pretrain", "predict", "finetune", "strokes", "evaluate"), raw(b""), BROKEN),
    Case("the first eight bytes", READ, raw(b"II*\0\x08\0\0\0"), BROKEN),
    Case("text", READ, raw(b"not an image\n" * 99), BROKEN),
    Case("wrong magic", READ, patched(tiff(picture()), 0, b"JJ*\0"), BROKEN),
    Case("a PNG by another name", READ, raw(b"\x89PNG\r\n\x1a\n" + bytes(99)), BROKEN),
    Case("a third of a file", READ, cut(tiff(picture()), 0.3), BROKEN),
    Case("all but the last pixels", READ, cut(tiff(picture()), 0.97), BROKEN),
    Case("half of a compressed file", READ, cut(tiff(picture(), compression="zlib"), 0.5), BROKEN),
    Case("half of many pages", READ, cut(tiff(np.stack([picture()] * 9), metadata=None), 0.5), BROKEN),
    Case("compressed noise", READ, patched(tiff(picture(), compression="zlib"), -900, bytes(range(200))), BROKEN),
    Case("a bomb", READ, tagged(HUGE), "claims|cannot be read"),
    Case("a bomb in strips", READ, tagged(HUGE | {"RowsPerStrip": CLAIM}, compression="zlib"), "claims"),
    Case("a bomb in one strip", READ, tagged(HUGE | {"RowsPerStrip": CLAIM}), "claims|cannot be read"),
    Case("a bomb in tiles", READ, tagged(HUGE, tile=(16, 16), compression="zlib"), "claims"),
    Case(
        "a bomb of one tile",
        READ,
        tagged(HUGE | {"TileWidth": CLAIM, "TileLength": CLAIM}, tile=(16, 16), compression="zlib"),
        "claims",
    ),
    Case(
        "a bomb of 20 000 pixels",
        READ,
        tagged({"ImageWidth": 20_000, "ImageLength": 20_000}, compression="zlib"),
        "claims",
    ),
    Case("a width of 0", READ, tagged({"ImageWidth": 0}), "bad.tif"),
    Case("as many samples as fit", READ, tagged({"SamplesPerPixel": 65_535}), "bad.tif"),
    Case("samples of 4096 bits", READ, tagged({"BitsPerSample": 4096}), "bad.tif"),
    Case("an unknown compression", READ, tagged({"Compression": 65_000}), BROKEN),
    Case("a compression that it has not", READ, tagged({"Compression": 5}), BROKEN),
    Case("pixels beyond the file", READ, tagged({"StripOffsets": [10**9]}), BROKEN),
    Case("strips without bytes", ("pretrain",), tagged({"StripByteCounts": [0]}, compression="zlib"), "same value"),
    Case("strips of 4 GB", READ, tagged({"StripByteCounts": [2**32 - 1]}, compression="zlib"), WORKS, picture()[None]),
    Case("a page that is its own next one", READ, next_page(0), BROKEN),
    Case("a next page beyond the file", READ, next_page(10**9), BROKEN),
    Case(
        "ImageJ claims a billion planes",
        READ,
        tiff(picture(), description="ImageJ=1.53\nimages=1000000000\nslices=1000000000\nloop=false\n", metadata=None),
        BROKEN,
    ),
    Case(
        "a shape that is not its own",
        READ,
        tiff(picture(), description='{"shape": [1000000, 1000000, 1000]}', metadata=None),
    ),
    Case("OME that is not XML", READ, ome(OME.format("<Image")), BROKEN),
    Case("OME without an image", READ, ome(OME.format("")), BROKEN),
    Case("OME of a billion planes", READ, ome(OME.format(PIXELS.format(10**9, ""))), "claims to hold .* it is broken"),
    Case("OME with a size in words", READ, ome(OME.format(PIXELS.format(1, 'PhysicalSizeX="small"'))), BROKEN),
    Case(
        "OME that grows when it is read",
        READ,
        ome(OME.format(PIXELS.format(1, 'PhysicalSizeXUnit="&i;"')).replace("?>", "?>" + LAUGHS)),
        BROKEN,
    ),
    Case("complex numbers", READ, tiff(picture(np.complex64)), "complex64 values; expected real numbers"),
    Case("a value that is not a number", LEARNED, tiff(holding(np.nan)), "1 values that are NaN or infinite"),
    Case("a value that is infinite", LEARNED, tiff(holding(-np.inf)), "1 values that are NaN or infinite"),
    Case("a value that is no float32", LEARNED, tiff(holding(0).astype(np.float64) * 1e300), "beyond"),
    Case(
        "nothing but one value", ("pretrain", "finetune"), tiff(np.full((40, 48), 7, np.uint8)), "same value everywhere"
    ),
    Case(
        "channels and colours",
        READ,
        tiff(np.zeros((2, 20, 20, 3), np.uint8), imagej=True, photometric="rgb", metadata={"axes": "CYXS"}),
        BROKEN,
    ),
    Case(
        "colours for a model of gray",
        ("predict",),
        tiff(np.stack([picture()] * 3, -1), photometric="rgb"),
        "3 channels but the model was trained on 1",
    ),
]


def works(name: str, data: np.ndarray, use: tuple[str, ...] = READ, **options: Any) -> Case:
    truth = data if data.ndim == 3 else data[None]
    return Case(name, use, tiff(data, **options), truth=truth)


FINE = [
    works("black and white", picture() > 100),
    works("64-bit integers", picture(np.int64) * 10**15, ("predict",)),
    works("unsigned 64-bit integers", picture(np.uint64) * np.uint64(10**16), ("predict",)),
    works("negative 16-bit integers", picture(np.int16) - 99, ("predict",)),
    works("32-bit integers, big end first", picture(">u4"), byteorder=">"),
    works("half floats", picture(np.float16), ("predict",)),
    works("doubles, big end first", picture(">f8") / 3, byteorder=">"),
    works("one pixel", np.array([[9]], np.uint8), ("predict",)),
    works("one row", picture(height=4)[:1], ("predict",)),
    works("BigTIFF", picture(), ("predict",), bigtiff=True),
    works("nothing but one value, to be predicted", np.full((40, 48), 7, np.uint8), ("predict",)),
]
CASES = [*REFUSED, *FINE]
