"""The thin part that touches ComfyUI, on a stand-in of the attributes it uses; results equal the standalone host's."""

from __future__ import annotations

import ast
import sys
from dataclasses import replace
from pathlib import Path

import comfy_standin
import pytest
import torch
from nodes_support import TINY

from sora_core.errors import SoraError
from sora_core.host import current
from sora_core.latents.space import SPACE
from sora_core.loading.checkpoint import load_model, load_parts, save
from sora_core.loading.lora import Change, apply_lora, read_lora, save_lora
from sora_core.model.dit import DiT

PACKAGE = Path(current.__file__).parent / "comfy"


def generate(host, path, *, mask=None, samples=None, space=None, sampler="euler", prompt="a (red:1.2) cat", **changes):
    loaded = host.load_model(path, "fp32")
    positive, unknown = host.encode_text(loaded.clip, prompt)
    negative, _ = host.encode_text(loaded.clip, "")
    assert unknown == []
    latent = {"samples": torch.zeros(1, 16, 3, 4, 6) if samples is None else samples, "note": 1}
    if mask is not None:
        latent["noise_mask"] = mask
    if space is not None:
        latent[SPACE] = space
    sigmas = host.make_sigmas(loaded.model, "simple", 3, 1.0, sampler)
    settings = {"seed": 2, "cfg": 3.0, "interval": (0.0, 1.0)} | changes
    made = host.sample(
        loaded.model, latent, positive, negative, sampler=host.make_sampler(sampler, {}), sigmas=sigmas, **settings
    )
    return made, host.decode(loaded.vae, made), loaded


@pytest.mark.parametrize("change", [{}, {"sampler": "dpm_2"}, {"interval": (0.3, 0.8)}, {"sampler": "euler_ancestral"}])
def test_same_latents_and_frames_as_standalone(hosts, change):
    native, standalone, path = hosts
    (ours, frames, _), (theirs, expected, _) = (generate(native, path, **change), generate(standalone, path, **change))
    assert torch.allclose(ours["samples"], theirs["samples"], atol=1e-5) and ours["note"] == 1
    assert frames.shape == (9, 32, 48, 3) and torch.allclose(frames, expected, atol=1e-5)


def test_a_model_with_a_detailer_makes_the_same_in_both_with_a_lora_on_it(hosts):
    native, standalone, path = hosts
    parts, info = load_parts(path)
    dit = DiT(replace(parts["dit"].config, detail=8, detail_blocks=3, coordinates=True))
    save(path, parts | {"dit": dit}, {k: v for k, v in info.items() if k != "file"}, torch.float32)
    ours, theirs = (generate(host, path)[0]["samples"] for host in (native, standalone))
    assert torch.allclose(ours, theirs, atol=1e-5)
    # More of its blocks than the transformer has, and each block of that: a file of our own trainers.
    low = Change(torch.ones(8, 2, 1, 1, 1), torch.ones(2, 8, 1, 3, 3))
    changes = {f"diffusion_model.detail.blocks.{number}.conv1": low for number in range(3)}
    changes |= {f"diffusion_model.blocks.{n}.ffn.0": Change(torch.ones(128, 1), torch.ones(1, 64)) for n in range(2)}
    save_lora(path.with_name("lora.safetensors"), changes, info={"base": "tiny"})
    bundle = load_model(path)
    merged = apply_lora(bundle, read_lora(path.with_name("lora.safetensors")), 0.5)
    moved = merged.dit.detail.blocks[2].conv1.weight - bundle.dit.detail.blocks[2].conv1.weight
    assert torch.allclose(moved, torch.ones(8, 8, 1, 3, 3), atol=1e-5)


