"""The part of the stand-in for ComfyUI that samples: guiders, samplers, wrappers, and what is on the device."""

from __future__ import annotations

from types import SimpleNamespace


class Executor:
    """Calls wrappers around a function, the first outermost; each is given one that calls the rest."""

    def __init__(self, function, class_obj, wrappers):
        self.function, self.class_obj, self.wrappers = function, class_obj, wrappers

    def execute(self, *args, **kwargs):
        if not self.wrappers:
            return self.function(*args, **kwargs)
        return self.wrappers[0](Executor(self.function, self.class_obj, self.wrappers[1:]), *args, **kwargs)

    __call__ = execute


def get_all_wrappers(kind, options, is_model_options=False):
    options = options.get("transformer_options", {}) if is_model_options else options
    return [wrapper for some in options.get("wrappers", {}).get(kind, {}).values() for wrapper in some]


def copied(options):
    """Copy nested dicts and lists; what they hold is the same."""
    if isinstance(options, dict):
        return {key: copied(value) for key, value in options.items()}
    return list(options) if isinstance(options, list) else options


LOADED: list = []  # what is on the device, as ComfyUI lists it


class LoadedModel:
    def __init__(self, model):
        self.model, self.unloaded = model, 0

    def model_unload(self):
        self.unloaded += 1


def prepare_sampling(patcher, shape, conds, model_options):
    LOADED[:] = [loaded for loaded in LOADED if not loaded.model.is_clone(patcher)]
    LOADED.append(LoadedModel(patcher))
    return patcher.model, conds, []


def process_conds(model, noise, conds, device, latent_image=None, denoise_mask=None, seed=None):
    return {
        name: [{**c, "model_conds": model.extra_conds(**c, denoise_mask=denoise_mask, device=device)} for c in entries]
        for name, entries in conds.items()
    }


def calc_cond_batch(model, conds, x, timestep, model_options):
    options = model_options["transformer_options"]
    return [
        x * 0 if cond is None else model.apply_model(x, timestep, cond[0]["model_conds"], options) for cond in conds
    ]


class KSAMPLER:
    def __init__(self, sampler_function, extra_options=None, inpaint_options=None):
        self.sampler_function, self.extra_options = sampler_function, extra_options or {}

    def sample(
        self, guider, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None, disable_pbar=False
    ):
        latent, mask = latent_image, denoise_mask

        def denoiser(x, sigma, model_options, seed=None):
            if mask is not None:
                inner = guider.inner_model
                kept = inner.scale_latent_inpaint(x=x, sigma=sigma, noise=noise, latent_image=latent, denoise_mask=mask)
                x = x * mask + kept * (1 - mask)
            out = guider(x, sigma, model_options, seed)
            return out if mask is None else out * mask + latent * (1 - mask)

        x = self.sampler_function(
            denoiser,
            sigmas[0] * noise + (1 - sigmas[0]) * latent,
            sigmas,
            extra_args=extra_args,
            callback=lambda s: callback(s["i"], s["denoised"], s["x"], len(sigmas) - 1),
            **self.extra_options,
        )
        return x / (1 - sigmas[-1])


class KSampler:
    SAMPLERS, SCHEDULERS = ["euler", "theirs"], ["simple", "beta"]
    DISCARD_PENULTIMATE_SIGMA_SAMPLERS = {"dpm_2"}


class CFGGuider:
    """Guidance and inpainting as ComfyUI does them, in a few lines, within its wrappers."""

    def __init__(self, model_patcher):
        self.model_patcher, self.model_options = model_patcher, model_patcher.model_options

    def set_conds(self, positive, negative):
        given = {"positive": positive, "negative": negative}
        self.original_conds = {k: [{**rest, "cross_attn": c} for c, rest in v[:1]] for k, v in given.items()}

    def set_cfg(self, cfg):
        self.cfg = cfg

    def wrapped(self, function, kind):
        return Executor(function, self, get_all_wrappers(kind, self.model_options, True))

    def __call__(self, x, timestep, model_options=None, seed=None):
        return self.outer_predict_noise(x, timestep, model_options, seed)

    def outer_predict_noise(self, x, timestep, model_options=None, seed=None):
        return self.wrapped(self.predict_noise, "predict_noise").execute(x, timestep, model_options, seed)

    def predict_noise(self, x, timestep, model_options=None, seed=None):
        conds = [self.conds["positive"], self.conds["negative"] if self.cfg != 1 else None]
        wrappers = get_all_wrappers("calc_cond_batch", model_options, True)
        run = Executor(calc_cond_batch, None, wrappers)
        positive, negative = run.execute(self.inner_model, conds, x, timestep, model_options)
        return negative + self.cfg * (positive - negative)

    def sample(self, noise, latent, sampler, sigmas, denoise_mask=None, callback=None, disable_pbar=False, seed=None):
        mask = None if denoise_mask is None else denoise_mask.expand_as(latent)
        self.conds = {name: [dict(c) for c in entries] for name, entries in self.original_conds.items()}
        before, self.model_options = self.model_options, copied(self.model_options)
        try:
            run = self.wrapped(self.outer_sample, "outer_sample")
            return run.execute(noise, latent, sampler, sigmas, mask, callback, disable_pbar, seed)
        finally:
            self.model_options = before

    def outer_sample(self, noise, latent, sampler, sigmas, mask=None, callback=None, disable_pbar=False, seed=None):
        patcher = self.model_patcher
        self.inner_model, self.conds, self.loaded_models = prepare_sampling(
            patcher, noise.shape, self.conds, self.model_options
        )
        patcher.pre_run()
        self.conds = process_conds(self.inner_model, noise, self.conds, "cpu", latent, mask, seed)
        extra = {"model_options": copied(self.model_options), "seed": seed}
        run = self.wrapped(sampler.sample, "sampler_sample")
        made = run.execute(self, sigmas, extra, callback, noise, latent, mask, disable_pbar)
        patcher.cleanup()
        return made


# Name of a module -> what is in it.
SAMPLING = {
    "comfy.patcher_extension": {
        "WrappersMP": SimpleNamespace(
            DIFFUSION_MODEL="diffusion_model",
            OUTER_SAMPLE="outer_sample",
            SAMPLER_SAMPLE="sampler_sample",
            PREDICT_NOISE="predict_noise",
            CALC_COND_BATCH="calc_cond_batch",
        ),
        "WrapperExecutor": SimpleNamespace(new_class_executor=Executor),
        "get_all_wrappers": get_all_wrappers,
    },
    "comfy.sampler_helpers": {"prepare_sampling": prepare_sampling, "cleanup_models": lambda conds, models: None},
}
