"""Entry point: picks the command, and turns errors into words and exit codes."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from types import FrameType, ModuleType
from typing import NoReturn

from ..errors import SoraError

# Name, and what `sora --help` says. The module of the same name in this package does the work.
COMMANDS = {
    "generate": "make a video from a prompt",
    "expand": "tell a short prompt again in the words that the model knows best",
    "run": "run a workflow JSON without a browser",
    "caption": "say what a video shows, or caption a folder of them for training",
    "eval": "measure how well a model does what its prompts say",
    "check": "say whether the policy allows a prompt, or each of a file",
    "verify": "say who signed a file, how it was made, and what was changed since",
    "detect": "say whether a video was made here: by its credentials, its watermark, its looks",
    "train": "train a model (vae, dit, latents, observer, prompts, detector)",
}


def main(argv: list[str] | None = None) -> int:
    """Run the `sora` command with `argv`; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    called = next((word for word in argv if not word.startswith("-")), None)
    module = importlib.import_module(f".{called}", __package__) if called in COMMANDS else None
    if getattr(module, "OWN_PARSER", False):
        args = argparse.Namespace(arguments=argv[argv.index(called) + 1 :])
        debug = "--debug" in args.arguments
    else:
        parser = _parser(called, module)
        args = parser.parse_args(argv)
        if module is None:
            parser.print_help()
            return 0
        debug = args.debug
    previous = _raise_on_ctrl_c()
    try:
        return module.run(args) or 0
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except SoraError as error:
        if debug:
            raise
        print(f"sora: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output went away (`sora run ... | head`).
        sys.stderr.close()
        return 1
    except MemoryError:
        if debug:
            raise
        print("sora: not enough memory: use a smaller size or fewer frames.", file=sys.stderr)
        return 1
    except Exception as error:
        if debug:
            raise
        line = (str(error).strip().splitlines() or [""])[0]
        print(
            f"sora: unexpected {type(error).__name__}: {line}\nThis is a fault of the program; "
            "run again with --debug and report what it prints.",
            file=sys.stderr,
        )
        return 1
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in two lines, not with the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\nSee {self.prog} --help.\n")


def _parser(called: str | None, module: ModuleType | None) -> argparse.ArgumentParser:
    parser = _Parser(prog="sora", description="Text to video on your own machine.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == called:
            module.add_arguments(command)
            command.add_argument("--debug", action="store_true", help="show the full traceback of an error")
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"sora {version('sora-nodes')}")
        except PackageNotFoundError:
            print("sora (not installed)")
        parser.exit()


def _raise_on_ctrl_c():
    """Make Ctrl-C raise at once. asyncio's own handler would wait for the running node to finish."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    try:
        return signal.signal(signal.SIGINT, stop)
    except ValueError:
        # Not in the main thread: whoever runs that one handles Ctrl-C.
        return None
