"""`sora serve`: the same server without a page, for scripts that speak ComfyUI's API."""

from __future__ import annotations

import argparse

from .studio import add_server_arguments
from .studio import serve as serve_until_stopped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_server_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until stopped. Returns the exit code."""
    return serve_until_stopped(args, page=False)
