"""Pictures for the nodes: upright, with their mask, at any depth."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sora_core.errors import SoraError
from sora_core.host.images import load_image


def test_pictures_come_upright_with_their_mask(tmp_path):
    picture = Image.new("RGBA", (6, 4), (255, 0, 0, 0))
    picture.save(tmp_path / "a.png")
    pixels, mask = load_image(tmp_path / "a.png")
    assert pixels.shape == (1, 4, 6, 3) and mask.shape == (1, 4, 6) and float(mask.min()) == 1.0
    turned = Image.new("RGB", (6, 4), (0, 255, 0))
    exif = turned.getexif()
    exif[0x0112] = 6  # stands on its side
    turned.save(tmp_path / "b.jpg", exif=exif)
    assert load_image(tmp_path / "b.jpg")[0].shape == (1, 6, 4, 3)
    grey = Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16))
    grey.save(tmp_path / "c.png")
    assert abs(float(load_image(tmp_path / "c.png")[0].mean()) - 0.5) < 0.01
    (tmp_path / "d.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    with pytest.raises(SoraError, match="d.png cannot be read as a picture"):
        load_image(tmp_path / "d.png")


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_a_picture_that_moves_comes_with_all_frames(tmp_path, name):
    solid = [Image.new("RGB", (32, 24), (80 * i, 0, 0)) for i in range(3)]
    clear = [Image.new("RGBA", (32, 24), (80 * i, 0, 0, 0)) for i in range(1, 4)]
    for frames, mask in ((solid, (3, 64, 64)), (clear, (3, 24, 32))):
        options = {"lossless": True, "exact": True} if name.endswith("webp") else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=100, **options)
        pixels, shown = load_image(tmp_path / name)
        if frames is solid or name == "a.png":  # the others save what is clear without its colours, as one frame
            assert pixels.shape == (3, 24, 32, 3) and shown.shape == mask
            assert [round(float(x) * 255) for x in pixels[:, 8, 8, 0]] == [f.getpixel((8, 8))[0] for f in frames]
