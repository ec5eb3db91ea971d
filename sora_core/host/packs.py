"""Loads node packs by folder, as ComfyUI does, and keeps the table of all known nodes."""

from __future__ import annotations

import asyncio
import contextvars
import importlib.util
import inspect
import sys
import threading
import traceback
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from ..files import is_folder
from .api import ComfyExtension
from .api.schema import ComfyNode

OWN_NAME = "Sora"  # of the pack that belongs to this package


@dataclass
class Pack:
    """A folder of nodes and what became of it."""

    name: str
    folder: Path
    node_ids: list[str] = field(default_factory=list)
    web_folder: Path | None = None  # scripts for the frontend
    error: str | None = None  # None when it loaded
    details: str = ""  # the traceback of the error


class Registry:
    """All nodes by id, and the packs they came from."""

    def __init__(self) -> None:
        self.nodes: dict[str, type[ComfyNode]] = {}
        self.packs: list[Pack] = []

    def add(self, node: type[ComfyNode], module: str = "nodes") -> str:
        """Register one node class; its schema is checked here. Returns the node's id."""
        node_id = node.GET_SCHEMA().node_id
        node.RELATIVE_PYTHON_MODULE = module
        self.nodes[node_id] = node
        return node_id

    def object_info(self) -> dict[str, dict[str, Any]]:
        """Describe every node, as the frontend reads it."""
        return {node_id: node.GET_NODE_INFO_V1() for node_id, node in self.nodes.items()}

    def load_packs(self, folders: Iterable[Path]) -> list[Pack]:
        """Load each folder; a pack that fails is recorded with its error and the others still load."""
        return [self.load_pack(folder) for folder in folders]

    def load_pack(self, folder: Path) -> Pack:
        """Load the pack in `folder`, all of it or nothing; the error of one that fails stands in the result."""
        folder = Path(folder).resolve()
        # The folder of our own is whatever a checkout is called.
        pack = Pack(name=OWN_NAME if folder == own_pack() else folder.name, folder=folder)
        self.packs.append(pack)
        known = dict(self.nodes)
        try:
            run_coroutine(self._load(pack))
        except Exception as error:
            # All or nothing: half a pack would let a workflow start and fail in the middle.
            self.nodes = known
            pack.node_ids = []
            pack.error = f"{type(error).__name__}: {error}"
            pack.details = traceback.format_exc()
        return pack

    async def _load(self, pack: Pack) -> None:
        module = import_pack(pack.folder)
        entrypoint = getattr(module, "comfy_entrypoint", None)
        if not callable(entrypoint):
            raise ImportError("the pack has no comfy_entrypoint (V3); older packs are not supported")
        extension = entrypoint()
        if inspect.isawaitable(extension):
            extension = await extension
        if not isinstance(extension, ComfyExtension):
            raise TypeError(f"comfy_entrypoint returned {type(extension).__name__}, not a ComfyExtension")
        await extension.on_load()
        for node in await extension.get_node_list():
            pack.node_ids.append(self.add(node, f"custom_nodes.{pack.name}"))
        web = getattr(module, "WEB_DIRECTORY", None)
        if web and (pack.folder / web).is_dir():
            pack.web_folder = (pack.folder / web).resolve()


# A second host must not see a module that the first one is still importing. A pack may load another.
_importing = threading.RLock()


def import_pack(folder: Path) -> ModuleType:
    """Import a pack's `__init__.py` under a name made of its path: nothing needs to be on sys.path.

    Raises ImportError where there is none, and what the pack raises.
    """
    init = folder / "__init__.py"
    name = str(folder).replace(".", "_x_")
    with _importing:
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, init) if init.is_file() else None
        if spec is None or spec.loader is None:
            raise ImportError(f"{folder} has no __init__.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module


T = TypeVar("T")


def run_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
    """Finish `coroutine` here, whether or not this thread already runs an event loop (Jupyter's does)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    # The folders, the policy and the running node are context variables, which a new thread does not inherit.
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(context.run, asyncio.run, coroutine).result()


def own_pack() -> Path | None:
    """Find the pack that belongs to this package: the checkout's root, or `sora_nodes` beside us."""
    beside = Path(__file__).resolve().parents[2]
    for folder in (beside, beside / "sora_nodes"):
        if (folder / "__init__.py").is_file() and (folder / "nodes").is_dir():
            return folder
    spec = importlib.util.find_spec("sora_nodes")
    if spec is not None and spec.origin:
        return Path(spec.origin).parent
    return None


def packs_in(folder: Path) -> list[Path]:
    """List the packs in a `custom_nodes` folder, by name; `.disabled` ones are left out."""
    if not is_folder(folder):
        return []
    return sorted(p for p in folder.iterdir() if (p / "__init__.py").is_file() and not p.name.endswith(".disabled"))
