"""Several shots in one video, and videos of a minute and more."""

from __future__ import annotations

from sora_core.media.sizes import MAX_SIDE

from .api import backend, io, note, ui, video_file
from .media import codec, take_video
from .sample import MAX_SEED, chosen, sampler_input, scheduler_input, steps_input

EXAMPLE = "2s: a cat moving right on a beach\n2s: a cat moving left in a forest"


def _encode(clip, shots) -> tuple[list, dict, list[str]]:
    """Contexts of the shots, the options of the first, and the words that the model does not know."""
    made = {shot.prompt: backend().encode_text(clip, shot.prompt) for shot in shots}
    entries = [made[shot.prompt][0][0] for shot in shots]
    options = {k: v for k, v in entries[0][1].items() if k != "pooled_output"}
    unknown = dict.fromkeys(word for _, words in made.values() for word in words)
    return [entry[0] for entry in entries], options, list(unknown)


def _unknown(words: list[str]) -> list[str]:
    return [f"The model does not know: {', '.join(words)}."] if words else []


def _check_storyboard(text: str | None, most: int) -> bool | str:
    from sora_core.errors import SoraError
    from sora_core.tasks import parse_storyboard

    try:
        if text is not None:
            parse_storyboard(text, most=most)
    except SoraError as error:
        return str(error)
    return True


