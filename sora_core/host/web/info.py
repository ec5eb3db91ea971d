"""What the page asks about the server."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from aiohttp import web

from ...errors import expect
from ..machine import describe
from .live import FEATURES

if TYPE_CHECKING:
    from .app import Studio


class Info:
    """Answers about the server and the machine."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    async def users(self, request: web.Request) -> web.Response:
        """Say that there is one user, whose data lie here."""
        return web.json_response({"storage": "server", "migrated": True})

    async def features(self, request: web.Request) -> web.Response:
        """Say what this server can."""
        return web.json_response(FEATURES)

    async def system(self, request: web.Request) -> web.Response:
        """Describe the machine; without waiting for torch, which may be loading still."""
        return web.json_response(describe(sys.modules.get("torch") if self.studio.loaded else None))

    async def files(self, request: web.Request) -> web.Response:
        """List the files of the input, output or temp folder, the newest first."""
        kind = request.match_info["kind"]
        expect(kind in ("input", "output", "temp"), "Name the folder input, output or temp.")
        found = [path for path in self.studio.folders.of(kind).glob("*") if not path.name.startswith(".")]
        found = sorted(filter(lambda path: path.is_file(), found), key=lambda path: -path.stat().st_mtime)
        return web.json_response([path.name if kind == "input" else f"{path.name} [{kind}]" for path in found])

    async def nothing(self, request: web.Request) -> web.Response:
        """Answer with an empty object, for what this server has none of."""
        return web.json_response({})

    async def none(self, request: web.Request) -> web.Response:
        """Answer with an empty list."""
        return web.json_response([])
