"""What runs on a worker: a look at the machine before the batch, and one job at a time.

Files are made, marked and signed here, with the worker's own key; what travels back is finished bytes, and no
key ever travels.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..errors import SoraError
from ..files import DiskFullError, make_private, own_temp, write_error
from ..provenance import History, plan
from ..provenance.credentials.keys import user_pair
from ..safety import gate
from ..safety.policy import Policy
from .both import join
from .jobs import Input, Job, Weights
from .outcome import Ended, about_here, picture_of, words_of
from .stock import append_part, find_weights, keep_input, lacking, tidy
from .tasks import WORKFLOW
from .work import Made, Workshop


@functools.cache
def workshop() -> Workshop:
    """Return this process's workshop: Ray gives a process one job after the other."""
    return Workshop()


def look(sent: Policy | None, models: tuple[Weights, ...]) -> dict[str, Any]:
    """Tell what a worker has for a batch: models, policy, signature, room. Nothing is made."""
    found: dict[str, Any] = {**about_here(), "unfit": "", "notes": [], "lacking": ()}
    try:
        policies = join(sent)
        with gate.enforcing(policies.ruling):
            gate.prepare()
            found["notes"] = list(plan(History()).lacking)
        if user_pair() is None and not found["notes"]:
            found["notes"] = [
                "It has no certificate of its own: it signs with a pair made there, which verifiers call untrusted."
            ]
        make_private(own_temp())
        found["lacking"] = tuple(lacking(models))
        tidy()
    except SoraError as error:
        found["unfit"] = f"cannot work: {error}"
    return found


def take_part(wanted: Weights, offset: int, data: bytes, node: str = "") -> str:
    """Take a piece of a model; returns why that cannot be, "" where it was. node: who takes it, by Ray's name."""
    try:
        append_part(wanted, offset, data, node)
    except SoraError as error:
        return str(error)
    return ""


def make(
    job: Job, sent: Policy | None, fetch: Callable[[Any], bytes], inputs: Mapping[str, Any], node: str = ""
) -> dict[str, Any]:
    """Make a job; returns how it ended, with the bytes of its files.

    fetch: gets an input's bytes by what `inputs` has under its hash. node: whose machine this is, by Ray's name.
    """
    torch.set_num_threads(max(1, int(job.needs.cpus)))
    place = own_temp() / job.id
    try:
        ended = _attempt(job, sent, place, lambda each: fetch(inputs[each.digest]))
        told: dict[str, Any] = {**about_here(), "node": node, "process": os.getpid()}
        answer: dict[str, Any] = {"state": ended.state, "why": ended.why, "stops": ended.stops, "told": told}
        if ended.made is not None:
            told |= {"seconds": round(ended.made.seconds, 3), "latent": ended.made.latent, "notes": ended.made.notes}
            answer["picture"] = picture_of(ended.made.files)
            answer["files"] = [(file.name, file.read_bytes()) for file in ended.made.files]
        return answer
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _attempt(job: Job, sent: Policy | None, place: Path, fetch: Callable[[Input], bytes]) -> Ended:
    def find(each: Input | Weights) -> Path:
        if isinstance(each, Input):
            return keep_input(each, lambda: fetch(each))
        path = find_weights(each)
        if path is None:
            raise SoraError(f"this worker lacks the model {each.name} ({each.digest[:12]}): start the batch again.")
        return path

    try:
        policies = join(sent)
        with policies.enforced():
            made = _made(job, place, functools.cache(find))
        policies.judge_files(made.files)
        return Ended("done", made=made)
    except Exception as error:
        return words_of(error)


@contextmanager
def _desk(job: Job, find: Callable[[Any], Path]) -> Iterator[None]:
    """Work within a folder where a graph finds its models by the names that it has for them."""
    desk, before = own_temp() / "desk", Path.cwd()
    for weights in job.models:
        for folder in (desk / "models", desk / "models" / "loras"):
            link = folder / Path(weights.name).name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            if link.suffix == ".safetensors":  # others come with the package
                link.symlink_to(find(weights).absolute())
    desk.mkdir(parents=True, exist_ok=True)
    os.chdir(desk)
    try:
        yield
    finally:
        os.chdir(before)


def _made(job: Job, place: Path, find: Callable[[Any], Path]) -> Made:
    make_private(own_temp())
    try:
        if job.task != WORKFLOW:
            return workshop().make(job, place, find)
        with _desk(job, find):
            return workshop().make(job, place, find)
    except OSError as error:  # of a folder that could not be made
        told = write_error(place, error)
        if isinstance(told, DiskFullError):
            raise told from error
        raise
