"""The entry point: pick the command, and turn errors into words and exit codes."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import signal
import sys
import warnings
from collections.abc import Iterator
from types import FrameType, ModuleType
from typing import NoReturn

from ..about import VERSION
from ..errors import NO_MEMORY, SoraError, is_out_of_memory, words_for_input
from ..interrupt import remember
from ..words import printable
from .console import console, silence

# Name, and what `sora --help` says. The module of the same name in this package does the work.
COMMANDS = {
    "generate": "make a video from a prompt",
    "expand": "tell a short prompt again in the words that the model knows best",
    "run": "run a workflow JSON without a browser",
    "render": "make many videos from one file of jobs, here or on a cluster",
    "studio": "serve the node editor, for a browser",
    "serve": "serve the API of the node editor, for scripts",
    "caption": "say what a video shows, or caption a folder of them for training",
    "eval": "measure how well a model does what its prompts say",
    "check": "say whether the policy allows a prompt, or each of a file",
    "verify": "say who signed a file, how it was made, and what was changed since",
    "detect": "say whether a video was made here: by its credentials, its watermark, its looks",
    "key": "make a key of your own for the watermark",
    "train": "train a model, a LoRA or a check (`sora train --help` lists the stages)",
}


def main(argv: list[str] | None = None) -> int:
    """Run the `sora` command with `argv`; returns the exit code."""
    with console():
        try:
            with _signals_at_once():  # what a command imports takes long enough for a Ctrl-C, too
                return _main(argv)
        except KeyboardInterrupt as stop:
            print("\nStopped.", file=sys.stderr)
            return 128 + (stop.number if isinstance(stop, _Stopped) else signal.SIGINT)


def _main(argv: list[str] | None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    # Pillow warns of large pictures; what reads one has a limit of its own, and says so.
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
    # Found before parsing: the parser of a command needs its module, and others' modules are slow to import.
    called = next((word for word in argv if not word.startswith("-")), "")
    module = importlib.import_module(f".{called}", __package__) if called in COMMANDS else None
    if module is None:
        parser = _parser(called, None)
        parser.parse_args(argv)  # exits for what is no command
        parser.print_help()
        return 0
    if getattr(module, "OWN_PARSER", False):
        args = argparse.Namespace(arguments=argv[argv.index(called) + 1 :])
        debug = "--debug" in args.arguments
    else:
        args = _parser(called, module).parse_args(argv, argparse.Namespace(argv=argv))
        debug = args.debug
    return _run(module, args, debug)


def _run(module: ModuleType, args: argparse.Namespace, debug: bool) -> int:
    """Run a command; returns its exit code, and tells its errors in a line or two unless `debug`."""
    try:
        # torch would import it from C, where a signal that arrives meanwhile is lost.
        importlib.import_module("numpy")
        code = module.run(args) or 0
        sys.stdout.flush()  # here it can be told that nobody could hear it
        return code
    except BrokenPipeError:
        # The reader of our output went away (`sora run ... | head`).
        silence(sys.stdout)
        return 1
    except Exception as error:
        if debug:
            raise
        print(f"sora: {printable(_words_for(error))}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:
            silence(sys.stdout)  # full: Python would complain of it when it ends
        return 1


def _words_for(error: Exception) -> str:
    if isinstance(error, SoraError):
        return str(error)
    if is_out_of_memory(error):
        return NO_MEMORY
    if told := words_for_input(error):
        return told
    line = (str(error).strip().splitlines() or [""])[0]
    return (
        f"unexpected {type(error).__name__}: {line}\nThis is a fault of the program; run again with --debug and report "
        "what it prints."
    )


class _Stopped(KeyboardInterrupt):
    """A signal asked the program to stop. What cleans up after Ctrl-C cleans up after it too."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def _signals_at_once() -> Iterator[None]:
    """Make Ctrl-C, SIGTERM and a terminal that is closed raise at once within the block.

    asyncio's own handler of Ctrl-C would wait for the running node to finish, and the others would end the program with
    files half-written.
    """

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        stopped = _Stopped(number)
        remember(stopped)
        raise stopped

    previous = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        # Under nohup it is ignored, and stays so.
        before = None if number is None else signal.getsignal(number)
        # Under nohup SIGHUP is ignored, and stays so. None is a handler that cannot be put back.
        if number is not None and before is not None and (name != "SIGHUP" or before != signal.SIG_IGN):
            with contextlib.suppress(ValueError):  # not in the main thread: whoever runs that one handles them
                previous[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        remember(None)
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in two lines, not with the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {message}\nSee {self.prog} --help.\n")


def _parser(called: str, module: ModuleType | None) -> argparse.ArgumentParser:
    """Make the parser, with the options of the one command that is called: those of others need their modules."""
    parser = _Parser(prog="sora", description="Text to video on your own machine.")
    parser.add_argument("--version", action="version", version=f"sora {VERSION}", help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if module is not None and name == called:
            module.add_arguments(command)
            command.add_argument("--debug", action="store_true", help="show the full traceback of an error")
    return parser
