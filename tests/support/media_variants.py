"""Media files of many kinds, drawn by ffmpeg, and what ffmpeg reads from them: the judge of our reading and saving."""

from __future__ import annotations

import itertools
import math
import random
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from ffmpeg_judge import WHITE, decoded, ffmpeg, first_time, heard_by_ffmpeg, rate_of
from PIL import Image

from sora_core.errors import SoraError
from sora_core.media.clips import read_clip
from sora_core.media.sound import gains_of, read_audio
from sora_core.media.video import iter_frames, probe, read_video
from sora_core.media.write import remux, write_video
from sora_core.safety.gate import noting

MOST_OFF = 3  # of 255, a pixel of a kept frame, on average over the frame
MOST_LATE = 0.010  # seconds, of sound against picture
MOST_LOUD = 0.5  # dB
SECONDS = 1.0
TONE = 0.3  # amplitude of the sound
LOWER = re.compile(r"mixed to stereo ([\d.]+) dB lower")
FLASH = 0.5  # seconds after which the picture flashes and the sound begins

H264, MPEG4 = ["libx264", "-preset", "ultrafast", "-g", "12"], ["mpeg4", "-g", "12", "-q:v", "2"]
B0, B2 = ["-bf", "0"], ["-bf", "2"]
# (suffix, options of the picture's codec)
PICTURES = {
    "mp4 h264": ("mp4", [*H264, *B0]),
    "mp4 h264 B": ("mp4", [*H264, *B2]),
    "mp4 mpeg4 B": ("mp4", [*MPEG4, *B2]),
    "mp4 fragments": ("mp4", [*H264, *B2, "-movflags", "frag_keyframe+empty_moov"]),
    "mov h264 B": ("mov", [*H264, *B2]),
    "mov prores": ("mov", ["prores_ks"]),
    "mov mjpeg": ("mov", ["mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p"]),
    "mkv h264": ("mkv", [*H264, *B0]),
    "mkv h264 B": ("mkv", [*H264, *B2]),
    "mkv mpeg4 B": ("mkv", [*MPEG4, *B2]),
    "mkv ffv1": ("mkv", ["ffv1"]),
    "mkv vp9": ("mkv", ["libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime"]),
    "webm vp8": ("webm", ["libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "8", "-b:v", "300k", "-cpu-used", "4"]),
    "webm vp9": ("webm", ["libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime"]),
    "avi h264": ("avi", [*H264, *B0]),
    "avi h264 B": ("avi", [*H264, *B2]),
    "avi mpeg4": ("avi", [*MPEG4, *B0]),
    "avi mpeg4 B": ("avi", [*MPEG4, *B2]),
    "avi mjpeg": ("avi", ["mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p"]),
    "flv h264 B": ("flv", [*H264, *B2]),
    "flv flv1": ("flv", ["flv1", "-q:v", "2"]),
    "ts h264 B": ("ts", [*H264, *B2]),
    "mpg mpeg2 B": ("mpg", ["mpeg2video", "-q:v", "2", *B2]),
    "ogv theora": ("ogv", ["libtheora", "-q:v", "8"]),
    "wmv": ("wmv", ["wmv2", "-q:v", "2"]),
    "gif": ("gif", ["gif", "-sws_dither", "none"]),
    "apng": ("apng", ["apng", "-plays", "0"]),
    "raw h264 B": ("h264", [*H264, *B2]),
}
RATES = ("8", "12", "24", "24000/1001", "25", "30", "30000/1001", "60")
SIZES = ("64x48", "98x50", "48x66")
# MPEG-2 knows a list of rates.
RATES_OF = {"mpg mpeg2 B": ("24", "24000/1001", "25", "30", "30000/1001", "60")}
SOUNDS = {
    "mp4 aac": ("mp4", ["aac", "-b:a", "192k"]),
    "mp4 mp3": ("mp4", ["libmp3lame", "-b:a", "192k"]),
    "mov pcm": ("mov", ["pcm_s16le"]),
    "mkv aac": ("mkv", ["aac", "-b:a", "192k"]),
    "mkv opus": ("mkv", ["libopus", "-b:a", "192k"]),
    "mkv vorbis": ("mkv", ["libvorbis", "-q:a", "8"]),
    "mkv flac": ("mkv", ["flac"]),
    "mkv ac3": ("mkv", ["ac3", "-b:a", "384k"]),
    "mkv pcm": ("mkv", ["pcm_s16le"]),
    "ts aac": ("ts", ["aac", "-b:a", "192k"]),
    "flv aac": ("flv", ["aac", "-b:a", "192k"]),
    "avi pcm": ("avi", ["pcm_s16le"]),
    "avi mp3": ("avi", ["libmp3lame", "-b:a", "192k"]),
}
LAYOUTS = {"mono": 1, "stereo": 2, "quad": 4, "5.1": 6, "hexadecagonal": 16}
LAYOUTS_OF = {
    "mp4 mp3": ("mono", "stereo"),
    "flv aac": ("mono", "stereo"),
    "avi mp3": ("mono", "stereo"),
    "mkv ac3": ("mono", "stereo", "5.1"),
}
OFFSETS_OF = {"avi pcm": (0.0,), "avi mp3": (0.0,)}  # AVI holds none

# Of what is damaged each version of FFmpeg's decoders guesses another picture, and later ones keep a frame more.
GUESSED = ("hurt", "hole", "zeros")

# What is known to differ, by the start of a variant's name, and why.
EXCEPTIONS: dict[str, str] = {}


@dataclass(frozen=True)
class Variant:
    """A file to be made."""

    name: str
    suffix: str
    options: tuple[str, ...]  # of ffmpeg, after the inputs
    rate: Fraction
    size: str = "64x48"
    layout: str | None = None  # of the sound; None for none
    offset: float = 0.0  # seconds that the sound is late
    before: tuple[str, ...] = ()  # options of the picture's input
    given: str = ""  # filters of the picture
    shown: str = ""  # filters that ffmpeg needs to show it as a viewer does
    seconds: float = SECONDS
    sound_rate: int = 48000
    container: tuple[str, ...] = ()  # options of a second pass, which copies
    spoilt: str = ""  # what is done to its bytes, see `spoil`


def variants(short: bool = False) -> list[Variant]:
    """List what is made: all, or a few of each kind."""
    return [*_pictures(short), *_varying(), *_shown(), *_sounds(short), *_odd(short)]


def _pictures(short: bool) -> list[Variant]:
    made = []
    for number, (kind, (suffix, codec)) in enumerate(PICTURES.items()):
        rates = RATES_OF.get(kind, RATES)
        for turn, rate in enumerate(rates):
            if short and turn != number % len(rates):
                continue
            size = SIZES[(number + turn) % len(SIZES)]
            made.append(Variant(f"{kind} {rate} fps {size}", suffix, ("-c:v", *codec), Fraction(rate), size))
    return made


def _varying() -> list[Variant]:
    """Variable rates: a pause, a slow half, frames left out."""
    paces = {
        "pause": "setpts=PTS+gte(N\\,8)*0.5/TB",
        "slower": "setpts=if(lt(N\\,10)\\,PTS\\,PTS*2-10/20/TB)",
        "gaps": "select=not(eq(mod(n\\,5)\\,2))",
    }
    kinds = ("mp4 h264 B", "mkv h264 B", "webm vp9", "flv h264 B", "gif")
    return [
        Variant(
            f"{kind} {pace}", PICTURES[kind][0], ("-c:v", *PICTURES[kind][1], "-vsync", "vfr"), Fraction(20), given=way
        )
        for kind in kinds
        for pace, way in paces.items()
    ]


def _shown() -> list[Variant]:
    """Turned, with pixels that are not square, with transparency."""
    plain = ("-c:v", *H264)
    made = [
        Variant(f"{suffix} turned {turn}", suffix, plain, Fraction(12), container=("-metadata:s:v:0", f"rotate={turn}"))
        for suffix in ("mp4", "mov")
        for turn in (90, 180, 270)
    ]
    for suffix, aspect in itertools.product(("mp4", "mkv", "mov"), ("2/1", "4/3", "1/2")):
        wide = Fraction(aspect) > 1
        shown = "scale=iw*sar:ih,setsar=1" if wide else "scale=iw:ih/sar,setsar=1"
        given = f"setsar={aspect}"
        made.append(Variant(f"{suffix} pixels of {aspect}", suffix, plain, Fraction(12), given=given, shown=shown))
    clear = "format=rgba,geq=r=r(X\\,Y):g=g(X\\,Y):b=b(X\\,Y):a=255*gt(X\\,20)"
    for kind, suffix, codec in (
        ("qtrle", "mov", ["qtrle", "-pix_fmt", "argb"]),
        ("png", "mov", ["png", "-pix_fmt", "rgba"]),
        ("prores", "mov", ["prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"]),
        ("ffv1", "mkv", ["ffv1", "-pix_fmt", "yuva420p"]),
        ("apng", "apng", ["apng", "-plays", "0", "-pix_fmt", "rgba"]),
    ):
        options = ("-c:v", *codec)
        made.append(Variant(f"transparent {kind}", suffix, options, Fraction(12), given=clear, shown=WHITE))
    return made


def _sounds(short: bool) -> list[Variant]:
    made = []
    cases = [(48000, offset, layout) for offset in (0.0, 0.3, -0.3) for layout in ("mono", "5.1")]
    cases += [(48000, 0.0, "stereo"), (48000, 0.3, "quad"), (44100, 0.0, "stereo"), (32000, -0.3, "mono")]
    for number, (kind, (suffix, codec)) in enumerate(SOUNDS.items()):
        for turn, (rate, offset, layout) in enumerate(cases):
            if layout not in LAYOUTS_OF.get(kind, LAYOUTS) or offset not in OFFSETS_OF.get(kind, (offset,)):
                continue
            if (short and turn != number % 6) or (kind == "mkv opus" and rate == 44100):
                continue
            picture = MPEG4 if number % 3 == 0 and suffix != "flv" else [*H264, *B2]
            options = ("-c:v", *picture, "-c:a", *codec)
            name = f"sound {kind} {layout} {rate} {offset:+g} s"
            made.append(Variant(name, suffix, options, Fraction(20), "64x48", layout, offset, sound_rate=rate))
    return made


def _odd(short: bool) -> list[Variant]:
    """Joined, cut short, damaged, stamped with nonsense, of high speed, with more channels than AAC has."""
    made = []
    plain = ("-c:v", *H264, *B2)
    for suffix, codec, rate in (
        ("ts", plain, 24),
        ("ts", plain, 12),
        ("mpg", ("-c:v", *PICTURES["mpg mpeg2 B"][1]), 25),
    ):
        made += [
            Variant(f"joined {suffix} {rate} {times}", suffix, codec, Fraction(rate), spoilt=f"joined {times}")
            for times in (2, 3)
        ]
    for suffix in ("mp4", "mov", "mkv", "flv", "avi", "ts"):
        front = ("-movflags", "faststart") if suffix in ("mp4", "mov") else ()
        for way in ("cut 0.5", "cut 0.8", "cut 0.95", "hurt 5", "hurt 20", "hole 300", "zeros 300"):
            made.append(Variant(f"{way} {suffix}", suffix, (*plain, *front), Fraction(24), spoilt=way))
    for suffix in ("mkv", "mp4", "ts", "flv", "nut"):
        equal = ("-bsf:v", "setts=pts=0:dts=0")
        made.append(Variant(f"equal stamps {suffix}", suffix, plain, Fraction(24), container=equal))
    for suffix, rate in (("mp4", 480), ("mov", 960), ("mkv", 480), ("ts", 600)):
        made.append(Variant(f"high speed {suffix} {rate}", suffix, plain, Fraction(rate), seconds=0.25))
    for suffix, layout in (("mkv", "hexadecagonal"), ("mov", "hexadecagonal")):
        options = (*plain, "-c:a", "pcm_s16le")
        made.append(Variant(f"{layout} {suffix}", suffix, options, Fraction(20), "64x48", layout))
    return made[::7] if short else made


def spoil(path: Path, way: str) -> None:
    """Join a file with itself, cut it short, or damage it: `way` is a word and a number."""
    name, number = way.split()
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    if name == "joined":
        data *= int(number)
    elif name == "cut":
        # Within a packet of a transport stream, which tells nothing else of its length.
        data = data[: int(len(data) * float(number)) // 188 * 188 + 100]
    elif name == "hole":
        del data[middle : middle + int(number)]
    elif name == "zeros":
        data[middle : middle + int(number)] = bytes(int(number))
    else:
        chance = random.Random(int(number))
        for _ in range(int(number)):
            data[chance.randrange(len(data) // 4, len(data) * 9 // 10)] = chance.randrange(256)
    path.write_bytes(data)


def make(variant: Variant, folder: Path) -> Path:
    """Draw a file."""
    path = folder / f"{variant.name.replace(' ', '_').replace('/', '-')}.{variant.suffix}"
    first = path if not variant.container else path.with_name(f"first_{path.name}")
    # Another brightness for each frame, and colours that change little: interpolation of them differs.
    picture = (
        f"color=gray:s={variant.size}:r={variant.rate}:d={variant.seconds},format=yuv444p,"
        "geq=lum=16+mod(N*23\\,180)+X/4:cb=110+X/2:cr=150-Y/2,format=yuv420p"
    )
    if variant.layout is not None:
        picture = (
            f"color=black:s={variant.size}:r={variant.rate}:d={variant.seconds},"
            f"drawbox=c=white:t=fill:enable=between(t\\,{FLASH - 0.01}\\,{FLASH + 0.03})"
        )
    late, early = max(variant.offset, 0), max(-variant.offset, 0)
    command = ["-itsoffset", str(early), "-f", "lavfi", "-i", f"{picture}{',' * bool(variant.given)}{variant.given}"]
    if variant.layout is not None:
        channels = "|".join([f"{TONE}*sin(2*PI*440*t)*gte(t\\,{FLASH})"] * LAYOUTS[variant.layout])
        tone = f"aevalsrc={channels}:s={variant.sound_rate}:d={variant.seconds}:c={variant.layout}"
        command += ["-itsoffset", str(late), "-f", "lavfi", "-i", tone]
    ffmpeg(*command, *variant.options, str(first))
    if variant.container:
        ffmpeg("-i", str(first), "-c", "copy", *variant.container, str(path))
    if variant.spoilt:
        spoil(path, variant.spoilt)
    return path


def judge(variant: Variant, path: Path) -> list[str]:
    """Compare our reading and saving with ffmpeg's; returns what differs, in words."""
    try:
        wrong = _judge_picture(variant, path)
        if variant.layout is not None:
            wrong += _judge_sound(variant, path, "read", read_audio(path), 1.0)
        return wrong + _judge_saved(variant, path)
    except SoraError as error:
        return [f"refused: {error}"]
    except RuntimeError:
        if variant.spoilt and _refused(path):
            return []  # nor can ffmpeg read it
        raise


def _refused(path: Path) -> bool:
    try:
        return next(iter_frames(path), None) is None
    except SoraError:
        return True


def _judge_picture(variant: Variant, path: Path) -> list[str]:
    theirs = decoded(path, variant.shown)
    wrong = []
    listed = list(iter_frames(path))
    if variant.spoilt.startswith(GUESSED) and len(listed) > len(theirs):
        return []
    if len(listed) != len(theirs):
        return [f"{len(listed)} frames, ffmpeg has {len(theirs)}"]
    for name, count in (
        ("read_clip", len(read_clip(path, multiple=2).frames)),
        ("read_video", len(read_video(path)[0])),
    ):
        # What is lost in the middle has the frame before in its place.
        held = variant.spoilt and not variant.spoilt.startswith("joined") and count >= len(theirs)
        if count != len(theirs) and not held:
            wrong.append(f"{name}: {count} frames, ffmpeg has {len(theirs)}")
    return wrong if variant.spoilt.startswith(GUESSED) else wrong + _differences("read", listed, theirs)


def _differences(name: str, ours: list[np.ndarray], theirs: list[np.ndarray]) -> list[str]:
    size, wanted = ours[0].shape, theirs[0].shape
    if size != wanted:
        if abs(size[1] / size[0] - wanted[1] / wanted[0]) > 0.03 * wanted[1] / wanted[0]:
            return [f"{name}: {size[1]}x{size[0]}, ffmpeg shows {wanted[1]}x{wanted[0]}"]
        theirs = [np.asarray(Image.fromarray(f).resize((size[1], size[0]), Image.Resampling.BICUBIC)) for f in theirs]
    worst = max(float(np.abs(a.astype(int) - b).mean()) for a, b in zip(ours, theirs, strict=True))
    return [f"{name}: {worst:.1f} of 255 off"] if worst > MOST_OFF else []


def _judge_sound(variant: Variant, path: Path, name: str, audio: dict | None, gain: float) -> list[str]:
    if audio is None:
        return [f"{name}: no sound"]
    rate, wave = int(audio["sample_rate"]), audio["waveform"][0]
    wanted = _heard_at(path)
    heard = onset(wave.abs().max(0).values.numpy()) / rate
    wrong = []
    if abs(heard - wanted) > MOST_LATE:
        wrong.append(f"{name}: sound at {heard:.3f} s, ffmpeg hears it at {wanted:.3f} s")
    theirs = tone_level(np.stack(heard_by_ffmpeg(path)))
    begin = round((wanted + 0.05) * rate)
    ours = level(wave[0, begin : begin + round(0.2 * rate)].numpy())
    if abs(20 * math.log10(max(ours, 1e-9) / (theirs * gain))) > MOST_LOUD:
        wrong.append(f"{name}: level {ours:.3f}, ffmpeg hears {theirs * gain:.3f}")
    return wrong


def _judge_saved(variant: Variant, path: Path) -> list[str]:
    """Save the file anew, copied where it is H.264, and have ffmpeg read that."""
    theirs, saved = decoded(path, variant.shown), path.with_suffix(".saved.mp4")
    notes: list[str] = []
    with noting(notes):
        if probe(path).codec == "h264":
            remux(path, saved, {})
            shown = variant.shown
        else:
            clip = read_clip(path, multiple=2)
            write_video(saved, clip.frames, clip.fps, crf=4, audio=clip.audio)
            shown = ""
    ours = decoded(saved, shown)
    wrong = []
    guessed = variant.spoilt.startswith(GUESSED)
    if len(ours) < len(theirs) or (len(ours) > len(theirs) and not guessed):
        wrong.append(f"saved: {len(ours)} frames, ffmpeg has {len(theirs)}")
    elif not guessed and "-vsync" not in variant.options:  # of a variable rate, frames that are saved anew are others
        wrong += _differences("saved", ours, theirs)
    if variant.layout is not None:
        kept = read_audio(saved)
        channels, left = LAYOUTS[variant.layout], 0 if kept is None else kept["waveform"].shape[1]
        gain = 1.0
        if kept is not None and left != channels:
            gain = sum(pair[0] for pair in gains_of(channels))  # all speakers play the same
            # Where it would be louder than a file can hold, all of it is lower by what the note says.
            gain /= 10 ** (sum(float(db) for note in notes for db in LOWER.findall(note)) / 20)
        wrong += _judge_sound(variant, path, "saved", kept, gain)
        if kept is not None:
            heard, before = _heard_at(saved), _heard_at(path)
            if abs(heard - before) > MOST_LATE:
                wrong.append(f"saved: ffmpeg hears the sound at {heard:.3f} s, before at {before:.3f} s")
    return wrong


def _heard_at(path: Path) -> float:
    """Return the seconds after the first frame at which the tone begins, as ffmpeg decodes both."""
    wave = np.abs(np.stack(heard_by_ffmpeg(path))).max(0)
    # AVI stamps decoding: the first frame is shown at 0, whatever is made of that.
    begin = 0.0 if path.suffix == ".avi" else first_time(path, "v")
    return onset(wave) / rate_of(path) + first_time(path, "a") - begin


def onset(loud: np.ndarray) -> int:
    """Find the sample at which a tone of 0.3 begins."""
    found = np.nonzero(loud > 0.09)[0]
    return int(found[0]) if len(found) else 0


def level(wave: np.ndarray) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(wave.astype(np.float64))))) if wave.size else 0.0


def tone_level(wave: np.ndarray) -> float:
    """Return the level of a tone 50 ms after it begins, in the first channel of `[channels,samples]` at any rate."""
    begin = onset(np.abs(wave).max(0))
    rest = wave.shape[1] - begin
    return level(wave[0, begin + rest // 10 : begin + rest // 2])
