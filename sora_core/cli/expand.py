"""`sora expand PROMPT`: a short prompt in the descriptive wording that the model knows."""

from __future__ import annotations

import argparse
import sys

from .options import positive, seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sora expand`."""
    parser.add_argument("prompt", help="a prompt, in English or Chinese")
    parser.add_argument("--seed", type=seed, default=0, help="same seed, same wording (default: 0)")
    add_language_model(parser)


def add_language_model(parser: argparse.ArgumentParser) -> None:
    """Add the options that let a language model do the wording."""
    parser.add_argument(
        "--language-model",
        metavar="ADDRESS",
        help="let a language model do the wording: an OpenAI-compatible server, for example http://127.0.0.1:8080",
    )
    parser.add_argument("--language-model-name", metavar="NAME", default="", help="which of the server's models")
    parser.add_argument(
        "--time-limit",
        type=positive,
        default=30.0,
        metavar="SECONDS",
        help="how long the language model may take (default: 30)",
    )


def expanded(args: argparse.Namespace) -> str:
    """Reword the prompt of `args`; what happened to it goes to stderr."""
    if args.language_model:
        from ..language.language_model import reword

        made = reword(args.prompt, args.language_model, args.language_model_name, args.seed or 0, args.time_limit)
    else:
        from ..language.expand import expand

        made = expand(args.prompt, args.seed or 0)
    # stdout is for the wording alone, so that it can be piped.
    print(f"sora: {made.note}", file=sys.stderr)
    return made.prompt


def run(args: argparse.Namespace) -> int:
    """Print the new wording."""
    print(expanded(args))
    return 0
