"""Content Credentials: flipped bytes that are named, ingredients that are kept, and what signing costs."""

from __future__ import annotations

import argparse
import collections
import os
import random
import statistics
import struct
import tempfile
import time
from pathlib import Path

BOXES = ("mdat", "moov", "uuid", "ftyp", "free")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--flips", type=int, default=200, help="flipped bits for each box of the file (c2pa)")


def measure(args: argparse.Namespace) -> dict:
    import torch

    from sora_core.media.write import write_video
    from sora_core.provenance import History, Model, plan
    from sora_core.provenance.credentials.verify import verify

    own = {name: os.environ.get(name) for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ.update(XDG_CONFIG_HOME=str(root / "config"), XDG_CACHE_HOME=str(root / "cache"))
        try:
            frames = torch.rand(17, 3, 8, 8, generator=torch.Generator().manual_seed(1))
            frames = torch.nn.functional.interpolate(frames, (128, 128), mode="bicubic").clamp(0, 1).movedim(1, -1)
            first, second = root / "first.mp4", root / "second.mp4"
            plan(History())  # so that making the key is not counted
            took = []
            for _ in range(9):
                write_video(first, frames, 8)
                start = time.perf_counter()
                plan(History((Model("a"),)), watermark=False).seal(first, first.name)
                took.append(time.perf_counter() - start)
            plain = root / "plain.mp4"
            write_video(plain, frames, 8)
            start = time.perf_counter()
            report = verify(first)
            seconds = time.perf_counter() - start
            write_video(second, frames, 8, saving=plan(History((Model("b"),), edits=("SoraExtend",), sources=(first,))))
            chain = verify(second)
            kept = chain.manifest.ingredients
            return {
                "passes": report.state == "intact" and chain.state == "intact",
                "ingredient with its own manifest": bool(kept and kept[0].signer and kept[0].actions),
                "flipped bits named": _flips(first, args.flips, verify),
                "signing, ms (median of 9)": round(1000 * statistics.median(took), 1),
                "verifying, ms": round(1000 * seconds, 1),
                "bytes added": first.stat().st_size - plain.stat().st_size,
            }
        finally:
            for name, value in own.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _flips(path: Path, count: int, verify) -> dict[str, str]:
    """For each box of the mp4, how many of `count` flipped bits anywhere in its body are told."""
    data, where, result = path.read_bytes(), random.Random(0), {}
    target = path.with_name("flipped.mp4")
    for name, (start, end) in _boxes(data).items():
        if name not in BOXES or end - start <= 8:
            continue
        states = collections.Counter()
        for _ in range(count):
            changed = bytearray(data)
            changed[where.randrange(start + 8, end)] ^= 1 << where.randrange(8)
            target.write_bytes(changed)
            states[verify(target).state] += 1
        result[name] = f"{count - states['intact'] - states['none']} of {count}"
    return result


def _boxes(data: bytes) -> dict[str, tuple[int, int]]:
    found, at = {}, 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        found[kind.decode("latin-1")] = at, at + size
        at += size
    return found
