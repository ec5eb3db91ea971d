"""Which track is the picture: never a cover, and of several the one that a player shows."""

from __future__ import annotations

import numpy as np
import pytest
from ffmpeg_judge import draw
from PIL import Image

from sora_core.errors import SoraError
from sora_core.host.core_nodes.video import LoadVideo
from sora_core.host.desk.folders import Folders, using
from sora_core.media.clips import read_clip
from sora_core.media.sound import read_audio
from sora_core.media.structure import names_others
from sora_core.media.timing import read_timing
from sora_core.media.video import iter_frames, probe
from sora_core.media.write import remux
from sora_core.provenance.detector.detect import detect_file

RED, BLUE = "color=red:s=64x48:r=8:d=1", "color=blue:s=128x96:r=8:d=1"


@pytest.fixture()
def cover(tmp_path):
    path = tmp_path / "cover.png"
    Image.new("RGB", (200, 200), (0, 255, 0)).save(path)
    return path


@pytest.mark.parametrize("suffix", ["mp3", "m4a", "flac"])
def test_an_audio_file_with_a_cover_is_no_video(tmp_path, cover, suffix):
    options = ("-map", "0:v", "-map", "1:a", "-c:v", "copy", "-disposition:v", "attached_pic")
    path = draw(tmp_path / f"song.{suffix}", cover, *options, sound="sine=d=1")
    for read in (read_clip, probe, detect_file, read_timing, read_audio):
        with pytest.raises(SoraError, match="no picture track.*cover"):
            read(path)
    with using(Folders(input=tmp_path)), pytest.raises(SoraError, match="no picture track"):
        LoadVideo.execute(path.name)


@pytest.mark.parametrize("first", [True, False])
def test_a_cover_beside_a_picture(tmp_path, cover, first):
    number = 0 if first else 1
    maps = ("-map", "1:v", "-map", "0:v") if first else ("-map", "0:v", "-map", "1:v")
    options = (*maps, f"-c:v:{number}", "copy", f"-disposition:v:{number}", "attached_pic")
    path = draw(tmp_path / "a.mp4", RED, *options, second=cover)
    clip = read_clip(path)
    assert clip.frames.shape == (8, 48, 64, 3) and clip.frames[..., 0].mean() > 0.9 and probe(path).width == 64
    remux(path, tmp_path / "b.mp4", {})
    assert len(list(iter_frames(tmp_path / "b.mp4"))) == 8 and probe(tmp_path / "b.mp4").width == 64


@pytest.mark.parametrize(("default", "width"), [("0", 64), ("1", 128), ("none", 128)])
def test_of_two_pictures_the_default_or_else_the_larger(tmp_path, default, width):
    flags = [part for i in "01" for part in (f"-disposition:v:{i}", "default" if default == i else "0")]
    path = draw(tmp_path / "a.mkv", RED, "-map", "0:v", "-map", "1:v", "-c:v", "libx264", *flags, second=BLUE)
    assert probe(path).width == width and next(iter_frames(path)).shape[1] == width
    assert int(np.asarray(next(iter_frames(path))).mean((0, 1)).argmax()) == (0 if width == 64 else 2)


def test_a_list_of_other_files_is_no_video(tmp_path):
    """FFmpeg would read whatever file of the machine a playlist names, and what is shown is shown to others too."""
    away, inside = tmp_path / "away", tmp_path / "input"
    away.mkdir()
    inside.mkdir()
    draw(away / "private.ts", "testsrc2=s=64x48:r=8:d=1", "-c:v", "libx264")
    playlist = inside / "a.m3u8"
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXTINF:1.0,\n"
    playlist.write_text(f"{head}{away / 'private.ts'}\n#EXT-X-ENDLIST\n")
    with pytest.raises(SoraError, match=r"a\.m3u8 is a list of other files"):
        read_clip(playlist)


@pytest.mark.parametrize(
    "text",
    [
        b"ffconcat version 1.0\nfile inner.mp4\n",  # FFmpeg's own list, under any name
        b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + b"#EXTM3U\ninner.mp4\n",  # behind a tag
        b"<?xml version='1.0'?><!--" + b" " * 9000 + b"--><mpd></mpd>",  # late, and in small letters
    ],
)
def test_what_lists_other_files_is_known_however_it_begins(tmp_path, text):
    draw(tmp_path / "inner.mp4", "testsrc2=s=64x48:r=8:d=1", "-c:v", "libx264", "-metadata", "title=inner")
    (tmp_path / "a.mp4").write_bytes(text)
    assert names_others(tmp_path / "a.mp4") and not names_others(tmp_path / "inner.mp4")
    with pytest.raises(SoraError, match="list of other files"):
        read_clip(tmp_path / "a.mp4")
