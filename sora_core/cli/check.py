"""`sora check PROMPT` or `sora check --file PROMPTS.txt`: say whether the policy allows it.

Exit code: 0 when everything is allowed, 1 when the check cannot run, 3 when a prompt is blocked.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SoraError, expect

if TYPE_CHECKING:
    from ..safety.prompts import PromptReport

BLOCKED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sora check`."""
    parser.add_argument("prompt", nargs="?", help="the prompt")
    parser.add_argument("--file", type=Path, metavar="PROMPTS.txt", help="a prompt in each line; - is standard input")
    parser.add_argument("--negative", default="", metavar="TEXT", help="a negative prompt that goes with the prompt")
    parser.add_argument("--policy", metavar="NAME_OR_FILE", help="a policy: default, strict, or a TOML file")
    parser.add_argument("--json", action="store_true", help="one JSON object a line: allowed, scores, evidence")
    parser.epilog = f"Exit code {BLOCKED}: a prompt is blocked; 1: the check cannot run."


def run(args: argparse.Namespace) -> int:
    """Check a prompt, or each line of a file; returns BLOCKED if the policy blocks any."""
    from ..safety.policy import configured_policy, load_policy
    from ..safety.prompts import check_prompt, check_request

    expect((args.prompt is None) != (args.file is None), "Give a prompt, or --file with a prompt in each line.")
    expect(args.file is None or not args.negative, "--negative goes with a prompt, not with --file.")
    policy = configured_policy(args.policy) or load_policy()
    blocked = False
    found: Iterable[tuple[str, PromptReport]]
    if args.file is None:
        found = [(args.prompt, report) for report in check_request(args.prompt, args.negative, policy=policy)]
    else:
        # One after the other: a long list is answered as it is checked.
        found = ((line, check_prompt(line, policy)) for line in _lines(args.file))
    for text, report in found:
        blocked |= not report.allowed and policy.prompt.action == "block"
        if args.json:
            print(json.dumps({"prompt": text, "text": report.text_name, **report.as_dict()}, ensure_ascii=False))
        else:
            print(report.message() if args.file is None else f"{'ok     ' if report.allowed else 'blocked'}  {text}")
            if args.file is not None and not report.allowed:
                print("         " + report.message().splitlines()[0])
    return BLOCKED if blocked else 0


def _lines(path: Path) -> list[str]:
    """Read the lines of a file that are not blank; "-" is standard input."""
    try:
        # "-sig": Windows' editors begin a text with a mark that would belong to the first prompt.
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SoraError(f"The file {str(path)!r} cannot be read ({error}): give a text file in UTF-8.") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    expect(bool(lines), f"The file {str(path)!r} holds no prompts: write one in each line.")
    return lines
