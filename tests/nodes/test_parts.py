"""The small parts beneath the nodes: sizes, weights in prompts, patches, previews, the pack's entry."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from nodes_support import tiny_parts

from sora_core.errors import SoraError
from sora_core.latents.patches import draw_grid, patchify_latents, unpatchify_latents
from sora_core.latents.previews import Preview, PreviewLoop, latent_preview
from sora_core.media.sizes import plan_clip
from sora_core.model.text.emphasis import encode_prompt, plain_text, split_weights

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("seconds", "fps", "frames"), [(2, 8, 17), (2.125, 8, 17), (0.01, 8, 1), (1, 24, 25), (60, 8, 481), (0.25, 8, 1)]
)
def test_seconds_become_a_length_that_can_be_made(seconds, fps, frames):
    size = plan_clip(seconds, fps, 128, 128)
    assert size.frames == frames and (size.frames - 1) % 4 == 0
    assert bool(size.notes) == (seconds * fps != frames)


def test_aspect_keeps_the_area():
    size = plan_clip(2.125, 8, 128, 128, "16:9")
    assert (size.width, size.height) == (176, 96) and "176x96" in size.notes[0]
    assert plan_clip(2.125, 8, 256, 256, "1:1").notes == ()


@pytest.mark.parametrize(
    "bad",
    [
        (0, 8, 128, 128),
        (-1, 8, 128, 128),
        (float("nan"), 8, 128, 128),
        (1, 0, 128, 128),
        (1, 8, 130, 128),
        (1, 8, 128, 0),
    ],
)
def test_sizes_that_cannot_be(bad):
    with pytest.raises(SoraError):
        plan_clip(*bad)


@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        ("a cat", [("a cat", 1.0)]),
        ("a (red cat:1.5) runs", [("a ", 1.0), ("red cat", 1.5), (" runs", 1.0)]),
        ("((cat))", [("cat", 1.1 * 1.1)]),
        (r"a \(small\) cat", [("a (small) cat", 1.0)]),
        ("a cat :) (", [("a cat :) (", 1.0)]),
    ],
)
def test_weights_are_read(prompt, pieces):
    found = split_weights(prompt)
    assert [t for t, _ in found] == [t for t, _ in pieces]
    assert [w for _, w in found] == pytest.approx([w for _, w in pieces])


def test_a_weight_scales_its_word_only():
    encoder = tiny_parts()["text"]
    plain, weighted = encode_prompt(encoder, "a red cat"), encode_prompt(encoder, "a (red:1.5) cat")
    red = [c for c, (word, _) in enumerate(encoder.tokenizer.match("a red cat")) if word == "red"]
    assert torch.allclose(weighted[:, red], plain[:, red] * 1.5)
    rest = [i for i in range(plain.shape[1]) if i not in red]
    assert torch.equal(weighted[:, rest], plain[:, rest]) and plain_text("a (red:1.5) cat") == "a red cat"


def test_patches_give_back_what_went_in():
    mask = torch.ones(1, 1, 2, 4, 6)
    mask[:, :, 0, :2] = 0
    latents = [{"samples": torch.randn(2, 16, 3, 4, 4)}, {"samples": torch.randn(1, 16, 2, 4, 6), "noise_mask": mask}]
    patches = patchify_latents(latents)
    assert len(patches) == 2 * 12 + 12 and (~patches.generate).sum() == 3
    for before, after in zip(latents, unpatchify_latents(patches), strict=True):
        assert torch.equal(before["samples"], after["samples"]) and before.keys() == after.keys()
    with pytest.raises(SoraError, match="width is 5"):
        patchify_latents([{"samples": torch.zeros(1, 16, 1, 4, 5)}])


def test_the_grid_marks_what_is_kept():
    mask = torch.ones(1, 1, 2, 4, 4)
    mask[:, :, 1] = 0
    patches = patchify_latents([{"samples": torch.zeros(1, 16, 2, 4, 4), "noise_mask": mask}])
    grid = draw_grid(patches, torch.full((2, 20, 30, 3), 0.5), 4, 8)
    assert grid.shape == (5, 32, 32, 3)
    generated, kept = grid[0, 8, 8], grid[1:, 8, 8]
    assert torch.allclose(generated, torch.full((3,), 0.5)) and bool((kept[:, 2] > kept[:, 0]).all())
    assert bool((grid[:, 16] > 0.8).all())


def test_the_preview_loop_shows_every_frame():
    latent = torch.zeros(1, 16, 3, 2, 2)
    latent[:, 0] = torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1)
    preview = latent_preview(latent, [[1.0, 0.0, 0.0]] + [[0.0] * 3] * 15)
    assert preview.frames[:, 0, 0, 0].tolist() == [0, 127, 255]
    assert latent_preview(latent, None) is None
    seen, enough = [], threading.Event()

    def send(picture):
        seen.append(picture.getpixel((0, 0))[0])
        if len(seen) == 6:
            enough.set()

    loop = PreviewLoop(send)
    loop.show(Preview(preview.frames, fps=200))
    assert enough.wait(10)
    loop.close()
    count = len(seen)
    assert seen[:6] == [0, 127, 255] * 2
    loop._thread.join(1)
    assert len(seen) <= count + 1


def test_the_pack_registers_the_core_once_and_imports_little():
    code = f"""
import importlib.util, sys, pathlib
sys.path[:] = [p for p in sys.path if pathlib.Path(p or '.').resolve() != pathlib.Path({str(ROOT)!r})]
sys.modules.pop('sora_core', None)
folder = pathlib.Path({str(ROOT)!r})
spec = importlib.util.spec_from_file_location('pack_x_name', folder / '__init__.py')
pack = importlib.util.module_from_spec(spec); sys.modules['pack_x_name'] = pack
spec.loader.exec_module(pack)
assert not hasattr(pack, 'NODE_CLASS_MAPPINGS') and callable(pack.comfy_entrypoint)
assert str(folder) not in sys.path and 'nodes' not in sys.modules
import sora_core
assert pathlib.Path(sora_core.__file__).parent.parent == folder
heavy = {{'torch', 'av', 'kornia', 'cv2', 'PIL', 'transformers', 'aiohttp', 'comfy'}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)