@pytest.mark.parametrize("case", ["noise", "two clips", "picture", "mask", "late"])
def test_a_model_that_plans_layouts_makes_the_same_in_both(hosts, case, monkeypatch):
    native, standalone, path = hosts
    parts, info = load_parts(path)
    dit = DiT(replace(parts["dit"].config, planner=32))
    save(path, parts | {"dit": dit}, {k: v for k, v in info.items() if k != "file"}, torch.float32)
    # What a planner that has learned nothing plans may stand still by chance.
    monkeypatch.setattr("sora_core.model.dit.stays", lambda layout: torch.zeros(len(layout), dtype=torch.bool))
    plans = []
    plan = DiT.plan
    monkeypatch.setattr(DiT, "plan", lambda self, *args: plans.append(plan(self, *args)) or plans[-1])
    given = {}
    if case == "two clips":
        given["samples"] = torch.zeros(2, 16, 3, 4, 6)
    elif case in ("picture", "mask"):
        given["samples"] = torch.randn(1, 16, 3, 4, 6, generator=torch.Generator().manual_seed(1))
    if case == "mask":
        given["mask"] = torch.ones(1, 1, 3, 4, 6)
        given["mask"][:, :, 0] = 0
    if case == "late":
        for host in (native, standalone):
            sigmas = host.make_sigmas
            monkeypatch.setattr(host, "make_sigmas", lambda *args, sigmas=sigmas: sigmas(*args)[1:])
    ours, theirs = (generate(host, path, **given)[0]["samples"] for host in (native, standalone))
    assert torch.allclose(ours, theirs, atol=1e-5)
    if case in ("mask", "late"):
        assert not plans
    else:
        (one, other), clips = plans, len(theirs)
        assert one.shape[:2] == (clips, 3) and torch.allclose(one, other, atol=1e-5)
    monkeypatch.setattr(DiT, "plan", lambda self, *args: None)
    free = generate(native, path, **given)[0]["samples"]
    assert torch.equal(free, ours) == (case in ("mask", "late"))


def test_a_part_of_the_latent_has_no_layout(hosts):
    from sora_core.host.comfy.layouts import KEY, layout_for

    layout = torch.ones(1, 3, 2, 8)
    options = {KEY: (layout, (3, 4, 6))}
    assert torch.equal(layout_for(torch.zeros(2, 16, 3, 4, 6), options), layout)
    for part in ((2, 4, 6), (3, 2, 6), (3, 4, 4)):  # a window in time, tiles
        assert layout_for(torch.zeros(1, 16, *part), options) is None
    assert layout_for(torch.zeros(1, 16, 3, 4, 6), {}) is None


def test_masks_reach_the_tokens_and_what_is_kept_stays(hosts):
    native, standalone, path = hosts
    samples = torch.randn(1, 16, 3, 4, 6)
    mask = torch.ones(1, 1, 3, 4, 6)
    mask[:, :, 0] = 0
    mask[:, :, 2, :3, :3] = 0  # ends in the middle of a patch
    ours, _, loaded = generate(native, path, samples=samples, mask=mask)
    theirs, _, _ = generate(standalone, path, samples=samples, mask=mask)
    assert torch.allclose(ours["samples"], theirs["samples"], atol=1e-5)
    kept = mask.expand_as(samples) == 0
    assert torch.equal(ours["samples"][kept], samples[kept])
    t = loaded.model.model.process_timestep(torch.tensor([500.0]), x=samples, denoise_mask=mask)
    assert (
        t.shape == (1, 18) and t[0, :6].eq(0).all() and t[0, 6:12].eq(500).all() and t[0, 12] == 0 and t[0, 13] == 500
    )
    assert native.latent_space(model=loaded.model).masks == "tokens"


def test_a_storyboard_and_wrappers_reach_the_forward_pass(hosts):
    from sora_core.tasks import shots_conditioning

    results = []
    for host in hosts[:2]:
        loaded = host.load_model(hosts[2], "fp32")
        shots = [host.encode_text(loaded.clip, text)[0][0][0] for text in ("a cat", "a dog running")]
        made = host.sample(
            loaded.model,
            {"samples": torch.zeros(1, 16, 3, 4, 4)},
            shots_conditioning(shots, [1, 2]),
            host.encode_text(loaded.clip, "")[0],
            sampler=host.make_sampler("euler", {}),
            seed=0,
            cfg=2.0,
            sigmas=host.make_sigmas(loaded.model, "simple", 2, 1.0),
            interval=(0, 1),
        )
        results.append(made["samples"])
    assert torch.allclose(*results, atol=1e-5)
    dit = hosts[0].load_model(hosts[2], "fp32").model.model.diffusion_model
    options = {"wrappers": {"diffusion_model": {"nothing": [lambda run, *args, **kwargs: run(*args, **kwargs) * 0]}}}
    assert not dit(torch.randn(1, 16, 1, 2, 2), torch.ones(1), shots[0], transformer_options=options).any()


