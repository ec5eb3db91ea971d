"""The routes of settings and of the user's own files."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from ..desk.userfiles import BOOKMARKS, UserFiles, info
from .security import read_json
from .wire import dump

# With it set, a graph opens whose models are not ours; without, the templates do.
NEVER_TOLD = "Comfy.TutorialCompleted"
# What the page asks for before anybody made it.
UNWRITTEN = {"user.css": "", "comfy.templates.json": "[]", BOOKMARKS: '{"favorites": []}'}
TYPES = {".css": "text/css", ".json": "application/json"}


class UserData:
    """Answers about one user's files."""

    def __init__(self, root: Path) -> None:
        self.files = UserFiles(root)

    async def settings(self, request: web.Request) -> web.Response:
        """Answer with all settings, or with one."""
        kept, name = self.files.settings(), request.match_info.get("id")
        kept.pop(NEVER_TOLD, None)
        return web.json_response(kept if name is None else kept.get(name), dumps=dump)

    async def keep(self, request: web.Request) -> web.Response:
        """Keep several settings, or one, which is any JSON value."""
        name = request.match_info.get("id")
        self.files.keep(await read_json(request) if name is None else {name: await read_json(request, object)})
        return web.Response()

    async def listed(self, request: web.Request) -> web.Response:
        """List the files of a folder; one that is not there has none."""
        whole, split, deep = (request.query.get(n, "").lower() == "true" for n in ("full_info", "split", "recurse"))
        found = self.files.below(request.query.get("dir", ""), deep)
        if whole:
            return web.json_response([info(path, name) for name, path in found.items()])
        return web.json_response([[name, *name.split("/")] for name in found] if split else list(found))

    async def read(self, request: web.Request) -> web.StreamResponse:
        """Answer with a file."""
        path = self.files.path(request.match_info["file"])
        kind = TYPES.get(path.suffix.lower(), "application/octet-stream")
        if not path.is_file() and request.match_info["file"] in UNWRITTEN:
            return web.Response(text=UNWRITTEN[request.match_info["file"]], content_type=kind)
        how = "inline" if path.name == "user.css" else "attachment"
        headers = {"Content-Type": kind, "Content-Disposition": how, "Cache-Control": "no-cache"}
        return web.FileResponse(_there(path), headers=headers)

    async def write(self, request: web.Request) -> web.Response:
        """Write a file, over another unless that is not wanted."""
        path, body = self.files.path(request.match_info["file"]), await request.read()
        if request.query.get("overwrite") == "false":
            _free(path)
        self.files.put(path, lambda part: part.write_bytes(body))
        return self._told(request, path)

    async def move(self, request: web.Request) -> web.Response:
        """Rename a file, over another only if that is wanted."""
        source, path = (self.files.path(request.match_info[name]) for name in ("file", "dest"))
        _there(source)
        if request.query.get("overwrite") != "true":
            _free(path)
        self.files.rename(source, path)
        return self._told(request, path)

    async def delete(self, request: web.Request) -> web.Response:
        """Remove a file."""
        _there(self.files.path(request.match_info["file"])).unlink()
        return web.Response(status=204)

    def _told(self, request: web.Request, path: Path) -> web.Response:
        name = path.relative_to(self.files.root).as_posix()
        return web.json_response(info(path, name) if request.query.get("full_info", "").lower() == "true" else name)


def _there(path: Path) -> Path:
    if not path.is_file():
        raise web.HTTPNotFound()
    return path


def _free(path: Path) -> None:
    if path.exists():
        raise web.HTTPConflict(text="There is a file of that name already.")
