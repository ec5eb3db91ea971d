"""The prompts of several shots as one CONDITIONING: joined for our attention, or a condition a shot, masked in time."""

from __future__ import annotations

import pytest
import torch

from sora_core.diffusion.prompts import SHOTS
from sora_core.errors import SoraError
from sora_core.tasks.long.story import LongVideo
from sora_core.tasks.shots import SHOT, Streams, fit_prompts, join_prompts, mask_prompts, shot_mask, shots_conditioning
from sora_core.tasks.storyboard import Shot

STREAMS = Streams(((1, 16, 6, 4, 4),))


def prompts():
    """Three shots' prompts, of different lengths, each with options of its own; the last holds two conditions."""
    made = [[[torch.randn(1, 5 + n, 8), {"pooled_output": torch.randn(1, 4), "guidance": 1.0 + n}]] for n in range(3)]
    made[2].append([torch.randn(1, 9, 8), {"start_percent": 0.5, "strength": 0.25}])
    return made


def in_time(options):
    return options["mask"][0, :, 0, 0].tolist()


def test_each_shot_keeps_its_own_options_and_rules_its_own_latents():
    shots = prompts()
    made = mask_prompts(shots, (3, 1, 2), STREAMS)
    assert [in_time(options) for _, options in made] == [
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 1],
        [0, 0, 0, 0, 1, 1],
    ]
    given = [entry for shot in shots for entry in shot]
    for (context, options), (own, theirs) in zip(made, given, strict=True):
        assert context is own and options["mask"].shape == (1, 6, 4, 4)
        assert {key: options[key] for key in theirs} == theirs
        assert options["set_area_to_bounds"] is False and options["mask_strength"] == 1.0
    assert [options["strength"] for _, options in made] == [1.0, 1.0, 1.0, 0.25]
    assert "mask" not in shots[0][0][1], "what came in was changed"


def test_joined_for_our_attention_as_before():
    shots = [shot[:1] for shot in prompts()]
    ((context, options),) = join_prompts(shots, (3, 1, 2))
    ((wanted, _),) = shots_conditioning([shot[0][0] for shot in shots], (3, 1, 2))
    assert torch.equal(context, wanted) and options == {"guidance": 1.0, SHOTS: (3, 1, 2)}
    ((context, options),) = join_prompts(shots[:1], (6,))
    assert context is shots[0][0][0] and options == {"guidance": 1.0}
    assert mask_prompts(shots[:1], (6,), STREAMS) == shots[0]


def test_masks_are_fitted_to_the_latent_that_is_sampled():
    made = mask_prompts(prompts(), (3, 1, 2), STREAMS)
    plain = [torch.zeros(1, 3, 8), {"mask": torch.ones(1, 4, 4)}]
    larger = fit_prompts([*made, plain], "masks", Streams(((2, 16, 6, 8, 10),)), "positive", "Wan")
    assert [options["mask"].shape for _, options in larger[:4]] == [(1, 6, 8, 10)] * 4
    assert [in_time(options) for _, options in larger[:4]] == [in_time(options) for _, options in made]
    assert larger[4] == plain
    with pytest.raises(SoraError, match="positive: the storyboard is for 6 latents, the latent has 5"):
        fit_prompts(made, "masks", Streams(((1, 16, 5, 4, 4),)), "positive", "Wan")
    with pytest.raises(SoraError, match="negative: SeedVR2 reads no prompt"):
        fit_prompts(made, "none", STREAMS, "negative", "SeedVR2")


def test_what_is_sampled_along_belongs_to_every_shot():
    made = mask_prompts(prompts(), (3, 1, 2), STREAMS)
    fitted = fit_prompts(made, "masks", Streams(((1, 16, 9, 4, 4),), along=(1, 2)), "positive", "Wan VACE")
    assert in_time(fitted[1][1]) == [1, 0, 0, 0, 1, 0, 0, 1, 1]
    again = fit_prompts(fitted, "masks", STREAMS, "positive", "Wan VACE")
    assert in_time(again[1][1]) == in_time(made[1][1])


def test_a_painted_region_goes_on_counting():
    """ConditioningSetMask after the storyboard puts its own mask in place of ours."""
    made = mask_prompts(prompts(), (3, 1, 2), STREAMS)
    region = torch.zeros(1, 32, 32)
    region[:, :, 16:] = 1
    painted = [[context, {**options, "mask": region, "mask_strength": 0.5}] for context, options in made]
    options = fit_prompts(painted, "masks", STREAMS, "positive", "Wan")[1][1]
    assert options["mask"][0, :, 0].tolist() == [[0, 0, 0, 0]] * 3 + [[0, 0, 1, 1]] + [[0, 0, 0, 0]] * 2
    assert options["mask_strength"] == 0.5


def test_a_joined_storyboard_is_taken_apart():
    shots = [[[torch.randn(1, 5, 8), {"guidance": 3.0}]] for _ in range(3)]
    made = fit_prompts(join_prompts(shots, (3, 1, 2)), "masks", STREAMS, "positive", "Wan")
    for (context, options), shot, right in zip(made, shots, mask_prompts(shots, (3, 1, 2), STREAMS), strict=True):
        assert torch.equal(context, shot[0][0]) and torch.equal(options["mask"], right[1]["mask"])
        assert options["guidance"] == 3.0 and SHOTS not in options and options[SHOT] == right[1][SHOT]
    joined = join_prompts(shots, (3, 1, 2))
    assert fit_prompts(joined, "attention", STREAMS, "positive", "sora-mini") == joined
    cut = [[joined[0][0][:, :-1], joined[0][1]]]
    with pytest.raises(SoraError, match="positive: the prompt of 3 shots is 14 long"):
        fit_prompts(cut, "masks", STREAMS, "positive", "Wan")


def test_sound_is_cut_where_the_picture_is():
    streams = Streams(((1, 2, 6, 1, 1), (1, 3, 10, 2)), (2, 2))
    masks = [shot_mask(shot, streams) for shot in ((0, 3, 6), (3, 1, 6), (4, 2, 6))]
    assert [mask.shape for mask in masks] == [(1, 2 * 6 + 3 * 10 * 2)] * 3
    assert torch.equal(sum(masks), torch.ones(1, 72))
    assert masks[1][0, 12:].view(3, 10, 2)[1, :, 0].tolist() == [0, 0, 0, 0, 0, 1, 1, 0, 0, 0]


def test_the_windows_of_a_long_video_keep_each_shots_options():
    shots = prompts()

    def join(own, latents):
        return mask_prompts(own, latents, Streams(((1, 16, sum(latents), 4, 4),)))

    # 12 latents in all: shots of 5, 4 and 3.
    story = LongVideo([Shot("a", 17 / 8), Shot("b", 2.0), Shot("c", 1.5)], shots, 45 / 8, 8.0, join=join)
    assert story.counts == [5, 4, 3] and story.conditioning(6, 3) == shots[1]
    both = story.conditioning(3, 4)
    assert [in_time(options) for _, options in both] == [[1, 1, 0, 0], [0, 0, 1, 1]]
    assert [options["guidance"] for _, options in both] == [1.0, 2.0]
    assert [entry[0] is shot[0][0] for entry, shot in zip(both, shots, strict=False)] == [True, True]


def test_a_count_for_each_prompt():
    for make in (lambda s: join_prompts(s, (3, 3)), lambda s: mask_prompts(s, (3, 3), STREAMS)):
        with pytest.raises(SoraError, match="3 prompts for 2 shots"):
            make(prompts())
