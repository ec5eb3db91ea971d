"""`sora eval`: does the model do what its prompts say? Scores per ability, with the truth beside them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..errors import SoraError, expect
from .options import add_caching, add_lora, count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sora eval`."""
    parser.add_argument("--model", default="sora-mini", metavar="NAME_OR_FILE", help="which model (default: sora-mini)")
    add_lora(parser)
    parser.add_argument(
        "--preset",
        choices=("stage", "cast"),
        default="cast",
        help="the world's cast: stage has 32 subjects, cast 64 (default: cast)",
    )
    parser.add_argument("--observer", default="observer", metavar="NAME_OR_FILE", help="the network that names things")
    parser.add_argument(
        "--sprites",
        type=Path,
        metavar="FOLDER",
        help="the sprite package that the model was trained on, for what a viewer would name too; without it, subjects "
        "drawn by code",
    )
    parser.add_argument(
        "--only",
        metavar="A,B",
        help="abilities: vae, words, motions, company, camera, gravity, effects, occlusion, shots, chinese, free "
        "(default: all)",
    )
    parser.add_argument("--clips", type=count, default=100, help="clips an ability (default: 100)")
    parser.add_argument("--steps", type=count, help="steps of the sampler (default: the model's)")
    parser.add_argument("--cfg", type=float, help="guidance; 1 is none (default: the model's)")
    parser.add_argument("--sampler", metavar="NAME", help="default: the model's")
    parser.add_argument("--scheduler", default="simple", metavar="NAME", help="default: simple")
    add_caching(parser)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="default: fp32")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with figures and clips")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="write a contact sheet")


def run(args: argparse.Namespace) -> int:
    """Evaluate a model, and print or write the scores."""
    try:
        # Asked first: the work takes long, and would fail in the middle of it.
        import cv2  # noqa: F401 (the world and the registration need it)
    except ImportError as error:
        raise SoraError("sora eval needs OpenCV: pip install 'sora-nodes[train]'.") from error
    import torch

    from ..diffusion.caches import check_caching
    from ..loading.lora import parse_lora
    from ..observer.network import load_observer
    from ..pipeline import load
    from ..training.evaluate import report
    from ..training.evaluate.run import NAMES, evaluate

    only = tuple(args.only.split(",")) if args.only else NAMES
    unknown = [name for name in only if name not in NAMES]
    expect(not unknown, f"There is no ability {', '.join(unknown)}. There are: {', '.join(NAMES)}.")
    expect(args.sprites is None or args.sprites.is_dir(), f"There is no folder {str(args.sprites)!r} of sprites.")
    # Evaluating takes long: a folder that is not there is told before it.
    for path in (args.html, args.sheet):
        expect(path is None or path.parent.is_dir(), f"There is no folder for {str(path)!r}: make it first.")
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[args.precision]
    pipe = load(args.model, dtype=dtype)
    for given in args.lora:
        pipe = pipe.with_lora(*parse_lora(given))
    # Filled in here, so that the report says what was used.
    args.steps, args.cfg, args.sampler = pipe.habits(args.steps, args.cfg, args.sampler)
    args.cache, args.gate = args.cache or 0.0, args.gate or 0.0
    check_caching(args.cache, args.gate)
    observer = load_observer(args.observer).to(pipe.model.device)
    results = evaluate(
        pipe,
        observer,
        only=only,
        clips=args.clips,
        steps=args.steps,
        cfg=args.cfg,
        sampler=args.sampler,
        scheduler=args.scheduler,
        cache=args.cache,
        gate=args.gate,
        sprites=args.sprites,
        preset=args.preset,
        progress=lambda text: print(text, file=sys.stderr, flush=True),
    )
    keys = ("model", "lora", "preset", "observer", "steps", "cfg", "sampler", "scheduler", "cache", "gate", "precision")
    about = {key: getattr(args, key) for key in keys}
    about |= {"shift": pipe.model.shift, "subjects": "sprites" if args.sprites else "drawn by code"}
    report.write(results, about, args.html, args.sheet)
    if args.json:
        print(json.dumps(report.as_json(results, about), indent=2))
    else:
        print(report.told(about))
        print(report.table(results))
    return 0