def test_previews_and_progress_reach_the_bar(hosts):
    native, _, path = hosts
    generate(native, path)
    updates = comfy_standin.ProgressBar.updates
    assert [value for value, _, preview in updates if preview is None] == [1, 2, 3]
    kind, picture, _ = next(preview for _, _, preview in updates if preview is not None)
    assert kind == "JPEG" and max(picture.size) >= 192


def test_an_interrupt_stops_the_run_even_when_the_preview_hears_it_first(hosts):
    from sora_core.latents.previews import Preview

    class Stop(BaseException): ...

    def refuse(self, value, total=None, preview=None):
        if preview is not None:
            raise Stop

    native, _, _ = hosts
    comfy_standin.ProgressBar.update_absolute, before = refuse, comfy_standin.ProgressBar.update_absolute
    try:
        with pytest.raises(Stop), native.wait(1000) as report:
            for step in range(1000):
                report(step, Preview(torch.zeros(2, 4, 4, 3, dtype=torch.uint8), fps=500))
                torch.zeros(1).sum()
                __import__("time").sleep(0.005)
    finally:
        comfy_standin.ProgressBar.update_absolute = before


def test_frames_go_in_as_well(hosts):
    native, standalone, path = hosts
    frames = torch.rand(5, 32, 48, 3)
    latents = [host.encode(host.load_model(path, "fp32").vae, frames)["samples"] for host in (native, standalone)]
    assert torch.allclose(*latents, atol=1e-5)
    space = native.latent_space(vae=native.load_model(path, "fp32").vae)
    assert (space.temporal_ratio, space.spatial_ratio, space.causal) == (4, 8, True)


def test_our_samplers_start_where_the_models_schedule_says(hosts):
    """A first sigma of 1 becomes the model's at 0.01 % of the way: ComfyUI's model is two wrappers further in."""
    first = []

    class Inpainting:
        def __call__(self, x, sigma, seed=None):
            first.append(float(sigma[0]))
            return x * 0

    class Schedule:
        @staticmethod
        def percent_to_sigma(percent):
            return 1 - 5 * percent

    plain, nested = Inpainting(), Inpainting()
    nested.inner_model = type("Guider", (), {"inner_model": type("Model", (), {"model_sampling": Schedule})})
    native, _, _ = hosts
    sampler = native.make_sampler("er_sde", {})
    for model, expected in ((nested, 0.9995), (plain, 0.9999)):
        first.clear()
        sigmas = torch.tensor([1.0, 0.5, 0.0])
        sampler.sampler_function(model, torch.zeros(1, 4), sigmas, extra_args={"seed": 0}, **sampler.extra_options)
        assert first[0] == pytest.approx(expected, abs=1e-6)


def test_samplers_of_the_host_and_ours(hosts):
    native, _, path = hosts
    assert native.make_sampler("theirs", {}).sampler_function is comfy_standin.their_sampler
    assert native.make_sampler("euler", {"s_churn": 1.0}).extra_options["s_churn"] == 1.0
    with pytest.raises(SoraError, match="eular"):
        native.make_sampler("eular", {})
    # Ours are for flows: on any other model the host's sampler of the same name runs.
    loaded = native.load_model(path, "fp32")
    loaded.model.model.model_sampling = object()
    from sora_core.host.comfy.sampler import fit_sampler

    fitted = fit_sampler(native.make_sampler("euler", {}), loaded.model)
    assert fitted.sampler_function is comfy_standin.their_sampler and fitted.extra_options == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"samples": torch.ones(1, 4, 3, 4, 6)}, ["4 channels", "16"]),
        ({"samples": torch.ones(3, 4)}, ["[3, 4]", "[B,16,T,H,W]"]),
        ({"samples": torch.ones(1, 16, 3, 5, 6)}, ["height is 5", "2"]),
        ({"mask": torch.ones(1, 1, 2, 4, 6)}, ["2 frames", "3"]),
        ({"mask": torch.ones(2, 1, 3, 4, 6)}, ["batch of 2", "batch of 1"]),
        ({"space": "Wan 2.1"}, ["one of Wan 2.1", "tiny", "those of sora"]),
        ({"prompt": " "}, ["prompt is empty"]),
        ({"cfg": float("nan")}, ["NaN", "step 1 of 3"]),
    ],
)
def test_bad_input_names_both_sides(hosts, change, words):
    native, _, path = hosts
    with pytest.raises(SoraError) as error:
        generate(native, path, **change)
    assert all(word in str(error.value) for word in words), error.value


