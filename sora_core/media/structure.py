"""What the outermost layer of a media file says, read without FFmpeg: whether its end is missing, names of codecs."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..words import printable

MATROSKA, SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"
CLUSTER = b"\x1fC\xb6u"
# Elements that stand in a segment: SeekHead, Info, Tracks, Cues, Tags, Attachments, Chapters; a void, a checksum.
_NAMES = ("114d9b74", "1549a966", "1654ae6b", "1c53bb6b", "1254c367", "1941a469", "1043a770", "ec", "bf")
OUTER = {CLUSTER, *(bytes.fromhex(name) for name in _NAMES)}
# And in a cluster: its time, position and size, SimpleBlock, BlockGroup, silent tracks, encrypted blocks.
IN_CLUSTERS = {bytes.fromhex(code) for code in ["e7", "a7", "ab", "a3", "a0", "5854", "af"]}
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
OGG_END = 4  # flag of the last page of a track
TS_PACKET, TS_SYNC = 188, 0x47
# First boxes of mp4 and QuickTime files. Older ones of QuickTime have no `ftyp`.
FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof")
MAX_LIST = 4096  # bytes, within which a file that is no text shows it
MAX_PROBE = 1 << 20  # bytes of a text that are looked through, as FFmpeg does
LIST_MARKS = (b"<mpd", b"<compositionplaylist")
MAX_INDEX = 16 << 20  # bytes of an index that are looked through for a name


def is_boxes(head: bytes) -> bool:
    """Tell whether a file that begins so is an mp4 or QuickTime file."""
    size = int.from_bytes(head[:4], "big")
    return len(head) >= 8 and head[4:8] in FIRST_BOXES and (size in (0, 1) or size >= 8)


def names_others(path: Path) -> bool:
    """Tell whether a file is a list of other files (HLS, DASH, IMF, FFmpeg's own), which may lie anywhere."""
    try:
        with open(path, "rb") as file:
            head = file.read(MAX_LIST)
            while head[:3] == b"ID3" and len(head) > 9:  # a tag that FFmpeg passes over before it looks
                size = sum((byte & 127) << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
                file.seek(file.tell() - len(head) + 10 + size + 10 * bool(head[5] & 16))
                head = file.read(MAX_LIST)
            if b"\0" not in head:
                head += file.read(MAX_PROBE)  # a text may say late what it is, and FFmpeg reads on
    except OSError:
        return False
    text = head.partition(b"\0")[0].lower()  # FFmpeg does not mind capitals, and reads as far
    return text.startswith((b"#extm3u", b"ffconcat")) or any(mark in text for mark in LIST_MARKS)


def cut_short(path: Path) -> bool:
    """Tell whether a file says that it is longer than it is. Formats that do not say how long they are give False."""
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            head = file.read(64)
            if is_boxes(head):
                return any(end > size for _, _, end in _boxes(file, size))
            if head[:4] == b"RIFF":
                return not _whole_chunks(file, 0, size, size)
            if head[:4] == MATROSKA:
                return not _whole_elements(file, *_segment(head, size), size)
            if head[:3] == b"FLV":
                return not _whole_tags(file, size)
            if len(head) > 4 and head[0] == TS_SYNC and _sync(file, TS_PACKET):
                return size % TS_PACKET != 0
            if head[:4] == b"OggS":
                return not _whole_pages(file, size)
            if head[:16] == ASF:
                file.seek(0)
                found = file.read(1 << 16)
                at = found.find(ASF_PROPERTIES)
                return at >= 0 and int.from_bytes(found[at + 40 : at + 48], "little") > size
            if head[:4] == b"GIF8":
                file.seek(max(size - 64, 0))
                return b";" not in file.read()
    except (OSError, struct.error):
        pass
    return False


def has_index(path: Path) -> bool:
    """Tell whether an mp4 or QuickTime file has its index, without which nothing of it can be read; True for others."""
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            if not is_boxes(file.read(8)):
                return True
            return any(kind in (b"moov", b"moof") and end <= size for kind, _, end in _boxes(file, size))
    except (OSError, struct.error):
        return True


def codec_of(path: Path, sound: bool = False) -> str:
    """Name the codec of the first picture or sound track as the file writes it, for one that FFmpeg has no decoder of.

    mp4, QuickTime, AVI and Matroska; "" where it is not found.
    """
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            head = file.read(64)
            if is_boxes(head):
                found = _code_in_boxes(file, size, b"soun" if sound else b"vide")
            else:
                file.seek(0)
                found = _code_in_header(file.read(MAX_INDEX), head, sound)
    except (OSError, struct.error):
        return ""
    return printable(found.decode("latin-1").strip(" \0"))


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each outermost box, where its body begins and where it ends, which may be beyond the file."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, body = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, body = int.from_bytes(head[8:16], "big"), 16
        end = size if length == 0 else at + length
        if end < at + body:
            return  # no box
        yield head[4:8], at + body, end
        at = end


def _segment(head: bytes, size: int) -> tuple[int, int]:
    """Return where the body of a Matroska file begins and ends by its header; the file's end where it does not say."""
    try:
        length, at = _element_size(head, 4)
        at += length
        if head[at : at + 4] != SEGMENT:
            return size, size
        length, body = _element_size(head, at + 4)
    except IndexError:
        return size, size
    return body, size if length < 0 else body + length


def _whole_elements(file: BinaryIO, at: int, end: int, size: int) -> bool:
    """Tell whether the elements of a Matroska file, down to its blocks, are known ones and follow each other."""
    if end > size:
        return False
    while at < end:
        file.seek(at)
        head = file.read(12)
        width = 9 - head[0].bit_length()
        name = head[:width]
        if width > 4 or (name not in OUTER and name not in IN_CLUSTERS) or len(head) < width + 1:
            return False
        try:
            length, body = _element_size(head, width)
        except IndexError:
            return False
        # A cluster is gone into, of whatever size: its blocks stand before the next one.
        at += body if name == CLUSTER else body + max(length, 0)
    return at == end


def _element_size(data: bytes, at: int) -> tuple[int, int]:
    """Return the size that stands at a place, -1 for none, and where what has that size begins."""
    width = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
    return (-1 if value == (1 << 7 * width) - 1 else value), at + width


def _whole_chunks(file: BinaryIO, at: int, end: int, size: int) -> bool:
    """Tell whether the chunks of a RIFF file follow each other, those of its lists too."""
    while at + 8 <= end:
        file.seek(at)
        head = file.read(12)
        name, length = head[:4], int.from_bytes(head[4:8], "little")
        lists = name in (b"RIFF", b"LIST")
        if at + 8 + length > size:
            # Who records and does not know yet how long it will be writes none, or all bits.
            return lists and length >= 0xFFFFFFF0
        if not re.fullmatch(rb"[ -~]{4}", name):
            return False
        # Frames stand in lists and lists of them.
        inner = lists and length and head[8:12] in (b"AVI ", b"AVIX", b"movi", b"rec ")
        if inner and not _whole_chunks(file, at + 12, at + 8 + length, size):
            return False
        at += 8 + length + length % 2
    return True


def _whole_pages(file: BinaryIO, size: int) -> bool:
    """Tell whether the pages of an Ogg file follow each other, none is left out, and the tracks come to an end."""
    at, flags, numbers = 0, 0, dict[bytes, int]()
    while at < size:
        file.seek(at)
        head = file.read(27)
        if len(head) < 27 or head[:4] != b"OggS":
            return False
        flags, track, number = head[5], head[14:18], int.from_bytes(head[18:22], "little")
        if number != numbers.get(track, number - 1) + 1 and number:
            return False
        numbers[track] = number
        at += 27 + head[26] + sum(file.read(head[26]))
    return at == size and bool(flags & OGG_END)


def _whole_tags(file: BinaryIO, size: int) -> bool:
    """Tell whether the tags of a Flash video follow each other: behind each stands how long it was."""
    file.seek(5)
    at = int.from_bytes(file.read(4), "big") + 4
    while at < size:
        file.seek(at)
        length = int.from_bytes(file.read(4)[1:], "big") + 11
        file.seek(at + length)
        # Some writers leave the lengths out, and write 0.
        if at + length + 4 > size or int.from_bytes(file.read(4), "big") not in (length, length - 11, 0):
            return False
        at += length + 4
    return True


def _sync(file: BinaryIO, step: int) -> bool:
    """Tell whether the first packets of a transport stream stand `step` bytes apart."""
    file.seek(0)
    start = file.read(8 * step)
    return len(start) >= 2 * step and all(start[at] == TS_SYNC for at in range(0, len(start), step))


def _code_in_boxes(file: BinaryIO, size: int, kind: bytes) -> bytes:
    for name, body, end in _boxes(file, size):
        if name != b"moov":
            continue
        file.seek(body)
        index = file.read(min(end - body, MAX_INDEX))
        track = b""
        # Of each track its handler stands before the table of its codecs.
        for found in re.finditer(rb"hdlr.{8}(vide|soun)|stsd.{12}(.{4})", index, re.DOTALL):
            if found[1]:
                track = found[1]
            elif track == kind:
                return found[2]
    return b""


def _code_in_header(data: bytes, head: bytes, sound: bool) -> bytes:
    if head[:4] == b"RIFF":
        kind = b"auds" if sound else b"vids"
        found = re.search(rb"strh.{4}" + kind + rb".{16,80}?strf.{4}(.{20})", data, re.DOTALL)
        if found is None:
            return b""
        return b"0x%04x" % int.from_bytes(found[1][:2], "little") if sound else found[1][16:]
    if head[:4] == MATROSKA:
        found = re.search(rb"\x86([\x81-\xbf])(" + (b"A" if sound else b"V") + rb"_[ -~]*)", data)
        return b"" if found is None else found[2][: found[1][0] & 0x3F]
    return b""
