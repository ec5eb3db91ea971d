"""What the page asks about the server and the machine."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ...about import VERSION
from ...memory import free_memory, total_memory
from .live import FEATURES

if TYPE_CHECKING:
    from .app import Studio

KINDS = ("checkpoints", "loras")


class Info:
    """Answers about the server."""

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
        torch, free, total = sys.modules.get("torch"), free_memory() or 0, total_memory() or 0
        page = _version("comfyui-frontend-package")
        system = {
            "os": sys.platform,
            "ram_total": total,
            "ram_free": free,
            "comfyui_version": VERSION,
            "required_frontend_version": page,
            "installed_templates_version": None,
            "required_templates_version": None,
            "python_version": platform.python_version(),
            "pytorch_version": getattr(torch, "__version__", "") if self.studio.loaded else "",
            "embedded_python": False,
            "argv": ["sora"],
        }
        return web.json_response({"system": system, "devices": self._devices(torch, total, free)})

    def _devices(self, torch: Any, total: int, free: int) -> list[dict[str, Any]]:
        found: list[tuple[Any, ...]] = [("cpu", "cpu", None, total, free)]
        if self.studio.loaded and torch is not None and torch.cuda.is_available():
            for index in range(torch.cuda.device_count()):
                left, whole = torch.cuda.mem_get_info(index)
                found.insert(index, (torch.cuda.get_device_name(index), "cuda", index, whole, left))
        names = ("name", "type", "index", "vram_total", "vram_free", "torch_vram_total", "torch_vram_free")
        return [dict(zip(names, (*device, *device[3:]), strict=True)) for device in found]

    async def models(self, request: web.Request) -> web.Response:
        """List the kinds of model files, or the files of a kind; names alone."""
        kind = request.match_info.get("kind")
        if kind is None:
            listed: list[Any] = [{"name": kind, "folders": []} for kind in KINDS]
            return web.json_response(listed if "experiment" in request.path else list(KINDS))
        if kind not in KINDS:
            raise web.HTTPNotFound()
        await self.studio.host()
        from ..current import desk

        files = desk().model_files() if kind == "checkpoints" else desk().lora_files()
        named = [{"name": name, "pathIndex": 0} for name in files]
        return web.json_response(named if "experiment" in request.path else list(files))

    async def folders(self, request: web.Request) -> web.Response:
        """List the folders by kind, as far as a visitor may know them."""
        kinds = {kind: [self.studio.gate.hide(str(self.studio.folders.of(kind)))] for kind in ("input", "output")}
        return web.json_response(kinds)

    async def files(self, request: web.Request) -> web.Response:
        """List the files of the input, output or temp folder, the newest first."""
        kind = request.match_info["kind"]
        if kind not in ("input", "output", "temp"):
            raise web.HTTPBadRequest(text="Name the folder input, output or temp.")
        folder = self.studio.folders.of(kind)
        found = [path for path in folder.glob("*") if path.is_file() and not path.name.startswith(".")]
        found.sort(key=lambda path: -path.stat().st_mtime)
        return web.json_response([f"{path.name} [{kind}]" if kind != "input" else path.name for path in found])

    async def nothing(self, request: web.Request) -> web.Response:
        """Answer with an empty object, for what this server has none of."""
        return web.json_response({})

    async def none(self, request: web.Request) -> web.Response:
        """Answer with an empty list."""
        return web.json_response([])


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
