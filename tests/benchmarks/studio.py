"""The embedded server under load: its start, memory, a long queue, many pages, kills, whatever anybody may send.

    python tests/benchmarks/studio.py --json [--short] [--only start,queue,pages,videos,kills,fuzz]

Each part starts a server of its own in a folder of its own. `--short` asks for a tenth of the work.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import _paths
from host_support import api, write_pack
from studio_support import Process

from sora_core.host.desk.folders import Folders
from sora_core.host.host import Host

MB = 1 << 20


def memory(server: Process) -> float:
    """Resident memory in MB."""
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / MB, 1)


def small(number: int, steps: int = 1) -> dict:
    """A graph that takes milliseconds and writes one file of its own."""
    save = {"value": ["1", 0], "filename_prefix": f"job{number}"}
    return api(n1=("TinySlow", {"value": number, "steps": steps}), n2=("TinyWrite", save))


def runs(base: Path) -> Counter[int]:
    """How many files each job wrote."""
    return Counter(int(path.name.split("_")[0][3:]) for path in (base / "output").glob("job*.txt"))


def start(base: Path) -> Process:
    if not (base / "packs").is_dir():
        write_pack(base / "packs" / "tiny")
    return Process(base, "--packs-dir", str(base / "packs"), command="studio")


def measure_start(base: Path, short: bool) -> dict[str, Any]:
    """Seconds from the command to the page and to the list of nodes, and memory before a model is loaded."""
    pages, lists, sizes = [], [], []
    for _ in range(1 if short else 5):
        began = time.monotonic()
        with start(base) as server:
            client = server.client()
            assert client.get("/").status == 200
            pages.append(time.monotonic() - began)
            assert client.get("/object_info").status == 200
            lists.append(time.monotonic() - began)
            sizes.append(memory(server))
            again = time.monotonic()
            client.get("/object_info")
            listed = time.monotonic() - again
            stopped = server.stop()[0]
    return {
        "first_page_s": round(statistics.median(pages), 2),
        "object_info_s": round(statistics.median(lists), 2),
        "object_info_again_ms": round(listed * 1000, 1),
        "idle_memory_mb": max(sizes),
        "stop_s": round(stopped, 2),
    }


def measure_queue(base: Path, short: bool) -> dict[str, Any]:
    """A thousand graphs, queued at once: every one ends once, and memory stays."""
    count = 100 if short else 1000
    with start(base) as server:
        client = server.client()
        for number in range(50):  # what is loaded once
            client.wait(client.queue(small(number)))
        before, began = memory(server), time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            jobs = list(pool.map(lambda number: client.queue(small(number)), range(1000, 1000 + count)))
        queued = time.monotonic() - began
        while client.get("/prompt").json["exec_info"]["queue_remaining"]:
            time.sleep(0.1)
        took, after = time.monotonic() - began, memory(server)
        states = Counter(entry["status"] for entry in client.get("/api/jobs").json["jobs"] if entry["id"] in set(jobs))
    wrote = runs(base)
    return {
        "queued": count,
        "completed": states["completed"],
        "lost": sum(wrote[number] < 1 for number in range(1000, 1000 + count)),
        "doubled": sum(wrote[number] > 1 for number in range(1000, 1000 + count)),
        "queueing_s": round(queued, 1),
        "all_s": round(took, 1),
        "memory_growth_percent": round(100 * (after / before - 1), 2),
    }


def measure_pages(base: Path, short: bool) -> dict[str, Any]:
    """Fifty pages at once, each with a job of its own: each hears of its own, and of no other."""
    count = 10 if short else 50
    with start(base) as server:
        clients = [server.client(f"page{number}") for number in range(count)]
        clients[0].get("/object_info")
        sockets = [client.connect({"supports_preview_metadata": True}) for client in clients]
        began = time.monotonic()
        jobs = [client.queue(small(number, 3)) for number, client in enumerate(clients)]

        def listen(number: int) -> int:
            told = sockets[number].ended(jobs[number], 300)
            of = {m["data"]["prompt_id"] for m in told if isinstance(m, dict) and "prompt_id" in m["data"]}
            return len(of - {jobs[number]})

        with ThreadPoolExecutor(count) as pool:
            foreign = list(pool.map(listen, range(count)))
        took = time.monotonic() - began
        size = memory(server)
    return {"pages": count, "heard_of_others": sum(foreign), "all_s": round(took, 1), "memory_mb": size}


def measure_videos(base: Path, short: bool) -> dict[str, Any]:
    """Ten videos in a row with a page that looks on: memory after each."""
    file = _paths.ROOT / "workflows" / "text_to_video.json"
    steps = [5] * 4 if short else [25] * 10
    with start(base) as server:
        client, sizes, seconds = server.client(), [], []
        prompt = Host(Folders(base / "input", base / "output")).load(file).prompt()
        (sampler,) = [node["inputs"] for node in prompt.values() if node["class_type"] == "SoraSampler"]
        with client.connect({"supports_preview_metadata": True}) as page:
            for seed, count in enumerate(steps):
                sampler |= {"seed": seed, "steps": count}
                began = time.monotonic()
                job = client.queue(prompt)
                page.ended(job, 600)
                assert client.job(job)["status"] == "completed"
                seconds.append(time.monotonic() - began)
                sizes.append(memory(server))
    return {
        "videos": len(steps),
        "seconds_each": round(statistics.median(seconds), 1),
        "memory_mb": sizes,
        "growth_after_second_percent": round(100 * (sizes[-1] / sizes[1] - 1), 2),
    }


def measure_kills(base: Path, short: bool) -> dict[str, Any]:
    """Kills at random moments of a queue: what is finished stays, what ran is marked, nothing runs twice."""
    kills, number, jobs = (2 if short else 10), 0, {}
    lost = interrupted = 0
    chance = random.Random(7)
    for _ in range(kills):
        with start(base) as server:
            client = server.client()
            client.get("/object_info")
            for _ in range(6):
                jobs[client.queue(small(number, chance.randrange(1, 15)))] = number
                number += 1
            time.sleep(chance.uniform(0, 0.8))
            done = [j["id"] for j in client.get("/api/jobs?status=completed").json["jobs"]]
            server.kill()
        with start(base) as server:
            client = server.client()
            kept = {j["id"]: j for j in client.get("/api/jobs").json["jobs"]}
            lost += sum(kept.get(job, {}).get("status") != "completed" for job in done) + len(jobs.keys() - kept.keys())
            for job in jobs:
                client.wait(job)
    with start(base) as server:
        client = server.client()
        ends = {job: client.job(job) for job in jobs}
    wrote = runs(base)
    interrupted = sum(bool(end.get("interrupted")) for end in ends.values())
    return {
        "kills": kills,
        "jobs": len(jobs),
        "finished_and_lost": lost,
        "ran_twice": sum(count > 1 for count in wrote.values()),
        "completed_without_a_file": sum(ends[j]["status"] == "completed" and not wrote[n] for j, n in jobs.items()),
        "marked_as_interrupted": interrupted,
    }


def measure_fuzz(base: Path, short: bool) -> dict[str, Any]:
    """Requests of every kind to every route, see tests/host/web/test_fuzz.py."""
    count = 1000 if short else 10_000
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "tests/host/web/test_fuzz.py"]
    done = subprocess.run(
        line, cwd=_paths.ROOT, env=os.environ | {"SORA_FUZZ": str(count)}, capture_output=True, text=True
    )
    return {"requests": count, "passed": done.returncode == 0, "said": done.stdout.splitlines()[-1]}


PARTS: dict[str, Callable[[Path, bool], dict[str, Any]]] = {
    "start": measure_start,
    "queue": measure_queue,
    "pages": measure_pages,
    "videos": measure_videos,
    "kills": measure_kills,
    "fuzz": measure_fuzz,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--short", action="store_true", help="a tenth of the work")
    parser.add_argument("--only", help=f"parts, of {','.join(PARTS)}")
    args = parser.parse_args()
    found = {}
    for name in (args.only or ",".join(PARTS)).split(","):
        with tempfile.TemporaryDirectory() as folder:
            found[name] = PARTS[name](Path(folder), args.short)
        if not args.json:
            print(name, json.dumps(found[name]), flush=True)
    if args.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
