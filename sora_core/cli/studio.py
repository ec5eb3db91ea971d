"""`sora studio --open`: the node editor in a browser, served from here."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ..errors import SoraError, expect
from .options import add_policy

if TYPE_CHECKING:
    from ..host.web.app import Settings, Studio

EVERYWHERE = "0.0.0.0"
PATIENCE = 1.8  # seconds from a signal until the process ends, whatever its threads do


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_server_arguments(parser)
    parser.add_argument("--open", action="store_true", help="open the page in your browser")


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every server to a parser."""
    parser.add_argument(
        "--listen",
        nargs="?",
        const=EVERYWHERE,
        default="127.0.0.1",
        metavar="ADDRESS",
        help="let other machines in, who have the token that is printed; without ADDRESS at all addresses",
    )
    parser.add_argument("--port", type=_port, metavar="N", help="default: 8188, as ComfyUI")
    parser.add_argument(
        "--base-directory",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="holds the folders input, output, models and user (default: where you are)",
    )
    parser.add_argument(
        "--packs-dir", type=Path, metavar="DIR", help="a folder of further node packs (V3), like ComfyUI's custom_nodes"
    )
    add_policy(parser)


def run(args: argparse.Namespace) -> int:
    """Serve the page until stopped. Returns the exit code."""
    return serve(args, page=True, opened=args.open)


def serve(args: argparse.Namespace, page: bool, opened: bool = False) -> int:
    """Serve until Ctrl-C or SIGTERM. Returns the exit code."""
    try:
        from ..host.web.app import Studio
    except ModuleNotFoundError as error:
        name = error.name
        raise SoraError(f"This needs the package {name}, which is not installed: pip install {name}.") from error
    studio = Studio(_settings(args, page))
    try:
        number = asyncio.run(_until_stopped(studio, opened))
    except BaseException:
        studio.folders.discard_temp()
        raise
    print("Stopped.", file=sys.stderr)
    return _leave(studio, number)


def _leave(studio: Studio, number: int) -> NoReturn:
    """End the process at once.

    Python would wait for threads that nothing can interrupt, and take torch apart piece by piece, for seconds.
    """
    studio.folders.discard_temp()
    with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
        sys.stdout.flush()
        sys.stderr.flush()
    # To be told to end is a server's usual end.
    os._exit(0 if number == signal.SIGTERM else 128 + number)


def _settings(args: argparse.Namespace, page: bool) -> Settings:
    from ..host.packs import own_pack, packs_in
    from ..host.web.app import PORT, Settings
    from ..safety.policy import configured_policy

    policy = configured_policy(args.policy)
    own = own_pack()
    packs = [own] if own else []
    packs += packs_in(args.packs_dir.resolve()) if args.packs_dir else []
    base = args.base_directory.expanduser().resolve()
    expect(not base.exists() or base.is_dir(), f"{args.base_directory} is no folder: give one as --base-directory.")
    base.mkdir(parents=True, exist_ok=True)
    os.chdir(base)  # models are looked for where the program runs
    samples = own / "workflows" / "inputs" if own else None
    port = PORT if args.port is None else args.port
    return Settings(base, args.listen, port, page, packs, policy, samples)


async def _until_stopped(studio: Studio, opened: bool) -> int:
    """Serve; returns the number of the signal that ended it."""
    from ..host.web.app import run as run_server

    stopped, numbers = asyncio.Event(), [signal.SIGINT]

    def stop(number: int) -> None:
        numbers[0] = signal.Signals(number)
        stopped.set()
        last = threading.Timer(PATIENCE, _leave, (studio, number))
        last.daemon = True
        last.start()

    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and (name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN):
            with contextlib.suppress(NotImplementedError):  # Windows: the command's own handlers raise
                loop.add_signal_handler(number, stop, number)

    def told(address: str) -> None:
        print(f"Open {address}" if studio.settings.page else f"Serving {address}", flush=True)
        if studio.gate.remote:
            print(
                "sora: warning: other machines can reach this. Whoever has this address can run graphs and see all "
                "files of input and output; the connection is not encrypted.",
                file=sys.stderr,
            )
        if opened:
            # Some browsers are there only until they are closed.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    with contextlib.suppress(KeyboardInterrupt):
        await run_server(studio, stopped, told)
    return numbers[0]


def _port(text: str) -> int:
    """Read the number of a port; 0 takes a free one."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 0 to 65535")
    return int(text)
