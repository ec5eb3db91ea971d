"""Models are told of an edit where model, prompt and VAE meet.

Our own engine runs here, with a model that speaks another family's language: what the network is given is read off its
conditions. Real networks of those families run in `tests/benchmarks/comfyui_families.py`.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from nodes_support import TINY, save_tiny

from sora_core.errors import SoraError
from sora_core.latents.patches import patchify_latents, unpatchify_latents
from sora_core.latents.space import ALONG
from sora_core.media.clips import Clip
from sora_core.pipeline import editing, make
from sora_core.pipeline.conditioning import VAE, condition, trim
from sora_core.pipeline.own import OwnEngine
from sora_core.tasks.families import ModelKind
from sora_core.tasks.finish.splice import SPLICE

PICTURE = torch.rand(1, 32, 32, 3, generator=torch.Generator().manual_seed(1))
HOW = make.Sampling(seed=1, steps=4, cfg=2.0)


class Foreign(OwnEngine):
    """Our engine, whose models speak as those of another class do; it keeps what it samples."""

    def __init__(self, name: str, extra: int = 0, vision: bool = False) -> None:
        super().__init__()
        self.name, self.extra, self.vision = name, extra, vision
        self.asked = []

    def model_kind(self, model):
        space = replace(model.space, name="Their Model")
        return ModelKind(self.name, space, self.extra, self.vision)

    def encode_vision(self, vision, pictures):
        return [vision, *(float(p.mean()) for p in pictures)]

    def sample(self, model, latent, positive, negative, **settings):
        self.asked.append((latent, positive, negative))
        # Our network does not read what theirs would.
        plain = [[[context, {}] for context, _ in conditions] for conditions in (positive, negative)]
        return super().sample(model, latent, *plain, **settings)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return OwnEngine().load_model(save_tiny(tmp_path_factory.mktemp("model") / TINY), "fp32")


@pytest.fixture
def prompts(loaded):
    return make.encode_prompts(OwnEngine(), loaded.clip, "a cat")


@pytest.fixture
def still(loaded):
    return editing.animate(OwnEngine(), loaded.vae, {0: PICTURE}, frames=9).latent


def told_by(engine, loaded, prompts, latent, how=HOW):
    notes = []
    made = make.sample_latent(engine, loaded.model, latent, prompts.positive, prompts.negative, how, note=notes.append)
    return made, notes


def test_our_own_model_is_told_by_the_mask_alone(loaded, prompts, still):
    told = condition(OwnEngine(), loaded.model, prompts.positive, prompts.negative, still)
    assert told.latent is still and told.notes == ()
    assert told.positive[0][1].keys() == prompts.positive[0][1].keys()


def test_the_sampler_tells_a_model_by_itself(loaded, prompts, still):
    engine = Foreign("WAN21", 20)
    made, notes = told_by(engine, loaded, prompts, still)
    ((_, positive, negative),) = engine.asked
    for conditions in (positive, negative):
        options = conditions[0][1]
        assert options["concat_mask"].shape == (1, 4, 3, 4, 4) and options["concat_latent_image"].shape[2] == 3
    assert notes == [
        "Their Model is told what is kept beside its latents, and the sampler holds the kept latents at every step."
    ]
    assert torch.equal(made["samples"][:, :, 0], still["samples"][:, :, 0]) and ALONG not in made


def test_what_core_nodes_have_told_stays_as_it_is(loaded, prompts, still):
    mine = [[prompts.positive[0][0], {"concat_latent_image": "theirs"}]]
    told = condition(Foreign("WAN21", 20), loaded.model, mine, prompts.negative, still)
    assert told.positive is mine and "stays as it is" in told.notes[0]


def test_without_a_vae_the_note_says_what_to_do(loaded, prompts, still):
    alone = {k: v for k, v in still.items() if k != VAE}
    told = condition(Foreign("WAN21", 20), loaded.model, prompts.positive, prompts.negative, alone)
    assert told.latent is alone and "put Sora Condition before the sampler, with its VAE" in told.notes[0]


def test_a_reference_is_sampled_along_and_cut_off(loaded, prompts, still):
    engine = Foreign("WAN21_Vace")
    told = condition(
        engine, loaded.model, prompts.positive, prompts.negative, still, picture=PICTURE.repeat(1, 2, 3, 1)
    )
    assert told.latent["samples"].shape[2] == 4 and told.latent[ALONG] == (1, 0)
    made = make.sample_latent(engine, loaded.model, told.latent, told.positive, told.negative, HOW)
    assert made["samples"].shape == still["samples"].shape and made["noise_mask"].shape[2] == 3
    assert torch.equal(made["samples"][:, :, 0], still["samples"][:, :, 0])
    # The latents of another sampler are cut as they are decoded.
    frames = make.decode_video(engine, loaded.vae, {**still, "samples": told.latent["samples"], ALONG: (1, 0)})
    assert frames.shape[0] == 9 and torch.equal(frames[:1], PICTURE)


def test_a_run_in_two_parts_keeps_what_is_sampled_along_to_its_end(loaded, prompts, still):
    engine = Foreign("WAN21_Vace")
    told = condition(engine, loaded.model, prompts.positive, prompts.negative, still, picture=PICTURE)
    sigmas = engine.make_sigmas(loaded.model, "simple", 4)
    run = {"sampler": engine.make_sampler("euler", {})}
    first = make.sample_latent(
        engine, loaded.model, told.latent, told.positive, told.negative, HOW, sigmas=sigmas[:3], **run
    )
    assert first["samples"].shape[2] == 4 and first[ALONG] == (1, 0)
    last = make.sample_latent(engine, loaded.model, first, told.positive, told.negative, HOW, sigmas=sigmas[2:], **run)
    assert last["samples"].shape[2] == 3


def test_clip_vision_sees_both_ends_or_the_first_kept_frame(loaded, prompts, still):
    engine = Foreign("WAN21", 20, vision=True)

    def seen(latent):
        made = condition(engine, loaded.model, prompts.positive, None, latent, vision="clip")
        assert not any("CLIP vision" in note for note in made.notes)
        return made.positive[0][1]["clip_vision_output"]

    mean = pytest.approx(float(PICTURE.mean()))
    both, middle = (
        editing.animate(OwnEngine(), loaded.vae, dict.fromkeys(places, PICTURE), frames=9).latent
        for places in ((0, -1), (3,))
    )
    assert seen(still) == seen(middle) == ["clip", mean] and seen(both) == ["clip", mean, mean]
    missing = condition(engine, loaded.model, prompts.positive, None, still)
    assert "none is connected" in missing.notes[-1] and "Their Model" in missing.notes[-1]


def test_clip_vision_for_a_model_that_does_not_read_it_is_refused(loaded, prompts, still):
    with pytest.raises(SoraError, match="Their Model does not read it.*Wan 2.1 I2V"):
        condition(Foreign("WAN22"), loaded.model, prompts.positive, None, still, vision="clip")
    with pytest.raises(SoraError, match="does not read it"):
        condition(OwnEngine(), loaded.model, prompts.positive, None, still, vision="clip")


def test_an_image_model_without_an_image_is_noted(loaded, prompts):
    empty = make.empty_latent(OwnEngine().latent_space(loaded.model), 9, 32, 32)
    told = condition(Foreign("WAN21", 20), loaded.model, prompts.positive, None, empty)
    assert told.latent is empty and "go on from a picture" in told.notes[0]


def test_an_edit_for_another_length_is_refused(loaded, prompts, still):
    longer = {**still, "samples": torch.zeros(1, 16, 5, 4, 4), "noise_mask": torch.ones(1, 1, 5, 4, 4)}
    with pytest.raises(SoraError, match="stands for 17 frames of 32x32, its edit was made for 9 of 32x32"):
        condition(Foreign("WAN21", 20), loaded.model, prompts.positive, None, longer)


def repeated(latent, times):
    """As core's RepeatLatentBatch does it."""
    return {**latent, "samples": latent["samples"].repeat(times, 1, 1, 1, 1)}


