"""What a clip shows, decided: one subject, several in relation, an event that lasts, or several shots."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import SoraError
from .company import company_shot
from .config import WorldConfig
from .incidents import SUBJECTS_OF, incident_shot
from .motion import camera_track, track
from .plan import Actor, Chooser, Frame, Plan, Shot
from .scenes import SCENES
from .subjects import BY_NAME

MIN_EVENT_FRAMES = 9  # shorter clips have no room for before and after
SWIMMERS = ("fish", "dolphin", "whale", "shark", "octopus", "snake")


def make_plan(
    config: WorldConfig, frame: Frame, seed: int, fixed: dict[str, Any] | None = None, speed: float = 1.0
) -> Plan:
    """Make the plan of clip `seed`.

    fixed: choices to force, by key (see `World.sample`). speed: share of the distances that a lone subject covers.
    Raises SoraError when no subject of the world has a picture.
    """
    choose = Chooser(np.random.default_rng([seed, 7]), fixed or {})
    form = Chooser(np.random.default_rng([seed, 11]), fixed or {})  # its own stream: forms never move the rest
    bank = frame.bank
    subjects = tuple(name for name in config.subjects if bank.available(name))
    if not subjects:
        raise SoraError("no subject of this world has a picture. Give the emoji folder, or use starter.")
    style = choose.weighted("style", config.styles)
    event = form.weighted("event", config.events)
    shots = int(form.weighted("shots", config.shots))
    count = min(int(form.weighted("n_subjects", config.n_subjects)), len(subjects))
    cast = SUBJECTS_OF.get(event)
    possible = tuple(s for s in subjects if cast is None or BY_NAME[s].kind in cast or s in cast)
    if event != "none" and (frame.frames < MIN_EVENT_FRAMES or not possible):
        event = "none"
    if event != "none":
        name = choose.one("subject", possible)
        setting = _setting(config, choose)
        return Plan([incident_shot(event, form, frame, name, setting)], style)
    name = choose.one("subject", subjects)
    cuts = _cuts(form.rng, frame.frames, shots)
    if cuts:
        return Plan(_several(config, choose, frame, name, cuts), style)
    if count > 1:
        others = [s for s in subjects if s != name]
        picked = [others[i] for i in form.rng.permutation(len(others))[: count - 1]]
        setting = _setting(config, choose)
        return Plan([company_shot(config, form, frame, [name, *picked], setting)], style)
    shot = _simple_shot(config, choose, frame, name, 0, frame.frames, speed)
    if form.rng.random() < config.animate:
        _enliven(shot.actors[0], form.rng)
    return Plan([shot], style)


def _setting(config: WorldConfig, choose: Chooser) -> tuple[str, str, str]:
    """Choose scene, time of day and weather."""
    scene = choose.one("scene", config.scenes)
    info = SCENES[scene]
    other_time, other_weather = choose.rng.random() < config.times, choose.rng.random() < config.weathers
    time = choose.one("time", info.times[1:] or info.times) if other_time else info.times[0]
    weather = choose.one("weather", info.weathers[1:] or info.weathers) if other_weather else "clear"
    return scene, choose.fixed.get("time", time), choose.fixed.get("weather", weather)


def _simple_shot(
    config: WorldConfig, choose: Chooser, frame: Frame, name: str, start: int, frames: int, speed: float = 1.0
) -> Shot:
    """Plan a shot of one subject doing one thing."""
    scene, time, weather = _setting(config, choose)
    camera = choose.weighted("camera", config.cameras)
    if frames < frame.frames:
        camera = camera.partition(", ")[0]  # a shot among several has time for one move
    motion = choose.weighted("motion", config.motions)
    if camera != "static" and "motion" not in choose.fixed and choose.rng.random() < 0.85:
        motion = "still"  # a camera move reads best against a subject that rests
    rng = choose.rng
    size = rng.uniform(0.38, 0.45) if camera != "static" else rng.uniform(0.42, 0.62)
    floor = SCENES[scene].floor
    if floor is not None:
        floor += rng.uniform(-0.02, 0.03)
    half = frame.half(name, size)
    path = track(motion, rng, frames, size=size, floor=floor, half=half, scale=0.7 if camera != "static" else speed)
    if path.facing == 0:
        path.facing = int(rng.choice([-1, 1]))
    cam = camera_track(camera, frames, rng)
    actor = Actor(name, motion, path, state=["whole"] * frames)
    return Shot(start, start + frames, scene, time, weather, camera, cam, [actor], int(rng.integers(1 << 31)))


def _cuts(rng: np.random.Generator, frames: int, shots: int) -> list[int]:
    """Choose the first frames of the later shots: on 1 + 4k, where a latent of the causal VAE begins."""
    least = 8 if shots == 2 else 4
    places = list(range(5, frames, 4))
    options: list[list[int]] = []
    if shots == 2:
        options = [[a] for a in places if a >= least and frames - a >= least]
    elif shots == 3:
        options = [[a, b] for a in places for b in places if b - a >= least and frames - b >= least]
    return options[int(rng.integers(len(options)))] if options else []


def _several(config: WorldConfig, choose: Chooser, frame: Frame, name: str, cuts: list[int]) -> list[Shot]:
    """Plan shots of the same subject in other places; every cut changes the scene."""
    edges = [0, *cuts, frame.frames]
    config = replace(config, times=0.0, weathers=0.0)  # enough changes at a cut, and captions stay short
    shots: list[Shot] = []
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        # Short shots move faster than a long one would, or nothing could be seen to move.
        speed = 1.7
        shot = _simple_shot(config, choose, frame, name, start, end - start, speed)
        while shots and len(config.scenes) > 1 and "scene" not in choose.fixed and shot.scene == shots[-1].scene:
            shot = _simple_shot(config, choose, frame, name, start, end - start, speed)
        shots.append(shot)
    return shots


def _enliven(actor: Actor, rng: np.random.Generator) -> None:
    """Add a motion of the body's own: wings beat, swimmers bend, walkers sway."""
    subject, t = BY_NAME[actor.name], actor.track
    beat = np.arange(len(t.x)) * 2 * np.pi / rng.uniform(5.5, 7.5) + rng.uniform(0, 2 * np.pi)
    if subject.name == "butterfly":
        t.flap = 0.72 + 0.28 * np.cos(beat)
    elif subject.name in SWIMMERS:
        t.swim = beat
    elif subject.kind in ("animal", "bird", "person") and actor.motion in ("left", "right"):
        t.angle = t.angle + 5 * np.sin(beat)
        t.y = t.y - 0.012 * np.abs(np.sin(beat))
