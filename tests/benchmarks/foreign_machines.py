"""Cases of `many_foreign.py`: other code, missing packages, machines that die, other rules, foreign addresses."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import shutil
from pathlib import Path

import torch
from batch_support import CAT, results
from foreign_driver import Cases, Driver, seen, to
from foreign_nodes import ROOT, answering, farm

from sora_core.about import VERSION

SMALL = {**CAT, "model": "sora-mini", "size": "32x32", "frames": 5, "seed": "0..2"}  # of a model that all have
SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # how an HTTP/2 server begins
PAGE = SETTINGS + bytes((0, 0, 1, 1, 4, 0, 0, 0, 1, 0x8D, 0, 0, 4, 0, 1, 0, 0, 0, 1)) + b"<p/>"


def copied(folder: Path, file: str, old: str, new: str) -> Path:
    """Copy the package, and change one file of it."""
    shutil.copytree(ROOT / "sora_core", folder / "sora_core", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "sora_core" / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    return folder


def versions(folder: Path, short: bool) -> Cases:
    """Workers with another version of this package, other code of the same, another torch."""
    driver = Driver(folder)
    driver.batch(SMALL)
    older = copied(folder / "older", "about.py", f'"{VERSION}"', '"0.0.1"')
    other = copied(folder / "other", "batch/jobs.py", "SLUG = 60", "SLUG = 61")
    info = folder / "site" / "torch-9.9.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.9.0\n")
    kinds = (
        ("another version", str(older), f"has sora-nodes 0.0.1, this machine {VERSION}"),
        ("other code of this version", str(other), f"has other code of sora-nodes {VERSION}"),
        ("another torch", f"{info.parent}:{ROOT}", "has torch 9.9.0"),
    )
    for number, (name, path, words) in enumerate(kinds):
        with farm(folder / f"f{number}") as cluster:
            cluster.add(driver.node("other", PYTHONPATH=path))
            done = driver.render(*to(cluster, f"out{number}"))
            yield seen(f"a worker with {name}", done, 1, f"other {words}.*install the same", "Nothing was started")
            if name == "another version":
                cluster.add(driver.node("good"))
                done = driver.render(*to(cluster), "--keep-going")
                yield seen("it is left out", done, 0, f"other {words}.*left out", ", good")


def lacking(folder: Path, short: bool) -> Cases:
    """Workers without the package, without torch, with one that is broken, with less than a job needs."""
    driver = Driver(folder)
    driver.batch(SMALL)
    places = {ROOT}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("sora-nodes") or ():
            if file.name == "direct_url.json":
                url = json.loads(Path(str(file.locate())).read_text("utf-8"))["url"]
                places.add(Path(url.removeprefix("file://")))
    site = Path(torch.__file__).parents[1]
    no_torch = f"mount -t tmpfs none {site / 'torch'}"
    no_trace = f"{no_torch}; for each in {site}/torch-*.dist-info; do mount -t tmpfs none $each; done"
    no_package = "\n".join(f"mount -t tmpfs none {place}/sora_core" for place in places)
    kinds = (
        ("no package", no_package, "has no sora-nodes: install"),
        ("no torch", no_trace, "has no torch: install"),
        ("a broken torch", no_torch, "cannot work .*mend its installation"),
    )
    for number, (name, setup, words) in enumerate(kinds):
        with farm(folder / f"f{number}") as cluster:
            cluster.add(driver.node("bare", setup))
            yield seen(f"a worker with {name}", driver.render(*to(cluster)), 1, f"bare {words}")
    with farm(folder / "f") as cluster:
        cluster.add(driver.node("good"))
        done = driver.render(*to(cluster), "--cpus", "2")
        yield seen("more cores than any has", done, 1, "needs 2 cores; the largest worker, good", "Nothing was started")
        driver.batch({**SMALL, "memory": "900 GiB"})
        yield seen("more memory than any has", driver.render(*to(cluster)), 1, "needs 900 GiB of memory")


def deaths(folder: Path, short: bool) -> Cases:
    """Machines that die in the middle, come late, and the head that dies."""
    driver = Driver(folder)
    driver.batch({**CAT, "seed": "0..9", "steps": 300})
    driver.render("--out", "here")
    with farm(folder / "f") as cluster:
        cluster.add(driver.node("one"), driver.node("two"))
        process = driver.first(*to(cluster))
        cluster.nodes[0].kill()
        done, good = driver.end(process), {"the latents of a local run": driver.same("here", "there")}
        yield seen("a machine that dies", done, 0, **good)
        process = driver.first(*to(cluster, "late"))
        cluster.add(driver.node("late"))
        done = driver.end(process)
        who = {record["worker"] for record in results(driver.folder / "late")}
        yield seen("one that joins late", done, 0, without_a_job=who == {"two"})
        process = driver.first(*to(cluster, "last"))
        for node in cluster.nodes:
            node.kill()
        yield seen("all of them die", driver.end(process), 1, "No worker is left", "goes on from here")
    with farm(folder / "g") as cluster:
        cluster.add(driver.node("one"))
        process = driver.first(*to(cluster, "head"))
        cluster.head.kill()
        yield seen("the head dies", driver.end(process), 1, "head .* does not answer any more", "goes on from here")
    yield seen("the batch goes on", driver.render("--out", "head"), 0, all_of_it=driver.same("here", "head"))


def rules(folder: Path, short: bool) -> Cases:
    """Workers with policies and certificates of their own."""
    driver = Driver(folder)
    driver.batch({**CAT, "seed": "0..1"}, {**CAT, "prompt": "a man stabs a woman"})
    texts = {
        "mild": 'name = "mild"\n[prompt]\naction = "off"\n[frames]\naction = "off"\n',
        "strict": 'name = "strict"\nlocked = true\n[prompt]\naction = "block"\n',
        "less": 'name = "less"\nlocked = true\n[provenance]\nc2pa = "off"\nwatermark = false\n',
        "broken": "locked = maybe\n",
    }
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text)
    policy = {name: {"SORA_POLICY": str(folder / f"{name}.toml")} for name in texts}
    with farm(folder / "f") as cluster:
        cluster.add(driver.node("strict", **policy["strict"]))
        done = driver.render(*to(cluster), **policy["mild"])
        yield seen("a locked policy that is stricter", done, 3, "refused: .*policy 'strict'", "2 done, 1 refused")
    with farm(folder / "g") as cluster:
        cluster.add(driver.node("less", **policy["less"]))
        done = driver.render(*to(cluster), **policy["mild"])
        yield seen("one that marks less", done, 1, "less cannot work: its locked policy 'less' marks files less")
        cluster.nodes[0].kill()
    with farm(folder / "h") as cluster:
        cluster.add(driver.node("broken", **policy["broken"]))
        done = driver.render(*to(cluster), **policy["mild"])
        yield seen("one that cannot be read", done, 1, "broken cannot work: The policy .* cannot be read")
    with farm(folder / "i") as cluster:
        gone = {"SORA_C2PA_CERTIFICATE": "/nowhere.pem", "SORA_C2PA_KEY": "/nowhere.key"}
        cluster.add(driver.node("unkeyed", **gone), driver.node("good"))
        done = driver.render(*to(cluster), **policy["mild"])
        yield seen("a certificate that is not there", done, 1, "unkeyed cannot work: .*no certificate", "--keep-going")


def addresses(folder: Path, short: bool) -> Cases:
    """Addresses where something else listens, or nothing."""
    driver = Driver(folder)
    driver.batch(CAT)
    for name, said, words in (
        ("a socket that says nothing", b"", "Nobody answers"),
        ("an HTTP/1.1 server", b"HTTP/1.1 400 Bad Request\r\n\r\n", "no Ray head"),
        ("an HTTP/2 server that says no more", SETTINGS, "Nobody answers"),
        ("an HTTP/2 server with a page", PAGE, "no Ray head"),
    ):
        with answering(said) as port:
            done = driver.render("--ray", f"127.0.0.1:{port}")
        yield seen(name, done, 1, words, soon=done["seconds"] < 15)
    for name, address in (("a closed port", "127.0.0.1:9"), ("an unknown name", "nowhere.invalid:6379")):
        done = driver.render("--ray", address)
        yield seen(name, done, 1, "Nobody answers", soon=done["seconds"] < 15)
