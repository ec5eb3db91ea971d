"""ComfyUI's own API examples against `sora serve`, with our checkpoint, its port and a small picture filled in.

    python tests/benchmarks/api_examples.py COMFYUI/script_examples

They are ComfyUI's (GPL) and not part of this repository. What they say and whether they ended well is printed as JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import _paths  # noqa: F401  (tests/support on the path)
from studio_support import Process


def run(script: Path, server: Process, folder: Path) -> dict[str, object]:
    """Run one example from outside the tree; returns its exit code and how many pictures it got."""
    text = script.read_text("utf-8").replace("v1-5-pruned-emaonly.safetensors", "sora-mini")
    text = text.replace("127.0.0.1:8188", f"127.0.0.1:{server.port}")
    text = re.sub(r'"(height|width)": 512', r'"\1": 64', text)
    copy = folder / script.name
    copy.write_text(text + "\nprint(len(globals().get('images', [])))\n", "utf-8")
    made = subprocess.run([sys.executable, copy], cwd=folder, capture_output=True, text=True, timeout=300)
    return {"code": made.returncode, "pictures": made.stdout.split()[-1:], "said": made.stderr.strip()[-300:]}


def main(folder: Path) -> int:
    """Run all examples; returns 1 where one fails."""
    with tempfile.TemporaryDirectory() as place, Process(Path(place)) as server:
        made = {path.name: run(path, server, Path(place)) for path in sorted(folder.glob("*.py"))}
    print(json.dumps(made, indent=2))
    return int(not made or any(answer["code"] for answer in made.values()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
