"""What `sora eval` hands out: a table, JSON, a contact sheet, a page."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..loop.sheets import contact_sheet
from .cases import SUMMARIES
from .run import Result, Shown


def table(results: dict[str, Result]) -> str:
    """Format results by ability as plain text: one line a measure."""
    lines = [f"{'':32}{'model':>7}  {'95% interval':>14}  {'truth':>6}  {'chance':>6}  {'clips':>5}"]
    for name, result in results.items():
        for key, score in result.scores.items():
            model, (low, high) = score["model"], score["model"]["interval"]
            chance = "" if score["chance"] is None else f"{score['chance']:5.1f}%"
            lines.append(
                f"{name + ': ' + key:32}{model['percent']:6.1f}%  {low:5.1f} to {high:5.1f}  "
                f"{score['truth']['percent']:5.1f}%  {chance:>6}  {model['clips']:5}"
            )
        lines += [f"{name + ': ' + key:32}{value:7g}" for key, value in result.figures.items()]
    return "\n".join(lines)


def as_json(results: dict[str, Result], about: dict[str, Any]) -> dict[str, Any]:
    """Return results by ability as JSON-able data, after what was run."""
    return {
        **about,
        "abilities": {
            name: {"scores": r.scores, "figures": r.figures, "seconds": r.seconds} for name, r in results.items()
        },
    }


def _label(shown: Shown) -> str:
    """Say whether a clip is right, or what is wrong with it, and its prompts."""
    wrong = [name for name, right in shown.verdict.items() if not right]
    prompt = " | ".join(shown.case.prompts)
    return f"{'not ' + ', '.join(wrong) if wrong else 'right'}: {prompt}"


def sheet(results: dict[str, Result], columns: int = 6) -> Image.Image:
    """Lay out the first clips of each ability, frames of the model from left to right."""
    shown = [s for result in results.values() for s in result.shown[:3]]
    # The labels' font is Latin.
    labels = [_label(s).encode("latin-1", "replace").decode("latin-1")[:120] for s in shown]
    return contact_sheet([s.model for s in shown], columns, labels, rows_across=2)


def _picture(clip: np.ndarray, columns: int = 6) -> str:
    """Return frames of a clip side by side as a data URL."""
    data = io.BytesIO()
    contact_sheet([clip], columns).save(data, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;width:100%}td,th{padding:.25rem .6rem;text-align:left;border-bottom:1px solid #ddd}
.bar{position:relative;width:16rem;height:1rem;background:#eee}.bar i{position:absolute;top:0;bottom:0}
.m{left:0;background:#4a7dbd}.r{background:#0006;top:.4rem!important;bottom:.4rem!important}
.t{width:2px;background:#2a9d4a}.c{width:2px;background:#c33}
figure{margin:1rem 0}img{max-width:100%;display:block;margin:.2rem 0}figcaption{font-size:13px}
"""


def _bar(score: dict[str, Any]) -> str:
    """Draw a score as HTML: the model with its interval, the truth, chance."""
    model = score["model"]
    low, high = model["interval"]
    marks = f'<i class="t" style="left:{score["truth"]["percent"]}%"></i>'
    if score["chance"] is not None:
        marks += f'<i class="c" style="left:{score["chance"]}%"></i>'
    return (
        f'<div class="bar"><i class="m" style="width:{model["percent"]}%"></i>'
        f'<i class="r" style="left:{low}%;width:{high - low}%"></i>{marks}</div>'
    )


def told(about: dict[str, Any]) -> str:
    """Say what was run, in a line."""
    plain = {key: " + ".join(value) or "none" if isinstance(value, list) else value for key, value in about.items()}
    return ", ".join(f"{key} {value}" for key, value in plain.items())


def page(results: dict[str, Result], about: dict[str, Any]) -> str:
    """Write one HTML file that needs nothing else: figures, and clips of the model above the truth through the VAE."""
    said = html.escape(told(about))
    rows, clips = [], []
    for name, result in results.items():
        what = SUMMARIES.get(name, "Through the VAE and back.")
        rows.append(f'<tr><th colspan="6">{name}: {html.escape(what)}</th></tr>')
        for key, score in result.scores.items():
            model, chance = score["model"], score["chance"]
            rows.append(
                f"<tr><td>{html.escape(key)}</td><td>{_bar(score)}</td><td><b>{model['percent']}%</b></td>"
                f"<td>{model['interval'][0]} to {model['interval'][1]}</td><td>{score['truth']['percent']}%</td>"
                f"<td>{'' if chance is None else f'{chance}%'}</td></tr>"
            )
        rows += [
            f'<tr><td>{html.escape(key)}</td><td></td><td colspan="4"><b>{value:g}</b></td></tr>'
            for key, value in result.figures.items()
        ]
        if result.shown:
            clips.append(f"<h2>{name}</h2>")
        clips += [
            f'<figure><figcaption>{html.escape(_label(s))}</figcaption><img src="{_picture(s.model)}" alt="model">'
            f'<img src="{_picture(s.truth)}" alt="truth through the VAE"></figure>'
            for s in result.shown
        ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>sora eval</title><style>{_STYLE}</style>'
        f"<h1>sora eval</h1><p>{said}</p><p>Blue: the model, with its 95% interval; green: the world's own clips "
        "through the VAE, judged alike; red: chance.</p><table><tr><th></th><th></th><th>model</th>"
        f"<th>95% interval</th><th>truth</th><th>chance</th></tr>{''.join(rows)}</table>"
        f"<p>Below: the model's clip, and under it the world's clip of the same facts.</p>{''.join(clips)}</html>\n"
    )


def write(results: dict[str, Result], about: dict[str, Any], page_path: Path | None, sheet_path: Path | None) -> None:
    """Write the page and the contact sheet where paths are given."""
    if page_path:
        page_path.write_text(page(results, about), encoding="utf-8")
    if sheet_path:
        sheet(results).save(sheet_path)
