"""Ray nodes on this machine that differ as machines of a farm do: each with files, home, name and processes of its own.

A node is a process in a mount, name and process namespace (`unshare`, so Linux and root). What it must not see lies
under an empty tmpfs, what differs is mounted in its place; when its first process ends, all others end with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RAY = Path(sys.executable).with_name("ray")
PATIENCE = 90.0  # seconds that a node may take to join
STORE = 80_000_000  # bytes of a node's object store, about the least that Ray takes


def possible() -> str:
    """Why no such node can be made here, "" where it can."""
    if not RAY.is_file():
        return "Ray is not installed"
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return "there are no namespaces here"
    done = subprocess.run(["unshare", "-mup", "--fork", "--mount-proc", "true"], capture_output=True)
    return "" if done.returncode == 0 else "this user may make no namespaces"


@contextlib.contextmanager
def answering(said: bytes, pause: float = 0.0) -> Iterator[int]:
    """Yield the port of a server that says this to whoever comes, then says no more, and does not hang up.

    pause: seconds after each frame of HTTP/2.
    """
    lines: list[socket.socket] = []

    def serve(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                lines.append(server.accept()[0])
                for piece in [said] if not pause else (said[at : at + 9] for at in range(0, len(said), 9)):
                    lines[-1].sendall(piece)
                    time.sleep(pause)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=[server], daemon=True).start()
        yield server.getsockname()[1]
    for line in lines:
        line.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@dataclass
class Node:
    """A machine of the cluster: what is laid over its files, and its environment."""

    name: str
    hidden: list[Path] = field(default_factory=list)  # folders that it does not see
    setup: str = ""  # shell, run in its namespace before Ray starts; $ME is its own folder
    env: dict[str, str] = field(default_factory=dict)
    cpus: int = 1
    process: subprocess.Popen | None = None

    def kill(self) -> None:
        """End all its processes at once (SIGKILL)."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Farm:
    """A head, which has no core to give, and nodes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.nodes: list[Node] = []
        self.head = Node("head", cpus=0)

    def start(self) -> None:
        """Start the head."""
        self._start(self.head, ["--head", f"--port={self.port}", "--include-dashboard=false", f"--temp-dir={self.ray}"])
        self._wait(1)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def ray(self) -> Path:
        """Where Ray's own files are: for each node it is another folder."""
        return self.folder / "ray"

    def add(self, *nodes: Node) -> None:
        """Start nodes, and wait until all have joined."""
        before = self._alive()
        for node in nodes:
            self._start(node, [f"--address={self.address}"])
            self.nodes.append(node)
        self._wait(before + len(nodes))

    def _start(self, node: Node, words: list[str]) -> None:
        home = self.folder / node.name
        (home / "tmp").mkdir(parents=True)
        lines = ["set -e", f"ME='{home}'"]
        if node is not self.head:
            lines += [f"hostname {node.name}", f"mkdir ray; mount --bind ray '{self.ray}'"]
            lines += [f"mount -t tmpfs none '{hidden}'" for hidden in node.hidden]
        command = [str(RAY), "start", "--block", "--disable-usage-stats", f"--num-cpus={node.cpus}", *words]
        command += ["--min-worker-port=0", "--max-worker-port=0", f"--object-store-memory={STORE}"]
        lines += [node.setup, "exec " + " ".join(command)]
        own = {"HOME": "", "TMPDIR": "tmp", "XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config"}
        # Whatever a cluster of this process has set: Ray 2.60 makes tokens, which these homes do not have.
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
        env |= {name: str(home / part) for name, part in own.items()} | node.env
        # The head shares the driver's name and files, as where a batch is started on it.
        kinds = "-p" if node is self.head else "-mup"
        with (home / "log").open("ab") as log:
            node.process = subprocess.Popen(
                ["unshare", kinds, "--fork", "--mount-proc", "--kill-child", "bash", "-c", "\n".join(lines)],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=home,
                start_new_session=True,
            )

    def _wait(self, count: int) -> None:
        end = time.monotonic() + PATIENCE
        while self._alive() < count:
            if time.monotonic() > end:
                logs = [(self.folder / node.name / "log").read_text()[-1500:] for node in (self.head, *self.nodes)]
                raise TimeoutError(f"{count} nodes did not join:\n" + "\n".join(logs))
            time.sleep(0.3)

    def _alive(self) -> int:
        from ray._raylet import GcsClient

        with contextlib.suppress(Exception):  # the head is about to start
            return sum(info.state == 0 for info in GcsClient(address=self.address).get_all_node_info().values())
        return 0

    def close(self) -> None:
        """End all processes."""
        for node in (*self.nodes, self.head):
            node.kill()


@contextlib.contextmanager
def farm(folder: Path) -> Iterator[Farm]:
    """Yield a cluster whose files are below `folder`; it ends with the block."""
    made = Farm(folder)
    try:
        made.start()
        yield made
    finally:
        made.close()
