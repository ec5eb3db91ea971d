"""Prompts as people write them: how much of what they ask for reaches the model, and what it makes of them.

    python tests/benchmarks/freehand.py [--split dev|held|all] [--sheets FOLDER] [--prompts 40] [--expand auto|never]

Prints, by language, the share of asked things (subject, action, place, colour, camera, time, weather, ...) that are
among the concepts which the model reads, as the prompts are written and as they are told. `--sheets` makes a clip of
each prompt, at 25 steps and seed 27, and lays three frames of each out beside its number: whether all that is asked is
shown is for eyes to say. What a prompt asks for was labelled by hand, with the prompts, before the reading was built;
"-" is what the model has no concept for, which is not counted.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import _paths  # noqa: F401 (for its effect on sys.path)
from PIL import Image, ImageDraw

import sora_core
from sora_core.language.reading import read
from sora_core.language.wording import worded

PROMPTS = Path(__file__).parents[1] / "data" / "prompts_freehand.jsonl"
SIDE, GAP, TITLE, ROWS = 128, 40, 14, 5


def reached(wanted: str, concepts: set[str]) -> bool:
    """Tell whether one of "a/b+c" is there; "!d" is there where d is not."""
    return any(
        all((one.strip("!") in concepts) != one.startswith("!") for one in either.replace(",", "+").split("+"))
        for either in wanted.split("/")
    )


def share(rows: list[dict], how: str) -> dict[str, str]:
    """Count what reaches the concepts, by language."""
    counted: dict[str, list[bool]] = {}
    for row in rows:
        concepts = set(read(worded(row["text"], how).prompt).concepts)
        for _, _, wanted in row["asks"]:
            if wanted != "-":
                counted.setdefault(row["lang"], []).append(reached(wanted, concepts))
    return {lang: f"{sum(hits)} of {len(hits)} ({100 * sum(hits) / len(hits):.0f}%)" for lang, hits in counted.items()}


def sheets(rows: list[dict], folder: Path, how: str) -> None:
    """Make the clips, and write ten of them to a picture."""
    pipe = sora_core.load()
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(0, len(rows), 2 * ROWS):
        width = 3 * (SIDE + 1) + GAP
        sheet = Image.new("RGB", (2 * width, ROWS * (SIDE + TITLE)), "white")
        for place, row in enumerate(rows[number : number + 2 * ROWS]):
            frames = pipe.generate(row["text"], seed=27, expand=how).frames
            x, y = place % 2 * width, place // 2 * (SIDE + TITLE)
            ImageDraw.Draw(sheet).text((x + 2, y + 1), row["id"], fill="black")
            for at, frame in enumerate((frames[0], frames[len(frames) // 2], frames[-1])):
                picture = Image.fromarray((frame * 255).byte().numpy())
                sheet.paste(picture, (x + at * (SIDE + 1), y + TITLE - 1))
        sheet.save(folder / f"sheet{number // (2 * ROWS)}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", choices=("dev", "held", "all"), default="all")
    parser.add_argument("--sheets", type=Path, metavar="FOLDER", help="make clips, and sheets of them")
    parser.add_argument("--prompts", type=int, default=40, help="how many clips, three of five of them English")
    parser.add_argument("--expand", choices=("auto", "always", "never"), default="auto")
    args = parser.parse_args()
    rows = [json.loads(line) for line in PROMPTS.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if args.split in ("all", row["split"])]
    print(json.dumps({how: share(rows, how) for how in ("never", args.expand)}, indent=1))
    if args.sheets:
        english = [row for row in rows if row["lang"] == "en"][: args.prompts * 3 // 5]
        chinese = [row for row in rows if row["lang"] == "zh"][: args.prompts - len(english)]
        sheets([*english, *chinese], args.sheets, args.expand)


if __name__ == "__main__":
    main()
