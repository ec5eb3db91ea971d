"""`sora run WORKFLOW.json`: a workflow without a browser."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..errors import SoraError
from .options import add_policy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "workflow",
        metavar="WORKFLOW",
        help="a workflow JSON in either format, an mp4 or PNG that carries one, or the name "
        "of one that comes with the package",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NODE.INPUT=VALUE",
        dest="settings",
        help="change an input; NODE is an id, or a title or type that is unique (repeatable)",
    )
    parser.add_argument(
        "--output-dir", type=Path, default=Path("output"), metavar="DIR", help="where files go (default: output)"
    )
    parser.add_argument(
        "--input-dir",
        type=Path,
        default=Path("input"),
        metavar="DIR",
        help="where LoadImage and LoadVideo look (default: input), before the folder `inputs` beside the workflow",
    )
    parser.add_argument(
        "--packs-dir", type=Path, metavar="DIR", help="a folder of further node packs (V3), like ComfyUI's custom_nodes"
    )
    add_policy(parser)
    parser.add_argument("--json", action="store_true", help="print files, outputs and timings as JSON")


def run(args: argparse.Namespace) -> int:
    from ..host.desk.folders import Folders
    from ..host.host import Host
    from ..host.packs import own_pack, packs_in
    from ..safety.policy import configured_policy

    policy = configured_policy(args.policy)
    own = own_pack()
    path = find_workflow(args.workflow, own)
    # What comes with a workflow lies beside it; a file of the same name in the input folder comes first.
    folders = Folders(input=args.input_dir, output=args.output_dir, samples=path.parent / "inputs")
    packs = [own] if own else []
    if args.packs_dir:
        packs += packs_in(args.packs_dir)
    host = Host(folders, packs, keep_results=False, policy=policy)
    for pack in host.registry.packs:
        if pack.error:
            print(f"sora: the node pack {pack.name} did not load: {pack.error}", file=sys.stderr)
            if args.debug:
                print(pack.details, file=sys.stderr)
    try:
        workflow = host.load(path, args.settings)
        with ProgressBar() as bar:
            result = host.run(workflow, listener=bar)
        previews = list(folders.temp.glob("*")) if folders.temp.is_dir() else []
    finally:
        folders.discard_temp()
    for node_id, reason in result.blocked.items():
        print(f"sora: {workflow.nodes[node_id].label} was stopped: {reason}", file=sys.stderr)
    if args.json:
        print(json.dumps(report(result, workflow), indent=2))
    else:
        for path in result.files:
            print(path)
    if not result.files and previews:
        print("sora: only previews were made, and not kept; add SaveVideo or SaveImage.", file=sys.stderr)
    return 0


def find_workflow(name: str, pack: Path | None) -> Path:
    """`name` as a path, or a workflow of that name that comes with the package."""
    path = Path(name)
    if path.exists() or pack is None:
        return path
    ours = pack / "workflows"
    named = ours / f"{path.stem}.json"
    if path.name == name and named.is_file():
        return named
    from ..words import did_you_mean

    hint = did_you_mean(path.stem, [p.stem for p in ours.glob("*.json")]) or "check the path."
    raise SoraError(f"There is no workflow {name!r}: {hint}")


def report(result: Any, workflow: Any) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "files": [str(path) for path in result.files],
        "outputs": result.outputs,
        "seconds": round(result.seconds, 3),
        "nodes": {
            node_id: {"type": workflow.nodes[node_id].type, "seconds": round(seconds, 3)}
            for node_id, seconds in result.timings.items()
        },
        "blocked": result.blocked,
    }


class ProgressBar:
    """A line on stderr that names the node and counts its steps; plain lines where stderr is no terminal."""

    shows_previews = False

    def __init__(self) -> None:
        self.bar: Any = None
        self.live = sys.stderr.isatty()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __call__(self, event: str, data: dict[str, Any]) -> None:
        if event == "executing":
            self._close()
            self.label = f"[{data['index'] + 1}/{data['total']}] {data['title']}"
            if self.live:
                self._open(None)
            else:
                print(self.label, file=sys.stderr, flush=True)
        elif event == "progress" and self.live:
            if self.bar.total != data["max"]:
                self._close()
                self._open(data["max"])
            self.bar.n = data["value"]
            self.bar.refresh()
        elif event == "progress_text":
            if self.bar is not None:
                self.bar.set_postfix_str(data["text"].splitlines()[0])
            else:
                print("\n".join(f"    {line}" for line in data["text"].splitlines()), file=sys.stderr, flush=True)
        elif event in ("execution_success", "execution_error", "execution_interrupted"):
            self._close()

    def _open(self, total: int | None) -> None:
        from tqdm import tqdm

        layout = "{desc}: {n_fmt}/{total_fmt} |{bar:24}| {elapsed}<{remaining}{postfix}" if total else "{desc}{postfix}"
        self.bar = tqdm(total=total, desc=self.label, bar_format=layout, leave=total is not None, file=sys.stderr)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
