"""Files of pictures as cameras, scanners and drawing programs write them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
HEIGHT, WIDTH = 24, 40
_DOWN, _ACROSS = np.mgrid[0:HEIGHT, 0:WIDTH]
RGB = np.stack([_ACROSS * 6, _DOWN * 10, (_ACROSS + _DOWN) * 4], -1).astype(np.uint8)
GREY = RGB[..., 0]
TURNS = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
"""What EXIF's orientation does to (height, width, ...), by its definition in CIPA DC-008."""
TURNING = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")


def saved(picture: Image.Image, kind: str, **how: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **how)
    return stream.getvalue()


def turned(kind: str, orientation: int) -> bytes:
    """The RGB picture, said to have been taken with the camera held so."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    how: dict[str, Any] = {"WEBP": {"lossless": True}, "TIFF": {}, "PNG": {}}.get(kind, {"quality": 95})
    return saved(Image.fromarray(RGB), kind, exif=exif, **how)


def chunk(name: bytes, content: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of(pixels: np.ndarray, bits: int, colour: int) -> bytes:
    """A PNG of a kind that Pillow reads and does not write; colour: 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA."""
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], bits, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2" if bits == 16 else ">u1").tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def readable() -> dict[str, bytes]:
    """By name: one of every kind that is taken."""
    rgb, grey = Image.fromarray(RGB), Image.fromarray(GREY)
    noise = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, 4))
    some, alpha = (_ACROSS * 6).astype(np.uint8), (_DOWN * 10).astype(np.uint8)
    files = {f"{kind}_{value}": turned(kind, value) for kind in TURNING for value in range(1, 9)}
    files["xmp.jpg"] = saved(rgb, "JPEG", quality=95, xmp=b'<x tiff:Orientation="6"/>')
    plain = saved(rgb, "PNG")
    for at, (kind, count) in enumerate(((3, 1), (4, 1), (8, 1), (1, 1), (12, 1), (3, 0), (3, 2), (3, 3))):
        files[f"late_exif_{at}.png"] = plain[:-12] + chunk(b"eXIf", exif_block(6, kind, count)) + plain[-12:]
    files["broken_exif.jpg"] = saved(rgb, "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    files["cut_exif.jpg"] = saved(rgb, "JPEG", quality=95, exif=b"Exif\0\0" + exif_block(6)[:12])
    files["orientation_9.jpg"] = turned("JPEG", 9)
    files["progressive.jfif"] = saved(rgb, "JPEG", quality=80, progressive=True)
    files["several.mpo"] = saved(rgb, "MPO", save_all=True, append_images=[grey.convert("RGB")], quality=90)
    files["grey.jpe"] = saved(grey, "JPEG", quality=90)
    files["lossy.webp"] = saved(rgb, "WEBP", quality=90)
    files["moving.apng"] = saved(rgb, "PNG", save_all=True, append_images=[Image.fromarray(255 - RGB)])
    files["moving.gif"] = saved(rgb, "GIF", save_all=True, append_images=[Image.fromarray(255 - RGB)])
    files |= {f"rgb.{kind.lower()}": saved(rgb, kind) for kind in ("BMP", "DIB", "PPM", "TIFF")}
    files |= {f"grey.{kind.lower()}": saved(grey, kind) for kind in ("PNG", "BMP", "TIFF")}
    files["grey.pgm"] = saved(grey, "PPM")
    files |= {"one_bit.png": saved(grey.convert("1"), "PNG"), "one_bit.pbm": saved(grey.convert("1"), "PPM")}
    files["palette.png"] = saved(rgb.quantize(16), "PNG")
    files["palette_seen_through.png"] = saved(rgb.quantize(16), "PNG", transparency=bytes([0, 255, 128] + [255] * 13))
    files["seen_through.gif"] = saved(rgb.quantize(16), "GIF", transparency=3)
    files["grey_alpha.png"] = saved(Image.fromarray(np.dstack([GREY, alpha])), "PNG")
    files["rgb_alpha.png"] = saved(Image.fromarray(np.dstack([RGB, some])), "PNG")
    files["rgb_alpha.webp"] = saved(Image.fromarray(np.dstack([RGB, some])), "WEBP", lossless=True, exact=True)
    files["rgb_16.png"], files["rgb_alpha_16.png"] = png_of(noise[..., :3], 16, 2), png_of(noise, 16, 6)
    files["grey_alpha_16.png"] = png_of(noise[..., :2], 16, 4)
    files["cmyk.jpg"] = saved(rgb.convert("CMYK"), "JPEG", quality=95)
    files["cmyk.tiff"] = saved(rgb.convert("CMYK"), "TIFF")
    return files


def exif_block(orientation: int, kind: int = 3, count: int = 1) -> bytes:
    """The smallest one, big-endian, without JPEG's prefix. kind: 1 byte, 3 short, 4 long, 8 signed, 12 double."""
    value = struct.pack({1: ">Bxxx", 4: ">I"}.get(kind, ">Hxx"), orientation)
    entry = struct.pack(">HHI", ORIENTATION, kind, count) + value
    return b"MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)


def refused() -> dict[str, tuple[bytes, str]]:
    """By name: what is no picture, or one that 8 bits would make another of; and what is said."""
    rgb = Image.fromarray(RGB)
    fine = GREY.astype(np.uint16) * 257
    none, more = "not a readable picture", "hold more than 8 bits"
    return {
        "empty.jpg": (b"", none),
        "words.png": (b"hello", none),
        "cut.jpg": (saved(rgb, "JPEG", quality=95)[:-300], none),
        "drawing.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", none),
        "icon.ico": (saved(rgb, "ICO", sizes=[(16, 16)]), none),
        "vector.svg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', none),
        "grey_16.png": (saved(Image.fromarray(fine), "PNG"), more),
        "grey_16.tiff": (saved(Image.fromarray(fine), "TIFF"), more),
        "grey_16_big_endian.tiff": (big_endian_tiff(fine), more),
        "grey_16.pgm": (saved(Image.fromarray(fine), "PPM"), more),
        "whole.tiff": (saved(Image.fromarray(fine.astype(np.int32)), "TIFF"), more),
        "float.tiff": (saved(Image.fromarray(fine.astype(np.float32)), "TIFF"), more),
        "huge.png": (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", b""),
            "pixels: more than",
        ),
    }


def big_endian_tiff(pixels: np.ndarray) -> bytes:
    """16-bit grey, uncompressed."""
    height, width = pixels.shape
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 2 * pixels.size}
    content = pixels.astype(">u2").tobytes()
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags.items())
    return (
        b"MM\0*" + struct.pack(">I", 8 + len(content)) + content + struct.pack(">H", len(tags)) + entries + b"\0\0\0\0"
    )
