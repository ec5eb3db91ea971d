"""Pictures, videos and sounds that come in, and painted masks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import BodyPartReader, web

from ...errors import SoraError, expect
from ..desk.folders import contained
from ..desk.uploads import check_kind, put, take_in
from ..desk.views import masked
from .live import MOST_UPLOADED

if TYPE_CHECKING:
    from .app import Studio

MOST_TEXT, MOST_FIELDS = 1 << 16, 30  # bytes of a field that is no file; fields


class Uploads:
    """Takes files into the folders."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    async def image(self, request: web.Request) -> web.Response:
        """Take a picture, a video or a sound."""
        return await self._take(request, mask=False)

    async def mask(self, request: web.Request) -> web.Response:
        """Take a mask, and write the picture that it was painted on with it."""
        return await self._take(request, mask=True)

    async def _take(self, request: web.Request, mask: bool) -> web.Response:
        expect(request.content_type == "multipart/form-data", "Send the file as multipart/form-data.")
        fields, named = dict[str, str](), ""
        received: Path | None = None
        temp = self.studio.folders.of("temp")
        try:
            async for part in await request.multipart():
                if not isinstance(part, BodyPartReader):
                    raise SoraError("The form holds another form: send plain fields.")
                if part.name == "image" and part.filename and received is None:
                    named = Path(part.filename.replace("\\", "/")).name
                    check_kind(Path(named))
                    # Where it goes is known only with the fields that follow.
                    received = await take_in(_pieces(part), temp, MOST_UPLOADED)
                elif part.name:
                    expect(len(fields) < MOST_FIELDS, f"The form has more than {MOST_FIELDS} fields: send fewer.")
                    fields[part.name] = (await part.read_chunk(MOST_TEXT)).decode(errors="replace")
            if received is None:
                raise SoraError("The form has no file in the field 'image': choose one.")
            # In a thread: pictures are packed, large files copied, and the pages must hear on.
            return web.json_response(await asyncio.to_thread(self._place, received, named, fields, mask))
        except (ValueError, RecursionError, AssertionError) as wrong:  # aiohttp's, of a broken form
            raise SoraError("The form is broken: send it again.") from wrong
        finally:
            if received is not None:
                received.unlink(missing_ok=True)

    def _place(self, received: Path, named: str, fields: dict[str, str], mask: bool) -> dict[str, str]:
        kind, subfolder = fields.get("type") or "input", fields.get("subfolder", "").strip("/")
        root = self.studio.folders.of(kind)
        target = contained(root, f"{subfolder}/{named}" if subfolder else named)
        check_kind(target)
        if mask:
            of = json.loads(fields.get("original_ref") or "null")
            expect(isinstance(of, dict) and isinstance(of.get("filename"), str), "original_ref must name a picture.")
            name = f"{of['subfolder']}/{of['filename']}" if of.get("subfolder") else of["filename"]
            masked(self.studio.serving.media(name, str(of.get("type") or "output")), received, received)
        path = put(received, target, fields.get("overwrite") in ("true", "1"))
        folder = path.parent.relative_to(root.resolve()).as_posix()
        return {"name": path.name, "subfolder": "" if folder == "." else folder, "type": kind}


async def _pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    while piece := await part.read_chunk(1 << 18):
        yield piece
