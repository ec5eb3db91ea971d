"""Blind naming: what viewers who see only the pictures call the subject of a clip, and a judge that is fitted to it.

    python tests/benchmarks/blind.py make --out FOLDER --sprites FOLDER   # clips, and sheets without captions
    python tests/benchmarks/blind.py pair --out FOLDER --sprites FOLDER --models sora-mini FILE   # of several models
    python tests/benchmarks/blind.py score [--labels FILE]                # what viewers named
    python tests/benchmarks/blind.py fit --clips FOLDER --sprites FOLDER  # fit the judge, and its figures

`make` writes the answers into a folder of their own, `answers`, which viewers leave alone. They write a line a clip:
id, name ("?" where they cannot tell), and clean, soft or broken for its shape. `label` joins both to what `fit` reads.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import _paths
import numpy as np
import torch
from blind_clips import make
from blind_pairs import make_pairs

from sora_core.language.reading import read
from sora_core.observer.network import load_observer
from sora_core.training.evaluate import viewer
from sora_core.training.evaluate.cases import Draw
from sora_core.training.evaluate.clues import NAMES
from sora_core.training.evaluate.judge import most
from sora_core.training.evaluate.measures import proportion
from sora_core.training.evaluate.run import watching

LABELS = _paths.ROOT / "tests" / "data" / "blind.jsonl"
HELD_OUT = 100  # clips at least that the judge is not fitted to
SHAPES = ("clean", "soft", "broken")
# What viewers say besides the lexicon's words, and mean the same picture by.
ALSO: dict[str, tuple[str, ...]] = {}


def right(name: str, subject: str) -> bool:
    """Tell whether a viewer's name means the subject, by the lexicon's words or by ALSO."""
    if name == subject or name in ALSO.get(subject, ()):
        return True
    facts = read(f"a {name} in the meadow").facts if name != "?" else None
    return facts is not None and [s["name"] for s in facts["subjects"]] == [subject]


def label(args: argparse.Namespace) -> None:
    """Join names (`ID NAME SHAPE` a line) with the answers to labels."""
    answers = {row["id"]: row for row in read_rows(args.clips / "answers" / "answers.jsonl")}
    rows = []
    for line in args.names.read_text(encoding="utf-8").splitlines():
        id, *name, shape = line.split()
        row = answers[int(id)]
        said = " ".join(name)
        rows.append({**row, "said": said, "named": right(said, row["subject"]), "shape": shape})
    args.labels.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def read_rows(path: Path) -> list[dict]:
    """Read lines of JSON."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def score(args: argparse.Namespace) -> None:
    """Print what viewers named, by how clips were made."""
    rows = read_rows(args.labels)
    for way in sorted({row["way"] for row in rows}):
        part = [row for row in rows if row["way"] == way]
        shapes = ", ".join(f"{s} {sum(row['shape'] == s for row in part)}" for s in SHAPES)
        named = proportion([row["named"] for row in part])
        print(f"{way}: named {named['percent']}% ({named['interval']}) of {named['clips']}; {shapes}")


def held_out(rows: list[dict], count: int = HELD_OUT) -> np.ndarray:
    """Choose the clips `[N]` that are not fitted to, at least `count`, as evenly over subjects and ways as they go."""
    rng, order = np.random.default_rng(85), {}
    for i in rng.permutation(len(rows)):
        order.setdefault(rows[i]["subject"], []).append(int(i))
    out = np.zeros(len(rows), bool)
    # The share of each subject's clips; what is left over goes by turns.
    share, due = count / len(rows), 0.0
    for subject in sorted(order):
        for i in order[subject]:
            due += share
            if due >= 1 - 1e-9:
                out[i], due = True, due - 1
    return out


def others(rows: list[dict], inside: np.ndarray) -> list[dict]:
    """Ask each second clip that is fitted to for another subject, which the viewer did not name there.

    Without these, what is fitted leans on which subjects are easy, and would pass a clip that shows nothing.
    """
    rng, subjects = np.random.default_rng(86), sorted({row["subject"] for row in rows})
    found = []
    for i in inside[::2]:
        rest = [name for name in subjects if name != rows[i]["subject"] and not right(rows[i]["said"], name)]
        found.append({**rows[i], "subject": rest[int(rng.integers(len(rest)))], "named": False, "other": True})
    return found


