"""`sora run WORKFLOW.json`: a workflow without a browser. `sora run` alone lists those that come with the package."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SoraError
from ..files import exists
from ..words import printable
from .options import add_policy

if TYPE_CHECKING:
    from tqdm import tqdm

    from ..host.graph.workflow import Workflow
    from ..host.host import Host
    from ..host.run.executor import RunResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument(
        "workflow",
        metavar="WORKFLOW",
        nargs="?",
        help="a workflow JSON in either format, an mp4 or PNG that carries one, or the name of one that comes with the "
        "package; without it, those are listed",
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
    """Run the workflow, or list those that come with the package. Returns the exit code."""
    from ..host.packs import own_pack

    own = own_pack()
    if args.workflow is None:
        list_workflows(shared_workflows(own))
        return 0
    return _run(args, own)


def _run(args: argparse.Namespace, own: Path | None) -> int:
    from ..host.desk.folders import Folders
    from ..host.host import Host
    from ..host.packs import packs_in
    from ..safety.policy import configured_policy

    policy = configured_policy(args.policy)
    path = find_workflow(args.workflow, own)
    # What comes with a workflow lies beside it; a file of the same name in the input folder comes first.
    folders = Folders(input=args.input_dir, output=args.output_dir, samples=path.parent / "inputs")
    packs = [own] if own else []
    if args.packs_dir:
        packs += packs_in(args.packs_dir)
    # There is no second run to keep results for: memory is free as soon as it is used up.
    host = Host(folders, packs, keep_results=False, policy=policy)
    _tell_failed_packs(host, args.debug)
    try:
        workflow = host.load(path, args.settings)
        with ProgressBar() as bar:
            result = host.run(workflow, listener=bar)
        # They go with their folder: nobody is there to look at them.
        previews = list(folders.temp.glob("*")) if folders.temp.is_dir() else []
    finally:
        folders.discard_temp()
    for node_id, reason in result.left_out.items():
        node = workflow.nodes[node_id]
        why = reason.removeprefix(node.heading).lstrip(",: ")
        print(f"sora: {node.label} was left out: {why}", file=sys.stderr)
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


def _tell_failed_packs(host: Host, debug: bool) -> None:
    for pack in host.registry.packs:
        if pack.error:
            print(f"sora: the node pack {pack.name} did not load: {pack.error}", file=sys.stderr)
            if debug:
                print(pack.details, file=sys.stderr)


def shared_workflows(pack: Path | None) -> dict[str, Path]:
    """Find the workflows that come with the package, by name."""
    found = sorted((pack / "workflows").glob("*.json")) if pack is not None else []
    return {path.stem: path for path in found}


def list_workflows(shared: dict[str, Path]) -> None:
    """Print a line for each workflow that runs here: its name, and what it does where its file says so."""
    shared = {name: path for name, path in shared.items() if not needs_comfyui(path)}
    width = max(map(len, shared), default=0)
    for name, path in shared.items():
        print(f"{name:{width}}  {about(path)}".rstrip())
    hint = "Run one by its name" if shared else "No workflows came with the package: give the path of one"
    print(f"{hint}, for example: sora run {next(iter(shared), 'workflow.json')}", file=sys.stderr)


def needs_comfyui(path: Path) -> bool:
    """Return whether a workflow names models that ComfyUI's own loaders load, which are not ours."""
    try:
        nodes = json.loads(path.read_text(encoding="utf-8")).get("nodes") or []
        return any((node.get("properties") or {}).get("models") for node in nodes)
    except (OSError, ValueError, AttributeError):
        return False


def about(path: Path) -> str:
    """Read the first line of what a workflow says of itself: its description, its title, or its first note.

    Returns "" where it says nothing. A file that cannot be read says nothing; running it tells why.
    """
    from ..host.graph.scopes import NOTES

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        info = (data.get("extra") or {}).get("info") or {}
        notes = [node["widgets_values"][0] for node in data.get("nodes") or [] if node["type"] in NOTES]
        said = next((text for text in (info.get("description"), info.get("name"), *notes) if text), "")
        return next((line.strip("# ") for line in said.splitlines() if line.strip("# ")), "")
    except (OSError, ValueError, AttributeError, KeyError, TypeError, IndexError):
        return ""


def find_workflow(name: str, pack: Path | None) -> Path:
    """Find the file of a workflow: `name` as a path, or one of that name that comes with the package.

    Raises SoraError, naming close matches, when there is neither.
    """
    path = Path(name)
    # A file of the user's comes before a workflow of the package that has its name.
    if exists(path) or pack is None:
        return path
    shared = shared_workflows(pack)
    if path.name == name and path.stem in shared:
        return shared[path.stem]
    from ..words import did_you_mean

    hint = did_you_mean(path.stem, shared) or "check the path."
    raise SoraError(f"There is no workflow {name!r}: {hint}")


def report(result: RunResult, workflow: Workflow) -> dict[str, Any]:
    """Return what `--json` prints."""
    return {
        "files": [str(path) for path in result.files],
        "outputs": result.outputs,
        "seconds": round(result.seconds, 3),
        "nodes": {
            node_id: {"type": workflow.nodes[node_id].type, "seconds": round(seconds, 3)}
            for node_id, seconds in result.timings.items()
        },
        "blocked": result.blocked,
        "left_out": result.left_out,
    }


class ProgressBar:
    """A line on stderr that names the node and counts its steps; plain lines where stderr is no terminal."""

    shows_previews = False

    def __init__(self) -> None:
        self.bar: tqdm | None = None
        self.label = ""
        # In a file or a pipe a bar would leave a line for each step.
        self.live = sys.stderr.isatty()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __call__(self, event: str, data: dict[str, Any]) -> None:
        """Show an event."""
        if event == "executing":
            self._close()
            self.label = f"[{data['index'] + 1}/{data['total']}] {data['title']}"
            if self.live:
                self._open(None)
            else:
                print(self.label, file=sys.stderr, flush=True)
        elif event == "progress" and self.live:
            self._step(data["value"], data["max"])
        elif event == "progress_text":
            self._say(data["text"])
        elif event in ("execution_success", "execution_error", "execution_interrupted"):
            self._close()

    def _say(self, text: str) -> None:
        """Print every line of a text, so that it stays: a bar's own line is erased at the next node."""
        for line in printable(text).splitlines():
            if self.live:
                from tqdm import tqdm

                tqdm.write(f"    {line}", file=sys.stderr)  # above the bar, which print would write into
            else:
                print(f"    {line}", file=sys.stderr, flush=True)

    def _step(self, value: int, total: int) -> None:
        bar = self.bar
        if bar is None or bar.total != total:
            self._close()
            bar = self._open(total)
        bar.n = value
        bar.refresh()

    def _open(self, total: int | None) -> tqdm:
        from tqdm import tqdm

        layout = "{desc}: {n_fmt}/{total_fmt} |{bar:24}| {elapsed}<{remaining}" if total else "{desc}"
        self.bar = tqdm(total=total, desc=self.label, bar_format=layout, leave=total is not None, file=sys.stderr)
        return self.bar

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