def test_a_latent_that_is_repeated_gives_as_many_videos(loaded, prompts, still):
    engine = Foreign("WAN21_Vace")
    told = condition(engine, loaded.model, prompts.positive, prompts.negative, repeated(still, 2), picture=PICTURE)
    assert told.positive[0][1]["vace_frames"][0].shape[:3] == (2, 32, 4)
    made = make.sample_latent(engine, loaded.model, told.latent, told.positive, told.negative, HOW)
    frames = make.decode_video(engine, loaded.vae, made).unflatten(0, (2, 9))
    assert torch.equal(frames[0, 0], PICTURE[0]) and torch.equal(frames[1, 0], PICTURE[0])
    assert not torch.equal(frames[0, 8], frames[1, 8])


def test_a_batch_that_does_not_repeat_its_edit_is_refused(loaded, prompts):
    both = editing.extend(OwnEngine(), loaded.vae, Clip(PICTURE.repeat(9, 1, 1, 1), 8.0), 0.5, "both").latent
    three = {**both, "samples": both["samples"][[0, 1, 1]], "noise_mask": both["noise_mask"][[0, 1, 1]]}
    with pytest.raises(SoraError, match="a batch of 3, its edit was made for 2"):
        condition(Foreign("WAN21", 20), loaded.model, prompts.positive, prompts.negative, three)


