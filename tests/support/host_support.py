"""A tiny node pack, written to a folder and loaded as any other, for the tests of the host."""

from __future__ import annotations

from pathlib import Path

from sora_core.host.desk.folders import Folders
from sora_core.host.host import Host

INIT = """
from sora_core.host.api import ComfyExtension

from .nodes_of_tiny import NODES


class Tiny(ComfyExtension):
    async def on_load(self):
        self.loaded = True

    async def get_node_list(self):
        assert self.loaded
        return NODES


async def comfy_entrypoint():
    return Tiny()
"""

NODES = '''
import asyncio
import time

from sora_core.errors import SoraError
from sora_core.pipeline import progress
from sora_core.host.api import io, ui
from sora_core.host.desk.folders import current
from sora_core.files import written_beside

RUNS = []


def node(schema, execute, **methods):
    """A node class from a schema and its functions."""
    body = {"define_schema": classmethod(lambda cls: schema()), "execute": classmethod(execute)}
    body.update({name: classmethod(function) for name, function in methods.items()})
    return type(schema().node_id, (io.ComfyNode,), body)


def number(cls, value):
    RUNS.append(("TinyNumber", value))
    return io.NodeOutput(value)


def add(cls, a, b=100):
    RUNS.append(("TinyAdd", a, b))
    return io.NodeOutput(a + b)


async def wait(cls, value):
    await asyncio.sleep(0.01)
    return io.NodeOutput(value)


def write(cls, value, filename_prefix):
    path, subfolder = current().next_file(filename_prefix, ".txt")
    with written_beside(path) as part:
        part.write_text(f"{value} {sorted(cls.hidden.prompt)} {cls.hidden.unique_id}")
    return io.NodeOutput(ui={"files": [ui.SavedResult(path.name, subfolder, io.FolderType.output)]})


def slow(cls, value, steps):
    for step in range(steps):
        time.sleep(0.02)
        progress.report(step + 1, steps)
    return io.NodeOutput(value)


def film(cls, value, steps, frames):
    import torch
    from sora_core.latents.previews import Preview

    for step in range(steps):
        time.sleep(0.05)
        picture = torch.arange(frames, dtype=torch.uint8).mul(20).add(step).view(-1, 1, 1, 1).expand(-1, 8, 8, 3)
        progress.report(step + 1, steps, Preview(picture))
    return io.NodeOutput(value)


def picture(cls, value):
    import torch

    return io.NodeOutput(torch.full((1, 8, 8, 3), value / 10))


def talk(cls, value):
    progress.say("first said\\nsecond said")
    progress.report(1, 2)
    progress.say("")
    return io.NodeOutput(value)


def fail(cls, value, how):
    if how == "user":
        raise SoraError("the value is not to my liking: give another.")
    if how == "block":
        return io.NodeOutput(block_execution="it looked away")
    return io.NodeOutput(1 / 0)


def pick(cls, first, a=None, b=None):
    return io.NodeOutput(a if first else b)


def lazy_status(cls, first, a=None, b=None):
    return ["a"] if first and a is None else ["b"] if not first and b is None else []


def mode(cls, mode):
    return io.NodeOutput(str(sorted(mode.items())))


def even(cls, value):
    return io.NodeOutput(value)


def check_even(cls, value):
    return True if value is None or value % 2 == 0 else f"{value} is odd: use an even number."


def gather(cls, items):
    return io.NodeOutput(sum(items.values()))


INT, STRING = io.Int.Output, io.String.Output
STATE = {"stamp": 0}
EITHER = io.MatchType.Template("either", [io.Int, io.String])

NODES = [
    node(lambda: io.Schema("TinyNumber", display_name="A Number", inputs=[
        io.Int.Input("value", default=1, min=0, max=10)], outputs=[INT()]), number),
    node(lambda: io.Schema("TinySeeded", inputs=[
        io.Int.Input("seed", default=0, min=0, max=99), io.Combo.Input("kind", options=["plain", "fancy"]),
        io.Float.Input("scale", default=1.0, optional=True)], outputs=[INT()]),
        lambda cls, seed, kind, scale=1.0: io.NodeOutput(seed)),
    node(lambda: io.Schema("TinyAdd", inputs=[
        io.Int.Input("a", default=0), io.Int.Input("b", optional=True, default=100)], outputs=[INT()]), add),
    node(lambda: io.Schema("TinyWait", inputs=[io.Int.Input("value", default=0)], outputs=[INT()]), wait),
    node(lambda: io.Schema("TinyWrite", is_output_node=True, hidden=[io.Hidden.unique_id], inputs=[
        io.AnyType.Input("value"), io.String.Input("filename_prefix", default="tiny")]), write),
    node(lambda: io.Schema("TinySlow", inputs=[
        io.Int.Input("value", default=0), io.Int.Input("steps", default=5)], outputs=[INT()]), slow),
    node(lambda: io.Schema("TinyFilm", inputs=[
        io.Int.Input("value", default=0), io.Int.Input("steps", default=5), io.Int.Input("frames", default=3)],
        outputs=[INT()]), film),
    node(lambda: io.Schema("TinyPicture", inputs=[io.Int.Input("value", default=5)], outputs=[io.Image.Output()]),
         picture),
    node(lambda: io.Schema("TinyTalk", inputs=[io.Int.Input("value", default=0)], outputs=[INT()]), talk),
    node(lambda: io.Schema("TinyFail", inputs=[io.Int.Input("value", default=0), io.Combo.Input(
        "how", options=["user", "bug", "block"])], outputs=[INT()]), fail),
    node(lambda: io.Schema("TinyPick", inputs=[
        io.Boolean.Input("first", default=True), io.Int.Input("a", lazy=True, default=0),
        io.Int.Input("b", lazy=True, default=0)], outputs=[INT()]), pick, check_lazy_status=lazy_status),
    node(lambda: io.Schema("TinyMode", inputs=[io.DynamicCombo.Input("mode", options=[
        io.DynamicCombo.Option("plain", []),
        io.DynamicCombo.Option("noisy", [io.Float.Input("eta", default=0.5, min=0.0, max=1.0),
                                         io.Int.Input("seed", default=3)])])], outputs=[STRING()]), mode),
    node(lambda: io.Schema("TinyEven", inputs=[io.Int.Input("value", default=2)], outputs=[INT()]), even,
         validate_inputs=check_even),
    node(lambda: io.Schema("TinyStamp", inputs=[io.Int.Input("value", default=2)], outputs=[INT()]), number,
         fingerprint_inputs=lambda cls, value: STATE["stamp"]),
    node(lambda: io.Schema("TinyGather", inputs=[io.Autogrow.Input("items", io.Autogrow.TemplatePrefix(
        io.Int.Input("item"), "item", min=2, max=4))], outputs=[INT()]), gather),
    node(lambda: io.Schema("TinyList", inputs=[], outputs=[INT(is_output_list=True)]),
         lambda cls: io.NodeOutput([1, 2, 3])),
    node(lambda: io.Schema("TinySum", is_input_list=True, inputs=[io.Int.Input("values", force_input=True)],
                           outputs=[INT()]),
         lambda cls, values: io.NodeOutput(sum(values))),
    node(lambda: io.Schema("TinyMatch", inputs=[
        io.MatchType.Input("x", EITHER), io.MatchType.Input("y", EITHER, optional=True)],
        outputs=[io.MatchType.Output(EITHER, id="out")]), lambda cls, x, y=None: io.NodeOutput(x)),
    node(lambda: io.Schema("TinyImage", inputs=[], outputs=[io.Image.Output("image")]),
         lambda cls: io.NodeOutput(None)),
]
'''


def write_pack(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(INIT)
    (folder / "nodes_of_tiny.py").write_text(NODES)
    return folder


def make_host(root: Path, *, keep_results: bool = True) -> Host:
    """A host with the core nodes and the tiny pack, on folders below `root`."""
    folders = Folders(root / "input", root / "output", root / "temp")
    folders.input.mkdir(parents=True)
    return Host(folders, [write_pack(root / "tiny.pack")], keep_results)


def pack_module(host: Host):
    """The module with the pack's nodes: its `RUNS` and `STATE`."""
    import sys

    return sys.modules[host.registry.nodes["TinyNumber"].execute.__func__.__module__]


def api(**nodes: tuple) -> dict:
    """`api(n1=("TinyNumber", {"value": 3}))` as an API-format workflow with the node id "1"."""
    return {key.lstrip("n"): {"class_type": kind, "inputs": inputs} for key, (kind, inputs) in nodes.items()}
