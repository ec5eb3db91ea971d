"""What a file says of itself: made ones are told from a user's, in every container, and none by chance."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sora_core.media import signs
from sora_core.media.clips import read_clip
from sora_core.media.origin import own_frames, read_from
from sora_core.media.signs import sign_of
from sora_core.media.write import write_video

API = json.dumps({"1": {"class_type": "SoraLoadModel", "inputs": {}}})
PAGE = json.dumps({"nodes": [{"id": 1, "type": "KSampler", "widgets_values": [1]}], "links": []})
LABEL = json.dumps({"Label": "1", "ContentProducer": "somebody", "ProduceID": "1"})


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("text", "sign"), [(API, "workflow"), (PAGE, "workflow"), (LABEL, "label"), ("a cat", "")])
def test_texts_of_a_png(tmp_path, text, sign, packed):
    for add in (PngInfo.add_text, PngInfo.add_itxt):
        info = PngInfo()
        add(info, "Software", "a program", zip=packed)
        add(info, "prompt", text, zip=packed)
        picture().save(tmp_path / "a.png", pnginfo=info)
        assert sign_of(tmp_path / "a.png") == sign


@pytest.mark.parametrize("code", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("suffix", [".webp", ".jpg"])
def test_exif_of_a_picture(tmp_path, suffix, code):
    exif = Image.Exif()
    exif[0x9286] = b"UNICODE\0" + f"prompt:{API}".encode(code)
    picture().save(tmp_path / f"a{suffix}", exif=exif)
    assert sign_of(tmp_path / f"a{suffix}") == "workflow"
    picture().save(tmp_path / f"b{suffix}")
    assert not sign_of(tmp_path / f"b{suffix}")


def test_tags_of_a_video(tmp_path):
    frames = torch.rand(5, 48, 64, 3)
    for tags, sign in (({}, ""), ({"prompt": API}, "workflow"), ({"AIGC": LABEL}, "label"), ({"comment": "a cat"}, "")):
        write_video(tmp_path / "a.mp4", frames, 8, metadata=tags)
        assert sign_of(tmp_path / "a.mp4") == sign
        assert own_frames(read_clip(tmp_path / "a.mp4").frames).all() != bool(sign)


def test_a_sign_is_found_wherever_it_stands(tmp_path):
    path = tmp_path / "a.bin"
    noise = random.Random(0).randbytes(3 * signs._BLOCK)
    path.write_bytes(noise)
    assert not sign_of(path)
    for at in (0, signs._BLOCK - 5, 2 * signs._BLOCK - 21, 2 * signs._BLOCK, len(noise)):
        path.write_bytes(noise[:at] + b"trainedAlgorithmicMedia" + noise[at:])
        assert sign_of(path) == "credentials", at
    path.write_bytes(noise)
    assert not sign_of(path)  # another file of the name, another answer


@pytest.mark.parametrize("tail", [b"", b"\xff\xff\xff\xffiTXt", b"\0\0\0\5zTXtab", b"\0\0\0\3iTXt\0\1\0xxxx"])
def test_a_damaged_png_says_nothing(tmp_path, tail):
    (tmp_path / "a.png").write_bytes(signs._PNG + tail)
    assert not sign_of(tmp_path / "a.png")
    assert own_frames(read_from(torch.rand(1, 8, 8, 3), tmp_path / "a.png")).all()