def test_what_core_has_cut_off_is_not_cut_off_again(loaded, prompts, still):
    told = condition(Foreign("WAN21_Vace"), loaded.model, prompts.positive, None, still, picture=PICTURE)
    trimmed = {**told.latent, "samples": told.latent["samples"][:, :, 1:]}  # TrimVideoLatent leaves the mask
    assert make.decode_video(OwnEngine(), loaded.vae, trimmed).shape[0] == 9
    assert trim(trimmed)["noise_mask"].shape[2] == 3


def test_the_second_part_of_a_run_needs_the_prompts_of_the_first(loaded, prompts, still):
    engine = Foreign("WAN21_Vace")
    told = condition(engine, loaded.model, prompts.positive, prompts.negative, still, picture=PICTURE)
    with pytest.raises(SoraError, match="Use the prompts and the latent of one Sora Condition"):
        condition(engine, loaded.model, prompts.positive, prompts.negative, told.latent)


def test_prompts_that_tell_of_another_latent_are_refused(loaded, prompts, still):
    engine = Foreign("WAN21_Vace")
    told = condition(engine, loaded.model, prompts.positive, None, still, picture=PICTURE)
    assert condition(engine, loaded.model, told.positive, None, told.latent).latent is told.latent
    with pytest.raises(SoraError, match=r"tells of 4 latents \(1 of them sampled along\), the latent has 3 \(0\)"):
        condition(engine, loaded.model, told.positive, None, still)
    longer = editing.animate(OwnEngine(), loaded.vae, {0: PICTURE}, frames=17).latent
    plain = condition(engine, loaded.model, prompts.positive, None, still)
    with pytest.raises(SoraError, match="tells of 3 latents .* has 5 .*Connect the latent of the same Sora Condition"):
        condition(engine, loaded.model, plain.positive, None, longer)


def test_a_vae_of_another_model_is_refused(loaded, prompts, still):
    class Other(Foreign):
        def latent_space(self, model=None, vae=None):
            space = super().latent_space(model, None if vae == "theirs" else vae)
            return replace(space, name="the VAE of LTX-Video", vae="LTX-Video") if vae == "theirs" else space

    with pytest.raises(SoraError, match="vae: it is the VAE of LTX-Video, and Their Model works on latents of another"):
        condition(Other("WAN21", 20), loaded.model, prompts.positive, None, still, vae="theirs")


def test_clip_vision_of_another_width_is_refused(loaded, prompts, still):
    class Narrow(Foreign):
        def model_kind(self, model):
            return replace(super().model_kind(model), vision_width=1280)

        def encode_vision(self, vision, pictures):
            return SimpleNamespace(penultimate_hidden_states=torch.zeros(1, 257, vision))

    engine = Narrow("WAN21", 20, vision=True)
    with pytest.raises(SoraError, match="clip_vision: it sees 1024 wide, Their Model reads 1280"):
        condition(engine, loaded.model, prompts.positive, None, still, vision=1024)
    assert not condition(engine, loaded.model, prompts.positive, None, still, vision=1280).notes[1:]


def test_of_several_reference_pictures_the_note_says_which_is_shown(loaded, prompts, still):
    told = condition(
        Foreign("WAN21_Vace"), loaded.model, prompts.positive, None, still, picture=PICTURE.repeat(5, 1, 1, 1)
    )
    assert told.notes[-1] == "picture: the first of 5 is shown to the model."


def test_a_later_call_knows_the_vae_of_sora_condition(loaded, prompts):
    """A storyboard whose shots are kept later has no edit that could bring one along."""
    empty = make.empty_latent(OwnEngine().latent_space(loaded.model), 9, 32, 32)
    told = condition(Foreign("WAN21_Vace"), loaded.model, prompts.positive, None, empty, vae=loaded.vae)
    kept = {**told.latent, "noise_mask": torch.ones(1, 1, 3, 4, 4)}
    kept["noise_mask"][:, :, 0] = 0
    again = condition(Foreign("WAN21_Vace"), loaded.model, prompts.positive, None, kept)
    assert "is told what is kept" in again.notes[0] and "vace_frames" in again.positive[0][1]


def test_patches_in_two_runs_keep_what_is_sampled_along(loaded, prompts, still):
    engine = Foreign("WAN21_Vace")
    told = condition(engine, loaded.model, prompts.positive, prompts.negative, still, picture=PICTURE)
    sigmas = engine.make_sigmas(loaded.model, "simple", 4)
    given = patchify_latents([told.latent], loaded.model.space.patch_size)
    sampler = engine.make_sampler("euler", {})
    for part in (sigmas[:3], sigmas[2:]):
        given = make.sample_latent(
            engine, loaded.model, given, told.positive, told.negative, HOW, sigmas=part, sampler=sampler
        )
    (made,) = unpatchify_latents(given)
    assert made["samples"].shape[2] == 3 and len(given.generate) == len(given)
    assert make.decode_video(engine, loaded.vae, made).shape[0] == 9


