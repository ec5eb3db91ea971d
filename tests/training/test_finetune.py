"""Fine-tuning on a user's videos: shards from a folder, LoRA training and merging, new words."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from nodes_support import make_host, save_tiny, text_to_video
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from training_support import CAPTION, write_clip

import sora_core
from sora_core.cli import main
from sora_core.errors import SoraError
from sora_core.loading.checkpoint import load_model
from sora_core.loading.lora import Change, LoRA, add_words, apply_lora, parse_lora, read_lora, save_lora
from sora_core.media.video import read_video
from sora_core.model.text.concepts import UNKNOWN
from sora_core.training import cli
from sora_core.training.data.shards import open_buckets
from sora_core.training.data.videos import cut, import_videos, nearest_size
from sora_core.training.loop.config import load_config
from sora_core.training.recipes.lora import LoRATrainer, mean_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two clips that the tiny model can learn from."""
    root = tmp_path_factory.mktemp("mine")
    for i in range(2):
        write_clip(root / f"clip{i}.mp4", 5, 64, 64, seed=i)
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny.safetensors")


FAST = ["device=cpu", "bf16=false", "warmup=1", "decay=2", "log_every=1", "tokens=320"]


@pytest.fixture(scope="module")
def trained(folder, model, tmp_path_factory):
    """The run's folder after `sora train lora`."""
    out = tmp_path_factory.mktemp("run") / "lora"
    argv = ["lora", "--data", str(folder), "--model", str(model), "--out", str(out), "--rank", "3"]
    assert cli.main([*argv, *FAST, "steps=6", "save_every=3", "lr=5e-3", "adapt_text=true"]) == 0
    return out


# -- videos into shards ----------------------------------------------------------------------------------------
def test_videos_become_shards(tmp_path):
    films = tmp_path / "films"
    (films / "more").mkdir(parents=True)
    write_clip(films / "wide.mp4", 80, 96, 64, fps=16, caption="a cat walks left\n\na cat on a beach\n")
    write_clip(films / "more" / "tall.mp4", 20, 64, 96, caption="一只猫")
    write_clip(films / "short.mp4", 11, 64, 64)
    from PIL import Image

    Image.new("RGB", (200, 190), (250, 0, 0)).save(films / "still.png")
    (films / "still.txt").write_text("a rose")
    frames = [Image.new("RGB", (64, 64), (0, 10 * i, 0)) for i in range(17)]
    frames[0].save(films / "moving.gif", save_all=True, append_images=frames[1:], duration=125)
    assert import_videos(films, tmp_path / "out", caption="anything") == 6
    made = {bucket.name: bucket for bucket in open_buckets(tmp_path / "out")}
    facts = {name: [(f["source"], f["start"]) for f in bucket.facts] for name, bucket in made.items()}
    # 80 frames at 16 a second are 40 at 8: two clips; the six that are left make no third one.
    assert facts == {
        "17x96x160": [("wide.mp4", 0), ("wide.mp4", 17)],
        "17x160x96": [("tall.mp4", 0)],
        "9x128x128": [("short.mp4", 0)],
        "1x128x128": [("still.png", 0)],
        "17x128x128": [("moving.gif", 0)],
    }
    assert made["17x96x160"].facts[0]["captions"] == ["a cat walks left", "a cat on a beach"]
    assert made["17x128x128"].facts[0]["captions"] == ["anything"]
    assert made["17x96x160"].frames.shape == (2, 17, 96, 160, 3) and made["17x96x160"].labels.shape == (2, 5, 6, 10)
    assert np.abs(made["1x128x128"].frames[0, 0].astype(int) - [250, 0, 0]).max() <= 1
    green = made["17x128x128"].frames[0, :, 64, 64, 1].astype(int)
    assert (np.diff(green) >= 0).all() and green[-1] >= 150  # the gif's frames, in order
    before = (tmp_path / "out" / "1x128x128" / "frames.npy").stat().st_mtime_ns
    assert import_videos(films, tmp_path / "out", caption="anything") == 6  # the same again: nothing to do
    assert (tmp_path / "out" / "1x128x128" / "frames.npy").stat().st_mtime_ns == before
    (films / "still.txt").write_text("a red rose")
    with pytest.raises(SoraError, match="something else"):
        import_videos(films, tmp_path / "out", caption="anything")


