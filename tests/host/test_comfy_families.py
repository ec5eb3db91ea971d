"""ComfyUI's own models on the stand-in: what they are told by, what is refused, and in which form a storyboard goes."""

from __future__ import annotations

import comfy_standin
import pytest
import torch
from nested import Nested

from sora_core.errors import SoraError


def core_model(kind: str, layout: str, fill=None, **attributes):
    """A MODEL as ComfyUI would hold it: the class names and attributes that a family is told by."""
    network = torch.nn.Module()
    for name, value in ({"forward": lambda x, timestep, context: None} | attributes).items():
        setattr(network, name, value)
    model = type(kind, (comfy_standin.BaseModel,), {"__init__": lambda self: None})()
    shape = {"latent_channels": 16, "latent_dimensions": 3, "process_out": lambda self, latent: latent}
    kind_of_latents = type(layout, (), shape | ({"fix_empty_latent": fill} if fill else {}))
    model.__dict__.update(diffusion_model=network, latent_format=kind_of_latents())
    return comfy_standin.ModelPatcher(model, "cpu", "cpu")


@pytest.mark.parametrize(
    ("kind", "layout", "expected"),
    [
        ("WAN21", "Wan21", ("Wan 2.1 (WAN21)", 4, 8, True, "blend", "Wan 2.1")),
        ("Mochi", "Mochi", ("Mochi", 6, 8, True, "blend", "Mochi")),
        ("Unheard", "OfFormat", ("Unheard", 4, 8, True, "blend", "")),
    ],
)
def test_families_of_the_hosts_own_models(hosts, kind, layout, expected):
    space = hosts[0].latent_space(model=core_model(kind, layout, patch_size=(1, 2, 2)))
    ratios = (space.temporal_ratio, space.spatial_ratio, space.causal)
    assert (space.name, *ratios, space.masks, space.vae) == expected and space.channels == 16


def test_a_model_says_in_which_language_it_is_told(hosts):
    """By its class, by what its network takes in, by whether it sees pictures, and by what it takes for 0."""
    patcher = core_model("WAN21", "Wan21", patch_size=(1, 2, 2), in_dim=36, img_emb=object())
    layout = patcher.model.latent_format
    layout.process_out = lambda latent: latent + 2
    kind = hosts[0].model_kind(patcher)
    assert (kind.name, kind.extra, kind.vision) == ("WAN21", 20, True)
    assert torch.equal(kind.zero, torch.full((1, 16, 1, 1, 1), 2.0))
    plain = hosts[0].model_kind(core_model("CogVideoX", "CogVideoX", in_channels=16, img_emb=None))
    assert (plain.extra, plain.vision) == (0, False)


def test_clip_vision_sees_two_pictures_in_a_row(hosts):
    class Vision:
        def encode_image(self, image):
            seen = comfy_standin.Sight()
            seen.penultimate_hidden_states = image.mean().view(1, 1, 1).expand(1, 3, 2)
            return seen

    black, white = torch.zeros(8, 8, 3), torch.ones(8, 8, 3)
    assert hosts[0].encode_vision(Vision(), [white]).penultimate_hidden_states.shape == (1, 3, 2)
    both = hosts[0].encode_vision(Vision(), [black, white]).penultimate_hidden_states
    assert both[0, :, 0].tolist() == [0, 0, 0, 1, 1, 1]


def test_a_model_of_pictures_is_refused_though_its_latents_have_time(hosts):
    with pytest.raises(SoraError, match="QwenImage makes pictures"):
        hosts[0].latent_space(model=core_model("QwenImage", "Wan21"))


def test_a_family_without_masks_refuses_them_before_sampling(hosts):
    model = core_model("SeedVR2", "SeedVR2")
    latent = {"samples": torch.zeros(1, 16, 3, 4, 4), "noise_mask": torch.ones(1, 1, 3, 4, 4)}
    with pytest.raises(SoraError, match="noise mask that keeps.*SeedVR2 cannot keep"):
        hosts[0].sample(
            model,
            latent,
            [[torch.zeros(1, 1, 1), {}]],
            None,
            sampler=None,
            sigmas=torch.tensor([1.0, 0.0]),
            seed=0,
            cfg=1.0,
            interval=(0, 1),
        )