def test_sound_beside_the_picture_has_no_place_in_patches(loaded, prompts):
    class Nested:
        is_nested = True

        def __init__(self, tensors):
            self.unbind = lambda: tensors

    class Sounding(Foreign):
        def with_sound(self, model, latent):
            return {**latent, "samples": Nested([latent["samples"], torch.zeros(1, 8, 4)])}

    patches = patchify_latents([make.empty_latent(loaded.model.space, 9, 32, 32)], loaded.model.space.patch_size)
    with pytest.raises(SoraError, match="sound along with the picture, which patches have no place for"):
        make.sample_latent(Sounding("WAN21"), loaded.model, patches, prompts.positive, prompts.negative, HOW)


def test_trimming_leaves_a_latent_without_additions_alone(still):
    assert trim(still).keys() == still.keys() and torch.equal(trim(still)["samples"], still["samples"])


def test_segments_of_a_long_video_hand_their_latents_on(loaded):
    """What each segment tells the model is, bit by bit, what it holds; what it holds is the end of the one before."""
    from sora_core.pipeline.long import plan_long
    from sora_core.tasks.long.rolling import Rolling, roll
    from sora_core.tasks.storyboard import Shot

    engine = Foreign("WAN21", 20)
    clip = Clip(torch.rand(9, 32, 32, 3, generator=torch.Generator().manual_seed(2)), 8.0)
    plan = plan_long(
        engine,
        loaded,
        [Shot("a cat", 9.0)],
        make.Sampling(seed=1, steps=4, cfg=2.0),
        fps=8.0,
        width=32,
        height=32,
        seconds=3.0,
        rolling=Rolling(4, 1, 1, 0.6, 0.5),
        clip=clip,
    )
    source = plan.job.source
    begin = plan.job.roller.start(source.final, source.context, source.reference)
    segments = [begin, *roll(plan.job.roller, plan.job.total, begin)]
    assert len(segments) > 2
    handed = []
    for latent, positive, _ in engine.asked:
        kept = latent["noise_mask"].expand_as(latent["samples"]) < 0.5
        beside = positive[0][1]["concat_latent_image"]
        assert torch.equal(beside[kept], latent["samples"][kept]) and not torch.equal(beside, latent["samples"])
        handed.append(beside)
    for before in segments[:-1]:
        count = before.context.shape[2]
        assert any(torch.equal(beside[:, :, :count], before.context) for beside in handed)
    assert any("told what is kept" in note for note in plan.notes)


def test_a_mask_of_another_size_is_scaled_along(loaded):
    """It covers the same things as in the video that was scaled and cut: here the middle of one twice as wide."""
    region = torch.zeros(1, 64, 128)
    region[:, 16:48, 48:80] = 1
    edit = editing.infill(OwnEngine(), loaded.vae, Clip(torch.rand(9, 32, 32, 3), 8.0), region=region)
    made = ~edit.latent[SPLICE].keep[0]
    assert bool(made[8:24, 8:24].all()) and int(made.sum()) == 16 * 16
    assert edit.notes == ("The mask is 128x64, the video 32x32: the mask was scaled along.",)
    with pytest.raises(SoraError, match="mask is empty"):
        editing.infill(OwnEngine(), loaded.vae, Clip(torch.rand(9, 32, 32, 3), 8.0), region=torch.zeros(1, 64, 128))


def test_the_latent_of_a_video_that_was_just_made_is_handed_over(loaded, prompts):
    """An extension keeps its end, bit by bit, and a model that is told of frames is told the latents themselves."""
    latent = torch.randn(1, 16, 5, 4, 4, generator=torch.Generator().manual_seed(4))
    clip = Clip(OwnEngine().decode(loaded.vae, {"samples": latent}), 8.0, latent=latent)
    again = editing.extend(OwnEngine(), loaded.vae, replace(clip, latent=None), 1.0, window=5).latent
    edit = editing.extend(OwnEngine(), loaded.vae, clip, 1.0, window=5).latent
    assert torch.equal(edit["samples"][:, :, :3], latent[:, :, -3:])
    assert not torch.equal(again["samples"][:, :, :3], latent[:, :, -3:])
    told = condition(Foreign("WAN21", 20), loaded.model, prompts.positive, None, edit)
    beside = told.positive[0][1]["concat_latent_image"]
    assert torch.equal(beside[:, :, :3], latent[:, :, -3:])
    assert told.positive[0][1]["concat_mask"][0, 0, :, 0, 0].tolist() == [0, 0, 0, 1, 1]
    shorter = editing.extend(OwnEngine(), loaded.vae, replace(clip, latent=latent[:, :, 1:]), 1.0, window=5).latent
    assert torch.equal(shorter["samples"], again["samples"]), "one that does not stand for the frames is not taken"
