"""Sound stays in step with its picture, at its level, whatever speakers and rates it has."""

from __future__ import annotations

import math
import re
import subprocess
import sys

import pytest
import torch
from ffmpeg_judge import draw

from sora_core.errors import SoraError
from sora_core.media.clips import read_clip
from sora_core.media.sound import HALF, aac_rate, join_audio, read_audio, resampled
from sora_core.media.video import probe
from sora_core.media.write import remux, write_video
from sora_core.safety.gate import noting

# White at 1 s, and there a tone begins.
FLASH = "color=black:s=64x48:r=20:d=2,drawbox=c=white:t=fill:enable=between(t\\,0.99\\,1.03)"
CLICK = "aevalsrc=0.4*sin(2*PI*440*t)*gte(t\\,1):s=48000:d=2"
OFFSETS = [("picture", 0.5, -0.5), ("sound", 0.5, 0.5), ("sound", 0.0, 0.0)]


def click_after_flash(path) -> float:
    clip = read_clip(path)
    flash = int(clip.frames.mean((1, 2, 3)).argmax()) / clip.fps
    loud = clip.audio["waveform"][0].abs().max(0).values > 0.1
    return int(loud.nonzero()[0]) / clip.audio["sample_rate"] - flash


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts", "flv"])
@pytest.mark.parametrize(("late", "by", "apart"), OFFSETS)
def test_tracks_that_start_apart_stay_apart(tmp_path, suffix, late, by, apart):
    shifts = {f"{late}_late": by}
    path = draw(tmp_path / f"a.{suffix}", FLASH, "-c:v", "libx264", "-bf", "2", "-c:a", "aac", sound=CLICK, **shifts)
    assert click_after_flash(path) == pytest.approx(apart, abs=0.01)
    remux(path, tmp_path / "copied.mp4", {})
    assert click_after_flash(tmp_path / "copied.mp4") == pytest.approx(apart, abs=0.01)
    clip = read_clip(path)
    write_video(tmp_path / "made.mp4", clip.frames, clip.fps, audio=clip.audio)
    assert click_after_flash(tmp_path / "made.mp4") == pytest.approx(apart, abs=0.01)


def tone(channels: int, playing, rate: int = 48000, level: float = 0.3) -> dict:
    wave = level * torch.sin(2 * math.pi * 440 * torch.arange(rate) / rate)
    made = torch.zeros(1, channels, rate)
    made[0, list(playing)] = wave
    return {"waveform": made, "sample_rate": rate}


