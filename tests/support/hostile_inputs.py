"""Hostile inputs, drawn here: prompts, graphs and sizes that were made to do harm; files are in `hostile_files`."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostile_files import models, stills, videos
from hostile_shared import Made, host_in, loaded_model, node, sora
from large_graphs import groups, row_into_instances, typed_instance, wide_instances

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

    loaded = loaded_model()

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
    return (
        {
            "chain of 5,000": lambda: chain("ImageFromBatch", "image", 5_000, start, **cut),
            "chain of 9,900, end missing": lambda: {
                k: v for k, v in chain("ImageFromBatch", "image", 9_900, start, **cut).items() if k != "end"
            },
            "chain of 100,000": lambda: chain("ImageFromBatch", "image", 100_000, start, **cut),
            "chain of 300,000": lambda: chain("ImageFromBatch", "image", 300_000, start, **cut),
            "ring of 9,900": lambda: chain(
                "ImageFromBatch", "image", 9_900, node("ImageFromBatch", image=["9899", 0], **cut)
            ),
            "chain of types that match": lambda: chain("PreviewAny", "source", 9_900, node("PrimitiveInt", value=1)),
            "40 doublings": lambda: doubling(40),
            "20 doublings": lambda: doubling(20),
            "3,000 doublings": lambda: doubling(3_000),
            "12 doublings of a large picture": lambda: doubling(12, "large.png"),
            "a node linked 9,900 times": lambda: (
                {"0": start} | {str(i): node("PreviewAny", source=["0", 0]) for i in range(1, 9_900)}
            ),
            "300 prompts": lambda: many_prompts(300),
        }
        | _laid_flat()
        | _odd(start, deep)
    )


def _laid_flat() -> dict[str, Callable[[], Any]]:
    """Graphs that grow when they are read."""
    return {
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
        "a row of reroutes, many ends": lambda: reroutes(4_900, 4_900),
        "a row of 9,900 reroutes": lambda: reroutes(9_900, 1),
        "a ring of reroutes": lambda: reroutes(5_000, 5, ring=True),
        "9,000 subgraphs of 1,000 inputs": lambda: wide_instances(9_000, 1_000),
        "2,000 group nodes of 1,000 inputs": lambda: groups(8_000, 1_000),
        "a row of reroutes into instances": lambda: row_into_instances(9_000),
        "a subgraph of 9,000 typed values": lambda: typed_instance(9_000),
    }


def _odd(start: dict[str, Any], deep: Any) -> dict[str, Callable[[], Any]]:
    """Graphs that hold what no frontend writes."""
    return {
        "unknown nodes": lambda: {str(i): node(f"Nothing{i}") for i in range(100)},
        "a picture scaled to a terabyte": lambda: {
            "0": start,
            "1": node(
                "ImageScale", image=["0", 0], upscale_method="bilinear", width=16384, height=16384, crop="disabled"
            ),
            "2": node("ImageBatch", image1=["1", 0], image2=["1", 0]),
            "3": node("PreviewAny", source=["2", 0]),
        },
        "a picture scaled to 8000x8000": lambda: {
            "0": start,
            "1": node("ImageScale", image=["0", 0], upscale_method="lanczos", width=8000, height=8000, crop="disabled"),
            "2": node("PreviewAny", source=["1", 0]),
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

    host = host_in(folder)
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


WANTED = {  # what may be asked of the command, by what is wrong with it
    "a million pixels wide": "--size 1000000x1000000",
    "a side of 10^21": "--size 999999999999999999999x16",
    "a billion frames": "--frames 1000000000",
    "a billion seconds": "--seconds 1e9",
    "10^308 seconds": "--seconds 1e308",
    "a billion frames per second": "--fps 1e9",
    "a frame in thirty years": "--fps 1e-9 --seconds 60",
    "a billion steps": "--steps 1000000000 --frames 1",
    "a cfg of 10^308": "--cfg 1e308 --fast",
    "a shift of 10^308": "--shift 1e308 --steps 1 --fast",
}


# -- sizes ---------------------------------------------------------------------------------------------------
def sizes(folder: Path) -> Made:
    host = host_in(folder)

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
        lambda: sora("generate", "a cat", "--seconds", "60", "--size", "8192x8192", "-o", out),
    )
    for name, options in WANTED.items():
        yield f"generate: {name}", lambda options=options: sora("generate", "a cat", *options.split(), "-o", out)
    yield "generate: a prompt of 1 MB", lambda: sora("generate", "(" * 1_000_000, "-o", out)
    yield "generate: no prompt", lambda: sora("generate", "", "-o", out)
    yield "check: a prompt of 1 MB", lambda: sora("check", "a:1" * 333_333)
    yield "expand: a prompt of 1 MB", lambda: sora("expand", "(cat " * 200_000)
