"""The three folders a host reads and writes, and the guarantee that it stays inside them.

File names follow ComfyUI: `prefix_00001_.mp4`, the counter one past the highest in the folder; a prefix may
hold a subfolder and `%date:yyyy-MM-dd%`, `%width%`, `%height%`, `%year%`, `%month%`, `%day%`, `%hour%`,
`%minute%`, `%second%`.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ...errors import SoraError, expect
from ...files import (
    CLAIM,
    PICTURES,
    VIDEOS,
    claim,
    ensure_writable,
    exists,
    is_file,
    is_folder,
    make_private,
    own_temp,
    release,
)
from ...words import controls, did_you_mean, short

IMAGE_SUFFIXES = (*PICTURES, ".gif")
VIDEO_SUFFIXES = VIDEOS

# Most file systems allow 255 bytes for one name; the counter, the suffix and a temporary mark need some.
MAX_PREFIX_BYTES = 200


@dataclass
class Folders:
    """Where a host reads its inputs and writes its outputs and previews."""

    input: Path = field(default_factory=lambda: Path("input"))
    output: Path = field(default_factory=lambda: Path("output"))
    temp: Path = field(default_factory=own_temp)
    samples: Path | None = None  # inputs that come with a workflow, read where `input` has no such file

    def discard_temp(self) -> None:
        """Remove the temp folder and the previews in it."""
        shutil.rmtree(self.temp, ignore_errors=True)

    def of(self, kind: str) -> Path:
        """Return the folder "input", "output" or "temp". Raises SoraError for another name.

        This process's own temp folder is made, for this user alone.
        """
        expect(kind in ("input", "output", "temp"), f"Unknown folder {kind!r}: use input, output or temp.")
        if kind == "temp" and self.temp == own_temp():
            make_private(self.temp)
        return Path(getattr(self, kind))

    def resolve(self, name: str, kind: str = "input") -> Path:
        """Find the file `name` in a folder, never outside it. ComfyUI's `name.png [output]` names the folder too.

        Raises SoraError for a name that leads out of the folder.
        """
        match = re.fullmatch(r"(.*) \[(input|output|temp)\]", name)
        if match:
            name, kind = match.groups()
        path = safe_join(self.of(kind), name)
        # The user's own file of that name comes first.
        if kind == "input" and self.samples is not None and not exists(path):
            sample = safe_join(self.samples, name)
            return sample if exists(sample) else path
        return path

    def existing(self, name: str, kind: str = "input") -> Path:
        """Find a file as `resolve` does. Raises SoraError, naming close matches, when there is none."""
        path = self.resolve(name, kind)
        if not is_file(path):
            hint = did_you_mean(name, self.files(kind)) or f"put the file into {self.of(kind)}."
            raise SoraError(f"There is no file {name!r} in the {kind} folder: {hint}")
        return path

    def is_made(self, name: str) -> bool:
        """Tell whether `name` is a file of the output or temp folder: saved or shown by graphs, brought by no user."""
        folders = {Path(folder).resolve() for folder in (self.output, self.temp)}
        # Of a folder within another the inner one counts.
        nearest = next((each for each in self.resolve(name).parents if each in {*folders, self._input()}), None)
        return nearest in folders - {self._input()}

    def _input(self) -> Path:
        return Path(self.input).resolve()

    def check_input(self, name: str | None) -> None:
        """Raise SoraError when there is no such input; None, a linked name, passes.

        For a node's `validate_inputs`: better to hear it before the work than after.
        """
        if name is not None:
            self.existing(name)

    def stamp(self, name: str) -> tuple[int, int]:
        """Return what changes when an input does, its time in nanoseconds and its size: for `fingerprint_inputs`."""
        stat = self.existing(name).stat()
        return stat.st_mtime_ns, stat.st_size

    def files(self, kind: str, suffixes: tuple[str, ...] = ()) -> list[str]:
        """List the names of the files at the top of a folder, sorted."""
        roots = [self.of(kind)] + ([self.samples] if kind == "input" and self.samples else [])
        found = [path for root in roots if is_folder(root) for path in root.iterdir() if path.is_file()]
        return sorted({path.name for path in found if not suffixes or path.suffix.lower() in suffixes})

    def check_prefix(self, prefix: str | None, kind: str = "output") -> None:
        """Raise SoraError when a file of this prefix could not be saved; None, a linked prefix, passes.

        For a node's `validate_inputs`, as `check_input` is.
        """
        if prefix is not None:
            self._target(prefix, kind, 0, 0)

    def next_file(
        self, prefix: str, suffix: str, kind: str = "output", width: int = 0, height: int = 0
    ) -> tuple[Path, str]:
        """Return the path for the next file of `prefix`, and its subfolder. Makes the folder.

        The name is claimed: no other run, in this process or another, gets the same path, even before the file is
        there. It is free again when the file is written, the run ends or the program does.

        Raises SoraError when the prefix leaves the folder or the folder cannot be written.
        """
        target = self._target(prefix, kind, width, height)
        stem = target.name
        pattern = re.compile(re.escape(stem) + r"_(\d+)_?\.[^.]+$")
        subfolder = target.parent.relative_to(self.of(kind).resolve()).as_posix()
        names = [name.removeprefix(".").removesuffix(CLAIM) for name in os.listdir(target.parent)]
        taken = [int(m.group(1)) for name in names if (m := pattern.match(name))]
        path = claim_next(target.parent, stem, suffix, max(taken, default=0) + 1)
        block = _block.get()
        if block is not None:
            block.promised.append(path)
        return path, "" if subfolder == "." else subfolder

    def _target(self, prefix: str, kind: str, width: int, height: int) -> Path:
        """Return where files of `prefix` go, less their counter. The folder is made and can be written."""
        target = safe_join(self.of(kind), expand_prefix(prefix, width, height) or "sora")
        if target == self.of(kind).resolve():
            target = target / "sora"
        expect(
            len(target.name.encode()) <= MAX_PREFIX_BYTES,
            f"The file name prefix {target.name[:40]!r}... is too long: {MAX_PREFIX_BYTES} bytes at most.",
        )
        ensure_writable(target.parent)
        return target


def claim_next(folder: Path, stem: str, suffix: str, number: int) -> Path:
    """Claim the first free name `STEM_NUMBER_SUFFIX` in a folder, from `number` on. Raises SoraError as `claim`."""
    while True:
        path = folder / f"{stem}_{number:05}_{suffix}"
        if claim(path):
            return path
        number += 1


def safe_join(root: Path, name: str) -> Path:
    """Resolve `root/name`. Raises SoraError if that is not inside `root`, links followed."""
    root = Path(root).resolve()
    if controls(name):
        raise SoraError(f"The file name {short(name)} holds a control character ({controls(name)[0]!r}): remove it.")
    # Resolved before it is compared, so that neither ".." nor a link leads out. Windows' separators count anywhere.
    path = (root / name.replace("\\", "/")).resolve()
    if path != root and root not in path.parents:
        raise SoraError(f"The path {name!r} leads out of the folder {root}: use a name inside it.")
    return path


# Names of devices, which Windows opens wherever they are said to lie.
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³]) *([.:].*)?")
# A drive, or a stream behind a file; on Windows every colon makes one.
_DRIVE = re.compile(":" if os.name == "nt" else r"^[A-Za-z]:|:\$")


def contained(root: Path, name: str) -> Path:
    """Return the path of `name` in a folder, for a name that comes from elsewhere.

    Raises SoraError, which does not say where the folder is, for what could lead out of it on any system.
    """
    parts = name.replace("\\", "/").split("/")
    odd = any(not part.strip(". ") or _DRIVE.search(part) or _DEVICE.fullmatch(part) for part in parts)
    long = len(name) > 1000 or any(len(os.fsencode(part)) > 255 for part in parts) if not controls(name) else True
    if odd or long or not parts[0]:
        raise SoraError("This is not the name of a file here: use a path within the folder, without '..'.")
    try:
        return safe_join(root, name)
    except (SoraError, ValueError, OSError) as wrong:
        raise SoraError("This name leads out of its folder: use a path within it.") from wrong


def expand_prefix(prefix: str, width: int = 0, height: int = 0) -> str:
    """Fill in the `%...%` parts of a file name prefix; unknown ones stay."""
    now = datetime.now()
    units = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}

    def part(match: re.Match[str]) -> str:
        """Write a part of a date as the frontend does: `M` without a leading zero, `MM` with one; `yyy` is none."""
        code = match.group()
        if code[0] == "y":
            return {"yyyy": f"{now.year}", "yy": f"{now.year % 100:02}"}.get(code, code)
        return f"{units[code[0]]:0{len(code)}}"

    prefix = re.sub(r"%date:([^%]*)%", lambda m: re.sub("dd?|MM?|hh?|mm?|ss?|yyy?y?", part, m.group(1)), prefix)
    values: dict[str, object] = {"width": width, "height": height, "year": now.year}
    values |= {unit: f"{getattr(now, unit):02}" for unit in ("month", "day", "hour", "minute", "second")}
    return re.sub(r"%(\w+)%", lambda m: str(values.get(m.group(1), m.group())), prefix)


@dataclass
class _Block:
    """A `with using(...)` that is open."""

    folders: Folders
    promised: list[Path] = field(default_factory=list)  # paths that `next_file` gave out in it


# Not one per process: two hosts may run at once, each in its own thread or task.
_block: ContextVar[_Block | None] = ContextVar("folders", default=None)


def current() -> Folders:
    """Return the folders of the host that runs this code, or those of the working folder outside of any host."""
    block = _block.get()
    return block.folders if block is not None else Folders()


@contextmanager
def using(folders: Folders) -> Iterator[None]:
    """Make `folders` the current ones within the block. Threads that are started there need a copy of the context."""
    block = _Block(folders)
    token = _block.set(block)
    try:
        yield
    finally:
        _block.reset(token)
        release(*block.promised)
