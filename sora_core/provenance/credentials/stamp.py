"""When a file was signed, by the word of an authority (RFC 3161): asked only where the policy names one.

The library that signs asks for the stamp itself, waits for ever and goes wherever it is sent on to. So it is given the
address of a relay on this machine, which asks the authority within limits. Whether the stamp that lies in the signed
file holds is looked at afterwards.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ...calls import CallError, post
from ...errors import SoraError
from ...safety.policy import policy_in_force

PATIENCE = 10.0  # seconds, for all that is asked of an authority for one file
_MOST_BYTES = 1 << 16  # of a stamp
_QUERY, _REPLY = "application/timestamp-query", "application/timestamp-reply"
_LOOPBACK = "127.0.0.1"


class StampError(SoraError):
    """An authority gave no time stamp that holds."""


class Relay:
    """Stands between the library that signs and an authority."""

    def __init__(self, authority: str) -> None:
        policy = policy_in_force()
        self.authority = authority
        self.direct = policy is not None and policy.locked  # a proxy of the user's does not stand between
        self.address = ""  # of the relay itself, "" for no authority
        self.failed = ""  # why there was no stamp, "" where there was one or nobody asked
        self._end: float | None = None  # when patience ends: it begins with the first question

    def ask(self, query: bytes) -> bytes:
        """Ask the authority. Raises CallError."""
        if self._end is None:
            self._end = time.monotonic() + PATIENCE
        left = max(self._end - time.monotonic(), 0.001)
        try:
            kind = {"Content-Type": _QUERY}
            answer = post(self.authority, query, kind, seconds=left, most=_MOST_BYTES, direct=self.direct)
            if not answer.good:
                raise CallError(f"it answers {answer.status} {answer.reason}")
            if answer.kind.partition(";")[0].strip().lower() != _REPLY:
                raise CallError(f"its answer is {answer.kind or 'of no kind'!r} and no time stamp")
        except CallError as error:
            self.failed = str(error)
            raise
        return answer.body


@contextmanager
def relay(authority: str) -> Iterator[Relay]:
    """Relay to the `authority`, an http address, within the block; "" for none, and nothing listens."""
    made = Relay(authority)
    if not authority:
        yield made
        return
    path = f"/{secrets.token_urlsafe(16)}"  # others on this machine know the port, and have nothing to ask here

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE

        def do_POST(self) -> None:
            if self.path != path:
                self.send_error(404)
                return
            try:
                size = min(int(self.headers.get("Content-Length") or 0), _MOST_BYTES)
                body = made.ask(self.rfile.read(size))
            except (CallError, ValueError):
                self.send_error(502)
                return
            self.send_response(200)
            self.send_header("Content-Type", _REPLY)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing: what matters is in `failed`."""

    server = ThreadingHTTPServer((_LOOPBACK, 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True, name="time stamps").start()
    made.address = f"http://{_LOOPBACK}:{server.server_port}{path}"
    _keep_proxies_off()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


def _keep_proxies_off() -> None:
    """Except this machine itself from the proxies that the environment names, if it is not: the library obeys those."""
    if urllib.request.getproxies() and not urllib.request.proxy_bypass(_LOOPBACK):
        for name in ("no_proxy", "NO_PROXY"):
            os.environ[name] = ",".join(filter(None, [os.environ.get(name, ""), _LOOPBACK]))


def check_stamp(store: dict[str, Any]) -> None:
    """Raise StampError unless the credentials of a file have a stamp that fits, whoever it is by.

    store: what the library that signs reads of the file.
    """
    active = (store.get("validation_results") or {}).get("activeManifest") or {}
    listed = [*(active.get("failure") or []), *(active.get("informational") or [])]
    codes = [str(each.get("code")) for each in listed]
    bad = [code for code in codes if code.startswith("timeStamp.") and code != "timeStamp.untrusted"]
    signature = (store["manifests"][store["active_manifest"]]).get("signature_info") or {}
    if bad or not signature.get("time"):
        raise StampError(f"the authority's time stamp does not hold ({bad[0] if bad else 'there is none'}).")
