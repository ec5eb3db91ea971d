"""Who may ask, and what a page may do with the answer.

The server has all rights of the user who started it. Other web pages in the same browser, and other machines, have
none: a foreign page cannot post here (Origin), cannot pass for us under a name of its own (Host), cannot frame or embed
us, and who comes over the network needs the token of the address.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from ...errors import SoraError, words_for_input
from ..desk.page import page_rules
from ..desk.places import Places
from .wire import error

log = logging.getLogger(__name__)

MOST_JSON = 64 << 20  # bytes of a body that is read whole
PATIENCE = 10.0  # seconds with who has not been let in
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": page_rules(),
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gate:
    """Lets requests in, and answers what goes wrong in words."""

    def __init__(self, address: str, places: Places) -> None:
        """Guard a server that listens on `address`. places: what visitors from elsewhere must not read."""
        self.address = address
        self.remote = not is_loopback(address)
        self.token = secrets.token_urlsafe(24) if self.remote else None
        machine = socket.gethostname().lower()
        self.names = {"localhost", address.lower(), *((machine, f"{machine}.local") if self.remote else ())}
        self.places = places
        self.let_in: set[Any] = set()  # connections

    def hide(self, told: Any) -> Any:
        """Return a text, or JSON, as a visitor may read it."""
        return self.places.hide(told) if self.remote else told

    @web.middleware
    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check a request, answer it, and put the headers on."""
        try:
            self._check(request)
            signed = self._signed_in(request)
            self.let_in.add(request.protocol)
            answer = await handler(request) if signed is None else signed
        except web.HTTPException as stop:
            answer = stop
        except ConnectionResetError:
            raise
        except Exception as wrong:
            answer = self._answer(wrong)
        if not answer.prepared:
            answer.headers.update({**HEADERS, **answer.headers})
        if isinstance(answer, web.HTTPException):
            raise answer
        return answer

    async def show_out(self, connections: Callable[[], list[Any]]) -> None:
        """Close connections over which nobody was let in for a while: each is an open file, which jobs need too."""
        before: set[Any] = set()
        while True:
            await asyncio.sleep(PATIENCE)
            for stranger in before & set(connections()) - self.let_in:
                stranger.force_close()
            before = set(connections())
            self.let_in &= before

    def _answer(self, wrong: Exception) -> web.Response:
        told = str(wrong) if isinstance(wrong, SoraError) else words_for_input(wrong)
        if told is None:
            log.error("A request failed", exc_info=wrong)
        status = 500 if told is None else 400
        words = self.hide(told or f"This is a fault of the server ({type(wrong).__name__}): see its log.")
        return web.json_response({"error": error("refused", words), "node_errors": {}}, status=status)

    def _check(self, request: web.Request) -> None:
        if not self._known(request.headers.get("Host", "")):
            raise web.HTTPForbidden(text="This host name is not mine: use the address that was printed at the start.")
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "none")
        if origin is not None and origin.partition("://")[2].lower() != request.headers["Host"].lower():
            raise web.HTTPForbidden(text="Another site's page may not use this server.")
        # A link from anywhere may open the page itself.
        opened = request.method == "GET" and request.path == "/" and request.headers.get("Sec-Fetch-Mode") == "navigate"
        if site not in ("same-origin", "none") and not opened:
            raise web.HTTPForbidden(text="Another site's page may not use this server.")

    def _known(self, host: str) -> bool:
        """Return whether a Host header is ours: a name of this machine, or an address, which nobody can rebind."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        try:
            number = ipaddress.ip_address(name)
        except ValueError:
            return name in self.names
        return self.remote or number.is_loopback

    def _signed_in(self, request: web.Request) -> web.Response | None:
        """Let in who has the token; a page gets a cookie for it, and its address is freed of it. Raises 401."""
        if self.token is None:
            return None
        cookie = "sora_" + "".join(filter(str.isalnum, request.host))  # browsers do not tell ports apart
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        given = request.query.get("token", "")
        shown = [given, bearer if scheme.lower() == "bearer" else "", request.cookies.get(cookie, "")]
        if not any(hmac.compare_digest(one.encode(errors="replace"), self.token.encode()) for one in shown):
            raise web.HTTPUnauthorized(
                text="Open the address that was printed at the start, with its token.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if not given or request.path != "/" or request.method != "GET":
            return None
        rest = request.rel_url.with_query([pair for pair in request.query.items() if pair[0] != "token"])
        answer = web.Response(status=303, headers={"Location": str(rest)})
        answer.set_cookie(cookie, self.token, httponly=True, samesite="Lax", path="/")
        return answer


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address.lower() == "localhost"


async def read_json(request: web.Request, kind: type = dict) -> Any:
    """Read the body as JSON of a kind. Raises SoraError for anything else."""
    body = await request.read()
    try:
        data = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as wrong:
        raise SoraError("The body is not JSON: send an object.") from wrong
    if not isinstance(data, kind):
        raise SoraError(f"The body is JSON, but {type(data).__name__} where {kind.__name__} belongs.")
    return data


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
