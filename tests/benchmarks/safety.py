"""The figures of the safety parts.

    python tests/benchmarks/safety.py [--json] [--only prompt,watermark,detector,c2pa,frames]

Each part is in `safety_PART.py` with `add_arguments(parser)` (optional) and `measure(args) -> dict`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

import _paths  # noqa: F401 (for its effect on sys.path)

HERE = Path(__file__).parent


def main() -> None:
    parts = sorted(path.stem.removeprefix("safety_") for path in HERE.glob("safety_*.py"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--only", default=",".join(parts), metavar="PARTS", help=f"some of {', '.join(parts)}")
    chosen = [part for part in _only(sys.argv[1:], parts) if part in parts]
    modules = {part: importlib.import_module(f"safety_{part}") for part in chosen}
    for module in modules.values():
        if hasattr(module, "add_arguments"):
            module.add_arguments(parser)
    args = parser.parse_args()
    if unknown := [part for part in args.only.split(",") if part not in parts]:
        parser.error(f"no part {', '.join(unknown)}: use {', '.join(parts)}")
    result = {part: module.measure(args) for part, module in modules.items()}
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
        return
    for part, figures in result.items():
        print(f"{part}:")
        for name, value in figures.items():
            print(f"  {name}: {value}")


def _only(argv: list[str], parts: list[str]) -> list[str]:
    """What --only says, read before the parts' own arguments are known."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--only", default=",".join(parts))
    return first.parse_known_args(argv)[0].only.split(",")


if __name__ == "__main__":
    main()
