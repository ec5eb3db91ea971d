"""A server in this process or in one of its own, and a client that speaks to it as pages and scripts do."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from host_support import write_pack

from sora_core.host.web.app import Settings, Studio

ROOT = Path(__file__).resolve().parents[2]
# Another frontend package than the installed one: the folder that `pip install --target` filled.
FRONTEND = "SORA_TEST_FRONTEND"
LONG = 60.0  # seconds until what is waited for is taken for lost, on a busy machine
COMMAND = [sys.executable, "-c", "import sys; from sora_core.cli import main; sys.exit(main())"]


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


class Client:
    """One page or script, by its client id."""

    def __init__(self, port: int, name: str = "tester", headers: dict[str, str] | None = None) -> None:
        self.port, self.name, self.headers = port, name, headers or {}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, self.headers | given)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("POST", path, b"" if body is None else body, **headers)

    def queue(self, prompt: dict, **more: Any) -> str:
        answer = self.post("/prompt", {"prompt": prompt, "client_id": self.name, **more})
        assert answer.status == 200, answer.body
        return answer.json["prompt_id"]

    def job(self, job_id: str) -> dict[str, Any]:
        return self.get(f"/api/jobs/{job_id}").json

    def wait(self, job_id: str, *states: str, seconds: float = 60) -> dict[str, Any]:
        """The job, once it is in one of these states; finished in any way without them."""
        states = states or ("completed", "failed", "cancelled")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job = self.job(job_id)
            if job["status"] in states:
                return job
            time.sleep(0.02)
        raise AssertionError(f"the job is {job} after {seconds} s")

    def upload(self, name: str, data: bytes, path: str = "/upload/image", **fields: str) -> Answer:
        parts = [
            f'--edge\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'.encode()
            + data
            + b"\r\n"
        ]
        for field, value in fields.items():
            parts.append(f'--edge\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode())
        body = b"".join(parts) + b"--edge--\r\n"
        return self.post(path, body, Content_Type="multipart/form-data; boundary=edge")

    def connect(self, features: dict[str, Any] | None = None) -> Socket:
        return Socket(self, features)


class Socket:
    """A WebSocket of RFC 6455, with nothing but what this server sends."""

    def __init__(self, client: Client, features: dict[str, Any] | None = None) -> None:
        self.raw = socket.create_connection(("127.0.0.1", client.port), timeout=60)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET /ws?clientId={urllib.parse.quote(client.name)} HTTP/1.1",
            f"Host: 127.0.0.1:{client.port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            *(f"{name}: {value}" for name, value in client.headers.items()),
        ]
        self.raw.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.buffer = b""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.raw.recv(1)
            if not byte:
                break
            head += byte
        self.status = int(head.split()[1])
        if features is not None:
            self.say({"type": "feature_flags", "data": features})

    def say(self, data: Any) -> None:
        body = json.dumps(data).encode()
        head = (
            struct.pack(">BB", 0x81, 0x80 | len(body))
            if len(body) < 126
            else struct.pack(">BBH", 0x81, 0xFE, len(body))
        )
        self.raw.sendall(head + b"\0\0\0\0" + body)

    def hear(self, seconds: float = 30) -> dict[str, Any] | bytes | None:
        """The next message, None where there is none in time, or the server hung up."""
        end = time.monotonic() + seconds
        head = self._take(2, end)
        if head is None:
            return None
        length = head[1] & 127
        if length > 125:
            more = self._take(2 if length == 126 else 8, end)
            assert more is not None
            length = struct.unpack(">H" if length == 126 else ">Q", more)[0]
        body = self._take(length, time.monotonic() + 30)
        assert body is not None
        return json.loads(body) if head[0] & 15 == 1 else body if head[0] & 15 == 2 else None

    def _take(self, count: int, end: float) -> bytes | None:
        while len(self.buffer) < count:
            self.raw.settimeout(max(0.001, end - time.monotonic()))
            try:
                piece = self.raw.recv(1 << 16)
            except (TimeoutError, ConnectionError):
                return None
            if not piece:
                return None
            self.buffer += piece
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def until(self, kind: str, seconds: float = 60, **data: Any) -> list[Any]:
        """All messages up to one of a kind whose data are these."""
        heard, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            message = self.hear(end - time.monotonic())
            if message is None:
                break
            heard.append(message)
            if isinstance(message, dict) and message["type"] == kind:
                told = message["data"]
                if all(told.get(name) == value for name, value in data.items()):
                    return heard
        raise AssertionError(f"no {kind} {data} among {[m if isinstance(m, dict) else m[:8] for m in heard][-20:]}")

    def ended(self, job_id: str, seconds: float = 60) -> list[Any]:
        """All messages up to the end of a job."""
        return self.until("executing", seconds, node=None, prompt_id=job_id)

    def close(self) -> None:
        self.raw.close()

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def kinds(messages: list[Any]) -> list[str]:
    return [m["type"] for m in messages if isinstance(m, dict)]


def told_of(messages: list[Any], kind: str, job_id: str) -> list[dict[str, Any]]:
    """What the messages of a kind say of one job.

    A page that opens just after another job ended may still be told the last of that one.
    """
    told = [m["data"] for m in messages if isinstance(m, dict) and m["type"] == kind]
    return [data for data in told if data.get("prompt_id") == job_id]


def until(found: Callable[[], Any], what: str, seconds: float = LONG, pause: Any = time.sleep) -> Any:
    """Wait until there is something."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, f"never came: {what}"
        pause(0.05)
    return value


@contextlib.contextmanager
def serving(base: Path, *, page: bool = False, packs: list[Path] | None = None, **options: Any) -> Iterator[Studio]:
    """A server in this process, with the tiny pack; its port is `studio.port`."""
    from aiohttp import web

    if packs is None:
        pack = base / "packs" / "tiny"
        packs = [pack if pack.is_dir() else write_pack(pack)]
    studio = Studio(Settings(base, page=page, packs=packs, port=0, **options))
    loop, ready = asyncio.new_event_loop(), threading.Event()
    runner = web.AppRunner(studio.app, access_log=None, shutdown_timeout=0.3)

    async def start() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        studio.port = runner.addresses[0][1]
        ready.set()

    def work() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(start())
        loop.run_forever()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield studio
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        studio.folders.discard_temp()


class Process:
    """`sora serve` or `sora studio` in a process of its own."""

    def __init__(self, base: Path, *arguments: str, command: str = "serve", port: int = 0) -> None:
        paths = os.pathsep.join(filter(None, [os.environ.get(FRONTEND), str(ROOT)]))
        environment = os.environ | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
        line = [*COMMAND, command, "--port", str(port), "--base-directory", str(base), *arguments]
        self.process = subprocess.Popen(
            line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=base
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        if not self.line:
            raise AssertionError(self.process.communicate()[1])
        self.address = self.line.split()[-1]
        self.port = urllib.parse.urlsplit(self.address).port

    def client(self, name: str = "tester", **headers: str) -> Client:
        return Client(self.port, name, headers)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def stop(self, number: int = signal.SIGTERM) -> tuple[float, int, str]:
        """End it by a signal: the seconds that took, the exit code, what it said."""
        began = time.monotonic()
        self.process.send_signal(number)
        said = self.process.communicate(timeout=30)[1]
        return time.monotonic() - began, self.process.returncode, said

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
