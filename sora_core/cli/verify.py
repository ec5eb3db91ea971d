"""`sora verify FILE`: who signed it, how it was made, and what was changed since.

Exit codes, the worst of all files: 0 intact, whatever became of the certificate since, 1 not there or no media file, 2
wrong usage, 3 tampered with or with credentials that cannot be read, 4 without credentials or with some elsewhere, 5
intact but signed by nobody who is trusted, or whose certificate has expired (with --trust only).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..errors import SoraError
from ..words import printable

CODES = {"intact": 0, "expired": 0, "tampered": 3, "broken": 3, "none": 4, "elsewhere": 4}
UNTRUSTED = 5
# The worst of several files decides: one that cannot be read first, as nothing is known of it.
BAD_FIRST = (1, 3, 4, UNTRUSTED, 0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sora verify`."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="videos or pictures to check")
    parser.add_argument(
        "--trust",
        type=Path,
        metavar="PEM",
        help="certificates whose signatures you trust; then every other signer is a failure",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a file")
    parser.epilog = (
        "Exit codes: 0 intact, 1 not there or no media file, 3 tampered with or credentials that cannot be read, 4 "
        "without credentials or with some that are kept elsewhere, 5 not signed by anybody in --trust with a "
        "certificate that is still valid."
    )


def run(args: argparse.Namespace) -> int:
    """Verify each file; returns the worst code of all."""
    from ..provenance.credentials.verify import verify

    codes = []
    for path in args.files:
        try:
            report = verify(path, args.trust)
        except SoraError as error:
            # Alone, its error is the command's own, with --debug and all; among others it must not hide their results.
            if len(args.files) == 1:
                raise
            print(f"sora: {printable(str(error))}", file=sys.stderr)
            codes.append(1)
            continue
        code = CODES[report.state]
        codes.append(UNTRUSTED if code == 0 and args.trust is not None and not report.trusted else code)
        print(json.dumps(report.as_dict(), ensure_ascii=False) if args.json else report)
    return min(codes, key=BAD_FIRST.index)