def test_how_videos_are_cut():
    assert cut(17, 17) == [(0, 17)] and cut(40, 17) == [(0, 17), (17, 34)]
    assert cut(43, 17) == [(0, 17), (17, 34), (26, 43)]
    assert cut(16, 17) == [(0, 13)] and cut(5, 17) == [(0, 5)] and cut(4, 17) == []
    assert nearest_size(1920, 1080) == (160, 96) and nearest_size(480, 640) in ((96, 160), (128, 128))


def test_what_is_wrong_with_videos_is_named(tmp_path):
    with pytest.raises(SoraError, match="no folder"):
        import_videos(tmp_path / "none", tmp_path / "out")
    with pytest.raises(SoraError, match="holds no videos"):
        import_videos(tmp_path, tmp_path / "out")
    write_clip(tmp_path / "a.mp4", 5, 64, 64)
    write_clip(tmp_path / "b.mp4", 5, 64, 64, caption="")
    with pytest.raises(SoraError, match="1 of 2 files have no caption: b.mp4"):
        import_videos(tmp_path, tmp_path / "out")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(SoraError, match="b.txt cannot be read as UTF-8"):
        import_videos(tmp_path, tmp_path / "out")
    (tmp_path / "b.txt").write_text("a cat")
    write_clip(tmp_path / "b.mp4", 3, 64, 64, caption="")
    with pytest.raises(SoraError, match="b.mp4 is 3 frames"):
        import_videos(tmp_path, tmp_path / "out")
    (tmp_path / "b.mp4").write_bytes(b"no video")
    with pytest.raises(SoraError, match="b.mp4 cannot be read"):
        import_videos(tmp_path, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*x*x[0-9]"))


# -- LoRA ------------------------------------------------------------------------------------------------------
def test_merging_is_what_the_formula_says(model, tmp_path):
    bundle, generator = load_model(model), torch.Generator().manual_seed(0)
    tensors, expected = {}, {}
    for path in ("blocks.1.ffn.0", "blocks.0.self_attn.q"):
        name = f"diffusion_model.{path}"
        weight = bundle.dit.state_dict()[path + ".weight"]
        up = torch.randn(weight.shape[0], 4, generator=generator)
        down = torch.randn(4, weight.shape[1], generator=generator)
        tensors |= {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down, f"{name}.alpha": torch.tensor(2.0)}
        expected[path + ".weight"] = weight + 0.7 * (2.0 / 4) * (up @ down)
    conv = bundle.dit.patch_embedding.weight
    up, down = torch.randn(conv.shape[0], 2, generator=generator), torch.randn(2, *conv.shape[1:], generator=generator)
    tensors |= {"lora_unet_patch_embedding.lora_B.weight": up, "lora_unet_patch_embedding.lora_A.weight": down}
    expected["patch_embedding.weight"] = conv + 0.7 * (up @ down.flatten(1)).reshape(conv.shape)
    save_file(tensors, tmp_path / "l.safetensors")
    before = {k: v.clone() for k, v in bundle.dit.state_dict().items()}
    merged = apply_lora(bundle, read_lora(tmp_path / "l.safetensors"), 0.7)
    for key, value in merged.dit.state_dict().items():
        torch.testing.assert_close(value, expected.get(key, before[key]), rtol=1e-5, atol=1e-6)
        assert torch.equal(bundle.dit.state_dict()[key], before[key])  # the model itself stays
    shared = merged.dit.blocks[0].self_attn.k.weight
    assert shared.data_ptr() == bundle.dit.blocks[0].self_attn.k.weight.data_ptr()
    assert merged.vae is bundle.vae and merged.text is bundle.text


def test_training_learns_and_the_file_holds_what_it_learned(folder, model, trained):
    with safe_open(trained / "lora.safetensors", "pt") as f:
        names, meta = set(f.keys()), json.loads(f.metadata()["sora_lora"])
    bundle = load_model(model)
    linear = {n for n, m in bundle.dit.named_modules() if isinstance(m, torch.nn.Linear) and n.startswith("blocks.")}
    linear = {f"diffusion_model.{n}" for n in linear} | {
        f"text_encoders.{n}" for n, m in bundle.text.named_modules() if isinstance(m, torch.nn.Linear)
    }
    ends = ("lora_up.weight", "lora_down.weight", "alpha")
    assert names == {f"{n}.{end}" for n in linear | {"text_encoders.embedding"} for end in ends}
    assert meta["words"] == ["gryphon"] and meta["step"] == 6
    data = trained / "latents"
    trainer = LoRATrainer(_config(model, trained, data))
    assert trainer.step == 6
    fresh = LoRATrainer(_config(model, trained.with_name("fresh"), data))
    with torch.no_grad():
        start = sum(fresh.loss(s)[0] for s in range(100, 106))
        learned = sum(trainer.loss(s)[0] for s in range(100, 106))
        first, *_ = fresh.model(*_inputs(fresh))
        plain = bundle.dit(_inputs(fresh)[0], _inputs(fresh)[1], bundle.text.encode([CAPTION] * 2))
    assert learned < start
    torch.testing.assert_close(first, plain, rtol=1e-4, atol=1e-5)  # before a step it is the base model


def _config(model, out, data):
    from sora_core.training.recipes.lora import LoRATraining

    overrides = [f"init={json.dumps(str(model))}", f"out={json.dumps(str(out))}", f"data={json.dumps(str(data))}"]
    return load_config(LoRATraining, "lora-mini", [*overrides, *FAST, "rank=3", "adapt_text=true", "steps=6"])


def _inputs(trainer):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 16, 2, 16, 16, generator=generator)
    ids = trainer.model.text.token_ids([CAPTION] * 2)[:, None]
    return x, torch.full((2, 2), 500.0), ids, torch.zeros(2, 2, dtype=torch.long)


