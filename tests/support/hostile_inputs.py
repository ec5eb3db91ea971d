"""Hostile inputs, drawn here: prompts, graphs, model files, pictures, videos and sizes that were made to do harm."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sora_core.errors import SoraError


@dataclass(frozen=True)
class Case:
    """One input, and what reads it."""

    name: str
    run: Callable[[], Any]
    short: bool = False  # whether CI runs it


def cases(folder: Path) -> Iterator[Case]:
    """Draw all inputs into `folder`; every third is of the short form."""
    for name in ("input", "output", "temp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    made = itertools.chain(prompts(), graphs(folder), models(folder), stills(folder), videos(folder), sizes(folder))
    for number, (name, run) in enumerate(made):
        yield Case(name, run, number % 3 == 0)


Made = Iterator[tuple[str, Callable[[], Any]]]


# -- prompts -------------------------------------------------------------------------------------------------
def texts() -> dict[str, str]:
    """Texts that take time where something looks back, or that are no text at all."""
    draw = random.Random(1)
    letters = "abcdefghij0134@$!|"
    return {
        "1 MB of a": "a" * 1_000_000,
        "1 MB of words": "cat on a beach " * 66_667,
        "1 MB of brackets": "(" * 1_000_000,
        "20,000 brackets": "(" * 20_000,
        "15,999 brackets": "(" * 15_999,
        "brackets in pairs": "()" * 7_999,
        "nested brackets": "(" * 7_999 + "cat" + ")" * 7_999,
        "nested 1200": "(" * 1200 + "a cat" + ")" * 1200,
        "nested 60": "(" * 60 + "a cat" + ")" * 60,
        "nested weights of 1": "(" * 2_000 + "cat" + ":1)" * 2_000,
        "weights without an end": "(a:1" * 3_999,
        "closing weights": ":1)" * 5_333,
        "colons": ":" * 15_999,
        "a weight of 15,000 digits": "(cat:" + "1" * 15_000,
        "a weight of 400 digits": "(cat:" + "9" * 400 + ")",
        "a weight of 30 digits": "(cat:" + "9" * 30 + ")",
        "a weight of zeros": "(cat:0." + "0" * 15_000 + "1)",
        "colon and digits": ":" + "1" * 19_990,
        "colon and spaces": ":" + " " * 19_990,
        "points": ":1." * 6_600,
        "escaped brackets": "\\(" * 7_900,
        "backslashes": "\\" * 15_999,
        "spaced letters": "a " * 9_999,
        "spaced points": "q." * 9_999,
        "leet": "1!l|" * 5_000,
        "stars": "*" * 19_999,
        "starred letters": "a*" * 9_999,
        "pairs of letters": "aabb" * 4_999,
        "signs": "a!|+" * 4_999,
        "combining marks": "a" + "\u0301" * 19_990,
        "emoji": "\U0001f52a" * 15_000,
        "ligatures that unfold": "\ufdfa" * 19_999,
        "Han": "\u88f8" * 19_999,
        "zero bytes": "\0" * 19_999,
        "control characters": "\x01a\x1b[2J" * 3_000,
        "half a surrogate pair": "\ud800" * 3_000,
        "names": "taylor swift " * 1_500,
        "random words": " ".join("".join(draw.choice(letters) for _ in range(9)) for _ in range(1_990)),
        "stretched words": " ".join("".join(c * 2 for c in draw.choices("abcdefg", k=4)) for _ in range(2_000)),
        "line breaks": "a\n" * 9_999,
        "right to left": "\u202e" + "cat " * 900,
        "only spaces": " " * 19_999,
        "quotes": "a'" * 9_999,
    }


def prompts() -> Made:
    from sora_core.language.expand import expand
    from sora_core.pipeline.own import ClipSocket
    from sora_core.safety.prompts import check_prompt

    loaded = _loaded()

    def read(text: str) -> None:
        """Have everything read a text; the first refusal is raised once all have."""
        refused = []
        for reader in (check_prompt, ClipSocket(loaded.text).encode, loaded.text.unknown_words, expand):
            try:
                reader(text)
            except SoraError as error:
                refused.append(error)
        if refused:
            raise refused[0]

    for name, text in texts().items():
        yield f"prompt: {name}", lambda text=text: read(text)


# -- graphs --------------------------------------------------------------------------------------------------
def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def chain(kind: str, name: str, count: int, start: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Chain nodes by their input `name`, behind `start`, and show the end."""
    graph = {"0": start} | {str(i): node(kind, **{name: [str(i - 1), 0]}, **values) for i in range(1, count)}
    return graph | {"end": node("PreviewAny", source=[str(count - 1), 0])}


def doubling(count: int, image: str = "ok.png") -> dict[str, Any]:
    graph = {"0": node("LoadImage", image=image)}
    for i in range(1, count + 1):
        graph[str(i)] = node("ImageBatch", image1=[str(i - 1), 0], image2=[str(i - 1), 0])
    return graph | {"end": node("PreviewAny", source=[str(count), 0])}


