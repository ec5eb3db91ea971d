"""Writes the editing workflows of `workflows/`, the stills and clips that they start from, and their pictures.

    python tests/makers/make_workflows.py [--inputs] [--pictures] [--sprites FOLDER]

The workflows are saved as the frontend saves them. --inputs draws the stills and clips anew. A picture is the
workflow's own result, run on the embedded host, so `--pictures` takes a while.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from sora_core.host.api.dynamic import DynamicCombo
from sora_core.host.desk.folders import Folders
from sora_core.host.graph.widgets import default_of, widget_of
from sora_core.host.host import Host

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS, INPUTS = ROOT / "workflows", ROOT / "workflows" / "inputs"
PROMPT = "a cat moving right on a beach"
BETWEEN = ("infill", "connect", "loop")  # kept frames on both sides, which say more than the prompt: less guidance
SAMPLER = "euler_ancestral"  # finds better shapes than euler with a model as small as sora-mini
CLIPS = {
    "sora_cat.mp4": {"subject": "cat", "scene": "beach", "motion": "right"},
    "sora_car.mp4": {"subject": "car", "scene": "desert", "motion": "right"},
}
VIDEO = {"video": ("clip", 0)}
# name: edit node, its inputs, further clips, prompt
EDITS: dict[str, tuple[str, dict, str]] = {
    "image_to_video": ("SoraImageToVideo", {"image": ("still", 0)}, PROMPT),
    "extend": ("SoraExtend", VIDEO, PROMPT),
    "infill": ("SoraInfill", {**VIDEO, "frames": "5-12"}, PROMPT),
    "connect": ("SoraConnect", {"first": ("clip", 0), "second": ("other", 0)}, PROMPT),
    "loop": ("SoraLoop", VIDEO, PROMPT),
    "remix": ("SoraRemix", VIDEO, "a cat moving right in the snowy mountains"),
}
# What a workflow says of itself, where the frontend keeps it: name and description.
ABOUT = {
    "text_to_video": ("Text to video", "A prompt becomes a video of two seconds."),
    "text_to_video_4step": ("Text to video, quick", "The same in four steps, by the LoRA that comes with the pack."),
    "image_to_video": ("Image to video", "A still picture is the first frame of a video."),
    "extend": ("Extend", "A clip goes on for another second; its own frames stay untouched."),
    "infill": ("Infill", "Frames in the middle of a clip are made anew."),
    "connect": ("Connect", "Two clips become one, with a second between them."),
    "loop": ("Loop", "A clip leads back to its start, so that it plays for ever."),
    "remix": ("Restyle", "A clip is made anew after a prompt, and keeps its motion."),
    "storyboard": ("Storyboard", "Three shots in one video, with the same character."),
    "long_video": ("Long video", "A video of any length, made in segments; the same run goes on after a stop."),
}
# Two nodes of one type: titles tell them apart, to people and to `sora run --set "Prompt.text=..."`.
TITLES = {"positive": "Prompt", "negative": "Negative prompt"}
SHOWN = "a penguin walks left in the snowy mountains"
STORY = "\n".join(f"2s: a penguin moving left {place}" for place in ("on a beach", "in the forest", "in the desert"))


def edit_graph(kind: str, inputs: dict, prompt: str) -> dict:
    """API graph of an editing node between files, sampler, decoder and file: node -> (type, inputs)."""
    remix = kind == "SoraRemix"
    graph = {"load": ("SoraLoadModel", {})}
    for name in dict.fromkeys(value[0] for value in inputs.values() if isinstance(value, tuple)):
        kinds = {"still": ("LoadImage", {"image": "sora_still.png"}), "clip": ("LoadVideo", {"file": "sora_cat.mp4"})}
        graph[name] = kinds.get(name, ("LoadVideo", {"file": "sora_car.mp4"}))
    graph |= {
        "positive": ("SoraTextEncode", {"clip": ("load", 1), "text": prompt}),
        "negative": ("SoraTextEncode", {"clip": ("load", 1), "text": ""}),
        "edit": (kind, {**inputs, "vae": ("load", 2)}),
        "sample": (
            "SoraSampler",
            {
                "model": ("load", 0),
                "positive": ("positive", 0),
                "negative": ("negative", 0),
                "latent": ("edit", 0),
                "sampler": SAMPLER,
                **({"denoise": ("edit", 1)} if remix else {}),
            },
        ),
        "decode": ("SoraVAEDecode", {"latent": ("sample", 0), "vae": ("load", 2)}),
        "save": ("SoraSaveVideo", {"images": ("decode", 0), "fps": ("edit", 2 if remix else 1)}),
    }
    if kind != "SoraImageToVideo":
        graph["save"][1]["audio"] = ("edit", 3 if remix else 2)
    return graph


def graphs() -> dict[str, dict]:
    made = {name: edit_graph(*edit) for name, edit in EDITS.items()}
    for name in BETWEEN:
        made[name]["sample"][1]["cfg"] = 2.0
    story = edit_graph("SoraImageToVideo", {}, "")
    del story["positive"]
    story["edit"] = ("SoraStoryboard", {"clip": ("load", 1), "shots": STORY})
    story["sample"][1].update(positive=("edit", 0), latent=("edit", 1))
    story["save"][1]["fps"] = ("edit", 2)
    made["storyboard"] = story
    quick = edit_graph("SoraImageToVideo", {}, SHOWN)
    quick["load"] = ("SoraLoadModel", {"lora": "sora-mini-4step"})
    quick["edit"] = ("SoraEmptyLatent", {})
    quick["sample"][1].update(steps=4, cfg=1.0, sampler="lcm")
    made["text_to_video_4step"] = quick
    parts = {"model": ("load", 0), "clip": ("load", 1), "vae": ("load", 2)}
    made["long_video"] = {
        "load": ("SoraLoadModel", {}),
        "long": ("SoraLongVideo", {**parts, "shots": SHOWN, "seconds": 60.0, "sampler": SAMPLER}),
    }
    return made


def depths(graph: dict) -> dict[str, int]:
    """How many nodes lie, at most, before each node."""
    depth: dict[str, int] = {}
    for name, (_, inputs) in graph.items():
        sources = [depth[value[0]] for value in inputs.values() if isinstance(value, tuple)]
        depth[name] = max(sources, default=-1) + 1
    return depth


def save_as_frontend(graph: dict, schemas: dict, workflow: str) -> dict:
    """The graph in the UI format: nodes left to right by depth, every widget with its value."""
    depth = depths(graph)
    number = {name: i for i, name in enumerate(graph, 1)}
    nodes, links, rows = [], [], {}
    outgoing: dict[tuple[str, int], list[int]] = {}
    for name, (kind, given) in graph.items():
        schema = schemas[kind]
        sockets, widgets = [], []
        for entry in schema.inputs:
            value, widget = given.get(entry.id), widget_of(entry)
            if widget is not None:
                widgets += widget_values(entry, value)
            if not isinstance(value, tuple) and widget is not None:
                continue
            link = None
            if isinstance(value, tuple):
                link = len(links) + 1
                output = schemas[graph[value[0]][0]].outputs[value[1]]
                links.append([link, number[value[0]], value[1], number[name], len(sockets), output.get_io_type()])
                outgoing.setdefault(value, []).append(link)
            socket = {"name": entry.id, "type": entry.get_io_type(), "link": link}
            if widget is not None:
                socket["widget"] = {"name": entry.id}
            sockets.append(socket)
        if kind in ("LoadImage", "LoadVideo"):
            widgets.append("image")  # the upload button
        row = rows[depth[name]] = rows.get(depth[name], -1) + 1
        nodes.append(
            {
                "id": number[name],
                "type": kind,
                "pos": [40 + 380 * depth[name], 60 + 280 * row],
                "size": [330, 120 + 24 * len(widgets)],
                "flags": {},
                "order": len(nodes),
                "mode": 0,
                "inputs": sockets,
                "outputs": [],
                "properties": {"Node name for S&R": kind},
                "widgets_values": widgets,
                **({"title": TITLES[name]} if name in TITLES else {}),
            }
        )
    for node, (name, (kind, _)) in zip(nodes, graph.items(), strict=True):
        node["outputs"] = [
            {"name": o.display_name or o.get_io_type(), "type": o.get_io_type(), "links": outgoing.get((name, i), [])}
            for i, o in enumerate(schemas[kind].outputs)
        ]
    return {
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": [],
        "config": {},
        "extra": {"info": dict(zip(("name", "description"), ABOUT[workflow], strict=True))},
        "version": 0.4,
    }


def widget_values(entry, value) -> list:
    """What the frontend stores for the widget of `entry`."""
    value = default_of(entry, guess=True) if value is None or isinstance(value, tuple) else value
    if isinstance(entry, DynamicCombo.Input):
        chosen = next(option for option in entry.options if option.key == value)
        return [value, *(item for sub in chosen.inputs for item in widget_values(sub, None))]
    after = getattr(entry, "control_after_generate", None)
    return [value, "fixed"] if after else [value]


def make_inputs(sprites: Path | None) -> None:
    """A still and two clips of the procedural world."""
    from PIL import Image

    from sora_core.media.write import write_video
    from sora_core.training.world import World

    INPUTS.mkdir(parents=True, exist_ok=True)
    world = World(sprites=sprites)
    for name, fixed in CLIPS.items():
        frames = world.sample(11, fixed={**fixed, "camera": "static"}).frames
        write_video(INPUTS / name, frames, 8, crf=12)
        if name == "sora_cat.mp4":
            Image.fromarray(frames[0]).save(INPUTS / "sora_still.png", optimize=True)


def make_picture(host: Host, name: str, settings: list[str]) -> None:
    """Six frames of the workflow's result side by side."""
    import torch
    from PIL import Image

    from sora_core.media.video import read_video

    result = host.run(host.load(WORKFLOWS / f"{name}.json", settings))
    frames = read_video(result.files[0])[0]
    picks = torch.linspace(0, frames.shape[0] - 1, 6).round().long()
    sheet = torch.cat(list(frames[picks].reshape(2, 3, *frames.shape[1:]).flatten(0, 1)[:3]), 1)
    sheet = torch.cat((sheet, torch.cat(list(frames[picks[3:]]), 1)), 0)
    Image.fromarray((sheet * 255).round().byte().numpy()).save(WORKFLOWS / f"{name}.jpg", quality=88)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", action="store_true", help="draw the stills and clips anew")
    parser.add_argument("--pictures", action="store_true", help="run every workflow for its picture")
    parser.add_argument("--sprites", type=Path, help="emoji pictures for the inputs; drawn stand-ins without")
    args = parser.parse_args()
    if args.inputs:
        make_inputs(args.sprites)
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Folders(INPUTS, Path(folder) / "output", Path(folder) / "temp"))
        schemas = {kind: node.GET_SCHEMA() for kind, node in host.registry.nodes.items()}
        for name, graph in graphs().items():
            text = json.dumps(save_as_frontend(graph, schemas, name), indent=1, ensure_ascii=False)
            (WORKFLOWS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
            if args.pictures:
                make_picture(host, name, ["SoraLongVideo.seconds=6"] if name == "long_video" else [])


if __name__ == "__main__":
    main()