def test_what_is_merged_is_what_was_trained(model, trained):
    """The trainer's own forward pass, with the weights of its moving average, and the merged model's."""
    trainer = LoRATrainer(_config(model, trained, trained / "latents"))
    trainer.model.load_state_dict(trainer.ema.state)
    merged = apply_lora(load_model(model), read_lora(trained / "lora.safetensors"))
    with torch.no_grad():
        inputs = _inputs(trainer)
        trained_v, *_ = trainer.model(*inputs)
        merged_v = merged.dit(inputs[0], inputs[1], merged.text.encode([CAPTION] * 2))
        base = load_model(model)
        base_v = base.dit(inputs[0], inputs[1], base.text.encode([CAPTION] * 2))
    torch.testing.assert_close(merged_v, trained_v, rtol=2e-3, atol=2e-3)  # the file is in half precision
    assert (merged_v - base_v).abs().max() > 0.01


def test_a_new_word_is_a_concept_of_its_own(model, trained):
    bundle, lora = load_model(model), read_lora(trained / "lora.safetensors")
    merged = apply_lora(bundle, lora, 0.5)
    assert bundle.text.unknown_words("a gryphon and a qwxz") == ["gryphon", "qwxz"]
    assert merged.text.unknown_words("a gryphon and a qwxz") == ["qwxz"]
    row, change = bundle.text.embedding.weight[UNKNOWN], lora.changes["text_encoders.embedding"]
    torch.testing.assert_close(merged.text.embedding.weight[-1], row + 0.5 * change.down[0].float())
    assert torch.equal(merged.text.embedding.weight[UNKNOWN], row) and change.down.abs().max() > 0
    other = LoRA("other", {}, ("qwxz",))
    both = apply_lora(merged, other)
    assert both.text.unknown_words("a gryphon and a qwxz") == []
    torch.testing.assert_close(both.text.embedding.weight[-2], merged.text.embedding.weight[-1])
    known = add_words(merged.text, ("gryphon",), torch.ones(32))
    torch.testing.assert_close(known.embedding.weight[-1], merged.text.embedding.weight[-1] + 1)


