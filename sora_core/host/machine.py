"""What a frontend shows of the machine: system, memory, devices."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from typing import Any

from ..about import VERSION
from ..memory import free_memory, total_memory


def describe(torch: Any = None) -> dict[str, Any]:
    """Describe the machine as `/system_stats` does. torch: the module, None while it is not loaded."""
    free, total = free_memory() or 0, total_memory() or 0
    found: list[tuple[Any, ...]] = [("cpu", "cpu", None, total, free)]
    if torch is not None and torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            left, whole = torch.cuda.mem_get_info(index)
            found.insert(index, (torch.cuda.get_device_name(index), "cuda", index, whole, left))
    names = ("name", "type", "index", "vram_total", "vram_free", "torch_vram_total", "torch_vram_free")
    system = {
        "os": sys.platform,
        "ram_total": total,
        "ram_free": free,
        "comfyui_version": VERSION,
        "required_frontend_version": _version("comfyui-frontend-package"),
        "installed_templates_version": None,
        "required_templates_version": None,
        "python_version": platform.python_version(),
        "pytorch_version": getattr(torch, "__version__", ""),
        "embedded_python": False,
        "argv": ["sora"],
    }
    return {"system": system, "devices": [dict(zip(names, (*one, *one[3:]), strict=True)) for one in found]}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
