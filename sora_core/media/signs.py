"""Whether a file says of itself that a model, or a graph, made what it shows.

Such a file is no user's own, wherever it lies: what is made of its frames gets their mark. What it says need not be
signed for that: who forges it gets a mark too many. A file that says nothing counts as a user's.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_UNPACKED = 64 << 20  # bytes of a text in a png
_BLOCK = 1 << 20
# Words that no picture or sound holds by chance, with what they are a sign of. They stand in a file as they are,
# whatever container it is; a png may pack its texts.
_WORDS = {
    b"rainedAlgorithmicMedia": "credentials",  # IPTC's source type, composite or not, in a C2PA manifest or in XMP
    b"ContentProducer": "label",  # of China's AIGC label (GB 45438-2025)
    b"class_type": "workflow",  # of each node of a graph in ComfyUI's API format
    b"widgets_values": "workflow",  # the same in the format of its page
}
# EXIF comments may be UTF-16, of either order.
_SIGNS = _WORDS | {word.decode().encode("utf-16-le")[:-1]: sign for word, sign in _WORDS.items()}
_OVERLAP = max(map(len, _SIGNS)) - 1


def sign_of(path: str | Path) -> str:
    """Name what says that the file was made: "credentials", "label" or "workflow"; "" where nothing does.

    The file is read once, as a stream; asked again, it is not while it stays as it is. Raises OSError.
    """
    path = Path(path)
    about = path.stat()
    return _sign_of(path, about.st_ino, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=256)
def _sign_of(path: Path, *_: int) -> str:
    with path.open("rb") as file:
        before = b""  # the end of the block before, in which a word may begin
        while block := file.read(_BLOCK):
            if found := _sign_in(before + block):
                return found
            before = block[-_OVERLAP:]
    return next((found for text in _packed_texts(path) if (found := _sign_in(text))), "")


def _sign_in(data: bytes) -> str:
    return next((sign for word, sign in _SIGNS.items() if word in data), "")


def _packed_texts(path: Path) -> Iterator[bytes]:
    """Unpack the texts of a png that are packed."""
    with path.open("rb") as file:
        if file.read(len(_PNG)) != _PNG:
            return
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind not in (b"zTXt", b"iTXt") or length > _MOST_UNPACKED:
                file.seek(length + 4, 1)
                continue
            _, _, rest = file.read(length).partition(b"\0")
            file.seek(4, 1)
            if kind == b"iTXt":
                if rest[:1] != b"\1":
                    continue
                # A language and a translated name stand before the text.
                rest = b"\0" + rest[2:].partition(b"\0")[2].partition(b"\0")[2]
            try:
                yield zlib.decompressobj().decompress(rest[1:], _MOST_UNPACKED)
            except zlib.error:
                continue