class SoraStoryboard(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraStoryboard",
            display_name="Sora Storyboard",
            category="Sora/text",
            description="Two to eight shots in one video, made together: each follows its own prompt, with hard cuts "
            "between them, and a subject that is named again is the same one.",
            search_aliases=["shots", "multi prompt", "scenes", "prompt travel", "storyboard", "cut"],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder of the model."),
                io.String.Input(
                    "shots",
                    multiline=True,
                    default=EXAMPLE,
                    tooltip="One shot per line: its seconds, a colon, its prompt. Without seconds it lasts 2.",
                ),
                io.Float.Input("fps", default=8.0, min=1.0, max=120.0, step=1.0, tooltip="Frames per second."),
                io.Int.Input("width", default=128, min=16, max=8192, step=16, tooltip="Pixels, a multiple of 16."),
                io.Int.Input("height", default=128, min=16, max=8192, step=16, tooltip="Pixels, a multiple of 16."),
                io.Model.Input("model", optional=True, tooltip="For a model other than sora-mini."),
            ],
            outputs=[
                io.Conditioning.Output(display_name="conditioning", tooltip="Positive, for a sampler."),
                io.Latent.Output(display_name="latent", tooltip="Empty, of the right length, for the same sampler."),
                io.Float.Output(display_name="fps", tooltip="Frames per second, for Sora Save Video."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, shots=None) -> bool | str:
        return _check_storyboard(shots, 8)

    @classmethod
    def execute(cls, clip, shots, fps, width, height, model=None) -> io.NodeOutput:
        import torch

        from sora_core.media.sizes import check_side
        from sora_core.tasks import parse_storyboard, plan_shots, shots_conditioning

        family, listed = backend().family(model=model), parse_storyboard(shots)
        check_side("width", width, family.multiple)
        check_side("height", height, family.multiple)
        counts = plan_shots(listed, fps, family.temporal_ratio)
        contexts, options, unknown = _encode(clip, listed)
        shape = (family.channels, sum(counts), height // family.spatial_ratio, width // family.spatial_ratio)
        lines, start = [], 0
        for number, (shot, count) in enumerate(zip(listed, counts, strict=True), 1):
            frames = count * family.temporal_ratio - (family.temporal_ratio - 1 if number == 1 else 0)
            lines.append(f"shot {number}: frames {start} to {start + frames - 1}, {shot.prompt}")
            start += frames
        shown = note(cls, "\n".join(lines + _unknown(unknown)))
        positive = shots_conditioning(contexts, counts, options)
        return io.NodeOutput(positive, {"samples": torch.zeros(1, *shape)}, float(fps), ui=shown)


class SoraLongVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraLongVideo",
            display_name="Sora Long Video",
            category="Sora/edit",
            is_output_node=True,
            description="A minute and more, made in segments and written to disk as it goes. Stopped or killed, the "
            "same node goes on after the last finished segment.",
            search_aliases=["long video", "infinite", "autoregressive", "extend many times", "minute", "movie"],
            inputs=[
                io.Model.Input("model", tooltip="A video model."),
                io.Clip.Input("clip", tooltip="Its text encoder."),
                io.Vae.Input("vae", tooltip="Its VAE."),
                io.String.Input(
                    "shots",
                    multiline=True,
                    default="a cat moving right on a beach",
                    tooltip="What the video shows. Several shots: one per line, its seconds, a colon, its prompt.",
                ),
                io.String.Input("negative", multiline=True, default="", tooltip="What it should not show."),
                io.Float.Input(
                    "seconds",
                    default=0.0,
                    min=0.0,
                    max=3600.0,
                    step=1.0,
                    tooltip="How long the video is, or how much is added to the connected one. 0: as the shots say.",
                ),
                io.Float.Input("fps", default=8.0, min=1.0, max=120.0, step=1.0, tooltip="Frames per second."),
                io.Int.Input("width", default=128, min=16, max=MAX_SIDE, step=16, tooltip="Pixels, a multiple of 16."),
                io.Int.Input("height", default=128, min=16, max=MAX_SIDE, step=16, tooltip="Pixels, a multiple of 16."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="Same seed and settings, same video.",
                ),
                steps_input(),
                io.Float.Input(
                    "cfg",
                    default=4.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    tooltip="How closely to follow the prompts. 1 is no guidance.",
                ),
                scheduler_input(),
                io.String.Input("filename_prefix", default="video/sora_long", tooltip="Name before the number."),
                io.Int.Input(
                    "window",
                    default=5,
                    min=3,
                    max=64,
                    advanced=True,
                    tooltip="Latents that the model makes well at once: sora-mini 5, Wan 21.",
                ),
                io.Int.Input(
                    "context",
                    default=1,
                    min=1,
                    max=32,
                    advanced=True,
                    tooltip="Latents of the segment before that a segment sees and keeps.",
                ),
                io.Int.Input(
                    "overlap",
                    default=1,
                    min=0,
                    max=16,
                    advanced=True,
                    tooltip="Latents at the end of a segment that are finished together with the next one.",
                ),
                io.Float.Input(
                    "renoise",
                    default=0.6,
                    min=0.0,
                    max=0.95,
                    step=0.05,
                    advanced=True,
                    tooltip="Noise level from which the overlap is finished again.",
                ),
                io.Float.Input(
                    "hold",
                    default=0.8,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="How far what stands still in a segment may be pulled back to how its shot began.",
                ),
                sampler_input(),
                io.Video.Input("video", optional=True, tooltip="A video to go on from. It comes back untouched."),
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="The saved file.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo, io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, shots=None, sampler=None) -> bool | str:
        # ComfyUI hands a dynamic combo to this method whether it asks for it or not.
        return _check_storyboard(shots, 200)

    @classmethod
    def execute(
        cls,
        model,
        clip,
        vae,
        shots,
        negative,
        seconds,
        fps,
        width,
        height,
        seed,
        steps,
        cfg,
        scheduler,
        filename_prefix,
        window,
        context,
        overlap,
        renoise,
        hold,
        sampler,
        video=None,
    ) -> io.NodeOutput:
        from sora_core.errors import expect
        from sora_core.host.saving import saving_of
        from sora_core.media.sizes import check_side
        from sora_core.tasks import parse_storyboard
        from sora_core.tasks.long.render import Progress, render
        from sora_core.tasks.long.story import LongVideo, check_long
        from sora_core.latents.streaming import decode_with_history
        from sora_core.tasks.long.source import make_source
        from sora_core.tasks.long.rolling import Rolling

        host, name, options = backend(), *chosen(sampler)
        family, listed = host.family(model=model), parse_storyboard(shots, most=200)
        expect(family.masks != "none", f"{family.name} cannot keep parts of a video, which long videos need.")
        rolling = Rolling(window, context, overlap, renoise, hold)
        coder, source, sound = codec(vae, window), None, None
        if video is not None:
            taken = take_video(video, vae, fps, None if not width else (width, height))
            source, sound = make_source(coder, taken.frames, rolling), taken.audio
            height, width = taken.frames.shape[1:3]
        check_side("width", width, family.multiple)
        check_side("height", height, family.multiple)
        seconds = seconds or sum(shot.seconds for shot in listed)
        check_long(seconds, fps)
        contexts, extra, unknown = _encode(clip, listed)
        off = host.encode_text(clip, negative)[0] if cfg != 1.0 else None
        sigmas = host.make_sigmas(model, scheduler, steps, 1.0, name)
        run = host.make_sampler(name, options)
        shape = (family.channels, height // family.spatial_ratio, width // family.spatial_ratio)
        story = LongVideo(listed, contexts, seconds, fps, coder.ratio, source, extra)

        def sample(latent: dict, positive: list, part, noise_seed: int):
            return host.sample(
                model, latent, positive, off, sampler=run, sigmas=part, seed=noise_seed, cfg=cfg, interval=(0.0, 1.0)
            )["samples"]

        def decode(pieces):
            return decode_with_history(lambda part: host.decode(vae, {"samples": part}), pieces, coder.ratio)

        def tell(progress: Progress) -> None:
            host.part = (min(progress.segment, progress.segments - 1), progress.segments)
            host.show_text(cls.hidden.unique_id, str(progress))

        saving = saving_of(cls.hidden)
        path, subfolder = host.output_path(filename_prefix, ".mp4", width, height)
        settings = {
            "model": family.name,
            "contexts": contexts,
            "counts": story.counts,
            "negative": negative,
            "cfg": cfg,
            "sampler": name,
            "options": options,
        }
        try:
            render(
                path,
                story.roller(sample, sigmas, shape, seed, rolling),
                story.total,
                decode,
                fps,
                settings=settings,
                source=source,
                progress=tell,
                metadata=host.metadata(cls.hidden),
                audio=sound,
                saving=saving,
                folder=lambda render: path.parent / f".sora_long_{render[:16]}.segments",
            )
        finally:
            host.part = (0, 1)
        text = "\n".join([f"{story.total} latents in segments, {seconds:g} s made.", *_unknown(unknown), *saving.notes])
        saved = ui.SavedResult(path.name, subfolder, io.FolderType.output)
        host.show_text(cls.hidden.unique_id, text)
        return io.NodeOutput(video_file(path), ui=ui.PreviewVideo([saved]))


NODES = [SoraStoryboard, SoraLongVideo]
