"""Calls over the network: one exchange, with a limit on all of its time and on all of its size.

A socket's own limit is for one read. A server that drips bytes, or answers with headers without end, outlasts it, and
names are looked up without any. So the exchange runs in a thread, and whoever asks waits as long as was said.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import SoraError
from .interrupt import check_interrupted

MOST_BYTES = 1 << 20  # of an answer
_EVERY = 0.1  # seconds between two questions whether to go on


class CallError(SoraError):
    """An exchange came to nothing; `str()` is the reason alone, for a sentence of whoever asked."""

    late: bool = False  # whether time was what lacked


@dataclass(frozen=True)
class Answer:
    """What a server answered, whatever it means."""

    status: int
    reason: str
    kind: str  # its content type, "" where it names none
    body: bytes = field(repr=False)

    @property
    def good(self) -> bool:
        """Return whether the server says that it did as it was asked."""
        return 200 <= self.status < 300


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, seconds: float, most: int = MOST_BYTES, direct: bool = False
) -> Answer:
    """Post `body` to the http address `url`, and return the answer, which may say no.

    seconds, most: limits of the whole exchange and of the answer's bytes. direct: past any proxy of the user's. No
    redirect is followed: it could carry what is sent to another place. Nothing that is compressed is unpacked.

    Raises CallError for no whole answer in time, for one that is too long, and for an address that is none.
    """
    exchange = _Exchange(url, body, dict(headers), seconds, most, direct)
    threading.Thread(target=exchange.run, daemon=True, name="a call").start()
    try:
        while not exchange.done.wait(max(min(_EVERY, exchange.left()), 0)):
            check_interrupted()
            if exchange.left() <= 0:
                raise _late(seconds)
    finally:
        exchange.hang_up()
    if exchange.answer is None:
        raise exchange.error or _late(seconds)
    return exchange.answer


def _late(seconds: float) -> CallError:
    error = CallError(f"no whole answer within {seconds:.3g} s")
    error.late = True
    return error


class _Exchange:
    """One request and its answer, in a thread of its own."""

    def __init__(self, url: str, body: bytes, headers: dict[str, str], seconds: float, most: int, direct: bool) -> None:
        self.url, self.body, self.headers, self.most, self.direct = url, body, headers, most, direct
        self.seconds, self.end = seconds, time.monotonic() + seconds
        self.done = threading.Event()
        self.answer: Answer | None = None
        self.error: CallError | None = None
        self._lock = threading.Lock()
        self._over = False
        self._sockets: list[socket.socket] = []

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.end - time.monotonic()

    def run(self) -> None:
        """Do it, and keep what came of it."""
        try:
            self.answer = self._call()
        except CallError as error:
            self.error = error
        except (OSError, http.client.HTTPException, ValueError) as error:
            cause = getattr(error, "reason", error)
            late = isinstance(cause, TimeoutError) or self.left() <= 0
            words = " ".join(str(cause).split()) or "it answers nothing"
            self.error = _late(self.seconds) if late else CallError(words)
        finally:
            self.done.set()

    def hang_up(self) -> None:
        """End the connection, whatever is still read from it."""
        with self._lock:
            self._over = True
            for each in self._sockets:
                _shut(each)

    def _call(self) -> Answer:
        request = urllib.request.Request(self.url, self.body, self.headers)
        opener = urllib.request.OpenerDirector()
        handlers = [_Http(self), _Https(self), urllib.request.ProxyHandler({} if self.direct else None)]
        # A director that is made by hand opens no file:, ftp: or data: address, and takes every status as an answer.
        for handler in (*handlers, urllib.request.UnknownHandler()):
            opener.add_handler(handler)
        with opener.open(request, timeout=max(self.left(), 0.001)) as reply:
            body = b""
            while piece := reply.read1(1 << 16):
                body += piece
                if len(body) > self.most:
                    raise CallError(f"its answer has more than {self.most} bytes")
            if reply.length:  # what it promised and did not send
                raise CallError("its answer breaks off")
            return Answer(reply.status, reply.reason or "", reply.headers.get("Content-Type") or "", body)

    def connect(self, *given: Any, **named: Any) -> socket.socket:
        """Open a connection that `hang_up` can end."""
        made = socket.create_connection(*given, **named)
        with self._lock:
            self._sockets.append(made)
            if self._over:
                _shut(made)
        return made


def _shut(made: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended
        # Around TLS, which would wait for the other side's goodbye. The reader sees the end, and closes.
        socket.socket.shutdown(made, socket.SHUT_RDWR)


class _Http(urllib.request.HTTPHandler):
    def __init__(self, exchange: _Exchange) -> None:
        super().__init__()
        self.exchange = exchange

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        def connection(host: str, **named: Any) -> http.client.HTTPConnection:
            made = http.client.HTTPConnection(host, **named)
            made._create_connection = self.exchange.connect  # type: ignore[attr-defined]  # no public way to the socket
            return made

        return self.do_open(connection, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, exchange: _Exchange) -> None:
        super().__init__()
        self.exchange = exchange

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        def connection(host: str, **named: Any) -> http.client.HTTPSConnection:
            made = http.client.HTTPSConnection(host, **named)
            made._create_connection = self.exchange.connect  # type: ignore[attr-defined]  # no public way to the socket
            return made

        return self.do_open(connection, req)
