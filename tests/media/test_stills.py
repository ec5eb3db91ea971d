"""Stills of every depth keep their white, and what is transparent is what the file says."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import torch
from ffmpeg_oracle import ffmpeg
from PIL import Image, ImageOps

from sora_core.errors import SoraError
from sora_core.media import stills
from sora_core.media.stills import read_picture, read_pictures, read_still

RAMP = np.tile(np.linspace(0, 1, 64), (16, 1))  # black to white


def tiff(path, values: np.ndarray, form: int):
    """A TIFF of `[H,W]` or `[H,W,3]`, whatever the numbers; form: 1 unsigned, 2 signed, 3 float."""
    colours = values.shape[2] if values.ndim == 3 else 1
    data, bits = values.astype(values.dtype.newbyteorder("<")).tobytes(), values.dtype.itemsize * 8
    # Three of a kind do not fit into an entry: they stand behind the pixels.
    ends = [8 + len(data), 8 + len(data) + 2 * colours]
    many = colours > 1
    entries = [
        (256, 4, 1, values.shape[1]),
        (257, 4, 1, values.shape[0]),
        (258, 3, colours, ends[0] if many else bits),
        (259, 3, 1, 1),
        (262, 3, 1, 2 if many else 1),
        (273, 4, 1, 8),
        (277, 3, 1, colours),
        (278, 4, 1, values.shape[0]),
        (279, 4, 1, len(data)),
        (339, 3, colours, ends[1] if many else form),
    ]
    extra = struct.pack("<3H", bits, bits, bits) + struct.pack("<3H", form, form, form) if many else b""
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries) + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data) + len(extra)) + data + extra + table)
    return path


DEEP = {
    "floats to 1": (RAMP.astype(np.float32), 3),
    "floats to 255": ((RAMP * 255).astype(np.float32), 3),
    "floats to 65535": ((RAMP * 65535).astype(np.float32), 3),
    "colours as floats": (np.repeat(RAMP[..., None], 3, 2).astype(np.float32), 3),
    "16 bits": ((RAMP * 65535).round().astype(np.uint16), 1),
    "32 bits to 65535": ((RAMP * 65535).round().astype(np.int32), 2),
    "32 bits, signed": ((RAMP * (2**31 - 1)).astype(np.int32), 2),
    "32 bits": ((RAMP * (2**32 - 1)).astype(np.uint32), 1),
}


@pytest.mark.parametrize("case", DEEP)
def test_deep_tiffs_keep_their_white(tmp_path, case):
    frames = read_still(tiff(tmp_path / "a.tif", *DEEP[case]))
    assert frames.shape == (1, 16, 64, 3)
    assert np.abs(frames[0].numpy() - RAMP[..., None]).max() < 0.005


def test_floats_above_white_are_highlights(tmp_path):
    bright = RAMP.astype(np.float32) * 4
    frames = read_still(tiff(tmp_path / "a.tif", bright, 3))
    assert np.abs(frames[0, ..., 0].numpy() - bright.clip(0, 1)).max() < 1e-6


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "NaN"), (np.inf, "NaN or infinite"), (1e7, "white at 1, 255 or 65535")]
)
def test_floats_without_a_white_are_refused(tmp_path, value, words):
    values = RAMP.astype(np.float32)
    values[0, 0] = value
    with pytest.raises(SoraError, match=words):
        read_still(tiff(tmp_path / "a.tif", values, 3))


def png(path, values: np.ndarray, depth: int, colour: int, key: bytes, orientation: int = 1):
    """A PNG of raw rows with a transparent colour."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    size = (values.shape[1] * 8 // depth if depth < 8 else values.shape[1], values.shape[0])
    data = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), (b"tRNS", key), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if orientation != 1:
        parts.insert(1, (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    for kind, body in parts:
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(data)
    return path


def columns(*values: int) -> np.ndarray:
    return np.repeat(np.array(values), 8)[None].repeat(8, 0)


def packed(values: np.ndarray, depth: int) -> np.ndarray:
    bits = np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., 8 - depth :]
    return np.packbits(bits.reshape(len(values), -1), axis=1)


GREY16 = columns(0, 0x8000, 0x8001, 0xFFFF)
COLOUR16 = np.stack([GREY16, GREY16, columns(0, 5, 5, 0xFFFF)], -1)
GREYS = columns(0, 1, 2, 3)
KEYED = {  # what is written, and the colour that is transparent; in all of them the second of four
    "16-bit grey": (GREY16.astype(">u2"), 16, 0, struct.pack(">H", 0x8000)),
    "16-bit colour": (COLOUR16.astype(">u2"), 16, 2, struct.pack(">3H", 0x8000, 0x8000, 5)),
    "8-bit grey": ((GREYS * 85).astype(np.uint8), 8, 0, struct.pack(">H", 85)),
    "8-bit colour": (np.stack([(GREYS * 85).astype(np.uint8)] * 3, -1), 8, 2, struct.pack(">3H", 85, 85, 85)),
    "4-bit grey": (packed(GREYS * 5, 4), 4, 0, struct.pack(">H", 5)),
    "2-bit grey": (packed(GREYS, 2), 2, 0, struct.pack(">H", 1)),
}


@pytest.mark.parametrize("case", KEYED)
def test_the_transparent_colour_of_a_png(tmp_path, case):
    frames, has_alpha = read_picture(png(tmp_path / "a.png", *KEYED[case]))
    assert has_alpha and frames.shape == (1, 8, 32, 4)
    assert frames[0, 4, 4::8, 3].tolist() == [1, 0, 1, 1]
    assert float(frames[0, 4, 4, 0]) == 0 and float(frames[0, 4, 28, 0]) == 1
    assert (read_still(tmp_path / "a.png")[0, :, 8:16] == 1).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("case", ["16-bit colour", "8-bit colour"])
def test_a_png_with_a_transparent_colour_is_turned_upright(tmp_path, case, orientation):
    values, *rest = KEYED[case]
    marked = values.copy()
    marked[0] = 0  # its upper edge is black
    path = png(tmp_path / "a.png", marked, *rest, orientation)
    with Image.open(path) as opened:
        known = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"), np.float32) / 255
    frames, has_alpha = read_picture(path)
    assert has_alpha and frames.shape[1:3] == known.shape[:2]
    assert np.abs(np.asarray(frames[0, ..., :3]) - known).max() <= 1 / 255


@pytest.mark.parametrize("colour", [0, 1])
def test_the_transparent_colour_of_one_bit(tmp_path, colour):
    path = png(tmp_path / "a.png", packed(columns(0, 1, 0, 1), 1), 1, 0, struct.pack(">H", colour))
    alpha = read_picture(path)[0][0, 4, 4::8, 3].tolist()
    assert alpha == ([1, 0, 1, 0] if colour else [0, 1, 0, 1])


def test_cmyk_palettes_and_grey_with_transparency(tmp_path):
    picture = Image.new("RGB", (32, 32), (200, 40, 40))
    picture.convert("CMYK").save(tmp_path / "a.jpg")
    picture.convert("CMYK").save(tmp_path / "a.tif")
    for name in ("a.jpg", "a.tif"):
        assert (read_still(tmp_path / name)[0, 8, 8] * 255 - torch.tensor([200, 40, 40])).abs().max() <= 3
    Image.new("LA", (32, 32), (90, 0)).save(tmp_path / "la.png")
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([0, 0, 0, 200, 40, 40])
    palette.save(tmp_path / "p.png", transparency=bytes([255, 0]))
    for name in ("la.png", "p.png"):
        assert (read_still(tmp_path / name) == 1).all()


def moving(count: int = 5) -> list[Image.Image]:
    """Frames with a red square that moves over nothing."""
    frames = []
    for i in range(count):
        frame = Image.new("RGBA", (32, 24), (0, 0, 0, 0))
        frame.paste((255, 0, 0, 255), (4 * i, 8, 4 * i + 8, 16))
        frames.append(frame)
    return frames


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_all_frames_of_a_picture_that_moves(tmp_path, name):
    first, *rest = moving()
    # Whole frames: one that holds the square alone would not say that there is nothing around it.
    options = {"lossless": True, "kmin": 0, "kmax": 1} if name.endswith("webp") else {"disposal": 2}
    first.save(tmp_path / name, save_all=True, append_images=rest, duration=100, loop=0, **options)
    frames, has_alpha = read_pictures(tmp_path / name)
    assert frames.shape == (5, 24, 32, 4) and has_alpha
    for i, frame in enumerate(frames):
        assert frame[12, 4 * i + 4].tolist() == [1, 0, 0, 1] and frame[2, 2, 3] == 0
    assert torch.equal(read_still(tmp_path / name), stills.flatten_alpha(frames[:1]))


def test_the_picture_of_a_png_for_those_that_cannot_show_it_is_no_frame(tmp_path):
    first, *rest = moving()
    first.save(tmp_path / "a.png", save_all=True, append_images=rest, default_image=True, duration=100)
    assert len(read_pictures(tmp_path / "a.png")[0]) == 4


def test_pages_are_no_frames(tmp_path):
    first, *rest = moving()
    first.save(tmp_path / "a.tif", save_all=True, append_images=rest)
    assert len(read_pictures(tmp_path / "a.tif")[0]) == 1


def test_too_many_frames_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    first, *rest = moving()
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest)
    monkeypatch.setattr(stills, "MAX_BYTES", 32 * 24 * 16 * 4)
    with pytest.raises(SoraError, match="5 frames of 32x24"):
        read_pictures(tmp_path / "a.gif")
    assert len(read_picture(tmp_path / "a.gif")[0]) == 1


@pytest.mark.parametrize("layout", ["rgb48be", "rgba64be", "gray16be", "ya16be"])
def test_deep_pngs_are_what_ffmpeg_reads(tmp_path, layout):
    path = tmp_path / "a.png"
    alpha = "format=rgba64le,colorchannelmixer=aa=0.5"
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=64x48,{alpha}", "-frames:v", "1", "-pix_fmt", layout, path)
    raw = ffmpeg("-i", path, "-pix_fmt", "rgba", "-f", "rawvideo", "-")
    shown = np.frombuffer(raw, np.uint8).reshape(48, 64, 4)
    frames, has_alpha = read_picture(path)
    assert has_alpha == (layout in ("rgba64be", "ya16be"))
    assert np.abs(frames[0].numpy() * 255 - shown).max() <= 3
