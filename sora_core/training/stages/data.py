"""`sora train data`: render clips of the world, or cut a user's own videos into clips."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ...errors import SoraError, expect
from .options import add_sprites

Shape = tuple[int, int, int]  # frames, height, width


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", default="starter")
    add_sprites(parser)
    parser.add_argument("--shape", action="append", default=[], metavar="TxHxW=CLIPS")
    parser.add_argument(
        "--videos", type=Path, metavar="FOLDER", help="your own videos, each with a .txt, in their place"
    )
    parser.add_argument("--caption", default="", help="with --videos: the caption of those that have none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--label", default="", help="ends the folders' names: clips of several presets side by side")
    parser.add_argument(
        "--excerpts", type=float, default=0.0, help="share of clips that begin and end in mid-motion, 0 to 1"
    )
    parser.add_argument("--whole", action="store_true", help="keep the combinations that `sora eval` asks for")


def run(args: argparse.Namespace) -> None:
    """Write the shards."""
    from ..data.shards import render_shards

    if args.videos:
        from ..data.videos import import_videos

        print(f"{import_videos(args.videos, args.out, caption=args.caption)} clips in {args.out}")
        return
    expect(bool(args.shape), "Say what to make: --shape 17x128x128=6000 (repeatable), or --videos FOLDER.")
    render_shards(
        args.out,
        args.preset,
        args.sprites,
        parse_shapes(args.shape),
        args.seed,
        args.workers,
        args.label,
        args.excerpts,
        args.whole,
    )


def parse_shapes(items: Sequence[str]) -> dict[Shape, int]:
    """Read `17x128x128=6000` as {(17, 128, 128): 6000}, clips by shape.

    Raises SoraError for what is written otherwise, and for sizes that the model cannot take.
    """
    shapes: dict[Shape, int] = {}
    for item in items:
        try:
            name, count = item.split("=")
            t, h, w = (int(v) for v in name.split("x"))
            shapes[t, h, w] = int(count)
        except ValueError:
            raise SoraError(f"Shape {item!r}: write FRAMESxHEIGHTxWIDTH=CLIPS, for example 17x128x128=6000.") from None
        # The VAE takes 1 + 4k frames; a token of the transformer shows 16 x 16 pixels.
        if (t - 1) % 4 or h % 16 or w % 16:
            raise SoraError(f"Shape {name}: frames must be 1 + 4k, height and width multiples of 16.")
    return shapes
