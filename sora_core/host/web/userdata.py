"""The user's own files: saved workflows, settings, whatever else the frontend keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aiohttp import web

from ...errors import expect
from ...files import ensure_writable, written_beside
from .security import inside, read_json
from .wire import dump

SETTINGS = "comfy.settings.json"
# With it set, a graph opens whose models are not ours; without, the templates do.
NEVER_TOLD = "Comfy.TutorialCompleted"
# Notes on ComfyUI's releases would be fetched from its makers' server.
USUAL = {"Comfy.Notification.ShowVersionUpdates": False}
UNWRITTEN = {"user.css": "", "comfy.templates.json": "[]"}  # what the page asks for before anybody made it
TYPES = {".css": "text/css", ".json": "application/json"}


class UserData:
    """Reads and writes below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # -- settings --------------------------------------------------------------------------------------------
    def _settings(self) -> dict[str, Any]:
        try:
            kept = json.loads((self.root / SETTINGS).read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            kept = {}
        return USUAL | (kept if isinstance(kept, dict) else {})

    def _keep(self, changed: dict[str, Any]) -> web.Response:
        ensure_writable(self.root)
        with written_beside(self.root / SETTINGS) as part:
            part.write_text(json.dumps(self._settings() | changed, indent=2), encoding="utf-8")
        return web.Response()

    async def settings(self, request: web.Request) -> web.Response:
        """Answer with all settings, or with one."""
        kept = self._settings()
        kept.pop(NEVER_TOLD, None)
        name = request.match_info.get("id")
        return web.json_response(kept if name is None else kept.get(name), dumps=dump)

    async def keep_settings(self, request: web.Request) -> web.Response:
        """Keep several settings."""
        return self._keep(await read_json(request))

    async def keep_setting(self, request: web.Request) -> web.Response:
        """Keep one setting, any JSON value."""
        return self._keep({request.match_info["id"]: await read_json(request, object)})

    # -- files -----------------------------------------------------------------------------------------------
    async def listed(self, request: web.Request) -> web.Response:
        """List the files of a folder."""
        folder = self._path(request.query.get("dir", ""))  # one that is not there has no files
        whole, split = (request.query.get(name, "").lower() == "true" for name in ("full_info", "split"))
        found = folder.rglob("*") if request.query.get("recurse", "").lower() == "true" else folder.glob("*")
        files = sorted(path for path in found if path.is_file() and not path.name.startswith("."))
        names = [path.relative_to(folder).as_posix() for path in files]
        if whole:
            return web.json_response([_info(path, name) for path, name in zip(files, names, strict=True)])
        return web.json_response([[name, *name.split("/")] for name in names] if split else names)

    async def tree(self, request: web.Request) -> web.Response:
        """List a folder and all below it, the newer way."""
        folder = self._path(request.query["path"]) if request.query.get("path") else self.root
        if not folder.is_dir():
            return web.json_response([], status=404 if folder != self.root else 200)
        entries = []
        for path in sorted(folder.rglob("*"), key=lambda path: (path.is_file(), path.name.lower())):
            about = {"name": path.name, "path": path.relative_to(self.root.resolve()).as_posix()}
            if path.is_file():
                stat = path.stat()
                entries.append({**about, "type": "file", "size": stat.st_size, "modified": stat.st_mtime})
            else:
                entries.append({**about, "type": "directory"})
        return web.json_response(entries)

    async def read(self, request: web.Request) -> web.StreamResponse:
        """Answer with a file."""
        path = self._path(request.match_info["file"])
        if not path.is_file():
            usual = UNWRITTEN.get(request.match_info["file"])
            if usual is None:
                raise web.HTTPNotFound()
            return web.Response(text=usual, content_type=TYPES[path.suffix])
        kind = TYPES.get(path.suffix.lower(), "application/octet-stream")
        how = "inline" if path.name == "user.css" else "attachment"
        headers = {"Content-Type": kind, "Content-Disposition": how, "Cache-Control": "no-cache"}
        return web.FileResponse(path, headers=headers)

    async def write(self, request: web.Request) -> web.Response:
        """Write a file, over another only if that is wanted."""
        path = self._path(request.match_info["file"])
        body = await request.read()
        return self._written(request, path, lambda part: part.write_bytes(body))

    async def move(self, request: web.Request) -> web.Response:
        """Rename a file."""
        source, path = self._path(request.match_info["file"]), self._path(request.match_info["dest"])
        if not source.is_file():
            raise web.HTTPNotFound()
        return self._written(request, path, source.rename, "false")

    async def delete(self, request: web.Request) -> web.Response:
        """Remove a file."""
        path = self._path(request.match_info["file"])
        if not path.is_file():
            raise web.HTTPNotFound()
        path.unlink()
        return web.Response(status=204)

    def _written(self, request: web.Request, path: Path, write: Any, usually: str = "true") -> web.Response:
        if path.exists() and (request.query.get("overwrite", usually) == "false" or not path.is_file()):
            raise web.HTTPConflict(text="There is a file of that name already.")
        ensure_writable(path.parent)
        with written_beside(path) as part:
            write(part)
        name = path.relative_to(self.root.resolve()).as_posix()
        whole = request.query.get("full_info", "").lower() == "true"
        return web.json_response(_info(path, name) if whole else name)

    def _path(self, name: str) -> Path:
        path = inside(self.root, name)
        hidden = any(part.startswith(".") for part in path.relative_to(self.root.resolve()).parts)
        expect(path != self.root.resolve() and not hidden, "Name a file or folder that is not hidden.")
        return path


def _info(path: Path, name: str) -> dict[str, Any]:
    stat = path.stat()
    made = int(stat.st_ctime * 1000)
    return {"path": name, "size": stat.st_size, "modified": int(stat.st_mtime * 1000), "created": made}
