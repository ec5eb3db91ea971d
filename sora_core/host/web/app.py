"""The server put together: routes, start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from ...errors import SoraError
from ...safety.policy import Policy
from ..desk.folders import Folders
from ..desk.page import frontend
from ..desk.places import Places
from ..run.store import OPEN, Store
from ..run.worker import Worker
from ..shelf import Shelf
from .info import Info
from .jobs import Telling
from .live import Hub
from .queueing import Queueing
from .security import MOST_JSON, Gate
from .serving import Serving
from .uploads import Uploads
from .userdata import UserData

if TYPE_CHECKING:
    from ..host import Host

log = logging.getLogger(__name__)
PORT = 8188  # ComfyUI's, which scripts for its API have in them


@dataclass
class Settings:
    """How a server is to run."""

    base: Path  # holds input, output and user
    address: str = "127.0.0.1"
    port: int = PORT
    page: bool = True  # whether it serves the frontend
    packs: list[Path] | None = None  # None: the pack of this package
    policy: Policy | None = None
    samples: Path | None = None  # inputs that come with the pack
    folders: Folders = field(init=False)

    def __post_init__(self) -> None:
        self.base = self.base.resolve()
        self.folders = Folders(self.base / "input", self.base / "output", samples=self.samples)


class Studio:
    """One server: its jobs, its pages, and the host that runs its graphs."""

    def __init__(self, settings: Settings) -> None:
        """Put it together, without loading nodes yet. Raises SoraError where the folder has a server already."""
        self.settings, self.folders = settings, settings.folders
        page = frontend() if settings.page else None
        named = {"temp": self.folders.temp, ".": settings.base, "python": Path(sys.prefix), "~": Path.home()}
        named["sora"] = Path(__file__).resolve().parents[3]
        self.gate = Gate(settings.address, Places(named))
        self.store = Store(settings.base / "user" / "sora.sqlite")
        self.hub = Hub(lambda: self.store.count(OPEN))
        self.worker = Worker(self.store, lambda job: Telling(job, self.hub), self.gate.hide, self.hub.hold)
        self.serving = Serving(self, page)
        self._host: asyncio.Future[Host] | None = None
        self._shelf: Shelf | None = None
        self.app = self._routes()

    @property
    def loaded(self) -> bool:
        """Whether the nodes are there."""
        return self._host is not None and self._host.done()

    async def host(self) -> Host:
        """Return the host, once its nodes are loaded."""
        assert self._host is not None
        return await asyncio.shield(self._host)

    async def shelf(self) -> Shelf:
        """Return what the packs bring."""
        host = await self.host()
        self._shelf = self._shelf or Shelf(host.registry)
        return self._shelf

    async def _start(self, app: web.Application) -> None:
        self.hub.loop = asyncio.get_running_loop()
        # The page is there before torch is: both load at the same time.
        self._host = self.hub.loop.create_future()
        # Of our own: the loop would wait for one of its threads when it ends.
        threading.Thread(target=self._load, name="sora-load", daemon=True).start()

    def _load(self) -> None:
        try:
            from ..host import Host  # and torch with it

            host = Host(self.folders, self.settings.packs, policy=self.settings.policy)
            for pack in host.registry.packs:
                if pack.error:
                    log.warning("The node pack %s did not load: %s", pack.name, pack.error)
            self.worker.start(host)
        except BaseException as wrong:
            log.error("No graph can run, the nodes did not load: %s", wrong)
            self.hub.call(self._host.set_exception, wrong)  # type: ignore[union-attr]  # made before this thread
        else:
            self.hub.call(self._host.set_result, host)  # type: ignore[union-attr]  # made before this thread

    async def _stop(self, app: web.Application) -> None:
        await asyncio.to_thread(self.worker.close)
        await self.hub.close()

    async def _end(self, app: web.Application) -> None:
        self.store.close()

    def _routes(self) -> web.Application:
        app = web.Application(middlewares=[self.gate.__call__], client_max_size=MOST_JSON)
        app.on_startup.append(self._start)
        app.on_shutdown.append(self._stop)
        app.on_cleanup.append(self._end)
        for method, path, handler in self._table():
            for prefix in ("", "/api"):
                # With HEAD wherever there is GET.
                add = app.router.add_get if method == "GET" else partial(app.router.add_route, method)
                add(prefix + path, handler)
        # Last: it takes every path that nothing else took.
        if self.settings.page:
            app.router.add_get("/{path:.+}", self.serving.static)
        return app

    def _table(self) -> list[tuple[str, str, Callable]]:
        info, jobs, files = Info(self), Queueing(self), self.serving
        user, uploads = UserData(self.settings.base / "user" / "default"), Uploads(self)
        return [
            ("GET", "/", files.start),
            ("GET", "/ws", self.hub.serve),
            ("GET", "/users", info.users),
            ("GET", "/features", info.features),
            ("GET", "/system_stats", info.system),
            ("GET", "/settings", user.settings),
            ("POST", "/settings", user.keep),
            ("GET", "/settings/{id}", user.settings),
            ("POST", "/settings/{id}", user.keep),
            ("GET", "/userdata", user.listed),
            ("POST", "/userdata/{file:.+}/move/{dest:.+}", user.move),
            ("GET", "/{file:user.css}", user.read),
            ("GET", "/userdata/{file:.+}", user.read),
            ("POST", "/userdata/{file:.+}", user.write),
            ("DELETE", "/userdata/{file:.+}", user.delete),
            ("GET", "/i18n", files.translations),
            ("GET", "/extensions", files.extensions),
            ("GET", "/extensions/{pack}/{path:.+}", files.extension),
            ("GET", "/object_info", files.object_info),
            ("GET", "/object_info/{node}", files.object_info),
            ("GET", "/global_subgraphs", files.blueprints),
            ("GET", "/global_subgraphs/{id}", files.blueprints),
            # Ours are in the index, and each template is shown once.
            ("GET", "/workflow_templates", info.nothing),
            ("GET", "/workflow_templates/{pack}/{path}", files.template),
            ("GET", "/templates/index.json", files.templates),
            ("GET", "/templates/index.{language:[A-Za-z-]+}.json", files.templates),
            ("GET", "/templates/index_logo.json", info.nothing),
            ("GET", "/templates/{path}", files.template),
            ("GET", "/node_replacements", info.nothing),
            ("GET", "/embeddings", info.none),
            ("GET", "/models", info.none),
            ("GET", "/experiment/models", info.none),
            ("GET", "/internal/folder_paths", info.nothing),
            ("GET", "/internal/files/{kind}", info.files),
            ("GET", "/view", files.view),
            ("POST", "/upload/image", uploads.image),
            ("POST", "/upload/mask", uploads.mask),
            ("GET", "/prompt", jobs.get_prompt),
            ("POST", "/prompt", jobs.post_prompt),
            ("GET", "/queue", jobs.get_queue),
            ("POST", "/queue", jobs.post_queue),
            ("GET", "/history", jobs.get_history),
            ("POST", "/history", jobs.post_history),
            ("GET", "/history/{id}", jobs.get_history),
            ("POST", "/interrupt", jobs.interrupt),
            ("POST", "/free", jobs.free),
            ("GET", "/jobs", jobs.get_jobs),
            ("POST", "/jobs/cancel", jobs.cancel),
            ("GET", "/jobs/{id}", jobs.get_job),
            ("POST", "/jobs/{id}/cancel", jobs.cancel),
            ("POST", "/jobs/{id}/requeue", jobs.requeue),
        ]


async def run(studio: Studio, stopped: asyncio.Event, told: Callable[[str], None]) -> None:
    """Serve until `stopped` is set. told: gets the address to open. Raises SoraError where the port is taken."""
    runner = web.AppRunner(studio.app, access_log=None, shutdown_timeout=0.3)
    await runner.setup()
    settings = studio.settings
    watch = asyncio.create_task(studio.gate.show_out(lambda: runner.server.connections if runner.server else []))
    try:
        site = web.TCPSite(runner, settings.address, settings.port, reuse_address=None)
        try:
            await site.start()
        except OSError as wrong:
            raise SoraError(
                f"{settings.address}:{settings.port} cannot be used ({wrong.strerror}): choose another --port."
            ) from wrong
        told(address_of(studio, runner))
        with contextlib.suppress(asyncio.CancelledError):
            await stopped.wait()
    finally:
        watch.cancel()
        await runner.cleanup()


def address_of(studio: Studio, runner: web.AppRunner) -> str:
    """Return what to open in a browser on this machine."""
    port, host = min(runner.addresses, key=len)[1], studio.settings.address  # of both kinds IPv4's, which is shorter
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    named = f"[{host}]" if ":" in host else host
    return f"http://{named}:{port}/" + (f"?token={studio.gate.token}" if studio.gate.token else "")
