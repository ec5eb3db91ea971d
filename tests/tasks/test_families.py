"""What models are told of an edit, against small tensors that were worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sora_core.errors import SoraError
from sora_core.latents.space import LatentSpace
from sora_core.tasks.families import FAMILIES, Encoder, Known, ModelKind, family_of, tell
from sora_core.tasks.families.known import GREY

SPACE = LatentSpace("tiny", 2, 4, 8)


def kind(name: str, extra: int = 0, **others) -> ModelKind:
    return ModelKind(name, SPACE, extra, **others)


def means(frames: torch.Tensor) -> torch.Tensor:
    """A causal VAE that anyone can follow: the mean red and green of each group of frames, cell by cell."""
    first = frames[:1].expand(3, -1, -1, -1)
    groups = torch.cat((first, frames)).unflatten(0, (-1, 4)).mean(1)
    return torch.nn.functional.avg_pool2d(groups[..., :2].movedim(-1, 1), 8).movedim(0, 1)[None]


def known(name: str, frames: list[float | None], extra: int = 0, **others) -> Known:
    """A clip of 16x16, each frame of one brightness; None where it is made."""
    shown = torch.tensor([f is not None for f in frames])[None, :, None, None]
    video = torch.tensor([f or 0.0 for f in frames])[None, :, None, None, None].expand(1, -1, 16, 16, 3)
    whole = torch.cat((shown[0, :1, 0, 0].expand(3), shown[0, :, 0, 0])).unflatten(0, (-1, 4)).all(1)
    samples = means(video[0])
    mask = (~whole)[None, None, :, None, None].expand(1, 1, -1, 2, 2)
    return Known(kind(name, extra, **others), samples, mask, video, shown)


def encoder() -> Encoder:
    return Encoder(means)


CLIP = [0.2, 0.4, 0.4, 0.4, 0.4, None, None, None, None]


def test_wan_is_told_frame_by_frame():
    told = tell(known("WAN21", CLIP, extra=20), encoder())
    mask = told.options["concat_mask"]
    assert mask.shape == (1, 4, 3, 2, 2)
    # 1 = made. The first latent is one frame, which fills all four of its channels.
    assert mask[0, :, :, 0, 0].tolist() == [[0, 0, 1]] * 4
    image = told.options["concat_latent_image"]
    assert torch.allclose(image[0, 0, :, 0, 0], torch.tensor([0.2, 0.4, GREY]))
    assert torch.equal(told.mask[0, 0, :, 0, 0], torch.tensor([False, False, True])), "kept latents are held"
    assert "holds the kept latents" in told.notes[0]


def test_wan_is_told_of_a_last_frame_and_makes_the_rest_of_its_group():
    given = known("WAN21", [None] * 8 + [0.8], extra=20)
    # An edit keeps the picture by holding its whole group still.
    kept = torch.tensor([True, True, False])[None, None, :, None, None].expand(1, 1, -1, 2, 2)
    told = tell(replace(given, mask=kept), encoder())
    assert told.options["concat_mask"][0, :, 2, 0, 0].tolist() == [1, 1, 1, 0]
    assert told.options["concat_latent_image"][0, 0, 2, 0, 0] == pytest.approx((3 * GREY + 0.8) / 4)
    assert bool(told.mask.all()), "no latent is known in full, so none is held"
    assert "makes all latents itself" in told.notes[0]


def test_latents_that_are_handed_over_are_told_as_they_are():
    samples = torch.randn(1, 2, 4, 2, 2)
    mask = torch.ones(1, 1, 4, 2, 2, dtype=torch.bool)
    mask[:, :, :2] = False
    asked = []

    def grey(frames: torch.Tensor) -> torch.Tensor:
        asked.append(frames)
        return means(frames)

    encode = Encoder(grey)
    for _ in range(2):
        told = tell(Known(kind("WAN21", 20), samples, mask), encode)
    image = told.options["concat_latent_image"]
    assert torch.equal(image[:, :, :2], samples[:, :, :2])
    assert torch.allclose(image[:, :, 2:], torch.tensor(GREY))
    assert told.options["concat_mask"][0, :, :, 0, 0].tolist() == [[0, 0, 1, 1]] * 4
    assert len(asked) == 1 and asked[0].shape == (13, 16, 16, 3), "grey is encoded once"


def test_vace_splits_what_stays_from_what_is_made():
    told = tell(known("WAN21_Vace", CLIP), encoder())
    (frames,), (mask,), strength = (told.lists[k] for k in ("vace_frames", "vace_mask", "vace_strength"))
    assert frames.shape == (1, 4, 3, 2, 2) and mask.shape == (1, 64, 3, 2, 2) and strength == [1.0]
    assert torch.allclose(frames[0, :2, :, 0, 0], torch.tensor([[0.2, 0.4, GREY]] * 2))
    assert torch.allclose(frames[0, 2:], torch.tensor(GREY)), "what is made is not known: reactive pixels are grey"
    assert mask[0, :, :, 0, 0].mean(0).tolist() == [0, 0, 1]


def test_vace_keeps_the_pixels_of_a_painted_mask_as_channels():
    given = known("WAN21_Vace", [0.5] * 5)
    shown = torch.ones(1, 5, 16, 16, dtype=torch.bool)
    shown[:, :, 3, 9] = False  # row 3 and column 1 of the second cell of the first row
    told = tell(replace(given, shown=shown), encoder())
    (mask,) = told.lists["vace_mask"]
    assert mask[0, :, 0].nonzero().tolist() == [[3 * 8 + 1, 0, 1]]


def test_vace_shows_a_reference_in_front_and_says_what_to_take_off():
    zero = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1, 1)
    given = known("WAN21_Vace", CLIP, zero=zero)
    told = tell(replace(given, picture=given.frames[0, 1]), encoder())
    (frames,), (mask,) = told.lists["vace_frames"], told.lists["vace_mask"]
    assert told.front == 1 and told.samples.shape[2] == told.mask.shape[2] == frames.shape[2] == mask.shape[2] == 4
    assert torch.allclose(frames[0, :2, 0], torch.tensor(0.4))
    assert torch.equal(frames[0, 2:, 0, 0, 0], torch.tensor([3.0, 4.0])), "what the model takes for 0"
    assert bool(told.mask[:, :, 0].all()) and not bool(mask[:, :, 0].any())


@pytest.mark.parametrize("name,extra", [("HunyuanVideoI2V", 17), ("HunyuanVideo15", 33), ("CogVideoX", 16)])
def test_latents_stand_beside_the_noised_ones_and_zeros_elsewhere(name, extra):
    given = known(name, CLIP, extra=extra)
    told = tell(given, encoder())
    beside = told.options["concat_latent_image"]
    assert torch.equal(beside[:, :, :2], given.samples[:, :, :2]) and not bool(beside[:, :, 2:].any())
    assert told.options.get("concat_mask", given.mask.float()).tolist() == given.mask.float().tolist()


def test_hunyuan_of_the_second_kind_is_told_that_its_first_latent_is_clean():
    assert tell(known("HunyuanVideo", CLIP), encoder()).options == {"guiding_frame_index": 0}
    last = tell(known("HunyuanVideo", [None] * 5 + CLIP[1:5]), encoder())
    assert last.options == {} and "does not see what is kept" in last.notes[0]


@pytest.mark.parametrize("videos,prompts", [(1, 3), (2, 2), (3, 1)])
def test_hunyuan_of_the_second_kind_is_not_told_of_more_than_comfyui_can_tell_it(videos, prompts):
    given = known("HunyuanVideo", CLIP)
    repeated = {key: getattr(given, key).repeat_interleave(videos, 0) for key in ("samples", "mask", "frames", "shown")}
    told = tell(replace(given, **repeated, prompts=prompts), encoder())
    assert told.options == {} and "one video and one prompt at a time" in told.notes[0]


@pytest.mark.parametrize("name,extra,key", [("WAN21", 20, "concat_mask"), ("WAN21_Vace", 0, "vace_mask")])
def test_a_mask_in_space_is_told_without_frames_too(name, extra, key):
    given = known(name, CLIP, extra=extra)
    mask = torch.ones(1, 1, 3, 2, 2, dtype=torch.bool)
    mask[:, :, :, 0] = False  # as SetLatentNoiseMask makes it: the upper half is kept
    told = tell(replace(given, frames=None, shown=None, mask=mask), encoder())
    (said,) = told.lists.get(key) or [told.options[key]]
    assert said.shape[2:] == (3, 2, 2) and torch.equal(said.mean((0, 1, 2)), torch.tensor([[0.0, 0.0], [1.0, 1.0]]))


def test_videos_that_repeat_the_first_are_encoded_once():
    given, asked = known("LTXV", CLIP[:1] + [None] * 4 + [0.7] + [None] * 3), []
    repeated = {key: getattr(given, key).repeat_interleave(3, 0) for key in ("samples", "mask", "frames", "shown")}
    batch = replace(given, **repeated, distinct=1)

    def encode(frames):
        asked.append(len(frames))
        return means(frames)

    for name, extra in (("LTXV", 0), ("WAN21", 20), ("WAN21_Vace", 0)):
        told = tell(replace(batch, kind=kind(name, extra), picture=None), Encoder(encode))
        assert len(told.samples) == 3 and len(asked) <= 2, name
        asked.clear()
    told = tell(replace(batch, kind=kind("WAN21_Vace"), picture=given.frames[0, 0]), encoder())
    assert told.lists["vace_frames"][0].shape == (3, 4, 4, 2, 2)


def test_kandinsky_takes_the_latents_that_are_kept_from_the_first_on():
    given = known("Kandinsky5", [*CLIP, 0.9, 0.9, 0.9, 0.9])
    told = tell(given, encoder())
    assert torch.equal(told.options["time_dim_replace"], given.samples[:, :, :2]), "not the one behind the gap"
    assert told.options["concat_mask"][0, 0, :, 0, 0].tolist() == [0, 0, 1, 0]


def test_cosmos_takes_a_last_picture_as_a_still():
    given = known("CosmosPredict2", [None] * 8 + [0.8])
    kept = torch.tensor([True, True, False])[None, None, :, None, None].expand(1, 1, -1, 2, 2)
    told = tell(replace(given, mask=kept), encoder())
    assert torch.allclose(told.samples[:, :, 2], torch.tensor(0.8))
    assert torch.equal(told.mask, kept)


def test_a_model_of_no_family_is_told_nothing_and_the_note_says_so():
    told = tell(known("GenmoMochi", CLIP), encoder())
    assert not told.options and not told.lists
    assert told.notes == ("tiny does not see what is kept: the sampler blends it in at every step.",)
    assert tell(known("SoraModel", CLIP), encoder()).notes == ()


def test_cosmos_one_sees_what_is_kept_where_its_network_reads_the_mask():
    assert tell(known("CosmosVideo", CLIP, extra=1), encoder()).notes == ()
    assert "does not see" in tell(known("CosmosVideo", CLIP), encoder()).notes[0]


def test_a_reference_for_a_model_that_takes_none_is_refused():
    given = known("WAN21", CLIP, extra=20)
    with pytest.raises(SoraError, match="tiny takes no reference picture.*Wan VACE"):
        tell(
            Known(given.kind, given.samples, given.mask, given.frames, given.shown, picture=given.frames[0, 0]),
            encoder(),
        )


def test_a_family_serves_a_model_by_its_class_and_by_what_its_network_takes_in():
    assert family_of(kind("WAN21", 20)).name == "Wan I2V"
    assert family_of(kind("WAN21", 0)).sees is False, "text to video has no place for a picture"
    assert family_of(kind("WAN21_Camera", 20)).sees is False, "a camera model is told by its own node"
    assert len({f.name for f in FAMILIES}) == len(FAMILIES)