def gather(args: argparse.Namespace, rows: list[dict]) -> list[dict]:
    """Return the clues of each labelled clip, kept in `clues.json` beside the clips; "observer": today's verdict."""
    kept = args.clips / "clues.json"
    found = json.loads(kept.read_text()) if kept.exists() and not args.again else {}
    observer = load_observer()
    watch = watching(observer)
    eyes = viewer.Eyes(Draw(args.sprites), watch, observer.config)

    def key(row: dict) -> str:
        return f"{row['id']} {row['subject']}" if row.get("other") else str(row["id"])

    left = [row for row in rows if key(row) not in found]
    for start in range(0, len(left), 8):
        part = left[start : start + 8]
        videos = [np.load(args.clips / f"{row['id']:03}.npy") / np.float32(255) for row in part]
        ask = [(row["subject"], row["motion"]) for row in part]
        for row, values, sight in zip(part, eyes.clues(ask, videos), watch(videos), strict=True):
            today = most(sight.tracks["subjects"], observer.config) == row["subject"]
            found[key(row)] = {**values, "observer": today}
        kept.write_text(json.dumps(found))
    return [found[key(row)] for row in rows]


def agreement(said: np.ndarray, named: np.ndarray) -> str:
    """Say how often a judge agrees with viewers, and how it errs."""
    share = proportion(list(said == named))
    table = [int((said == a)[named == b].sum()) for a in (True, False) for b in (True, False)]
    return (
        f"{share['percent']}% ({share['interval'][0]} to {share['interval'][1]}) of {share['clips']}; "
        f"says named: viewers did {table[0]}, did not {table[1]}; says not: did {table[2]}, did not {table[3]}"
    )


def fit(args: argparse.Namespace) -> None:
    """Fit the judge to a part of the labels and print how it agrees with the rest."""
    rows = read_rows(args.labels)
    out = held_out(rows)
    extra = others(rows, np.flatnonzero(~out))
    rows, out = rows + extra, np.append(out, np.zeros(len(extra), bool))
    found, named = gather(args, rows), np.array([row["named"] for row in rows])
    inside = np.flatnonzero(~out)
    asked = [(row["subject"], row["motion"]) for row in rows]
    model = _fitted(found, asked, named, inside, args.ridge)
    said = np.array([model.names_it(*pair) for pair in zip(found, asked, strict=True)])
    today = np.array([row["observer"] for row in found])
    made = np.array([row["way"] != "truth" for row in rows])
    print(dict(zip(model.names, model.weights, strict=True)), model.motions, model.bias)
    print(f"fitted to {len(inside)} clips, {len(extra)} of them with another subject asked for:")
    print(f"  {agreement(said[~out], named[~out])}")
    for what, part in (("held out", out), ("held out, without truths", out & made)):
        print(f"{what}: {agreement(said[part], named[part])}")
        print(f"  today's judge: {agreement(today[part], named[part])}")
        print(f"  always named: {agreement(np.ones(part.sum(), bool), named[part])}")
    for size in (30, 60, 100, 150, len(inside)):
        if size <= len(inside):
            scores = [_curve(found, asked, named, inside, out, size, args.ridge, seed) for seed in range(20)]
            print(f"fitted to {size}: {100 * float(np.mean(scores)):.1f}% held out (mean of 20 draws)")
    if args.save:
        viewer.save(model)


def _fitted(found: list, asked: list, named: np.ndarray, part: np.ndarray, ridge: float) -> viewer.Viewer:
    """Fit to a part of the clips."""
    return viewer.fit([found[i] for i in part], [asked[i] for i in part], named[part], NAMES, ridge)


def _curve(found, asked, named, inside, out, size, ridge, seed) -> float:
    """Return the agreement on held-out clips of a judge fitted to `size` clips."""
    model = _fitted(found, asked, named, np.random.default_rng(seed).permutation(inside)[:size], ridge)
    return float(np.mean([model.names_it(found[i], asked[i]) == named[i] for i in np.flatnonzero(out)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("make", "pair", "label", "score", "fit"))
    parser.add_argument("--out", "--clips", dest="clips", type=Path, help="folder of the clips")
    parser.add_argument("--sprites", type=Path, help="the sprite package that the model was trained on")
    parser.add_argument("--models", nargs="+", help="of `pair`: models, or MODEL+LORA, by names or files")
    parser.add_argument("--count", type=int, default=64, help="of `pair`: clips of each model (default: 64)")
    parser.add_argument("--names", type=Path, help="what a viewer wrote")
    parser.add_argument("--labels", type=Path, default=LABELS, help="default: those of the repository")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16", help="of clips (default: bf16)")
    parser.add_argument("--ridge", type=float, default=0.5, help="penalty on weights (default: 0.5)")
    parser.add_argument("--again", action="store_true", help="gather clues again")
    parser.add_argument("--save", action="store_true", help="write the judge into the package")
    args = parser.parse_args()
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[args.precision]
    if args.what != "score" and args.clips is None:
        parser.error(f"{args.what} needs --out")
    if args.what == "pair" and not args.models:
        parser.error("pair needs --models")
    if args.what == "make":
        make(args.clips, args.sprites, dtype, lambda text: print(text, flush=True))
    elif args.what == "pair":
        make_pairs(args.clips, args.sprites, args.models, args.count, dtype, lambda text: print(text, flush=True))
    else:
        {"label": label, "score": score, "fit": fit}[args.what](args)


if __name__ == "__main__":
    main()
