"""Who is connected. Each page hears of its own jobs and of the shared queue, at its own pace."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web

from .wire import as_name, dump

MOST_CLIENTS = 250
MOST_UPLOADED = 1 << 30  # bytes of one file
MOST_WAITING, MOST_BYTES = 5000, 512 << 20  # messages; who is that far behind comes again and is told what runs
FEATURES = {
    "supports_preview_metadata": True,
    "supports_progress_text_metadata": True,
    "max_upload_size": MOST_UPLOADED,
    "assets": False,
    "node_replacements": False,
    # "requeue": interrupted jobs can be queued again, which the pack's script offers.
    "extension": {"manager": {"supports_v4": False}, "sora": {"requeue": True}},
}


class Client:
    """One open page, or one script, and what waits to be sent to it."""

    def __init__(self, name: str, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self.name, self.socket, self.transport = name, socket, transport
        self.features: dict[str, Any] = {}
        self.waiting, self.size = deque[str | bytes](), 0
        self.newest: dict[str, str | bytes] = {}  # what is worth sending only until there is a newer one, by kind
        self.wake = asyncio.Event()

    def put(self, message: str | bytes) -> None:
        """Send a message that must not be missed, after the newest of the others."""
        self.newest.pop("preview", None)
        added = [*self.newest.values(), message]
        self.waiting += added
        self.size += sum(map(len, added))
        self.newest.clear()
        self.wake.set()
        if (len(self.waiting) > MOST_WAITING or self.size > MOST_BYTES) and self.transport is not None:
            self.transport.abort()  # who does not read does not answer a farewell either

    def replace(self, kind: str, message: str | bytes) -> None:
        """Send a message unless a newer one of its kind comes before there is time for it."""
        self.newest[kind] = message
        self.wake.set()

    async def pump(self) -> None:
        """Send what there is, until the page is gone."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            while not self.socket.closed:
                if self.waiting:
                    message = self.waiting.popleft()
                    self.size -= len(message)
                elif self.newest:
                    message = self.newest.pop(next(iter(self.newest)))
                else:
                    self.wake.clear()
                    await self.wake.wait()
                    continue
                await (self.socket.send_str(message) if isinstance(message, str) else self.socket.send_bytes(message))


class Hub:
    """All clients of a server, and what the running job has told so far. Lives in the event loop's thread."""

    def __init__(self, remaining: Callable[[], int]) -> None:
        """Make an empty one. remaining: counts the jobs that wait or run."""
        self.clients: set[Client] = set()
        self.remaining = remaining
        self.loop: asyncio.AbstractEventLoop | None = None
        self.owner: str | None = None  # whose job runs
        self.adopted: set[Client] = set()  # came while a job ran whose own page was closed
        self.story: list[str] = []  # what a page that opens now has missed of the running job
        self.state: dict[str, str] = {}
        self.held = ""  # what holds the queue up

    def call(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Do something in the event loop's thread, from any other; nothing once the loop has ended."""
        with contextlib.suppress(RuntimeError):
            if self.loop is not None:
                self.loop.call_soon_threadsafe(function, *arguments)

    # -- from the worker's thread ----------------------------------------------------------------------------
    def begin(self, owner: str | None) -> None:
        """Tell all that follows to the pages of `owner`."""
        self.call(self._begin, owner)

    def tell(self, kind: str, data: dict[str, Any]) -> None:
        """Tell a message that must not be missed."""
        self.call(self._tell, kind, dump({"type": kind, "data": data}))

    def update(self, kind: str, data: dict[str, Any]) -> None:
        """Tell how things stand; only the newest of a kind counts."""
        self.call(self._update, kind, dump({"type": kind, "data": data}))

    def frames(self, kind: str, feature: str, knowing: bytes, older: bytes) -> None:
        """Send a binary message in one of two forms, by whether a client knows a feature."""
        self.call(self._frames, kind, feature, knowing, older)

    def status(self) -> None:
        """Tell everybody how long the queue is."""
        self.call(self._status)

    def hold(self, why: str) -> None:
        """Tell everybody, and whoever comes, what holds the queue up; "" when it goes on."""
        self.call(self._hold, why)

    # -- in the loop's thread --------------------------------------------------------------------------------
    def standing(self) -> dict[str, Any]:
        """Return how the queue stands, as the frontend reads it; `held`, what holds it up, is the pack's own."""
        return {"exec_info": {"queue_remaining": self.remaining()}} | ({"held": self.held} if self.held else {})

    def _begin(self, owner: str | None) -> None:
        self.owner, self.story, self.state = owner, [], {}
        self.adopted.clear()

    def _followers(self) -> list[Client]:
        return [c for c in self.clients if c in self.adopted or (c.name == self.owner and self.owner)]

    def _tell(self, kind: str, message: str) -> None:
        if kind == "executing":
            self.state.pop("progress", None)
            self.state[kind] = message
        else:
            self.story.append(message)
        for client in self._followers():
            client.put(message)

    def _update(self, kind: str, message: str) -> None:
        self.state[kind] = message
        for client in self._followers():
            client.replace(kind, message)

    def _frames(self, kind: str, feature: str, knowing: bytes, older: bytes) -> None:
        for client in self._followers():
            message = knowing if client.features.get(feature) else older
            client.replace(kind, message) if kind == "preview" else client.put(message)

    def _hold(self, why: str) -> None:
        self.held = why
        self._status()

    def _status(self, client: Client | None = None) -> None:
        data = {"status": self.standing()}
        if client is not None:
            client.put(dump({"type": "status", "data": {**data, "sid": client.name}}))
        for each in [] if client else self.clients:
            each.replace("status", dump({"type": "status", "data": data}))

    def _join(self, client: Client) -> None:
        """Tell a page what runs if that is its own, or if nobody else looks on."""
        watched = any(other.name == self.owner for other in self.clients)
        self.clients.add(client)
        self._status(client)
        if client.name != self.owner and self.story and not watched:
            self.adopted.add(client)
        if client in self._followers():
            for message in [*self.story, *self.state.values()]:
                client.put(message)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer `/ws`."""
        if len(self.clients) >= MOST_CLIENTS:
            raise web.HTTPServiceUnavailable(text=f"{MOST_CLIENTS} pages are open already: close some.")
        # Uncompressed: previews are, and the rest is small.
        socket = web.WebSocketResponse(compress=False, max_msg_size=1 << 16)
        if not socket.can_prepare(request):
            raise web.HTTPUpgradeRequired(text="This address speaks WebSocket only.", headers={"Upgrade": "websocket"})
        await socket.prepare(request)
        client = Client(as_name(request.query.get("clientId")) or uuid.uuid4().hex, socket, request.transport)
        self._join(client)
        pump = asyncio.create_task(client.pump())
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    self._hear(client, message.data)
        finally:
            self.clients.discard(client)
            self.adopted.discard(client)
            pump.cancel()
        return socket

    def _hear(self, client: Client, text: str) -> None:
        """Take what a client can do, and tell it what the server can; anything else is not for us."""
        with contextlib.suppress(ValueError, RecursionError):
            said = json.loads(text)
            if isinstance(said, dict) and said.get("type") == "feature_flags" and isinstance(said.get("data"), dict):
                client.features = said["data"]
                client.put(dump({"type": "feature_flags", "data": FEATURES}))

    async def close(self) -> None:
        """Say goodbye to everybody, once they have heard the last of it."""
        for _ in range(20):
            if any(client.waiting for client in self.clients):
                await asyncio.sleep(0.01)
        closing = [client.socket.close(code=1001, message=b"The server ends.") for client in self.clients]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*closing, return_exceptions=True), 0.5)
