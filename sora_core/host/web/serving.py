"""Files: the frontend's page, what packs bring, and the media of the user's folders."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

from ...files import PAGE_TYPES, PHONE_PICTURE_TYPES, PICTURE_TYPES, SOUND_TYPES, VIDEO_TYPES
from ..desk.folders import contained
from ..desk.page import page_rules
from ..desk.views import rendition
from .wire import dump

if TYPE_CHECKING:
    from .app import Studio

MEDIA = {**VIDEO_TYPES, **PICTURE_TYPES, **SOUND_TYPES, **PHONE_PICTURE_TYPES}
FOREVER = "public, max-age=31536000, immutable"  # the name changes with what is in it
AFRESH = "no-cache"  # kept, and asked for again each time
_PACKED = 1 << 14  # bytes from which on a text is worth packing for the network


class Serving:
    """Answers with files, each within its own folder."""

    def __init__(self, studio: Studio, page: Path | None) -> None:
        """Serve for `studio`. page: the frontend's files, None for a server without a page."""
        self.studio, self.page = studio, page
        self.rules = page_rules(page and page / "index.html")
        self.packed: dict[Path, bytes] = {}
        self.info = b""

    async def start(self, request: web.Request) -> web.StreamResponse:
        """Answer `/`."""
        if self.page is None:
            return web.Response(text="This is sora serve: it has no page. `sora studio` has one.\n")
        answer = self._file(self.page / "index.html", "no-store")
        answer.headers["Content-Security-Policy"] = self.rules
        return answer

    async def static(self, request: web.Request) -> web.StreamResponse:
        """Answer with a file of the frontend."""
        if self.page is None:
            raise web.HTTPNotFound()
        name = request.match_info["path"]
        path = self._existing(self.page, name)
        cache = FOREVER if name.startswith("assets/") else AFRESH
        # Over the network it counts how much is sent; here, how soon.
        text = path.suffix in (".js", ".css", ".json", ".svg", ".html")
        asked = "gzip" in request.headers.get("Accept-Encoding", "") and "Range" not in request.headers
        if not (self.studio.gate.remote and text and asked and path.stat().st_size >= _PACKED):
            return self._file(path, cache)
        if path not in self.packed:
            self.packed[path] = await asyncio.to_thread(lambda: gzip.compress(path.read_bytes(), 6))
        headers = {"Cache-Control": cache, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return web.Response(body=self.packed[path], content_type=PAGE_TYPES[path.suffix], headers=headers)

    def _existing(self, root: Path, name: str) -> Path:
        path = contained(root, name)
        if not path.is_file():
            raise web.HTTPNotFound()
        return path

    def _file(self, path: Path, cache: str = AFRESH) -> web.FileResponse:
        kind = PAGE_TYPES.get(path.suffix.lower()) or MEDIA.get(path.suffix.lower()) or "application/octet-stream"
        return web.FileResponse(path, headers={"Cache-Control": cache, "Content-Type": kind})

    # -- what packs bring ------------------------------------------------------------------------------------
    async def object_info(self, request: web.Request) -> web.StreamResponse:
        """Answer with all nodes, or the one that is asked for."""
        host = await self.studio.host()
        name = request.match_info.get("node")
        with host.active():
            if name is not None:
                node = host.registry.nodes.get(name)
                return web.json_response({name: node.GET_NODE_INFO_V1()} if node else {}, dumps=dump)
            # Built anew, in milliseconds: files may have come that a node lists.
            body = dump(host.registry.object_info()).encode()
        tag = hashlib.sha256(body).hexdigest()[:16]
        headers = {"ETag": f'"{tag}"', "Cache-Control": AFRESH}
        if tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        answer = web.Response(body=body, content_type="application/json", headers=headers)
        if self.studio.gate.remote:
            answer.enable_compression()
        return answer

    async def extensions(self, request: web.Request) -> web.StreamResponse:
        """List the packs' scripts."""
        shelf = await self.studio.shelf()
        return web.json_response([f"/extensions/{quote(pack)}/{quote(name)}" for pack, name in shelf.scripts()])

    async def extension(self, request: web.Request) -> web.StreamResponse:
        """Answer with a file of a pack's web folder, or of the frontend's own extensions."""
        name, path = request.match_info["pack"], request.match_info["path"]
        if name == "core" and self.page is not None:
            return self._file(self._existing(self.page / "extensions" / "core", path))
        pack = (await self.studio.shelf()).packs.get(name)
        if pack is None or pack.web_folder is None:
            raise web.HTTPNotFound()
        return self._file(self._existing(pack.web_folder, path))

    async def templates(self, request: web.Request) -> web.StreamResponse:
        """List the templates."""
        language = request.match_info.get("language", "en")
        return web.json_response((await self.studio.shelf()).index(language))

    async def template(self, request: web.Request) -> web.StreamResponse:
        """Answer with a template or its picture; it may be asked for by its pack."""
        shelf, pack = await self.studio.shelf(), request.match_info.get("pack")
        stem, _, kind = request.match_info["path"].rpartition(".")
        found = shelf.template(stem.removesuffix("-1") if kind == "jpg" else stem)
        if found is None or pack not in (None, found[0].pack):
            raise web.HTTPNotFound()
        if kind == "json":
            return web.json_response(found[1], dumps=dump, headers={"Cache-Control": AFRESH})
        if kind != "jpg" or not found[0].picture.is_file():
            raise web.HTTPNotFound()
        return self._file(found[0].picture)

    async def blueprints(self, request: web.Request) -> web.StreamResponse:
        """List the packs' blueprints, or answer with one and its text."""
        leaves = (await self.studio.shelf()).blueprints
        listed = {
            key: {"source": "custom_node", "name": leaf.name, "info": {"node_pack": f"custom_nodes.{leaf.pack}"}}
            for key, leaf in leaves.items()
        }
        key = request.match_info.get("id")
        if key is None:
            return web.json_response(listed)
        found = {**listed[key], "data": leaves[key].path.read_text("utf-8")} if key in leaves else None
        return web.json_response(found)

    async def translations(self, request: web.Request) -> web.StreamResponse:
        """Answer with the packs' translations."""
        return web.json_response((await self.studio.shelf()).translations())

    # -- the user's media ------------------------------------------------------------------------------------
    async def view(self, request: web.Request) -> web.StreamResponse:
        """Answer with a file of the input, output or temp folder; parts of it too."""
        asked = request.query
        name, kind = asked.get("filename", ""), asked.get("type", "output")
        for folder in ("input", "output", "temp"):
            if name.endswith(f" [{folder}]"):
                name, kind = name[: -len(folder) - 3], folder
        path = self.media(f"{asked['subfolder']}/{name}" if asked.get("subfolder") else name, kind)
        made = await asyncio.to_thread(rendition, path, asked.get("preview"), asked.get("channel"))
        if made is not None:
            return web.Response(body=made[0], content_type=made[1], headers={"Cache-Control": AFRESH})
        answer = self._file(path)
        answer.content_type = MEDIA.get(path.suffix.lower(), "application/octet-stream")  # or it could run as our page
        how = "inline" if path.suffix.lower() in MEDIA else "attachment"
        answer.headers["Content-Disposition"] = f"{how}; filename*=UTF-8''{quote(path.name)}"
        return answer

    def media(self, name: str, kind: str) -> Path:
        """Find a file of one of the folders, or an input that comes with the pack. Raises 404, and SoraError."""
        folders = self.studio.folders
        path = contained(folders.of(kind), name)
        if not path.is_file() and kind == "input" and folders.samples is not None:
            path = contained(folders.samples, name)
        if not path.is_file():
            raise web.HTTPNotFound()
        return path