def saved_level(tmp_path, audio: dict, channel: int = 0, level: float = 0.3) -> float:
    """Decibels of a channel of the saved file against the tone that went in."""
    path = tmp_path / "a.mp4"
    write_video(path, torch.zeros(8, 32, 32, 3), 8, audio=audio)
    read = read_audio(path)
    wave = read["waveform"][0, channel]
    middle = wave[len(wave) // 4 : len(wave) * 3 // 4]
    return 20 * math.log10(max(float(middle.pow(2).mean().sqrt()), 1e-5) / (level / math.sqrt(2)))


@pytest.mark.parametrize(
    ("channels", "playing", "left", "right"),
    [
        (1, [0], 0, None),
        (2, [0], 0, -60),
        (2, [0, 1], 0, 0),
        (4, [0], 0, -60),
        (4, [1], -60, 0),
        (4, [2], -3, -60),
        (6, [0], 0, -60),
        (6, [2], -3, -3),
        (6, [3], -60, -60),
        (6, [5], -60, -3),
        (8, [6], -3, -60),
    ],
)
def test_levels_by_speaker(tmp_path, channels, playing, left, right):
    audio = tone(channels, playing)
    for channel, wanted in enumerate(pair for pair in (left, right) if pair is not None):
        found = saved_level(tmp_path, audio, channel)
        assert found < -40 if wanted == -60 else found == pytest.approx(wanted, abs=0.3)


@pytest.mark.parametrize("rate", [4000, 37800, 44056, 44100, 50000, 96000, 176400, 192000])
def test_rates_that_aac_lacks_are_resampled(tmp_path, rate):
    assert saved_level(tmp_path, tone(2, [0, 1], rate)) == pytest.approx(0, abs=0.3)
    read = read_audio(tmp_path / "a.mp4")
    assert read["sample_rate"] == aac_rate(rate) and read["waveform"].shape[-1] / aac_rate(rate) == pytest.approx(
        1, abs=0.2
    )
    # The pitch too: 440 periods in a second.
    wave = read["waveform"][0, 0, : aac_rate(rate)]
    assert int((wave[:-1] * wave[1:] < 0).sum()) == pytest.approx(880, abs=8)


def test_resampling_stays_in_time():
    given, wanted = (torch.sin(2 * math.pi * 440 * torch.arange(rate) / rate)[None] for rate in (44100, 48000))
    assert (resampled(given, 44100, 48000) - wanted).abs()[:, 500:-500].max() < 0.01
    assert resampled(given, 44100, 44100) is not None and resampled(given[:, :0], 44100, 48000).shape == (1, 0)


def test_joined_sound_keeps_its_level():
    made = join_audio([(tone(1, [0]), 1.0), (tone(6, [0]), 1.0), (tone(2, [0, 1], 44100), 1.0)])
    whole = made["waveform"][0, 0]
    levels = [float(whole[i * 48000 + 9600 : i * 48000 + 38400].pow(2).mean().sqrt()) * math.sqrt(2) for i in range(3)]
    assert levels == pytest.approx([0.3, 0.15, 0.3], abs=0.01)  # mono of left alone: half


def test_channels_that_are_none_are_refused(tmp_path):
    for audio in ({"waveform": torch.zeros(1, 65, 100), "sample_rate": 8000}, tone(1, [0], 8000) | {"sample_rate": 0}):
        with pytest.raises(SoraError, match="1 to 64 channels"):
            write_video(tmp_path / "a.mp4", torch.zeros(2, 32, 32, 3), 8, audio=audio)
    assert not list(tmp_path.iterdir())


def test_sound_of_no_length_is_none(tmp_path):
    write_video(
        tmp_path / "a.mp4",
        torch.zeros(2, 32, 32, 3),
        8,
        audio=tone(1, [0], 8000) | {"waveform": tone(1, [0])["waveform"][..., :0]},
    )
    assert not probe(tmp_path / "a.mp4").has_audio and read_audio(tmp_path / "a.mp4") is None


def test_a_hole_in_the_sound_stays_a_hole(tmp_path):
    """A second of the track is missing in the middle, and what follows is where it was."""
    click = "aevalsrc=0.4*sin(2*PI*440*t)*gte(t\\,1.8):s=48000:d=2,aselect=not(between(t\\,0.5\\,1.5))"
    flash = FLASH.replace("0.99", "1.79").replace("1.03", "1.83")
    path = draw(tmp_path / "a.mkv", flash, "-c:v", "libx264", "-c:a", "pcm_s16le", sound=click)
    assert click_after_flash(path) == pytest.approx(0, abs=0.03)
    assert probe(path).has_audio


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_eight_channels_are_read(tmp_path, codec):
    """With planes of their own, PyAV reads past the end of eight of them."""
    sound = "aevalsrc=0.4*sin(2*PI*440*t):s=48000:d=2:c=7.1"
    path = draw(tmp_path / "a.mkv", FLASH, "-c:v", "libx264", "-c:a", codec, sound=sound)
    wave = read_audio(path)["waveform"]
    assert wave.shape[:2] == (1, 8) and wave[0, 0, 5000:40000].pow(2).mean().sqrt() == pytest.approx(0.283, abs=0.01)


@pytest.mark.parametrize("channels", [9, 10, 12, 16, 24])
def test_more_channels_than_aac_has_are_mixed_and_told_of(tmp_path, channels):
    notes: list[str] = []
    with noting(notes):
        assert saved_level(tmp_path, tone(channels, [0])) == pytest.approx(0, abs=0.3)
    assert notes == [f"Sound of {channels} channels was mixed to stereo: mp4 holds 8 at most."]
    assert saved_level(tmp_path, tone(channels, [channels - 1]), (channels - 1) % 2) == pytest.approx(-3, abs=3.5)


def test_sixteen_channels_are_read_and_saved_anew(tmp_path):
    sound = "aevalsrc=" + "|".join(["0.1*sin(2*PI*440*t)"] * 16) + ":s=48000:d=1:c=hexadecagonal"
    path = draw(tmp_path / "a.mkv", FLASH, "-c:v", "ffv1", "-c:a", "pcm_s16le", sound=sound)
    audio = read_audio(path)
    assert audio["waveform"].shape[:2] == (1, 16)
    write_video(tmp_path / "b.mp4", torch.zeros(8, 32, 32, 3), 8, audio=audio)
    assert read_audio(tmp_path / "b.mp4")["waveform"].shape[1] == 2
    remux(draw(tmp_path / "c.mkv", FLASH, "-c:v", "libx264", "-c:a", "pcm_s16le", sound=sound), tmp_path / "d.mp4", {})
    assert read_audio(tmp_path / "d.mp4")["waveform"].abs().max() > 0.1


def test_loud_surround_does_not_clip(tmp_path):
    """As loud as it may be, in all speakers: lower as a whole, and a note; what is not too loud keeps its level."""
    notes: list[str] = []
    with noting(notes):
        assert saved_level(tmp_path, tone(6, range(6), level=0.9)) == pytest.approx(20 * math.log10(1 / 0.3), abs=0.7)
    (said,) = re.findall(r"^Sound of 6 channels was mixed to stereo ([\d.]+) dB lower, or it would clip\.$", *notes)
    assert float(said) == pytest.approx(
        20 * math.log10(0.9 * (1 + 2 * HALF)), abs=0.11
    )  # AAC's decoders differ a little
    assert saved_level(tmp_path, tone(6, range(6), level=0.3)) == pytest.approx(20 * math.log10(1 + 2 * HALF), abs=0.3)
    assert len(notes) == 1


@pytest.mark.parametrize("stamp", ["PTS*100000", "PTS+3000", "-900000", "PTS-20000", "NOPTS", "0"])
@pytest.mark.parametrize("place", [0, 10, 11])
def test_one_senseless_stamp_drops_no_sound(tmp_path, stamp, place):
    tone = "aevalsrc=0.4*sin(2*PI*440*t)*between(t\\,1\\,1.2):s=48000:d=2"
    whole = draw(tmp_path / "a.mkv", FLASH, "-c:v", "libx264", "-c:a", "flac", sound=tone)
    path = tmp_path / "b.nut"
    kind = "pts" if stamp == "NOPTS" else "ts"
    wild = f"setts={kind}=if(eq(N\\,{place})\\,{stamp}\\,PTS)"
    draw(path, whole, "-c", "copy", "-bsf:a", wild)
    wave = read_audio(path)["waveform"][0, 0]
    loud = (wave.abs() > 0.1).nonzero()[:, 0] / 48000
    assert float(loud[0]) == pytest.approx(1.0, abs=0.03) and float(loud[-1]) == pytest.approx(1.2, abs=0.03)
    assert wave.shape[0] / 48000 == pytest.approx(2.0, abs=0.12)


def test_long_sound_is_held_once(tmp_path):
    """A quarter of an hour in two channels is 346 MB: memory grows by little more."""
    path = tmp_path / "a.mkv"
    sound = "sine=440:d=900:r=48000,aformat=cl=stereo"
    draw(path, "color=gray:s=32x32:r=1:d=900", "-c:v", "mpeg4", "-c:a", "flac", sound=sound)
    code = (
        "import resource, sys, av, torch\nfrom sora_core.media.sound import read_audio\n"
        "usage = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\nbefore = usage()\n"
        "audio = read_audio(sys.argv[1])\nprint(audio['waveform'].nbytes, usage() - before)"
    )
    kept, grown = map(int, subprocess.check_output([sys.executable, "-c", code, str(path)], text=True).split())
    assert kept == 900 * 48000 * 2 * 4 and grown < 1.35 * kept