def test_the_width_of_a_core_models_prompt_is_checked(hosts):
    from sora_core.host.comfy.families import check_text

    attention = {"q": torch.nn.Linear(8, 8), "k_proj": torch.nn.Linear(48, 8)}
    sizes = {"caption_channels": 16, "cross_attention_dim": 64, "audio_cross_attention_dim": 8}
    for model, right in (
        (core_model("WAN21", "Wan21", text_embedding=torch.nn.Sequential(torch.nn.Linear(4096, 8))), (4096,)),
        (core_model("CosmosPredict2", "Wan21", cross_attn=torch.nn.ModuleDict(attention)), (48,)),
        # LTX-2 reads a prompt with and without the sound's part beside it, in two versions.
        (core_model("LTXAV", "LTXAV", **sizes), (32, 72, 16)),
    ):
        for width in right:
            check_text(model, [[torch.zeros(1, 8, width), {}]], "positive")
        with pytest.raises(SoraError, match=f"positive: .* 24 wide, .* reads {right[0]}"):
            check_text(model, [[torch.zeros(1, 8, 24), {}]], "positive")
    # What a network outside the table calls its layers is anybody's guess.
    unheard = core_model("Unheard", "OfFormat", text_embedding=torch.nn.Linear(4096, 8))
    check_text(unheard, [[torch.zeros(1, 8, 24), {}]], "positive")


def test_a_prompt_that_lacks_what_the_model_needs_is_refused(hosts):
    from sora_core.host.comfy.families import check_text

    def forward(x, timestep, context, attention_mask, frame_rate=25): ...

    ltx = core_model("LTXV", "LTXV", caption_projection=torch.nn.Linear(32, 8), forward=forward)
    with pytest.raises(SoraError, match="positive: LTX-Video.*attention_mask.*encoded without"):
        check_text(ltx, [[torch.zeros(1, 8, 32), {}]], "positive")
    hunyuan = core_model("Unheard", "HunyuanVideo", vector_in=object())
    with pytest.raises(SoraError, match="negative: HunyuanVideo.*pooled_output.*encoded without"):
        check_text(hunyuan, [[torch.zeros(1, 8, 32), {"pooled_output": None}]], "negative")
    check_text(ltx, [[torch.zeros(1, 8, 32), {"attention_mask": torch.ones(1, 8)}]], "positive")
    check_text(hunyuan, [[torch.zeros(1, 8, 32), {"pooled_output": torch.zeros(1, 8)}]], "negative")
    kandinsky = core_model("Kandinsky5", "HunyuanVideo", pooled_text_embeddings=object())
    with pytest.raises(SoraError, match="positive: HunyuanVideo.*pooled_output.*encoded without"):
        check_text(kandinsky, [[torch.zeros(1, 8, 32), {}]], "positive")


def shots_of_two(width=8):
    """Two shots' prompts, of different lengths, with options of their own."""
    return [[[torch.randn(1, length, width), {"pooled_output": torch.randn(1, 4)}]] for length in (6, 4)]


def test_the_form_of_a_storyboard_is_the_models(hosts):
    from types import SimpleNamespace

    from sora_core.diffusion.prompts import SHOTS

    native, _, path = hosts
    loaded, shape, prompts = native.load_model(path, "fp32"), (1, 16, 5, 4, 6), shots_of_two()
    foreign = SimpleNamespace(tokenizer=object())
    for model, clip in ((loaded.model, None), (None, loaded.clip), (None, None)):
        (joined,) = native.join_shots(prompts, (3, 2), shape, model, clip)
        assert joined[1][SHOTS] == (3, 2) and joined[0].shape == (1, 12, 8)
    for model, clip in ((core_model("WAN21", "Wan21"), loaded.clip), (None, foreign)):
        made = native.join_shots(prompts, (3, 2), shape, model, clip)
        assert [entry[0] is prompt[0][0] for entry, prompt in zip(made, prompts, strict=True)] == [True, True]
        assert all(SHOTS not in options for _, options in made)
        assert made[1][1]["mask"][0, :, 0, 0].tolist() == [0, 0, 0, 1, 1] and made[1][1]["mask"].shape == (1, 5, 4, 6)
        assert made[1][1]["pooled_output"] is prompts[1][0][1]["pooled_output"]
    with pytest.raises(SoraError, match="SeedVR2 reads no prompt"):
        native.join_shots(prompts, (3, 2), shape, core_model("SeedVR2", "SeedVR2"))


class ForeignText:
    """A text encoder of ComfyUI's own, with a pooled output for each prompt."""

    tokenizer = object()

    def tokenize(self, text):
        return text

    def encode_from_tokens_scheduled(self, text):
        return [[torch.randn(1, len(text), 8), {"pooled_output": torch.full((1, 4), len(text))}]]


