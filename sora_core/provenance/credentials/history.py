"""What a saved video is made of: which model, which files, and what was done to them.

It is read from the graph that was run, backwards from the node that saves. That works the same in ComfyUI and in our
own host, needs no socket, and no node on the way has to know of it. What a lazy branch would have loaded counts too.
In Python, `pipeline.recording` notes the same on the calls of a `Pipeline`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import SoraError
from ...files import PHONE_PICTURE_TYPES, PICTURES, SOUNDS, VIDEOS, user_cache, written_beside
from ...language.wording import AUTO, HOW, worded
from ...media.signs import sign_of

SOURCES = (*VIDEOS, *PICTURES, *PHONE_PICTURE_TYPES, *SOUNDS)
WEIGHTS = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
# Widgets that name what makes the picture; VAEs and text encoders are left out.
MODEL_INPUTS = ("model", "ckpt_name", "unet_name", "model_name", "lora_name", "lora")

# Nodes and calls that work on a video or picture, and what they do with it, in words for people.
EDITS = {
    "SoraImageToVideo": "animated a picture",
    "SoraExtend": "extended in time",
    "SoraInfill": "made frames or a region anew",
    "SoraConnect": "made what leads from one video to the other",
    "SoraLoop": "made what leads from the end back to the start",
    "SoraRemix": "restyled every frame",
    "SoraLongVideo": "extended in time",
}
# Of what these make, nothing is left of the input's own pixels.
ALL_NEW = ("SoraRemix",)

# ComfyUI's own nodes that read a file, and those that cut, scale, join or hand on what they are given: nothing is made
# by them. What comes through any other node is no more known to be a user's.
READERS = ("LoadImage", "LoadVideo")
ARRANGERS = (
    "BatchImagesNode",
    "CreateVideo",
    "GetImageSize",
    "GetVideoComponents",
    "ImageBatch",
    "ImageCrop",
    "ImageFlip",
    "ImageFromBatch",
    "ImageRotate",
    "ImageScale",
    "ImageScaleBy",
    "ImageScaleToMaxDimension",
    "ImageScaleToTotalPixels",
    "RepeatImageBatch",
    "Video Slice",
)
# What tells a prompt in the model's own words before it encodes it, and how a line of a storyboard begins.
WORDING = ("SoraTextEncode", "SoraStoryboard", "SoraLongVideo")
_SHOT = re.compile(r"\s*\d+(?:\.\d+)?\s*s?(?:\s+keep)?\s*:")
_UNSEEN = ""  # the kind of a node of which the graph says nothing
# The ends of names in the folders of what graphs showed and saved.
MADE_FOLDERS = (" [temp]", " [output]")
OUTPUT_READERS = ("LoadImageOutput",)  # whose names are of the folder of what was saved


@dataclass(frozen=True)
class Model:
    """A model that made something."""

    name: str
    file: Path | None = None  # its weights, None where there is no file

    def sha256(self) -> str | None:
        """Return the hex digest of the file, remembered in the user's cache by path, size and time."""
        if self.file is None or not self.file.is_file():
            return None
        stat = self.file.stat()
        # A model of many gigabytes takes a minute to hash.
        key = f"{self.file.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
        known = _read_cache()
        if key not in known:
            with self.file.open("rb") as data:
                known[key] = hashlib.file_digest(data, "sha256").hexdigest()
            _write_cache(known)
        return known[key]


@dataclass(frozen=True)
class History:
    """How something was made."""

    models: tuple[Model, ...] = ()
    generated: bool = True  # whether a model made any of it
    edits: tuple[str, ...] = ()  # keys of EDITS, from the source to the result
    sources: tuple[Path, ...] = ()  # the user's files that went in
    # What was asked for. No repr, so that no log holds it; it is written only when that is wanted.
    prompts: tuple[str, ...] = field(default=(), repr=False)
    inherited: bool = False  # whether it is only the sources that a model made
    kept: bool = False  # whether frames of the sources may be in it as they were; known when it is saved


def read_graph(
    prompt: Mapping[str, Any] | None,
    node: str | None,
    find_input: Callable[[str], Path | None],
    find_model: Callable[[str], Model | None],
) -> History:
    """Read the history of what `node` saves from the graph that is being run, in API format.

    find_input: returns the file of a name in the host's folders, None for what is no file there.
    find_model: returns the model that a loader's widget names.
    """
    models: dict[str, Model] = {}
    sources: dict[Path, None] = {}
    inherited = False  # what was made before is made, whatever this graph does with it
    edits, prompts, read, ours, generated = [], [], [], False, False
    for at, kind, inputs in _upstream(prompt or {}, str(node)):
        values = {name: value for name, value in inputs.items() if isinstance(value, str)}
        for name, value in values.items():
            if value.lower().partition(" [")[0].endswith(SOURCES):  # "cat.mp4 [output]" is a file of another folder
                path = find_input(value)
                if path is not None:
                    sources[path] = None
                inherited = inherited or value.endswith(MADE_FOLDERS) or kind in OUTPUT_READERS or _says_made(path)
            elif name in MODEL_INPUTS and (kind == "SoraLoadModel" or value.lower().endswith(WEIGHTS)):
                model, generated = find_model(value), True  # a model that is loaded is there to make
                if model is not None:
                    models[model.name] = model
        # A long video that is made from words alone edits nothing.
        if kind in EDITS and (kind != "SoraLongVideo" or _is_link(inputs.get("video"))):
            edits.append(kind)
        # Sampler nodes of ComfyUI and of other packs have the word in their names; a "...SamplerSelect" only names one.
        if kind in ("SoraLongVideo", "LoadLatent") or ("Sampler" in kind and not kind.endswith("Select")):
            generated = True
        # Nodes that have a service make the picture name no model of this machine; but they are told what to make.
        generated = generated or kind == _UNSEEN or any(map(_is_prompt, inputs.items()))
        # A LoRA may have brought words of its own, which the graph does not tell.
        ours = ours or (kind == "SoraLoadModel" and inputs.get("lora", "none") in ("", "none"))
        if kind in WORDING and inputs.get("expand", AUTO) in HOW:
            text = values.get("text", values.get("shots", ""))
            read += _read_as(text, inputs.get("expand", AUTO), negative=only_negative(prompt, at))
        prompts += [text for name, text in values.items() if name in ("text", "shots", "prompt") and text.strip()]
    return History(
        models=tuple(models.values()),
        # With nothing of the user's in it, it was made, by whatever node.
        generated=generated or inherited or not sources,
        inherited=inherited and not generated and bool(sources),
        edits=tuple(dict.fromkeys(edits)),
        sources=tuple(sources),
        prompts=tuple(dict.fromkeys((*prompts, *(read if ours else ())))),
    )