def subgraphs(count: int, instances: int) -> dict[str, Any]:
    """Subgraphs that each hold the next one so many times."""
    defined = []
    for i in range(count):
        inner = [{"id": k, "type": f"s{i + 1}", "inputs": [], "outputs": []} for k in range(instances)]
        leaf = [{"id": 1, "type": "PrimitiveInt", "inputs": [], "outputs": [], "widgets_values": [1]}]
        nodes = inner if i + 1 < count else leaf
        defined.append({"id": f"s{i}", "nodes": nodes, "links": [], "inputs": [], "outputs": []})
    top = [{"id": 1, "type": "s0", "inputs": [], "outputs": []}]
    return {"nodes": top, "links": [], "definitions": {"subgraphs": defined}}


def reroutes(length: int, ends: int, ring: bool = False) -> dict[str, Any]:
    """A row of reroutes that many nodes hang at."""
    nodes: list[dict[str, Any]] = [
        {"id": 0, "type": "PrimitiveInt", "inputs": [], "outputs": [{"type": "INT"}], "widgets_values": [1]}
    ]
    links = []
    for i in range(1, length):
        links.append([i, i - 1, 0, i, 0, "*"])
        nodes.append({"id": i, "type": "Reroute", "inputs": [{"name": "", "link": i}], "outputs": [{"type": "*"}]})
    if ring:
        links[0][1] = length - 1
    for k in range(ends):
        links.append([length + k, length - 1, 0, length + k, 0, "*"])
        sockets = [{"name": "source", "link": length + k}]
        nodes.append({"id": length + k, "type": "PreviewAny", "inputs": sockets, "outputs": []})
    return {"nodes": nodes, "links": links}


def many_prompts(count: int) -> dict[str, Any]:
    graph = {"m": node("SoraLoadModel", model="sora-mini")}
    graph |= {f"t{i}": node("CLIPTextEncode", text=f"cat {i}", clip=["m", 1]) for i in range(count)}
    return graph | {f"p{i}": node("PreviewAny", source=[f"t{i}", 0]) for i in range(count)}


def bare_graphs() -> dict[str, Callable[[], Any]]:
    """Graphs as parsed JSON, drawn when they are asked for: some are large."""
    start = node("LoadImage", image="ok.png")
    cut = {"batch_index": 0, "length": 1}
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    return {
        "chain of 5,000": lambda: chain("ImageFromBatch", "image", 5_000, start, **cut),
        "chain of 49,000, end missing": lambda: {
            k: v for k, v in chain("ImageFromBatch", "image", 49_000, start, **cut).items() if k != "end"
        },
        "chain of 100,000": lambda: chain("ImageFromBatch", "image", 100_000, start, **cut),
        "chain of 300,000": lambda: chain("ImageFromBatch", "image", 300_000, start, **cut),
        "ring of 40,000": lambda: chain(
            "ImageFromBatch", "image", 40_000, node("ImageFromBatch", image=["39999", 0], **cut)
        ),
        "chain of types that match": lambda: chain("PreviewAny", "source", 20_000, node("PrimitiveInt", value=1)),
        "40 doublings": lambda: doubling(40),
        "20 doublings": lambda: doubling(20),
        "3,000 doublings": lambda: doubling(3_000),
        "12 doublings of a large picture": lambda: doubling(12, "large.png"),
        "a node linked 30,000 times": lambda: (
            {"0": start} | {str(i): node("PreviewAny", source=["0", 0]) for i in range(1, 30_000)}
        ),
        "300 prompts": lambda: many_prompts(300),
        "40 subgraphs of two": lambda: subgraphs(40, 2),
        "90 subgraphs of two": lambda: subgraphs(90, 2),
        "10 subgraphs of ten": lambda: subgraphs(10, 10),
        "1 subgraph 200,000 times": lambda: {
            "nodes": [{"id": i, "type": "s"} for i in range(200_000)],
            "links": [],
            "definitions": {"subgraphs": [{"id": "s", "nodes": [{"id": 1, "type": "PrimitiveInt"}], "links": []}]},
        },
        "a subgraph in itself": lambda: {
            "nodes": [{"id": 1, "type": "s"}],
            "links": [],
            "definitions": {"subgraphs": [{"id": "s", "nodes": [{"id": 1, "type": "s"}], "links": []}]},
        },
        "500 subgraphs in a row": lambda: subgraphs(500, 1),
        "a row of reroutes, many ends": lambda: reroutes(9_000, 9_000),
        "a row of 200,000 reroutes": lambda: reroutes(49_000, 1),
        "a ring of reroutes": lambda: reroutes(5_000, 5, ring=True),
        "unknown nodes": lambda: {str(i): node(f"Nothing{i}") for i in range(300)},
        "a picture scaled to a terabyte": lambda: {
            "0": start,
            "1": node(
                "ImageScale", image=["0", 0], upscale_method="bilinear", width=16384, height=16384, crop="disabled"
            ),
            "2": node("ImageBatch", image1=["1", 0], image2=["1", 0]),
            "3": node("PreviewAny", source=["2", 0]),
        },
        "a value of 900 lists": lambda: {"1": node("PreviewAny", source={"__value__": deep})},
        "a value of 10 MB": lambda: {"1": node("PreviewAny", source="x" * 10_000_000)},
        "a seed of 4,000 digits": lambda: {
            "1": node("PrimitiveInt", value=int("9" * 4_000)),
            "2": node("PreviewAny", source=["1", 0]),
        },
        "links to slots far away": lambda: {"0": start, "1": node("PreviewAny", source=["0", 10**18])},
        "no nodes": dict,
    }


