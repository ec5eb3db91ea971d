"""Writes the shared workflows of `workflows/`, the stills and clips that they start from, and their pictures.

    python tests/makers/make_workflows.py [--inputs] [--pictures] [--sprites FOLDER]

The workflows are saved as the frontend saves them. --inputs draws the stills and clips anew. A picture is the
workflow's own result, run on the embedded host, so `--pictures` takes a while. Workflows for models of other makers
(`model_workflows.py`) have no result here: theirs are drawn by `draw_help.py`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from core_schemas import CORE_SCHEMAS
from frontend_format import add_note, lay_out, workflow
from model_workflows import MODEL_WORKFLOWS, where_files_go, with_files

from sora_core.host.desk.folders import Folders
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
# What a workflow says of itself, in the file and in a note on the canvas: its name and what it does.
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
    "wan22_5b_extend": (
        "Extend with Wan 2.2 5B",
        "In ComfyUI, with files of your own: a clip goes on for two seconds.",
    ),
    "wan22_14b_image_to_video": (
        "Image to video with Wan 2.2 14B",
        "In ComfyUI, with files of your own: a picture becomes a video, by both experts in one run.",
    ),
    "ltx_image_to_video": (
        "Image to video with LTX-Video",
        "In ComfyUI, with files of your own: a picture becomes a video of four seconds.",
    ),
}
ABOUT_ZH = {
    "text_to_video": ("文生视频", "由提示词生成两秒的视频。"),
    "text_to_video_4step": ("文生视频（快速）", "同样的内容只用四步，靠节点包附带的 LoRA。"),
    "image_to_video": ("图生视频", "一张静止的图片作为视频的第一帧。"),
    "extend": ("延长", "把一段视频再延长一秒；原有的帧保持不变。"),
    "infill": ("补全", "重新生成视频中间的若干帧。"),
    "connect": ("连接", "把两段视频连成一段，中间一秒由模型生成。"),
    "loop": ("循环", "让视频回到开头，可以无限循环播放。"),
    "remix": ("重绘", "按提示词重新生成视频，并保留其运动。"),
    "storyboard": ("分镜", "一个视频里有三个镜头，主角是同一个。"),
    "long_video": ("长视频", "任意长度的视频，分段生成；中断后再次运行会接着做。"),
    "wan22_5b_extend": ("用 Wan 2.2 5B 延长", "在 ComfyUI 中使用您自己的模型文件：把一段视频延长两秒。"),
    "wan22_14b_image_to_video": (
        "用 Wan 2.2 14B 图生视频",
        "在 ComfyUI 中使用您自己的模型文件：两个专家模型一次运行，由图片生成视频。",
    ),
    "ltx_image_to_video": ("用 LTX-Video 图生视频", "在 ComfyUI 中使用您自己的模型文件：由图片生成四秒的视频。"),
}
# Two nodes of one type: titles tell them apart, to people and to `sora run --set "Prompt.text=..."`.
TITLES = {"positive": "Prompt", "negative": "Negative prompt", "high": "High noise", "low": "Low noise"}
# What app mode asks for: the widgets that an artist changes; tall ones hold a text.
ASKED = {
    "LoadImage": ["image"],
    "LoadVideo": ["file"],
    "SoraTextEncode": ["text"],
    "SoraStoryboard": ["shots"],
    "SoraEmptyLatent": ["seconds", "width", "height"],
    "SoraImageToVideo": ["seconds"],
    "SoraExtend": ["seconds", "direction"],
    "SoraInfill": ["frames"],
    "SoraConnect": ["seconds"],
    "SoraLoop": ["seconds"],
    "SoraRemix": ["strength"],
    "SoraSampler": ["seed", "steps"],
    "SoraLongVideo": ["shots", "seconds", "seed"],
}
TALL = ("text", "shots")
APP_MODE = True  # a workflow opens as an app, its graph one click away; not where the graph names files to fetch
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
    """The workflows that run on what comes with the pack."""
    text = edit_graph("SoraImageToVideo", {}, SHOWN)
    text["edit"] = ("SoraEmptyLatent", {})
    text["sample"][1]["seed"] = 7
    made = {"text_to_video": text} | {name: edit_graph(*edit) for name, edit in EDITS.items()}
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


def model_graphs() -> dict[str, dict]:
    """The workflows for models of other makers."""
    return {name: with_files(entry) for name, entry in MODEL_WORKFLOWS.items()}


def bundled() -> list[Path]:
    """The files of the workflows that run without any file of somebody else's."""
    return [WORKFLOWS / f"{name}.json" for name in sorted(graphs())]


def schemas_of(host: Host) -> dict:
    return CORE_SCHEMAS | {kind: node.GET_SCHEMA() for kind, node in host.registry.nodes.items()}


def note_of(name: str) -> str:
    """What a workflow says of itself on the canvas, and which files it wants."""
    text = "\n\n".join(f"## {title}\n\n{told}" for title, told in (ABOUT[name], ABOUT_ZH[name]))
    if name in MODEL_WORKFLOWS:
        text += f"\n\n**Files / 文件**\n\n{where_files_go(MODEL_WORKFLOWS[name])}"
    return text


def save_as_frontend(graph: dict, schemas: dict, name: str) -> dict:
    """The graph in the UI format, with a note, app mode, and for each loader where its file is to be had."""
    laid = lay_out(graph, schemas, titles=TITLES)
    by_number = {node["id"]: node for node in laid.nodes}
    for loader, file in MODEL_WORKFLOWS[name].files.items() if name in MODEL_WORKFLOWS else ():
        by_number[laid.number[loader]]["properties"]["models"] = [file.model]
    add_note(laid, note_of(name), 480 if name in MODEL_WORKFLOWS else 260)
    inputs = [
        [laid.number[entry], widget, *([{"height": 120}] if widget in TALL else [])]
        for entry, (kind, _) in graph.items()
        for widget in ASKED.get(kind, ())
        if entry != "negative"
    ]
    outputs = [laid.number[entry] for entry, (kind, _) in graph.items() if schemas[kind].is_output_node]
    extra = {
        "info": dict(zip(("name", "description"), ABOUT[name], strict=True)),
        "linearMode": APP_MODE and name not in MODEL_WORKFLOWS,
        "linearData": {"inputs": inputs, "outputs": outputs},
    }
    return workflow(laid, extra)


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
        schemas = schemas_of(host)
        for name, graph in (graphs() | model_graphs()).items():
            text = json.dumps(save_as_frontend(graph, schemas, name), indent=1, ensure_ascii=False)
            (WORKFLOWS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
            if args.pictures and name in graphs():
                make_picture(host, name, ["SoraLongVideo.seconds=6"] if name == "long_video" else [])


if __name__ == "__main__":
    main()
