"""Hostile files, drawn here: models, pictures and videos that claim more than they hold, or hold what is none."""

from __future__ import annotations

import json
import random
import struct
import zlib
from pathlib import Path
from typing import Any

from hostile_shared import Made, host_in, node, sora


# -- model files ---------------------------------------------------------------------------------------------
def safetensors(meta: Any, shape: tuple[int, ...] = (1,), header: dict[str, Any] | None = None) -> bytes:
    """A file of one tensor, with any metadata."""
    size = 4
    for side in shape:
        size *= side
    text = json.dumps(
        header
        if header is not None
        else {
            "__metadata__": {"sora": json.dumps(meta)},
            "vae.a": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]},
        }
    ).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * min(size, 4096)


def configs() -> dict[str, Any]:
    big = 1_000_000
    return {
        "a million channels": {"vae": {"width": [big, big], "latent_channels": 10**9}},
        "just under the limit": {"vae": {"width": [60_000, 60_000], "latent_channels": 60_000}},
        "many blocks": {"vae": {"encoder_blocks": [60_000, 60_000]}},
        "more blocks": {"vae": {"decoder_blocks": [10**9, 10**9]}},
        "no blocks": {"vae": {"encoder_blocks": []}},
        "a patch of millions": {"vae": {"patch": [4096, 4096, 4096]}},
        "a patch of nothing": {"vae": {"patch": [0, 0, 0]}},
        "negative": {"vae": {"latent_channels": -5}},
        "texts": {"vae": {"latent_channels": "16"}},
        "not a number": {"vae": {"latent_channels": float("nan")}},
        "null": {"vae": {"width": None}},
        "a list": {"vae": [1, 2]},
        "unknown entries": {"vae": {"wings": 2}},
        "unknown part": {"wing": {}},
        "no parts": {},
        "huge transformer": {"dit": {"dim": 65_536, "ffn_dim": 65_536, "num_heads": 1, "num_layers": 65_536}},
        "heads of nothing": {"dit": {"dim": 64, "ffn_dim": 64, "num_heads": 0, "num_layers": 1}},
        "endless text": {"text": {"length": 10**12, "vocabulary": {"concepts": [], "kinds": [], "surfaces": {}}}},
        "long text": {
            "text": {"length": 65_000, "dim": 65_000, "vocabulary": {"concepts": [], "kinds": [], "surfaces": {}}}
        },
        "no vocabulary": {"text": {"length": 64}},
        "words of no kind": {"text": {"vocabulary": {"concepts": 5, "kinds": {}, "surfaces": []}}},
    }


def models(folder: Path) -> Made:
    from sora_core.loading.checkpoint import load_model

    files = {name: safetensors({"format": 1, "info": {}, "parts": parts}) for name, parts in configs().items()}
    deep: Any = {}
    for _ in range(500):
        deep = {"a": deep}
    files |= {
        "metadata is a list": safetensors([1]),
        "metadata without parts": safetensors({"format": 1}),
        "parts is a list": safetensors({"format": 1, "info": {}, "parts": []}),
        "info is a number": safetensors({"format": 1, "info": 1, "parts": {}}),
        "deep metadata": safetensors({"format": 1, "info": {}, "parts": {"vae": deep}}),
        "a terabyte of tensor": safetensors({"format": 1, "info": {}, "parts": {}}, (10**12,)),
        "a header of 8 EB": struct.pack("<Q", 2**63) + b"{}",
        "a header of 1 GB": struct.pack("<Q", 2**30) + b"{}",
        "a deep header": struct.pack("<Q", 200_000) + b"[" * 200_000,
        "an empty file": b"",
        "a pickle": b"\x80\x04cos\nsystem\n.",
        "zeros": b"\0" * 100_000,
    }
    for number, (name, data) in enumerate(files.items()):
        path = folder / f"model{number}.safetensors"
        path.write_bytes(data)
        yield f"model: {name}", lambda path=path: load_model(path)


