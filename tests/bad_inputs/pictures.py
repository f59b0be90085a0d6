"""PNG and JPEG files."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .case import Case, Make, picture
from .tiffs import READ, cut, patched, raw

MAGIC = b"\x89PNG\r\n\x1a\n"
COLOUR = ("predict colour",)


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png(
    width: int, height: int, pixels: bytes | None = b"", depth: int = 8, colours: int = 0, extra: bytes = b""
) -> Make:
    """Make a PNG that says what it is told to say."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))
    body = b"" if pixels is None else chunk(b"IDAT", zlib.compress(pixels, 9))
    return raw(MAGIC + header + extra + body + chunk(b"IEND"), "bad.png")


def saved(data: np.ndarray | Image.Image, suffix: str = ".png", **options: Any) -> Make:
    def make(folder: Path) -> Path:
        image = data if isinstance(data, Image.Image) else Image.fromarray(data)
        image.save(folder / f"bad{suffix}", **options)
        return Path(f"bad{suffix}")

    return make


def encoded(kind: str) -> bytes:
    stream = BytesIO()
    Image.fromarray(picture()).save(stream, kind)
    return stream.getvalue()


def palette() -> Image.Image:
    image = Image.fromarray((picture() > 100).astype(np.uint8))
    image.putpalette([10, 20, 30, 200, 100, 50])
    return image


def blown(size: int) -> Make:
    """Make a small file that really holds so many pixels."""

    def make(folder: Path) -> Path:
        compress = zlib.compressobj(9)
        rows = b"".join(compress.compress(bytes(size + 1)) for _ in range(size)) + compress.flush()
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0))
        (folder / "bad.png").write_bytes(MAGIC + header + chunk(b"IDAT", rows) + chunk(b"IEND"))
        return Path("bad.png")

    return make


GRAY = picture()
RGB = np.stack([GRAY, GRAY[::-1], GRAY // 2], -1)
BROKEN, JPEG = "bad.png cannot be read", "bad.jpg cannot be read"

CASES = [
    Case("an empty PNG", READ, raw(b"", "bad.png"), BROKEN),
    Case("a PNG's magic alone", READ, raw(MAGIC, "bad.png"), BROKEN),
    Case("text called PNG", READ, raw(b"not an image\n" * 99, "bad.png"), BROKEN),
    Case("a wrong magic", READ, patched(saved(GRAY), 1, b"SNG"), BROKEN),
    Case("half of a PNG", READ, cut(saved(GRAY), 0.5), BROKEN),
    Case("a PNG with a wrong byte", READ, patched(saved(GRAY), -600, b"!!!!"), BROKEN),
    Case("a PNG without pixels", READ, png(40, 40, None), BROKEN),
    Case("a PNG with too few pixels", READ, png(40, 40, bytes(200)), BROKEN),
    Case("a PNG bomb of 2 million pixels", READ, png(2_000_000, 2_000_000, bytes(200)), BROKEN),
    Case("a PNG that claims what is not in it", READ, png(13_000, 13_000, bytes(200), colours=2), "claims"),
    Case("a PNG that holds 60 million pixels and is 60 kB", ("pretrain",), blown(8000), "same value|claims"),
    Case("a PNG of width 0", READ, png(0, 40), BROKEN),
    Case("a PNG of 3 bits", READ, png(40, 40, bytes(999), depth=3), BROKEN),
    Case("a PNG of unknown colours", READ, png(40, 40, bytes(999), colours=7), BROKEN),
    Case(
        "a text in a PNG that grows when it is read",
        READ,
        png(40, 40, bytes(1640), extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))),
        BROKEN,
    ),
    Case(
        "a program for printers called PNG",
        READ,
        raw(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n%%EOF\n", "bad.png"),
        BROKEN,
    ),
    Case("a GIF called PNG", READ, raw(encoded("GIF"), "bad.png"), BROKEN),
    Case(
        "an animated PNG",
        READ,
        saved(Image.fromarray(GRAY), save_all=True, append_images=[Image.fromarray(GRAY[::-1].copy())]),
        BROKEN,
    ),
    Case("half of a JPEG", READ, cut(saved(GRAY, ".jpg"), 0.5), JPEG),
    Case(
        "a JPEG that claims 65 500 pixels",
        READ,
        patched(saved(GRAY, ".jpg"), encoded("JPEG").index(b"\xff\xc0") + 5, b"\xff\xdc\xff\xdc"),
        JPEG,
    ),
    Case("a palette", COLOUR, saved(palette()), truth=np.moveaxis(np.asarray(palette().convert("RGB")), -1, 0)),
    Case("black and white as one bit", ("predict",), saved(Image.fromarray(GRAY > 100)), truth=(GRAY > 100)[None]),
    Case(
        "16 bits",
        ("info", "pretrain", "predict"),
        saved(GRAY.astype(np.uint16) * 99),
        truth=GRAY[None].astype(int) * 99,
    ),
    Case("a transparent colour picture", COLOUR, saved(np.dstack([RGB, GRAY])), truth=np.moveaxis(RGB, -1, 0)),
    Case(
        "a transparent gray picture",
        ("predict",),
        saved(Image.merge("LA", [Image.fromarray(GRAY)] * 2)),
        truth=GRAY[None],
    ),
    Case("a PNG of one pixel", ("predict",), saved(GRAY[:1, :1]), truth=GRAY[None, :1, :1]),
    Case("a JPEG for printers", COLOUR, saved(Image.fromarray(RGB).convert("CMYK"), ".jpg", quality=99)),
]