def test_generate_takes_a_lora(model, trained, tmp_path, capsys):
    file = trained / "lora.safetensors"
    pipe = sora_core.load(model)
    options = {"frames": 5, "width": 32, "height": 32, "steps": 2, "seed": 1}
    made = pipe.with_lora(file, 0.8).generate(CAPTION, **options)
    plain = pipe.generate(CAPTION, **options)
    assert (made.frames - plain.frames).abs().max() > 1e-3
    out = tmp_path / "out.mp4"
    argv = ["generate", CAPTION, "-o", str(out), "--model", str(model), "--frames", "5", "--size", "32x32"]
    assert main([*argv, "--steps", "2", "--seed", "1", "--lora", f"{file}:0.8"]) == 0
    made.save(tmp_path / "python.mp4")
    assert torch.equal(read_video(out)[0], read_video(tmp_path / "python.mp4")[0])
    assert main([*argv, "--lora", str(tmp_path / "none.safetensors")]) == 1
    assert "no LoRA" in capsys.readouterr().err
    assert main([*argv, "--steps", "1", "--expand"]) == 0
    assert "The model does not know: gryphon" in capsys.readouterr().err


def test_the_mean_of_loras(tmp_path, capsys):
    generator = torch.Generator().manual_seed(0)
    name, files, whole = "diffusion_model.blocks.0.ffn.0", [], torch.zeros(12, 8)
    for i in range(2):
        change = Change(torch.randn(12, 3, generator=generator), torch.randn(3, 8, generator=generator), 0.5)
        files.append(str(tmp_path / f"{i}.safetensors"))
        save_lora(Path(files[-1]), {name: change}, (), {"steps": 4, "cfg": 1.0, "sampler": "lcm"})
        whole += read_lora(files[-1]).changes[name].delta(torch.Size((12, 8))) / 2
    out = tmp_path / "mean.safetensors"
    assert main(["train", "average", *files, "--out", str(out), "--rank", "6"]) == 0
    mean = read_lora(out)
    assert mean.habits == {"steps": 4, "cfg": 1.0, "sampler": "lcm"}
    torch.testing.assert_close(mean.changes[name].delta(whole.shape), whole, rtol=0, atol=5e-3)
    # Cut to the rank of the first: the best approximation of that rank.
    assert main(["train", "average", *files, "--out", str(out)]) == 0
    cut = read_lora(out).changes[name]
    assert cut.down.shape == (3, 8)
    left = torch.linalg.svdvals(whole)[3:].norm()
    torch.testing.assert_close((cut.delta(whole.shape) - whole).norm(), left, rtol=0.01, atol=1e-3)
    # A mean is of the model that any of them says it is of.
    save_lora(tmp_path / "told.safetensors", {name: change}, (), {**mean.habits, "base": "tiny"})
    assert read_lora(mean_of([files[0], tmp_path / "told.safetensors"], out)).base == "tiny"
    save_lora(Path(files[1]), {name: change}, ("blorbo",))
    with pytest.raises(SoraError, match="not of one kind"):
        mean_of(files, out)


def test_lora_files_that_do_not_fit(model, tmp_path):
    bundle, path = load_model(model), tmp_path / "l.safetensors"
    save_file({"x.weight": torch.zeros(1)}, path)
    with pytest.raises(SoraError, match="is no LoRA.*x.weight"):
        read_lora(path)
    save_file({"a.lora_up.weight": torch.zeros(4, 1)}, path)
    with pytest.raises(SoraError, match="lora_up.weight and no lora_down.weight"):
        read_lora(path)
    path.write_bytes(b"PK")
    with pytest.raises(SoraError, match="is a pickle"):
        read_lora(path)
    save_lora(path, {"diffusion_model.blocks.9.ffn.0": Change(torch.zeros(4, 1), torch.zeros(1, 4))})
    with pytest.raises(SoraError, match="another model.*blocks.9.ffn.0"):
        apply_lora(bundle, read_lora(path))
    save_lora(path, {"diffusion_model.blocks.0.ffn.0": Change(torch.zeros(4, 1), torch.zeros(1, 4))})
    with pytest.raises(SoraError, match=r"another model.*\[4, 1\] x \[1, 4\]"):
        apply_lora(bundle, read_lora(path))
    wide, narrow = bundle.dit.blocks[0].ffn[0].weight.shape
    change = Change(torch.zeros(wide, 1), torch.zeros(1, narrow))
    assert len(bundle.dit.blocks) == 2
    for ours in ({"base": "tiny"}, {"steps": 4}):
        save_lora(path, {"diffusion_model.blocks.0.ffn.0": change}, (), ours)
        with pytest.raises(SoraError, match="trained on 1 blocks and this one has 2"):
            apply_lora(bundle, read_lora(path))
    save_lora(path, {"diffusion_model.blocks.0.ffn.0": change})  # another trainer's may change a part
    apply_lora(bundle, read_lora(path))


