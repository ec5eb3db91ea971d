"""The policy in a graph: with a locked one every text and every frame is checked, whatever the nodes are.

- A text that goes into a node with a CLIP input, before the run where it is known and before the node otherwise; and
  again where a CLIP encodes it.
- Every IMAGE that a node gives out, and every IMAGE and VIDEO that goes into an output node.
- What is written to a file or shown as a live preview, by the writers themselves (`sora_core.safety.gate`).

A pack's code runs with all rights of the process: a node that opens files or sockets by itself is out of reach.
"""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ...media.origin import NONE, digests_of, passed_on
from ...media.sound import read_audio
from ...media.video import iter_frames, steady_frames
from ...media.write import write_video
from ...safety import gate
from ...safety.frames import FrameChecker, FrameReport
from ..api.video import VideoComponents, VideoFromComponents, VideoFromFile, VideoInput
from ..desk.folders import current
from ..graph.problems import blaming
from ..graph.validate import Plan, PlannedNode
from ..graph.workflow import Link
from .cache import Result


def check_plan(plan: Plan) -> None:
    """Before a run: load the checks, and judge the texts that stand in the graph. Raises SoraError."""
    gate.prepare()
    with gate.noting([]):  # each node says again what it is warned of
        for planned in plan.nodes.values():
            said = {name: [value] for name, value in planned.inputs.items() if not isinstance(value, Link)}
            prompts = [name for name in said if _is_prompt(planned, name)]
            with blaming(planned.node.id, planned.node.type, prompts[0] if len(prompts) == 1 else None):
                texts(plan, planned, said)


def texts(plan: Plan, planned: PlannedNode, values: dict[str, list[Any]]) -> AbstractContextManager[None]:
    """Judge a node's texts. Within the returned block a CLIP knows which of them are negative. Raises SoraError."""
    if not _encodes(planned) or gate.enforced() is None:  # the policy is looked up last: it may lie in a file
        return nullcontext()
    said: dict[bool, list[str]] = {True: [], False: []}  # negative ones, others
    for name, listed in values.items():
        if _is_prompt(planned, name):
            known = _directions(plan)
            negative = (known.away if "negative" in name else known.fed)[planned.node.id]
            said[negative] += [text for text in listed if isinstance(text, str)]
    told = gate.Negatives(frozenset(said[True]) - frozenset(said[False]), _directions(plan).prompts)
    for text in [*said[False], *said[True]]:
        gate.check_text(text, told)
    return gate.telling(told)


