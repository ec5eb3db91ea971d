"""Large pictures take little more memory than what is kept of them, and deep ones in planes are read rightly."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sora_core.errors import SoraError
from sora_core.media.stills import read_pictures, read_still


def tiff(path: Path, pixels: np.ndarray, planar: bool, kind: int) -> Path:
    """Write `[H,W,3]` uncompressed, one strip a plane or in all; kind: 1 for integers, 3 for floats."""
    height, width, samples = pixels.shape
    parts = [pixels[..., i].tobytes() for i in range(samples)] if planar else [pixels.tobytes()]
    at = [8 + sum(map(len, parts[:i])) for i in range(len(parts))]
    bits = pixels.dtype.itemsize * 8
    tags = [(256, [width]), (257, [height]), (258, [bits] * samples), (259, [1]), (262, [2]), (273, at)]
    tags += [(277, [samples]), (278, [height]), (279, [len(part) for part in parts]), (284, [2 if planar else 1])]
    tags += [(339, [kind] * samples)]
    lists, rows, end = b"", b"", 8 + sum(map(len, parts))
    for tag, values in tags:
        if len(values) > 1:
            rows += struct.pack("<HHII", tag, 4, len(values), end + len(lists))
            lists += struct.pack(f"<{len(values)}I", *values)
        else:
            rows += struct.pack("<HHII", tag, 4, 1, values[0])
    head = struct.pack("<4sI", b"II*\0", end + len(lists))
    path.write_bytes(head + b"".join(parts) + lists + struct.pack("<H", len(tags)) + rows + bytes(4))
    return path


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize(("kind", "dtype"), [(1, "<u2"), (1, "<u4"), (3, "<f4"), (1, "u1")])
def test_planes_and_deep_colours_of_a_tiff(tmp_path, planar, kind, dtype):
    """Pillow reads a plane of 16 bits as if it had 8, FFmpeg integers of 32 bits as if they were floats."""
    shades = np.stack([*np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 30)), np.full((30, 40), 0.5)], -1)
    white = 1.0 if kind == 3 else float(np.iinfo(dtype).max)
    read = read_still(tiff(tmp_path / "a.tif", (shades * white).astype(dtype), planar, kind))
    assert read.shape == (1, 30, 40, 3) and float((read[0] - torch.from_numpy(shades)).abs().max()) < 0.005


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<f4"])
def test_a_large_picture_takes_little_more_than_what_is_kept(tmp_path, dtype):
    white = 1 if dtype == "<f4" else np.iinfo(dtype).max
    path = tiff(tmp_path / "a.tif", np.full((4000, 4000, 3), white, dtype), False, 3 if dtype == "<f4" else 1)
    assert grown(path) < 2.1 * 4000 * 4000 * 16


def test_a_long_gif_takes_little_more_than_what_is_kept(tmp_path):
    frames = [Image.new("P", (1600, 1200), i) for i in range(24)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=50)
    assert grown(tmp_path / "a.gif") < 1.35 * 24 * 1600 * 1200 * 12


def grown(path: Path) -> int:
    """By how many bytes a process grows that loads a picture as the node does."""
    code = (
        "import resource, sys, av, numpy, torch, PIL.Image\nfrom pathlib import Path\n"
        "from sora_core.host.images import load_image\nPIL.Image.init()\n"
        "usage = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\nbefore = usage()\n"
        "load_image(Path(sys.argv[1]))\nprint(usage() - before)"
    )
    return int(subprocess.check_output([sys.executable, "-c", code, str(path)], text=True))


def test_what_memory_does_not_hold_is_refused_with_the_figure(tmp_path, monkeypatch):
    Image.new("RGB", (4000, 3000)).save(tmp_path / "a.png")
    frames = [Image.new("P", (1600, 1200), i) for i in range(24)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=50)
    monkeypatch.setattr("sora_core.memory.free_memory", lambda: 200 << 20)
    with pytest.raises(SoraError, match=r"a\.png, 4000x3000 pixels, needs 0\.36 GiB of memory; 0\.20 GiB are free"):
        read_still(tmp_path / "a.png")
    with pytest.raises(SoraError, match=r"a\.gif, 24 frames of 1600x1200, needs 0\.74 GiB of memory"):
        read_pictures(tmp_path / "a.gif")
    with pytest.raises(SoraError, match="make it smaller|Make it smaller"):
        read_still(tiff(tmp_path / "a.tif", np.zeros((3000, 4000, 3), "<f4"), False, 3))


def test_pages_of_a_tiff_are_not_even_counted(tmp_path):
    """An endless chain of them would be followed otherwise."""
    path = tiff(tmp_path / "a.tif", np.zeros((8, 8, 3), "u1"), False, 1)
    data = bytearray(path.read_bytes())
    data[-4:] = data[4:8]  # the next page is the first one
    path.write_bytes(data)
    assert read_pictures(path)[0].shape == (1, 8, 8, 4)
