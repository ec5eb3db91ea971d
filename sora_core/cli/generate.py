"""`sora generate PROMPT -o OUT.mp4`: a video without a graph."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import expect
from . import devices
from .expand import add_language_model, expanded
from .options import add_caching, add_lora, add_policy, count, positive, seed, size
from .start import ahead, uncollected

if TYPE_CHECKING:
    from ..pipeline import Pipeline

FAST = "sora-mini-4step"  # the LoRA of --fast
# What writes and signs a file, wanted only when there is a video.
SAVING = ("av", "sora_core.media.write", "sora_core.provenance.watermark.embedding", "sora_core.media.saved")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sora generate`."""
    parser.add_argument("prompt", help="what the video should show, in English or Chinese")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.mp4", help="the file to write")
    parser.add_argument("--negative", metavar="TEXT", help="what it should not show")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=positive, help="how long the video is")
    length.add_argument("--frames", type=count, help="how many frames it has, in place of --seconds")
    parser.add_argument("--fps", type=positive, help="frames per second")
    parser.add_argument("--size", type=size, metavar="WxH", help="for example 128x128, 160x96")
    parser.add_argument("--seed", type=seed, help="same seed, same video (default: 0)")
    parser.add_argument("--steps", type=count, help="steps of the sampler")
    parser.add_argument("--sampler", metavar="NAME", help="for example euler, dpmpp_2m, uni_pc")
    parser.add_argument("--scheduler", metavar="NAME", help="for example simple, sgm_uniform, beta")
    parser.add_argument("--cfg", type=float, help="guidance: how closely to follow the prompt")
    add_caching(parser)
    parser.add_argument("--shift", type=positive, help="shift of the noise schedule")
    parser.add_argument(
        "--model", metavar="NAME_OR_FILE", help="a model that comes with the package, or a checkpoint file"
    )
    add_lora(parser)
    parser.add_argument(
        "--fast",
        action="store_true",
        help=f"4 steps without guidance: a few-step LoRA of sora-mini, as --lora {FAST} does",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile the model first, where that makes it faster (torch.compile): for long videos and large sizes",
    )
    parser.add_argument(
        "--expand",
        action=argparse.BooleanOptionalAction,
        help="tell the prompt again in the words that the model knows best (see sora expand); --no-expand: read it as "
        "it is written. Without either, words that the model does not know are told in words that it knows",
    )
    parser.add_argument("--no-credentials", action="store_true", help="write no Content Credentials (C2PA)")
    parser.add_argument("--no-watermark", action="store_true", help="put no invisible mark into the frames")
    parser.add_argument("--include-prompt", action="store_true", help="tell the prompt in the Content Credentials")
    devices.add_devices(parser)
    add_language_model(parser)
    add_policy(parser)


# Options that go to `generate` as they are, when given: the model knows the best defaults.
PASSED_ON = (
    "negative",
    "seconds",
    "frames",
    "fps",
    "seed",
    "steps",
    "sampler",
    "scheduler",
    "cfg",
    "shift",
    "cache",
    "gate",
)


def run(args: argparse.Namespace) -> int:
    """Check what can be checked at once, then make the video under the policy."""
    from ..files import ensure_mp4, ensure_writable

    with uncollected():
        from ..pipeline import pipeline  # noqa: F401 (all of what takes long)
    from ..pipeline.engine import EMPTY_PROMPT
    from ..words import controls, short

    if devices.follows():
        return devices.follow(args, lambda: _load(args))
    devices.check(args)
    expect(not args.compile or (args.devices or 1) < 2, "--compile: a compiled model runs on one device. Leave it out.")
    out: Path = args.output
    expect(bool(args.prompt.strip()), EMPTY_PROMPT)
    ensure_mp4(out)
    bad = controls(out.name)
    expect(not bad, f"The file name {short(out.name)} holds a control character ({bad[:1]!r}): remove it.")
    ensure_writable(out.parent)
    if not devices.started() and (args.devices or 1) > 1:
        return devices.launch(args.devices, args.argv)

    from ..safety import gate
    from ..safety.policy import configured_policy

    said: list[str] = []
    with gate.enforcing(configured_policy(args.policy)):
        gate.prepare()
        with gate.noting(said):
            gate.check_text(args.prompt)
        return _generate(args, said)


def _generate(args: argparse.Namespace, said: list[str]) -> int:
    """Make and save the video. Only its name goes to stdout; what a person should know of it goes to stderr.

    said: what is to be told besides.
    """
    from ..provenance import History, plan
    from ..safety import gate

    prompt = expanded(args) if args.expand or args.language_model else args.prompt
    how = "never" if args.expand is False else "auto"
    saving = {
        "credentials": False if args.no_credentials else None,
        "watermark": False if args.no_watermark else None,
        "include_prompt": args.include_prompt or None,
    }
    # What cannot be signed, or has no room for a label, is said before the work.
    planned = plan(History(), **saving)
    options = {name: getattr(args, name) for name in PASSED_ON if getattr(args, name) is not None}
    if args.size:
        options["width"], options["height"] = args.size
        planned.labels.check_size(*args.size)

    def make(pipe: Pipeline) -> int:
        ahead(SAVING)
        with _StepBar() as bar:
            video = pipe.generate(prompt, expand=how, progress=bar, **options)
        # What was asked for stays the first of the prompts that the file tells of.
        asked = (args.prompt,) if prompt != args.prompt else ()
        video = replace(video, history=replace(video.history, prompts=(*asked, *video.history.prompts)))
        with gate.noting(said):
            video.save(args.output, **saving)
        for note in dict.fromkeys([*said, *video.notes]):
            print(note, file=sys.stderr)
        print(args.output)
        return 0

    return devices.run_shared(args, lambda: _load(args), make)


def _load(args: argparse.Namespace) -> Pipeline:
    """Load the model that is asked for, with its LoRAs."""
    from ..loading.lora import parse_lora
    from ..pipeline import load

    pipe = load(args.model) if args.model else load()
    for given in [*args.lora, *([FAST] if args.fast else [])]:
        pipe = pipe.with_lora(*parse_lora(given))
    if not args.compile:
        return pipe
    from ..model.compiling import compiling_pays

    if not compiling_pays(next(pipe.bundle.dit.parameters()).device):
        print("--compile: left out. This processor (AVX-512) is faster without.", file=sys.stderr)
        return pipe
    return pipe.compiled()


class _StepBar:
    """A line on stderr that counts the sampler's steps, which calls it as `bar(step, total)`."""

    def __init__(self) -> None:
        self.bar: Any = None

    def __enter__(self) -> _StepBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, step: int, total: int) -> None:
        if self.bar is None:
            from tqdm import tqdm

            # disable=None: no bar where stderr is no terminal, so that logs stay readable.
            self.bar = tqdm(total=total, desc="sampling", file=sys.stderr, disable=None)
        self.bar.n = step
        self.bar.refresh()