# -- pictures ------------------------------------------------------------------------------------------------
def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int = 1, color: int = 0, rows: int | None = None, extra: bytes = b"") -> bytes:
    """A PNG of nothing, of any size; only `rows` rows are in it."""
    bits = depth * {0: 1, 2: 3, 4: 2, 6: 4, 3: 1}[color]
    packed, left = zlib.compressobj(9), (height if rows is None else rows) * (1 + (width * bits + 7) // 8)
    body = b""
    while left > 0:
        body += packed.compress(b"\0" * min(left, 1 << 20))
        left -= 1 << 20
    body += packed.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def drawn_stills() -> dict[str, bytes]:
    bomb = zlib.compress(b"\0" * 200_000_000, 9)
    text = chunk(b"zTXt", b"workflow\0\0" + bomb)
    return {
        "13300x13300.png": png(13_300, 13_300, rows=0),
        "9999x9999.png": png(9_999, 9_999),
        "7071x7071.png": png(7_071, 7_071),
        "16 bits 7000x7000.png": png(7_000, 7_000, 16, 6, rows=0),
        "1x50000000.png": png(1, 50_000_000),
        "50000000x1.png": png(50_000_000, 1),
        "2147483647.png": png(2**31 - 1, 2**31 - 1, rows=0),
        "0x0.png": png(0, 0),
        "1x1.png": png(1, 1),
        "cut.png": png(512, 512, 8, 2)[:200],
        "no end.png": png(4_000, 4_000, 8, 2, rows=5),
        "text bomb.png": png(64, 64, 8, 2, extra=text),
        "1000 text chunks.png": png(64, 64, 8, 2, extra=chunk(b"tEXt", b"workflow\0" + b"x" * 10_000) * 1_000),
        "profile bomb.png": png(64, 64, 8, 2, extra=chunk(b"iCCP", b"a\0\0" + bomb)),
        "wrong sum.png": png(64, 64, 8, 2).replace(b"IDAT", b"IDAU"),
        "bmp 100000x100000.bmp": b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 100_000, 100_000, 1, 24, 0, 0, 0, 0, 0, 0),
        "bmp negative.bmp": b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, -5, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0),
        "gif 65535x65535.gif": b"GIF89a"
        + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0)
        + b"\0" * 6
        + b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;",
        "tiff of 2^31.tif": b"II*\0\x08\0\0\0\x03\0"
        + b"".join(
            struct.pack("<HHII", tag, 4, 1, value) for tag, value in ((256, 2**31 - 1), (257, 2**31 - 1), (273, 8))
        )
        + b"\0\0\0\0",
        "tiff in a ring.tif": b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 256, 4, 1, 5) + b"\x08\0\0\0",
        "webp.webp": b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff",
        "jpeg.jpg": b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\x01\x11\0\x02\x11\0\x03\x11\0\xff\xd9",
        "text.png": b"hello",
        "empty.png": b"",
    }


def stills(folder: Path) -> Made:
    host = host_in(folder)
    for name, data in drawn_stills().items():
        path = folder / "input" / name
        path.write_bytes(data)
        graph = {"1": node("LoadImage", image=name), "2": node("PreviewAny", source=["1", 0])}
        yield f"picture: {name}", lambda graph=graph: host.run(host.load(graph))
        if name in (
            "13300x13300.png",
            "9999x9999.png",
            "text bomb.png",
            "1000 text chunks.png",
            "cut.png",
            "empty.png",
        ):
            yield f"run a picture: {name}", lambda path=path: sora("run", str(path))
            yield f"caption a picture: {name}", lambda path=path: sora("caption", str(path))
            yield f"detect a picture: {name}", lambda path=path: sora("detect", str(path))
            yield f"verify a picture: {name}", lambda path=path: sora("verify", str(path))


# -- videos --------------------------------------------------------------------------------------------------
def video(path: Path, width: int, height: int, frames: int, rate: int = 8, codec: str = "mpeg4") -> bytes:
    import av
    import numpy as np

    with av.open(str(path), "w") as made:
        stream = made.add_stream(codec, rate=rate)
        stream.width, stream.height = width, height
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        blank = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), format="rgb24")
        for _ in range(frames):
            made.mux(stream.encode(blank))
        made.mux(stream.encode(None))
    return path.read_bytes()


def drawn_videos(folder: Path) -> dict[str, bytes]:
    good = video(folder / "good.mp4", 64, 64, 9)
    big = video(folder / "big.mkv", 8_192, 8_192, 2, codec="ffv1")
    many = video(folder / "many.mp4", 16, 16, 20_000, 100)
    at = good.index(b"mvhd")
    long = bytearray(good)
    long[at + 20 : at + 24] = b"\xff\xff\xff\xf0"
    place = good.index(b"tkhd")
    wide = bytearray(good)
    wide[place + 80 : place + 88] = b"\x7f\xff\0\0\x7f\xff\0\0"
    counts = bytearray(good)
    stsz = good.index(b"stsz")
    counts[stsz + 12 : stsz + 16] = b"\xff\xff\xff\xff"
    return {
        "good.mp4": good,
        "big.mkv": big,
        "many.mp4": many,
        "long header.mp4": bytes(long),
        "wide header.mp4": bytes(wide),
        "sizes.mp4": bytes(counts),
        "half.mp4": good[: len(good) // 2],
        "no index.mp4": good.replace(b"moov", b"free"),
        "nothing.mp4": b"",
        "zeros.mp4": b"\0" * 1_000_000,
        "boxes in boxes.mp4": b"".join(struct.pack(">I", 8 * (5_000 - i)) + b"moov" for i in range(5_000)),
        "a box of 8 EB.mp4": b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + b"\0\0\0\x01moov\x7f" + b"\xff" * 7,
        "frames.gif": video(folder / "frames.gif", 16, 16, 3_000, 50, "gif"),
        "noise.mkv": b"\x1aE\xdf\xa3" + random.Random(1).randbytes(100_000),
        "noise.webm": random.Random(2).randbytes(100_000),
    }


def videos(folder: Path) -> Made:
    host = host_in(folder)
    for name, data in drawn_videos(folder).items():
        path = folder / "input" / name
        path.write_bytes(data)
        graph = {
            "1": node("LoadVideo", file=name),
            "2": node("GetVideoComponents", video=["1", 0]),
            "3": node("PreviewAny", source=["2", 0]),
        }
        yield f"video: {name}", lambda graph=graph: host.run(host.load(graph))
        if name in ("good.mp4", "sizes.mp4", "half.mp4", "nothing.mp4", "boxes in boxes.mp4", "a box of 8 EB.mp4"):
            yield f"run a video: {name}", lambda path=path: sora("run", str(path))
            yield f"verify a video: {name}", lambda path=path: sora("verify", str(path))
