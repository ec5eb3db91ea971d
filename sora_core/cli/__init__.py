"""The `sora` command.

Each command is a module in this package with

    def add_arguments(parser): ...         its options
    def run(args) -> int | None: ...       its work; returns the exit code

and one line in `main.COMMANDS`. A module with `OWN_PARSER = True` has no `add_arguments`: its `run` finds the words
behind the command in `args.arguments`.

`sora --help` answers at once, because only the module of the command that is called is imported, and the modules import
what is slow inside `run`.

Exit codes: 0 done, 1 something the user can put right (told in a line or two), 2 wrong usage, 130 Ctrl-C.
"""

from .main import COMMANDS, main

__all__ = ["COMMANDS", "main"]