def graphs(folder: Path) -> Made:
    from PIL import Image

    host = _host(folder)
    Image.new("RGB", (64, 64)).save(folder / "input" / "ok.png")
    Image.new("RGB", (2048, 1024)).save(folder / "input" / "large.png")
    for name, graph in bare_graphs().items():
        yield f"graph: {name}", lambda graph=graph: host.run(host.load(graph()))
    files = {
        "deep.json": b"[" * 200_000 + b"]" * 200_000,
        "deep_object.json": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "digits.json": b'{"1":{"class_type":"PreviewAny","inputs":{"source":' + b"9" * 6_000 + b"}}}",
        "empty.json": b"",
        "zero.json": b"\0" * 5_000_000,
        "nan.json": b'{"nodes": NaN}',
        "latin.json": b"\xff\xfe{}",
        "twice.json": b'{"nodes": [{"id": 1, "type": "Note"}, {"id": 1, "type": []}]}',
        "list.json": json.dumps([[]] * 500_000).encode(),
        "meta.json": b'{"1": {"class_type": "PreviewAny", "inputs": {"source": 1}, "_meta": []}}',
        "extra.json": b'{"prompt": {"1": {"class_type": "PreviewAny", "inputs": {"source": 1}}}, "extra_data": [1]}',
    }
    for name, data in files.items():
        path = folder / name
        path.write_bytes(data)
        yield f"workflow file: {name}", lambda path=path: sora("run", str(path), "--output-dir", str(folder / "output"))


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
    host = _host(folder)
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
    big = video(folder / "big.mp4", 8_192, 4_096, 2)
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
        "big.mp4": big,
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
    host = _host(folder)
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


# -- sizes ---------------------------------------------------------------------------------------------------
def sizes(folder: Path) -> Made:
    host = _host(folder)

    def latent(**inputs: Any) -> dict[str, Any]:
        given = {"seconds": 2.0, "fps": 8.0, "width": 160, "height": 96, "aspect": "as set", "batch_size": 1} | inputs
        return {"1": node("SoraEmptyLatent", **given), "2": node("PreviewAny", source=["1", 0])}

    wanted = {
        "8192x8192, 60 s": latent(width=8192, height=8192, seconds=60.0),
        "8192x8192, 1 frame, 64 of them": latent(width=8192, height=8192, seconds=0.01, batch_size=64),
        "an hour": latent(seconds=3600.0, fps=120.0),
        "a million seconds": latent(seconds=1e6),
        "endless": latent(seconds=float("inf")),
        "not a number": latent(fps=float("nan")),
        "16 million pixels wide": latent(width=16_000_000),
        "a side of 10^30": latent(width=16 * 10**30),
        "core's latent, 4096 of them": {
            "1": node("EmptyLatentImage", width=16_384, height=16_384, batch_size=4_096),
            "2": node("PreviewAny", source=["1", 0]),
        },
        "core's latent, one": {
            "1": node("EmptyLatentImage", width=16_384, height=16_384, batch_size=1),
            "2": node("PreviewAny", source=["1", 0]),
        },
    }
    for name, graph in wanted.items():
        yield f"size: {name}", lambda graph=graph: host.run(host.load(graph))
    out = str(folder / "output" / "x.mp4")
    yield (
        "generate: 8192x8192, 60 s",
        lambda: sora("generate", "a cat", "--seconds", "60", "--width", "8192", "--height", "8192", "-o", out),
    )
    yield "generate: a prompt of 1 MB", lambda: sora("generate", "(" * 1_000_000, "-o", out)
    yield "generate: no prompt", lambda: sora("generate", "", "-o", out)
    yield "check: a prompt of 1 MB", lambda: sora("check", "a:1" * 333_333)
    yield "expand: a prompt of 1 MB", lambda: sora("expand", "(cat " * 200_000)


# -- what is shared ------------------------------------------------------------------------------------------
def sora(*arguments: str) -> None:
    """Run the command. Raises SoraError with what it prints where it fails, as a user reads it."""
    from sora_core.cli.main import main

    printed = io.StringIO()
    with contextlib.redirect_stderr(printed):
        code = main(list(arguments))
    if code:
        told = printed.getvalue()
        raise SoraError(told[told.rindex("sora: ") + 6 :].strip() if "sora: " in told else told)


_hosts: dict[Path, Any] = {}
_models: list[Any] = []


def _host(folder: Path) -> Any:
    from sora_core.host.desk.folders import Folders
    from sora_core.host.host import Host

    if folder not in _hosts:
        _hosts[folder] = Host(Folders(folder / "input", folder / "output", folder / "temp"), keep_results=False)
    return _hosts[folder]


def _loaded() -> Any:
    from sora_core.loading.checkpoint import load_model

    if not _models:
        _models.append(load_model())
    return _models[0]
