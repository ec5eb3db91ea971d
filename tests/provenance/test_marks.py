"""Which frames get the mark: all that a sampler made, none that came from a user's file, whatever lay between."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nodes_support import make_host, text_to_video
from provenance_support import clip

from sora_core.host.host import Host
from sora_core.media.clips import read_clip
from sora_core.media.frames import fit_frames, resample_frames
from sora_core.media.origin import digests_of, from_file, hand_on, made, own_frames, passed_on, taken
from sora_core.media.signs import sign_of
from sora_core.media.stills import read_still
from sora_core.media.video import iter_frames
from sora_core.media.write import write_video
from sora_core.provenance import History, plan
from sora_core.provenance.credentials.verify import verify
from sora_core.provenance.watermark.embedding import detect
from sora_core.safety.policy import in_force, load_policy

pytest.importorskip("c2pa")

SIDE = 64
# Its own model and not the tests' tiny one, whose pictures are noise that hides any mark.
USUAL = {"load__model": "sora-mini", "empty__width": SIDE, "empty__height": SIDE, "empty__seconds": 1.0}
USUAL |= {"sample__steps": 2, "sample__cfg": 1.0}
TO_PICK = {"fps": 0.0, "width": 0, "height": 0}


# -- the value that frames carry -----------------------------------------------------------------------------
def test_frames_of_a_file_say_so_and_what_is_made_of_them_does_not():
    given = from_file(clip(6))
    assert own_frames(given).all() and not own_frames(clip(6)).any()
    for changed in (given * 1, given.flip(0), given[:3], torch.cat((given, given)), given.clone()):
        assert not own_frames(changed).any()
    assert not own_frames(made(from_file(clip(2)))).any()


def test_what_is_written_into_frames_is_no_more_the_users():
    given = from_file(clip(6))
    given[2] += 0.1
    assert not own_frames(given).any()
    # Such writes are not counted by torch, and a node that knows nothing of origins gives out what it wrote into.
    for write in (lambda t: np.copyto(t.numpy(), clip(6, seed=9)), lambda t: t.data.copy_(clip(6, seed=9))):
        given = from_file(clip(6))
        write(given)
        assert not own_frames(given).any()
        hand_on([given], [out := given.clone()])
        assert not own_frames(out).any() and not digests_of(given)
    given = from_file(clip(6))
    given.data = clip(7)
    assert not own_frames(given).any() and not digests_of(given)
    carried = passed_on(clip(6), digests_of(from_file(clip(6))))
    carried[2] += 0.1
    assert own_frames(carried).tolist() == [True, True, False, True, True, True]


@pytest.mark.parametrize("inference", [False, True])
def test_cutting_scaling_and_joining_hand_it_on(inference):
    with torch.inference_mode(inference):
        given = from_file(clip(6), torch.tensor([True, True, False, True, False, False]))
        assert own_frames(fit_frames(given, (32, 32))).tolist() == [True, True, False, True, False, False]
        assert own_frames(resample_frames(given, 8, 4)).sum() == sum([True, False, False])
        picks = torch.tensor([3, 2])
        both = taken(torch.cat((given[picks], given)), (given[picks], None), (given, None))
        assert own_frames(both).tolist()[2:] == [True, True, False, True, False, False]
        assert own_frames(taken(given[picks], (given, picks))).tolist() == [True, False]


def test_a_node_of_which_nothing_is_known_passes_on_what_it_left_as_it_was():
    given = from_file(clip(4))
    out = torch.cat((given[1:3], given[3:] * 0.5, clip(1, seed=5)))
    hand_on([given, "text"], [out, 7])
    assert own_frames(out).tolist() == [True, True, False, False]


def test_a_users_own_frames_are_not_marked():
    own, other = clip(4, seed=1), clip(4, seed=2)
    saving = plan(History(edits=("SoraExtend",), sources=()))
    saving.keep(from_file(own))
    marked = torch.cat(list(saving.marked([torch.cat((own, other))])))
    assert torch.equal(marked[:4], own) and not torch.equal(marked[4:], other)
    assert (marked[4:] - other).square().mean() < 10 ** (-42 / 10)
    # What one file keeps says nothing of the next.
    assert not torch.equal(torch.cat(list(plan(History()).marked([own]))), own)


def stated(path: Path) -> bool:
    """Whether the credentials of a file say that it carries a mark."""
    return any("carrying" in action for action in verify(path).manifest.actions)


@pytest.mark.parametrize("crf", [16.0, 51.0])
def test_a_mark_is_stated_if_it_can_be_read_in_what_was_written(tmp_path, crf):
    saving = plan(History())
    write_video(tmp_path / "a.mp4", clip(3), 8, crf=crf, saving=saving)
    found = detect(iter_frames(tmp_path / "a.mp4")).found
    assert found == (crf == 16) == stated(tmp_path / "a.mp4")
    assert any("The watermark cannot be read in the file" in note for note in saving.notes) != found


# -- graphs --------------------------------------------------------------------------------------------------
class Drawn:
    """A random graph, and of each node that gives frames whether a sampler made them, one by one."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.graph = text_to_video(**USUAL)
        del self.graph["save"]
        self.images: list[tuple[list, list[bool]]] = [(["decode", 0], [True] * 9)]  # output, of each frame: made
        self._add_file()
        for _ in range(draw.randint(1, 4)):
            getattr(self, draw.choice(STEPS))()

    def add(self, kind: str, **inputs) -> str:
        name = f"n{len(self.graph)}"
        self.graph[name] = {"class_type": kind, "inputs": inputs}
        return name

    def _add_file(self) -> None:
        parts = self.add("GetVideoComponents", video=[self.add("LoadVideo", file="own.mp4"), 0])
        self.images.append(([parts, 0], [False] * 5))

    def _pick(self) -> tuple[list, list[bool]]:
        # A video now and then, as edits take both.
        images, truth = self.draw.choice(self.images)
        return images, truth

    def _video(self) -> tuple[list, list[bool]]:
        images, truth = self._pick()
        return ([self.add("CreateVideo", images=images, fps=8.0), 0] if self.draw.random() < 0.5 else images), truth

    def _edited(self, edit: str, truth: list[bool]) -> None:
        sampled = self.add(
            "SoraSampler", **{**self.graph["sample"]["inputs"], "latent": [edit, 0], "seed": self.draw.randint(0, 9)}
        )
        self.images.append(([self.add("SoraVAEDecode", latent=[sampled, 0], vae=["load", 2]), 0], truth))

    def extend(self) -> None:
        video, truth = self._video()
        way = self.draw.choice(["forwards", "backwards"])
        edit = self.add("SoraExtend", video=video, vae=["load", 2], seconds=0.5, direction=way, **TO_PICK)
        # Before a video stands a latent more, of a single frame.
        self._edited(edit, [*truth, *[True] * 4] if way == "forwards" else [*[True] * 5, *truth])

    def infill(self) -> None:
        video, truth = self._video()
        edit = self.add("SoraInfill", video=video, vae=["load", 2], frames="2-3", **TO_PICK)
        self._edited(edit, [made or i in (2, 3) for i, made in enumerate(truth)])

    def loop(self) -> None:
        video, truth = self._video()
        edit = self.add("SoraLoop", video=video, vae=["load", 2], seconds=0.5, **TO_PICK)
        self._edited(edit, [*truth, *[True] * 4])

    def connect(self) -> None:
        (first, a), (second, b) = self._video(), self._video()
        edit = self.add("SoraConnect", first=first, second=second, vae=["load", 2], seconds=0.5, **TO_PICK)
        self._edited(edit, [*a, *[True] * 4, *b])

    def animate(self) -> None:
        images, truth = self._pick()
        edit = self.add(
            "SoraImageToVideo",
            image=images,
            vae=["load", 2],
            position="first",
            frame=0,
            seconds=1.0,
            fps=8.0,
            width=0,
            height=0,
        )
        self._edited(edit, [truth[0], *[True] * 8])

    def cut(self) -> None:
        images, truth = self._pick()
        start = self.draw.randint(0, len(truth) - 5)
        self.images.append(
            ([self.add("ImageFromBatch", image=images, batch_index=start, length=5), 0], truth[start : start + 5])
        )

    def join(self) -> None:
        (first, a), (second, b) = self._pick(), self._pick()
        self.images.append(([self.add("ImageBatch", image1=first, image2=second), 0], a + b))

    def scale(self) -> None:
        images, truth = self._pick()
        how = {"upscale_method": "bilinear", "width": SIDE, "height": SIDE, "crop": "disabled"}
        small = self.add("ImageScale", image=images, **how | {"width": SIDE * 3 // 4, "height": SIDE * 3 // 4})
        self.images.append(([self.add("ImageScale", image=[small, 0], **how), 0], truth))

    def core(self) -> None:
        """Take a video through ComfyUI's own sampler and decoder, which know nothing of what is kept."""
        images, truth = self._pick()
        latent = self.add("VAEEncode", pixels=images, vae=["load", 2])
        sampled = self.add(
            "KSampler",
            model=["load", 0],
            positive=["positive", 0],
            negative=["negative", 0],
            latent_image=[latent, 0],
            seed=self.draw.randint(0, 9),
            steps=2,
            cfg=1.0,
            sampler_name="euler",
            scheduler="simple",
            denoise=0.5,
        )
        decoded = [self.add("VAEDecode", samples=[sampled, 0], vae=["load", 2]), 0]
        self.images.append((decoded, [True] * (1 + (len(truth) - 1) // 4 * 4)))

    def save(self) -> list[bool]:
        images, truth = self.images[-1]
        if self.draw.random() < 0.7:
            self.add("SoraSaveVideo", images=images, fps=8.0, filename_prefix="out", crf=0.0)
        else:
            video = self.add("CreateVideo", images=images, fps=8.0)
            how = {"codec": "h264", "codec.encoding": "re-encode", "codec.encoding.crf": 0.0}
            how = {"format": "mp4"} | {f"format.{name}": value for name, value in how.items()}
            self.add("SaveVideo", video=[video, 0], filename_prefix="out", **how)
        return truth


STEPS = ("extend", "infill", "loop", "connect", "animate", "cut", "join", "scale", "core")


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made_host = make_host(tmp_path)
    (tmp_path / "input").mkdir()
    frames = torch.nn.functional.interpolate(clip(5).movedim(-1, 1), (SIDE, SIDE)).movedim(1, -1)
    write_video(tmp_path / "input" / "own.mp4", frames, 8, crf=4)
    return made_host


def saved(host: Host, graph: dict, watermark: bool) -> Path:
    policy = load_policy().override({"provenance.watermark": watermark})
    with in_force(policy):
        files = host.run(graph).files
    return next(file for file in files if file.name.startswith("out"))


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(n, marks=pytest.mark.slow) for n in range(6, 24))])
def test_mark_manifest_and_truth_agree_whatever_the_graph(host, seed):
    drawn = Drawn(random.Random(seed))
    truth = drawn.save()
    host.executor.cache = None  # what was saved is saved anew under another policy
    plain, marked = (saved(host, drawn.graph, watermark) for watermark in (False, True))
    frames, before = (torch.from_numpy(np.stack(list(iter_frames(file)))) for file in (marked, plain))
    assert len(frames) == len(truth)
    # Lossless, so that what differs is the mark and nothing else.
    changed = [bool((a != b).any()) for a, b in zip(frames, before, strict=True)]
    assert changed == truth, {node["class_type"] for node in drawn.graph.values()}
    read = any(truth) and detect(frames[torch.tensor(truth)]).found
    assert stated(marked) == read and not stated(plain)
    if not any(truth):
        assert not detect(frames).found


def graph_of(**nodes: tuple[str, dict]) -> dict:
    graph = text_to_video(**USUAL)
    del graph["save"]
    return graph | {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


@pytest.mark.parametrize("source", ["made", "file"])
def test_a_long_video_marks_what_was_made_before_it_and_leaves_a_users_file(host, source):
    how = {"steps": 1, "cfg": 1.0, "scheduler": "simple", "sampler": "euler", "seed": 1, "negative": ""}
    how |= {"window": 3, "context": 1, "overlap": 0, "renoise": 0.0, "hold": 0.0, "width": SIDE, "height": SIDE}
    graph = graph_of(
        made=("CreateVideo", {"images": ["decode", 0], "fps": 8.0}),
        file=("LoadVideo", {"file": "own.mp4"}),
        long=(
            "SoraLongVideo",
            {"model": ["load", 0], "clip": ["load", 1], "vae": ["load", 2], "video": [source, 0], "shots": "1s: a cat"}
            | {"seconds": 1.0, "fps": 8.0, "filename_prefix": "out"}
            | how,
        ),
    )
    (file,) = host.run(graph).files
    frames = list(iter_frames(file))
    given = {"made": 9, "file": 5}[source]
    assert detect(frames[:given]).found == (source == "made") and detect(frames[given:]).found and stated(file)


@pytest.mark.parametrize("joined", [False, True])
def test_a_file_is_made_as_a_whole_only_if_none_of_it_is_the_users(host, joined):
    """A remix leaves nothing of its input, and may stand beside what it was made of."""
    graph = graph_of(
        file=("LoadVideo", {"file": "own.mp4"}),
        own=("GetVideoComponents", {"video": ["file", 0]}),
        remix=("SoraRemix", {"video": ["file", 0], "vae": ["load", 2], **TO_PICK}),
        both=("ImageBatch", {"image1": ["decode", 0], "image2": ["own", 0]}),
        out=("SoraSaveVideo", {"images": ["both" if joined else "decode", 0], "fps": 8.0, "filename_prefix": "out"}),
    )
    graph["sample"]["inputs"] |= {"latent": ["remix", 0], "denoise": 0.8}
    (file,) = host.run(graph).files
    said = " ".join(verify(file).manifest.actions)
    assert ("partly made by AI" in said) == joined and "made by AI" in said


def test_what_was_saved_with_its_mark_is_not_marked_twice(host):
    """Two marks one upon the other would be seen."""
    graph = graph_of(
        first=("SoraSaveVideo", {"images": ["decode", 0], "fps": 8.0, "filename_prefix": "first", "crf": 0.0}),
        parts=("GetVideoComponents", {"video": ["first", 0]}),
        out=("SoraSaveVideo", {"images": ["parts", 0], "fps": 8.0, "filename_prefix": "out", "crf": 0.0}),
        copy=("SaveVideo", {"video": ["first", 0], "filename_prefix": "copy", "format": "auto"}),
    )
    off = {**graph["out"]["inputs"], "filename_prefix": "off", "watermark": "off"}
    files = host.run(graph | {"off": {"class_type": "SoraSaveVideo", "inputs": off}}).files
    named = {file.name.split("_")[0]: file for file in files}
    again, plain = (np.stack(list(iter_frames(named[name]))) for name in ("out", "off"))
    assert np.array_equal(again, plain) and not stated(named["off"])
    assert all(stated(named[name]) for name in ("first", "out", "copy"))
    # Saved without, it gets its mark where it is saved again, copied or not.
    graph["first"]["inputs"]["watermark"] = "off"
    files = {file.name.split("_")[0]: file for file in host.run(graph).files}
    marks = {name: (detect(iter_frames(file)).found, stated(file)) for name, file in files.items()}
    assert marks == {"first": (False, False), "out": (True, True), "copy": (True, True)}


def test_a_locked_policy_that_looks_at_every_frame_changes_none_of_it(host):
    drawn = Drawn(random.Random(3))
    drawn.images = drawn.images[1:2]  # the user's own
    drawn.extend()
    truth = drawn.save()
    with in_force(replace(load_policy(), locked=True)):
        (file,) = host.run(drawn.graph).files
    frames = torch.from_numpy(np.stack(list(iter_frames(file))))
    assert sorted(set(truth)) == [False, True] and stated(file)
    assert detect(frames[torch.tensor(truth)]).found and not detect(frames[~torch.tensor(truth)]).found


def test_a_preview_is_no_file_of_the_users(host):
    host.run(graph_of(show=("PreviewImage", {"images": ["decode", 0]})))
    preview = sorted((Path.cwd() / "temp").glob("*.png"))[0].name
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": f"{preview} [temp]"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "out"}},
    }
    (file,) = host.run(graph).files
    assert detect(read_still(file)).found and stated(file)


@pytest.mark.parametrize("kept", ["credentials", "workflow", "nothing"])
def test_what_was_saved_before_is_no_file_of_the_users(host, kept):
    """By what the file says, wherever it lies now, or by where it lies: in graphs and in Python."""
    out = {"images": ["decode", 0], "fps": 8.0, "filename_prefix": "first", "watermark": "off", "crf": 0.0}
    out |= {"credentials": "on" if kept == "credentials" else "off", "keep_workflow": kept == "workflow"}
    first = graph_of(out=("SoraSaveVideo", out))
    (file,) = host.run(first).files
    assert bool(sign_of(file)) == (kept != "nothing")
    (Path.cwd() / "input" / "again.mp4").write_bytes(file.read_bytes())
    for name, here in (("again.mp4", kept != "nothing"), (f"{file.name} [output]", True)):
        graph = {
            "1": {"class_type": "LoadVideo", "inputs": {"file": name}},
            "2": {"class_type": "GetVideoComponents", "inputs": {"video": ["1", 0]}},
            "3": {"class_type": "SoraSaveVideo", "inputs": {"images": ["2", 0], "fps": 8.0, "filename_prefix": "x"}},
        }
        (again,) = host.run(graph).files
        assert (detect(iter_frames(again)).found, stated(again)) == (here, here), name
        assert verify(again).manifest.ingredients and "changed by a model" not in str(verify(again))
    assert own_frames(read_clip(file).frames).any() == (kept == "nothing")


def test_what_was_saved_with_its_mark_and_is_loaded_again_is_not_marked_twice(host):
    out = {"images": ["decode", 0], "fps": 8.0, "filename_prefix": "first", "crf": 0.0}
    (file,) = host.run(graph_of(out=("SoraSaveVideo", out))).files
    graph = {
        "1": {"class_type": "LoadVideo", "inputs": {"file": f"{file.name} [output]"}},
        "2": {"class_type": "GetVideoComponents", "inputs": {"video": ["1", 0]}},
        "3": {"class_type": "SoraSaveVideo", "inputs": {**out, "images": ["2", 0]}},
        "4": {"class_type": "SoraSaveVideo", "inputs": {**out, "images": ["2", 0], "watermark": "off"}},
    }
    again, plain = host.run(graph).files
    assert np.array_equal(*(np.stack(list(iter_frames(path))) for path in (again, plain)))
    assert stated(again) and not stated(plain)
