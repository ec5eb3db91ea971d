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
