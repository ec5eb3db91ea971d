"""Cases of `many_foreign.py`: files that only the driver has, and disks that are full."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import torch
from batch_support import CAT
from foreign_driver import Cases, Driver, seen, to
from foreign_nodes import farm
from nodes_support import TINY, text_to_video, tiny_parts
from PIL import Image
from safetensors.torch import save_file

from sora_core.loading import checkpoint
from sora_core.model.dit import DiT, DiTConfig

SHOWN = {"name": "large", "shift": 3.0, "fps": 8, "width": 32, "height": 32, "frames": 5}


def large_model(path: Path, seed: int) -> Path:
    """Write a model of 330 MB, which takes a while to travel."""
    parts = tiny_parts()
    torch.manual_seed(seed)
    parts["dit"] = DiT(DiTConfig(1024, 2048, 8, 6, text_dim=32, text_len=32))
    rgb = {"factors": [[0.1 * (i == c) for c in range(3)] for i in range(16)], "bias": [0.0, 0.0, 0.0]}
    checkpoint.save(path, parts, {**SHOWN, "latent_rgb": rgb}, dtype=torch.float32)
    return path


def lora(path: Path) -> None:
    """Write a LoRA of the tiny model's first layer."""
    layers = tiny_parts()["dit"].named_modules()
    name, layer = next((n, m) for n, m in layers if isinstance(m, torch.nn.Linear) and "blocks" in n)
    torch.manual_seed(1)
    down, up = torch.randn(2, layer.in_features), torch.randn(layer.out_features, 2)
    save_file({f"diffusion_model.{name}.lora_A.weight": down, f"diffusion_model.{name}.lora_B.weight": up}, path)


def models(folder: Path, short: bool) -> Cases:
    """A model that only the driver has."""
    driver = Driver(folder)
    driver.batch({**CAT, "seed": "0..2"})
    driver.render("--out", "here")
    with farm(folder / "f") as cluster:
        cluster.add(driver.node("one"), driver.node("two"))
        said = f"(one|two) lacks {TINY}.*--send-models", "1 more cannot", "Nothing was started"
        yield seen("a model that only the driver has", driver.render(*to(cluster, send=False)), 1, *said)
        done = driver.render(*to(cluster))
        kept = {path: path.stat().st_mtime_ns for path in (folder / "f").glob("*/cache/sora/models/*.safetensors")}
        good = {"the latents of a local run": driver.same("here", "there"), "one copy each": len(kept) == 2}
        yield seen("it is sent", done, 0, **good)
        if short:
            return
        driver.batch({**CAT, "seed": "3..4"})
        done = driver.render(*to(cluster))
        yield seen("more jobs", done, 0, sent_once=all(path.stat().st_mtime_ns == was for path, was in kept.items()))

        def coming() -> bool:
            return any((folder / "f").glob("*/cache/sora/models/.*.coming"))

        large = large_model(driver.folder / "large.safetensors", 8)
        driver.batch({**CAT, "seed": "5..6"}, {**CAT, "seed": "5..6", "model": large.name})
        process = driver.begin(*to(cluster))
        while process.poll() is None and not coming():
            time.sleep(0.01)
        process.kill()
        process.communicate()
        killed = coming()
        done = driver.render(*to(cluster))
        yield seen("killed while it travels, and called again", done, 0, in_time=killed, tidy=not coming())
        large_model(large, 9)
        driver.batch({**CAT, "seed": "5..6", "model": large.name})
        process = driver.planned(*to(cluster))
        large_model(large, 10)
        said = "large.safetensors was changed since the plan"
        yield seen("a model that changes before it is sent", driver.end(process), 1, said, tidy=not coming())


def loras(folder: Path, short: bool) -> Cases:
    """A LoRA and a workflow's model that only the driver has."""
    driver = Driver(folder)
    (driver.folder / "models").mkdir()
    (driver.folder / "graph.json").write_text(json.dumps(text_to_video()))
    lora(driver.folder / "own.safetensors")
    graph = {"workflow": "graph.json", "set": {"SoraSampler.seed": "0..1"}}
    driver.batch({**CAT, "lora": "own.safetensors:0.5"}, graph)
    shutil.copy(driver.folder / TINY, driver.folder / "models" / TINY)
    driver.render("--out", "here")
    with farm(folder / "f") as cluster:
        cluster.add(driver.node("one"))
        done = driver.render(*to(cluster, send=False))
        yield seen("a LoRA and a workflow's model that only the driver has", done, 1, "lacks .*own.safetensors")
        done = driver.render(*to(cluster))
        yield seen("they are sent", done, 0, **{"the latents of a local run": driver.same("here", "there")})


def inputs(folder: Path, short: bool) -> Cases:
    """A picture and a video that only the driver has."""
    driver = Driver(folder)
    picture = driver.folder / "first.png"
    Image.new("RGB", (32, 32), "red").save(picture)
    driver.batch(CAT)
    driver.render("--out", ".")
    video = next(driver.folder.glob("*.mp4")).rename(driver.folder / "clip.mp4")
    given = {"task": "animate", "image": picture.name}, {"task": "extend", "video": video.name, "seconds": 0.5}
    driver.batch(*({**CAT, **each, "seed": "0..1"} for each in given))
    driver.render("--out", "here")
    with farm(folder / "f") as cluster:
        cluster.add(driver.node("one"), driver.node("two"))
        done = driver.render(*to(cluster))
        good = {"the latents of a local run": driver.same("here", "there")}
        yield seen("inputs that only the driver has", done, 0, **good)
        process = driver.planned(*to(cluster, "changed"))
        Image.new("RGB", (32, 32), "blue").save(picture)
        yield seen("one that changes after the plan", driver.end(process), 3, "first.png was changed since the plan")
        process = driver.planned(*to(cluster, "away"))
        video.unlink()
        yield seen("one that goes away", driver.end(process), 3, "clip.mp4 was changed since the plan")


def disks(folder: Path, short: bool) -> Cases:
    """Workers whose disk is full."""
    driver = Driver(folder)
    driver.batch({**CAT, "seed": "0..3"})
    with farm(folder / "f") as cluster:
        full = 'mkdir -p "$ME/cache"; mount -t tmpfs -o size=1m none "$ME/cache"'
        cluster.add(driver.node("small", full), driver.node("good"))
        said = f"small cannot take {TINY}.*disk is full"
        yield seen("no room for a model", driver.render(*to(cluster)), 1, said, "--keep-going")
        yield seen("it is left out", driver.render(*to(cluster), "--keep-going"), 0, f"{said}.*left out")
    driver.batch({**CAT, "seed": "0..3", "size": "256x192"})
    full = 'mount -t tmpfs -o size=24k none "$ME/tmp"'
    with farm(folder / "g") as cluster:
        cluster.add(driver.node("small", full), driver.node("good"))
        done = driver.render(*to(cluster, "fills"))
        yield seen("one that fills up while a job is made", done, 0, "small gets no further jobs: .*disk is full")
        cluster.nodes[1].kill()
    with farm(folder / "h") as cluster:
        cluster.add(driver.node("small", full))
        done = driver.render(*to(cluster, "none"))
        yield seen("and no other worker", done, 1, "No worker is left: .*disk is full")
