"""One result of many jobs: `results.jsonl`, a contact sheet, and a page to look through that needs nothing else.

They are written from the records, so that they are whole however often a batch was stopped, and wherever its jobs ran.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from ..files import PICTURES, written_beside
from ..provenance import History, plan
from .jobs import Job
from .records import DONE, Records

RESULTS, SHEET, PAGE = "results.jsonl", "sheet.png", "index.html"
MOST_SHOWN = 400  # pictures on the contact sheet: 1,000 would make one that no program opens gladly
_CELL, _LABEL, _GAP = 144, 26, 6  # pixels
_STYLE = """
body{font:15px/1.4 system-ui,sans-serif;margin:1.5rem;background:#fafafa;color:#222}
h1{font-size:1.2rem}input{font:inherit;padding:.3rem .5rem;width:22rem;max-width:100%}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:1rem;margin-top:1rem}
figure{margin:0;background:#fff;border:1px solid #ddd;border-radius:6px;overflow:hidden}
video,img{display:block;width:100%;background:#111;aspect-ratio:1;object-fit:contain}
figcaption{padding:.4rem .6rem;overflow-wrap:anywhere}small{color:#666;display:block}
.no figcaption{color:#8a1f11}details{margin-top:.2rem;font-size:.85rem}pre{white-space:pre-wrap;margin:.3rem 0}
"""
_SCRIPT = """
const find=document.getElementById("find");
find.addEventListener("input",()=>{const words=find.value.toLowerCase().split(/\\s+/);
for(const f of document.querySelectorAll("figure"))f.hidden=!words.every(w=>f.textContent.toLowerCase().includes(w));});
for(const v of document.querySelectorAll("video")){v.addEventListener("mouseenter",()=>v.play().catch(()=>{}));
v.addEventListener("mouseleave",()=>v.pause());}
"""


def write_results(records: Records, jobs: Iterable[Job], title: str) -> dict[str, int]:
    """Write the three, jobs of this batch first, in their order; returns how many ended how."""
    order = [job.id for job in jobs]
    counts: dict[str, int] = {}
    for record in listed(records, order, False):
        counts[record["state"]] = counts.get(record["state"], 0) + 1
    with written_beside(records.out / RESULTS) as part, part.open("w", encoding="utf-8") as file:
        for record in listed(records, order):
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    with written_beside(records.out / PAGE) as part, part.open("w", encoding="utf-8") as file:
        file.writelines(page(records, order, title))
    save_sheet(draw_sheet(records, order), records.out / SHEET, counts.get(DONE, 0) > 0)
    return counts


def listed(records: Records, order: list[str], others: bool = True) -> Iterator[dict[str, Any]]:
    """Yield the records of jobs in this order, then those of other batches in the folder, one at a time."""
    for job_id in order:
        if (record := records.read(job_id)) is not None:
            yield record
    if others:
        known = set(order)
        yield from (record for record in records.all() if record["job"] not in known)


# -- contact sheet -------------------------------------------------------------------------------------------
def draw_sheet(records: Records, order: list[str]) -> Image.Image:
    """Draw a picture of each finished job, with its name and seed."""
    shown = [record for record in listed(records, order) if record.get("state") == DONE]
    more = len(shown) - MOST_SHOWN
    shown = shown[:MOST_SHOWN]
    columns = max(1, min(12, math.ceil(math.sqrt(len(shown) * 1.5))))
    rows = max(1, math.ceil(len(shown) / columns))
    wide, high = _CELL + _GAP, _CELL + _LABEL + _GAP
    sheet = Image.new("RGB", (columns * wide + _GAP, rows * high + _GAP + (16 if more > 0 else 0)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, record in enumerate(shown):
        x, y = _GAP + number % columns * wide, _GAP + number // columns * high
        try:
            with Image.open(records.jobs / f"{record['job']}.jpg") as picture:
                picture.thumbnail((_CELL, _CELL))
                sheet.paste(picture, (x + (_CELL - picture.width) // 2, y + (_CELL - picture.height) // 2))
        except (OSError, ValueError, Image.DecompressionBombError):  # no picture, or a made one
            draw.rectangle((x, y, x + _CELL, y + _CELL), outline="#bbb")
        draw.text((x, y + _CELL + 1), _fitting(str(record.get("name", ""))), fill="black")
        draw.text((x, y + _CELL + 13), _fitting(_under(record)), fill="#666")
    if more > 0:
        draw.text((_GAP, sheet.height - 15), f"and {more} more: see {PAGE}", fill="black")
    return sheet


def save_sheet(sheet: Image.Image, path: Path, made: bool) -> None:
    """Save a contact sheet, labelled and signed as the policy says where it shows what was `made`.

    It gets no watermark of its own: its pictures are of marked frames. Raises SoraError where it cannot be written.
    """
    saving = plan(History(generated=made))
    pixels = torch.from_numpy(np.array(sheet)).float() / 255
    ((shown,),) = saving.labels.shown([pixels[None]], None)
    info = PngInfo()
    if (packet := saving.next_label()) is not None:
        info.add_itxt("XML:com.adobe.xmp", packet)
    with written_beside(path) as part:
        Image.fromarray((shown.numpy() * 255).round().astype(np.uint8)).save(part, format="PNG", pnginfo=info)
        saving.seal(part, path.name)


def _fitting(text: str) -> str:
    """Return what Pillow's own font can show of a label, in the width of a cell.

    The end stays: there stands what jobs of one line differ in.
    """
    text = text.encode("ascii", "replace").decode()
    return text if len(text) <= 23 else f"{text[:10]}~{text[-12:]}"


def _under(record: Mapping[str, Any]) -> str:
    seed = record.get("seed")
    return record["job"][:8] if seed is None else f"seed {seed}"


# -- page ----------------------------------------------------------------------------------------------------
def page(records: Records, order: list[str], title: str) -> Iterator[str]:
    """Yield one HTML file in pieces: each job with its video, what made it, or why it failed."""
    said = html.escape(title)
    yield (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{said}</title><style>{_STYLE}</style><h1>{said}</h1>"
        '<input id="find" type="search" placeholder="Find by name, seed, words" aria-label="Find"><main>'
    )
    for record in listed(records, order):
        yield _figure(records, record)
    yield f"</main><script>{_SCRIPT}</script></html>\n"


def _figure(records: Records, record: Mapping[str, Any]) -> str:
    name, settings = html.escape(str(record.get("name", ""))), record.get("settings") or {}
    words = _words(settings.get("prompt") or settings.get("workflow") or settings.get("shots"))
    detail = html.escape(json.dumps({**settings, "job": record["job"]}, ensure_ascii=False, indent=1))
    seed = "" if record.get("seed") is None else f"seed {record['seed']}"
    if record.get("state") != DONE:
        why = html.escape(str(record.get("why", "")))
        state = html.escape(str(record.get("state")))
        return (
            f'<figure class="no"><figcaption><b>{name}</b><small>{seed}</small>{state}: {why}'
            f"<details><summary>{html.escape(words[:120])}</summary><pre>{detail}</pre></details></figcaption></figure>\n"
        )
    took = record.get("seconds")
    told = (seed, f"{took:.1f} s" if isinstance(took, (int, float)) else "", str(record.get("worker", "")))
    under = ", ".join(filter(None, told))
    shown = "".join(_shown(records, record["job"], str(file.get("file", ""))) for file in record.get("files", ()))
    return (
        f"<figure>{shown}<figcaption><b>{name}</b><small>{html.escape(under)}</small>{html.escape(words[:300])}"
        f"<details><summary>settings</summary><pre>{detail}</pre></details></figcaption></figure>\n"
    )


def _words(said: Any) -> str:
    """Write what a job asks for as a person reads it: shots as their prompts and seconds."""
    if isinstance(said, list):
        pairs = [each for each in said if isinstance(each, list) and len(each) == 2]
        return "; ".join(f"{text} ({seconds:g} s)" for text, seconds in pairs if isinstance(seconds, (int, float)))
    return str(said or "")


def _shown(records: Records, job_id: str, file: str) -> str:
    source = html.escape(quote(f"./{Path(file).name}"), quote=True)
    if Path(file).suffix.lower() in PICTURES:
        return f'<img src="{source}" loading="lazy" alt="">'
    still = f' poster="jobs/{job_id}.jpg"' if (records.jobs / f"{job_id}.jpg").is_file() else ""
    return f'<video src="{source}"{still} preload="none" controls loop muted playsinline></video>'