def incoming(planned: PlannedNode, values: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return what an output node may see of `values`. Raises FramesBlocked."""
    if not planned.schema.is_output_node or gate.enforced() is None:
        return values
    return {name: [_shown(value) for value in listed] for name, listed in values.items()}


def outgoing(result: Result) -> Result:
    """Return `result` with its pictures as they may be shown. Raises FramesBlocked."""
    if any(_is_images(v) for listed in result.outputs for v in listed) and gate.enforced() is not None:
        result.outputs = [[_shown(v) if _is_images(v) else v for v in listed] for listed in result.outputs]
    return result


# -- texts ---------------------------------------------------------------------------------------------------
def _encodes(planned: PlannedNode) -> bool:
    return any(entry.get_io_type() == "CLIP" for entry in planned.active.values())


def _is_prompt(planned: PlannedNode, name: str) -> bool:
    """Return whether an input may hold a prompt: a text of several lines, or what another node gives."""
    return isinstance(planned.inputs.get(name), Link) or bool(getattr(planned.active.get(name), "multiline", False))


@dataclass
class _Directions:
    """Which way the texts of a plan steer, by node id."""

    fed: dict[str, bool] = field(default_factory=dict)  # whether all that follows steers away from a node's output
    away: dict[str, bool] = field(default_factory=dict)  # whether its negative is what its video will not show
    prompts: str = ""  # all positive prompts that stand in the graph: a negative one is judged against them


def _directions(plan: Plan) -> _Directions:
    """Find out which way each text steers: once a plan, from its end, as chains of nodes can be long."""
    found = plan.facts.get("directions")
    if found is not None:
        return found
    found, uses = _Directions(), dict[str, list[tuple[str, str, int]]]()
    for planned in plan.nodes.values():
        for name, link in planned.links():
            uses.setdefault(link.node, []).append((planned.node.id, name, link.slot))
    for node_id, planned in reversed(plan.nodes.items()):
        steering = [("negative" in name and found.away[user], slot) for user, name, slot in uses.get(node_id, ())]
        found.fed[node_id] = bool(steering) and all(away for away, _ in steering)
        found.away[node_id] = _steers_away(planned, steering)
    lines = [
        value
        for planned in plan.nodes.values()
        if _encodes(planned) and not found.fed[planned.node.id]
        for name, value in planned.inputs.items()
        if isinstance(value, str) and "negative" not in name and _is_prompt(planned, name)
    ]
    found.prompts = "\n".join(lines)
    plan.facts["directions"] = found
    return found


def _steers_away(planned: PlannedNode, steering: list[tuple[bool, int]]) -> bool:
    """Return whether a node's negative is what its video will not show. steering: of each use, whether it does; slot.

    Guidance gives negative + cfg (positive - negative). With a cfg below 1 it asks for the negative: then its words
    count as those of a prompt. So they do where the cfg is linked, and not known yet, or where the node has none.

    A node that passes conditioning on counts as steering away if everything its negative output feeds does. Its
    outputs' names must say which one that is.
    """
    passed = {
        i: output.display_name or ""
        for i, output in enumerate(planned.schema.outputs)
        if output.get_io_type() == "CONDITIONING"
    }
    if passed:
        slots = [i for i, name in passed.items() if "negative" in name.lower()]
        uses = [[away for away, slot in steering if slot == i] for i in slots]
        return bool(uses) and all(of_slot and all(of_slot) for of_slot in uses)
    strengths = [value for name, value in planned.inputs.items() if "cfg" in name]
    return bool(strengths) and all(isinstance(value, (int, float)) and value >= 1 for value in strengths)


# -- frames --------------------------------------------------------------------------------------------------
def _is_images(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim == 4 and value.shape[-1] in (1, 3, 4)


def _shown(value: Any) -> Any:
    if _is_images(value):
        return passed_on(gate.check_frames(value), NONE if gate.checker() is None else digests_of(value))
    if isinstance(value, (list, tuple)):
        return type(value)(_shown(v) for v in value) if type(value) in (list, tuple) else value
    return _shown_video(value) if isinstance(value, VideoInput) else value


def _shown_video(video: VideoInput) -> VideoInput:
    """Return `video` as it may be shown: itself when nothing is concealed. A file is read as a stream."""
    checker = gate.checker()
    if checker is None:
        return video
    if isinstance(video, VideoFromFile):
        path = Path(video.get_stream_source())
        return video if _clean(path, checker) else VideoFromFile(_concealed(path, video))
    parts = video.get_components()
    shown = gate.check_frames(parts.images)
    if shown is parts.images:
        return video
    return VideoFromComponents(VideoComponents(shown, parts.frame_rate, parts.audio, parts.metadata))


def _clean(path: Path, checker: FrameChecker) -> bool:
    """Return whether no frame of a file is over a threshold. Raises FramesBlocked where the policy blocks."""
    report = FrameReport(checker.policy.action)
    return all(not report.findings for _ in checker.stream(iter_frames(path), report))


def _concealed(path: Path, video: VideoInput) -> Path:
    """Copy a file to the temp folder, with what the policy forbids concealed."""
    folder = current().of("temp")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(suffix=".mp4", dir=folder, delete=False) as file:
        made = Path(file.name)
    # Close to lossless: most of its frames are those of the file.
    write_video(made, steady_frames(path), video.get_frame_rate(), crf=12, audio=read_audio(path))
    return made