def test_other_models_and_vaes_are_refused(hosts):
    native, _, path = hosts
    loaded = native.load_model(path, "fp32")
    with pytest.raises(SoraError, match="8 wide.*32"):
        loaded.model.model.extra_conds(cross_attn=torch.zeros(1, 4, 8))
    with pytest.raises(SoraError, match="48.*the VAE of tiny.*16"):
        native.decode(loaded.vae, {"samples": torch.zeros(1, 48, 2, 4, 4)})
    with pytest.raises(SoraError, match="one of Wan 2.1.*the VAE of tiny.*those of sora"):
        native.decode(loaded.vae, {"samples": torch.zeros(1, 16, 2, 4, 4), SPACE: "Wan 2.1"})
    loaded.model.model.latent_format = comfy_standin.LatentFormat()
    with pytest.raises(SoraError, match="not a video model"):
        native.latent_space(model=loaded.model)


def test_a_latent_carries_its_space_from_the_vae_through_the_sampler(hosts):
    native, _, path = hosts
    made, _, loaded = generate(native, path)
    assert made[SPACE] == "sora"
    assert native.encode(loaded.vae, torch.rand(1, 32, 32, 3))[SPACE] == "sora"


@pytest.mark.parametrize("which", ["positive", "negative"])
def test_a_prompt_of_another_width_stops_before_the_model_runs(hosts, which, monkeypatch):
    native, _, path = hosts
    loaded = native.load_model(path, "fp32")
    monkeypatch.setattr(type(loaded.model.model), "apply_model", None)
    prompts = {name: native.encode_text(loaded.clip, "a cat")[0] for name in ("positive", "negative")}
    prompts[which] = [[torch.zeros(1, 4, 77), {}]]
    with pytest.raises(SoraError, match=f"{which}: .*77 wide, tiny reads 32"):
        native.sample(
            loaded.model,
            {"samples": torch.zeros(1, 16, 1, 4, 4)},
            **prompts,
            sampler=None,
            sigmas=torch.tensor([1.0, 0.0]),
            seed=0,
            cfg=1.0,
            interval=(0, 1),
        )


def test_files_and_tags_are_the_hosts(hosts, tmp_path):
    from types import SimpleNamespace

    native, _, _ = hosts
    assert list(current.desk().model_files()) == ["sora-mini", TINY] or TINY in current.desk().model_files()
    assert current.desk().output_path("video/sora", ".mp4", 8, 8) == (tmp_path / "sora_00001_.mp4", "video")
    # The name is claimed, for another server with this folder counts as this one does.
    assert current.desk().output_path("video/sora", ".mp4", 8, 8)[0].name == "sora_00002_.mp4"
    hidden = SimpleNamespace(prompt={"1": {}}, extra_pnginfo={"workflow": {"nodes": []}})
    assert current.desk().metadata(hidden) == {"prompt": '{"1": {}}', "workflow": '{"nodes": []}'}
    sys.modules["comfy.cli_args"].args.disable_metadata = True
    assert current.desk().metadata(hidden) == {}


def test_the_stand_in_has_every_module_that_is_imported(tmp_path):
    """And nothing outside the folder imports ComfyUI."""
    known = set(comfy_standin.modules(tmp_path))
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            assert all(n in known for n in names if n.split(".")[0] in ("comfy", "folder_paths", "server")), path