def test_how_a_lora_is_named():
    assert parse_lora("a.safetensors") == (Path("a.safetensors"), 1.0)
    assert parse_lora("a.safetensors:0.5") == (Path("a.safetensors"), 0.5)
    assert parse_lora("C:a.safetensors") == (Path("C:a.safetensors"), 1.0)


# -- all weights -----------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_fine_tuning_gives_a_whole_model_that_knows_the_word(folder, model, tmp_path, capsys):
    argv = ["dit", "--data", str(folder), "--model", str(model), "--out", str(tmp_path / "run"), *FAST]
    assert cli.main([*argv, "steps=2", "save_every=1"]) == 0
    tuned = Path(capsys.readouterr().out.splitlines()[-1])
    made, base = sora_core.load(tuned), load_model(model)
    assert made.unknown_words("a gryphon on a beach") == [] and made.info["fps"] == base.info["fps"]
    weight = "blocks.0.self_attn.q.weight"
    assert not torch.equal(made.bundle.dit.state_dict()[weight], base.dit.state_dict()[weight])
    assert torch.equal(made.vae.mean, base.vae.mean)
    assert made.generate("a gryphon", frames=5, width=32, height=32, steps=1).frames.shape == (5, 32, 32, 3)
    state = load_file(tmp_path / "run" / "state.safetensors")
    assert state["model/text.embedding.weight"].shape[0] == base.text.embedding.num_embeddings + 1
    assert cli.main([*argv, "steps=3"]) == 0  # goes on from step 2, with the same words
    assert "step 3" in capsys.readouterr().out


# -- in the hosts ----------------------------------------------------------------------------------------------
def test_both_hosts_merge_the_same(hosts, tmp_path):
    native, standalone, path = hosts
    bundle, generator = load_model(path), torch.Generator().manual_seed(3)
    up, down = (torch.randn(shape, generator=generator) for shape in ((128, 2), (2, 64)))
    change = Change(up, down)
    row = Change(torch.eye(bundle.text.embedding.num_embeddings)[:, UNKNOWN : UNKNOWN + 1], torch.ones(1, 32))
    lora = tmp_path / "l.safetensors"
    save_lora(lora, {"diffusion_model.blocks.0.ffn.0": change, "text_encoders.embedding": row}, ("gryphon",))
    expected = apply_lora(bundle, read_lora(lora), 0.5)
    ours, theirs = (host.load_model(path, "fp32", lora, 0.5) for host in (standalone, native))
    for key, value in expected.dit.state_dict().items():
        assert torch.equal(ours.model.dit.state_dict()[key], value)
        assert torch.equal(theirs.model.model.diffusion_model.state_dict()[key], value)
    (one, unknown), (other, same) = standalone.encode_text(ours.clip, CAPTION), native.encode_text(theirs.clip, CAPTION)
    assert unknown == same == []
    torch.testing.assert_close(one[0][0], other[0][0])


def test_the_node_merges_what_it_is_told_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host = make_host(tmp_path)
    (tmp_path / "models" / "loras").mkdir()
    change = Change(torch.ones(128, 1), torch.ones(1, 64))
    file = tmp_path / "models" / "loras" / "mine.safetensors"
    save_lora(file, {"diffusion_model.blocks.0.ffn.0": change}, ("gryphon",))
    results, chosen = [], {"load__lora": file.name}
    for settings in ({}, chosen, {**chosen, "load__lora_strength": 0.0}):
        graph = text_to_video(positive__text=CAPTION, positive__expand="never", **settings)
        results.append(read_video(host.run(host.load(graph)).files[0])[0])
    plain, merged, none = results
    assert (plain - merged).abs().max() > 0.02 and torch.equal(plain, none)