def _read_as(text: str, how: str, negative: bool) -> list[str]:
    """List what our model reads in place of a prompt, or of each shot of a storyboard, where that differs."""
    lines = [line.partition(":")[2] if _SHOT.match(line) else line for line in text.splitlines()]
    lines = lines if any(map(_SHOT.match, text.splitlines())) else [text]
    made = [worded(line.strip(), how, stand_ins=not negative) for line in lines]
    return [each.prompt for each in made if each.changed]


def only_files(
    prompt: Mapping[str, Any] | None, node: str | None, name: str, find_input: Callable[[str], Path | None]
) -> bool:
    """Tell whether all that comes in as input `name` of a node was read from a user's files, by the graph alone.

    What graphs showed or saved is no such file, nor is one that says that it was made (`media.signs`). A graph that is
    not known, or a node of any other kind on the way, is a no. find_input: as for `read_graph`.
    """
    value = ((prompt or {}).get(str(node)) or {}).get("inputs", {}).get(name)
    if not _is_link(value):
        return False
    listed = list(_upstream(prompt or {}, str(value[0])))
    return bool(listed) and all(
        (kind in READERS and _reads_users_files(inputs, find_input))
        or kind in ARRANGERS
        or kind.startswith("Primitive")
        for _, kind, inputs in listed
    )


def _reads_users_files(inputs: Mapping[str, Any], find_input: Callable[[str], Path | None]) -> bool:
    """Tell whether the files that a loader's widgets name are there, in the folder of inputs, and say nothing else."""
    names = [value for value in inputs.values() if isinstance(value, str)]
    files = [value for value in names if value.lower().partition(" [")[0].endswith(SOURCES)]
    if any(value.endswith(MADE_FOLDERS) for value in files):
        return False
    found = [find_input(value) for value in files]
    return bool(found) and all(path is not None and not _says_made(path) for path in found)


def _says_made(path: Path | None) -> bool:
    """Tell whether a file says that it was made. One that cannot be read will stop the work elsewhere."""
    try:
        return path is not None and bool(sign_of(path))
    except OSError:
        return False


def _is_link(value: Any) -> bool:
    """Say whether an input is another node's output, `[node, number]`."""
    return isinstance(value, (list, tuple)) and len(value) == 2 and isinstance(value[1], int)


def _is_prompt(given: tuple[str, Any]) -> bool:
    """Say whether an input, name and value, tells a node what to make."""
    name, value = given
    asked = name == "prompt" or name.endswith("_prompt")
    return asked and (_is_link(value) or (isinstance(value, str) and bool(value.strip())))


def only_negative(prompt: Mapping[str, Any] | None, node: str | None) -> bool:
    """Tell whether a graph in API format uses a node's first output as a negative prompt alone."""
    uses = [
        name
        for other in (prompt or {}).values()
        if isinstance(other, Mapping)
        for name, value in (other.get("inputs") or {}).items()
        if isinstance(value, list) and [str(each) for each in value] == [str(node), "0"]
    ]
    return bool(uses) and all("negative" in name for name in uses)


def _upstream(prompt: Mapping[str, Any], node: str) -> Iterator[tuple[str, str, dict]]:
    """Yield name, type and inputs of `node` and of all that it depends on, each once, sources first.

    What is linked and not in the graph is _UNSEEN: nodes that another one put there while it ran.
    """
    seen: set[str] = set()
    stack = [(node, False)]
    while stack:
        name, done = stack.pop()
        entry = prompt.get(name)
        if not isinstance(entry, Mapping):
            yield name, _UNSEEN, {}
            continue
        inputs = dict(entry.get("inputs") or {})
        if done:
            yield name, str(entry.get("class_type")), inputs
        elif name not in seen:
            seen.add(name)
            stack.append((name, True))
            stack += [(str(value[0]), False) for value in reversed(list(inputs.values())) if _is_link(value)]


# -- hashes that are known -------------------------------------------------------------------------------
def _cache_file() -> Path:
    """Return where hashes are remembered."""
    return user_cache() / "hashes.json"


def _read_cache() -> dict[str, str]:
    try:
        known = json.loads(_cache_file().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write_cache(known: dict[str, str]) -> None:
    path = _cache_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(path) as part:
            part.write_text(json.dumps(known, indent=0), "utf-8")
    except (OSError, SoraError):
        pass  # a hash that is not remembered is taken again