def test_a_storyboard_on_a_core_model_keeps_what_each_shot_was_encoded_with(hosts):
    from sora_core.pipeline.editing import storyboard
    from sora_core.tasks import Shot

    model, shots = core_model("WAN21", "Wan21"), [Shot("a cat", 1.0), Shot("a small dog", 1.0)]
    story = storyboard(hosts[0], ForeignText(), shots, fps=8.0, width=64, height=32, model=model)
    assert story.latent["samples"].shape == (1, 16, 5, 4, 8)
    assert [float(options["pooled_output"][0, 0]) for _, options in story.positive] == [5, 11]
    assert [options["mask"].sum((2, 3)).tolist() for _, options in story.positive] == [
        [[32, 32, 32, 0, 0]],
        [[0, 0, 0, 32, 32]],
    ]
    assert "each step runs it 2 times" in story.notes[-1]


def test_a_storyboard_for_our_attention_is_taken_apart_for_a_core_model(hosts):
    native, _, _ = hosts
    wan, latent = core_model("WAN21", "Wan21"), {"samples": torch.zeros(1, 16, 5, 4, 6)}
    prompts = [[[torch.randn(1, 6, 8), {}]] for _ in range(2)]
    joined = native.join_shots(prompts, (3, 2), (1, 16, 5, 8, 8))
    apart = native.fit_shots(wan, joined, latent)
    wanted = native.join_shots(prompts, (3, 2), latent["samples"].shape, wan)
    for (context, options), (their, right) in zip(apart, wanted, strict=True):
        assert torch.equal(context, their) and torch.equal(options["mask"], right["mask"])
    with pytest.raises(SoraError, match="negative: the storyboard is for 5 latents, the latent has 4"):
        native.fit_shots(wan, joined, {"samples": torch.zeros(1, 16, 4, 4, 6)}, "negative")


@pytest.mark.parametrize("ours", [True, False])
def test_a_storyboard_of_another_length_stops_before_the_model_runs(hosts, ours):
    native, _, path = hosts
    model = native.load_model(path, "fp32").model if ours else core_model("WAN21", "Wan21")
    prompts = [[[torch.zeros(1, 6, 32), {}]] for _ in range(2)]
    with pytest.raises(SoraError, match="positive: the storyboard is for 5 latents, the latent has 3"):
        native.sample(
            model,
            {"samples": torch.zeros(1, 16, 3, 4, 6)},
            native.join_shots(prompts, (3, 2), (1, 16, 5, 4, 6), model),
            None,
            sampler=None,
            sigmas=torch.tensor([1.0, 0.0]),
            seed=0,
            cfg=1.0,
        )


def test_a_model_that_makes_sound_along_has_its_shots_masked_in_both(hosts):
    """ComfyUI packs the streams one behind the other, so the masks are packed too."""

    def fill(self, latent):
        return Nested([latent, torch.zeros(1, 3, 2, 2 * latent.shape[2])])

    native, _, _ = hosts
    model = core_model("MiniMaxH3", "MiniMaxH3AV", fill)
    first, second = native.join_shots(shots_of_two(), (3, 2), (1, 16, 5, 2, 2), model)
    picture, sound = second[1]["mask"].split((16 * 5 * 4, 3 * 2 * 10), 1)
    assert picture.view(16, 5, 4)[7, :, 1].tolist() == [0, 0, 0, 1, 1]
    assert sound.view(3, 2, 10)[2, 1].tolist() == [0] * 6 + [1] * 4
    assert (first[1]["mask"] + second[1]["mask"]).eq(1).all()
    # A latent that got its sound later, as LTX-2's does.
    plain = native.join_shots(shots_of_two(), (3, 2), (1, 16, 5, 2, 2), core_model("LTXAV", "LTXAV"))
    latent = {"samples": Nested([torch.zeros(1, 16, 5, 2, 2), torch.zeros(1, 3, 10, 2)])}
    fitted = native.fit_shots(core_model("LTXAV", "LTXAV"), plain, latent)[1][1]["mask"]
    assert fitted[:, -60:].view(3, 10, 2)[2, :, 1].tolist() == [0] * 6 + [1] * 4


def test_the_vae_table_names_families_of_the_table(hosts):
    from sora_core.host.comfy.families import FAMILIES, VAES, vae_space

    assert set(VAES.values()) <= set(FAMILIES)
    vae = hosts[0].load_model(hosts[2], "fp32").vae
    del vae.sora_name
    vae.first_stage_model = type("WanVAE", (), {"__module__": "comfy.ldm.wan.vae"})()
    assert vae_space(vae).vae == "Wan 2.1" and "Wan 2.1" in vae_space(vae).name
