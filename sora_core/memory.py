"""What memory the machine has free, and refusing what needs more before any of it is taken."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from .errors import SoraError

SMALL = 64 << 20  # bytes: less than this is not worth asking the machine for
_GIB = 1 << 30
_LARGEST = 32 << 20  # bytes of the largest block that glibc learns from


def free_memory() -> int | None:
    """Return the bytes that this process may still take; None where nothing tells.

    That is the least of what the machine, the container's limit and the process's own limit leave.
    """
    known = [_machine(), *_containers(), _own_limit()]
    return min((found for found in known if found is not None), default=None)


def total_memory() -> int | None:
    """Return the bytes of memory that the machine has; None where nothing tells."""
    lines = _fields("/proc/meminfo")
    if "MemTotal" in lines:
        return 1024 * lines["MemTotal"]
    try:
        import psutil
    except ImportError:
        return None
    return int(psutil.virtual_memory().total)


@lru_cache(maxsize=1)
def keep_freed() -> None:
    """Have the C library of Linux keep blocks of up to 32 MB that are freed, for the next that asks for as much.

    At first it gives all but the smallest back to the system, which clears them page by page when they are wanted
    again: a quarter of the time of a small network. It learns better from a large block that is freed, so it gets one,
    never touched. At most 64 MB at the end of the heap are kept so.
    """
    block = bytearray(_LARGEST - (64 << 10))
    del block


def expect_memory(needed: int, what: str, advice: str, free: int | None = None) -> None:
    """Raise SoraError, with the figures, when `what` needs more bytes than are free.

    advice: what to do instead. free: bytes of another device's memory; None asks the machine.
    """
    if needed < SMALL:
        return
    free = free_memory() if free is None else free
    if free is not None and needed > free:
        raise SoraError(
            f"{what} needs {gib(needed)} of memory; {gib(max(free, 0))} are free. {advice[0].upper()}{advice[1:]}"
        )


def gib(count: int) -> str:
    """Write bytes as GiB."""
    return f"{count / _GIB:.2f} GiB" if count < 100 * _GIB else f"{count / _GIB:,.0f} GiB"


def _machine() -> int | None:
    """Return what all processes together may still take, swap included."""
    lines = _fields("/proc/meminfo")
    if "MemAvailable" in lines:
        return 1024 * (lines["MemAvailable"] + lines.get("SwapFree", 0))
    try:
        import psutil
    except ImportError:
        return None
    return int(psutil.virtual_memory().available)


def _containers() -> list[int]:
    """List what the limits of the groups that this process is in leave (cgroups, both versions)."""
    found = []
    for folder, most, now in (
        ("/sys/fs/cgroup", "memory.max", "memory.current"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        limit, used = _number(Path(folder, most)), _number(Path(folder, now))
        # "max" is no number, and version 1 writes an enormous one.
        if limit is None or used is None or limit >= 1 << 60:
            continue
        # What is only cached of files makes way.
        cached = _fields(f"{folder}/memory.stat").get("inactive_file", 0)
        found.append(limit - used + cached)
    return found


def _own_limit() -> int | None:
    """Return what `ulimit -v` leaves."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return limit
    return limit - pages * os.sysconf("SC_PAGE_SIZE")


def _fields(path: str) -> dict[str, int]:
    """Read the lines `name number` or `name: number kB` of a file of the kernel's."""
    try:
        lines = [line.replace(":", " ").split() for line in Path(path).read_text().splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
