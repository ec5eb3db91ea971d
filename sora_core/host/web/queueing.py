"""The routes of prompts, queue, history and jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ...errors import expect
from ..run.store import LOST, Job
from . import wire
from .jobs import RefusedError, is_id, submit
from .security import read_json

if TYPE_CHECKING:
    from .app import Studio

DONE = ("completed", *LOST)
_ORDERS = {"created_at": "created", "execution_duration": "coalesce(ended - started, 0)"}


class Queueing:
    """Answers about jobs, in the words of ComfyUI's older and newer routes."""

    def __init__(self, studio: Studio) -> None:
        self.studio, self.store, self.worker = studio, studio.store, studio.worker

    def _changed(self) -> None:
        self.studio.hub.status()
        self.worker.wake()

    async def post_prompt(self, request: web.Request) -> web.Response:
        """Queue a prompt."""
        data = await read_json(request)
        host = await self.studio.host()
        try:
            job, errors = await asyncio.to_thread(submit, data, host, self.store)
        except RefusedError as wrong:
            return web.json_response(self.studio.gate.hide(wrong.answer), status=wrong.status, dumps=wire.dump)
        self._changed()
        return web.json_response({"prompt_id": job.id, "number": job.number, "node_errors": errors}, dumps=wire.dump)

    async def get_prompt(self, request: web.Request) -> web.Response:
        """Say how many jobs wait or run, and what holds them up if anything does."""
        return web.json_response(self.studio.hub.standing())

    async def get_queue(self, request: web.Request) -> web.Response:
        """List what runs and what waits, the older way."""

        def listed(state: str) -> list[Any]:
            return [wire.queue_entry(job) for job in self.store.listed((state,))]

        return await _told(lambda: {f"queue_{state}": listed(state) for state in ("running", "pending")})

    async def post_queue(self, request: web.Request) -> web.Response:
        """Empty the queue, or take some out of it."""
        data = await read_json(request)
        self.store.drop(("pending",), None if data.get("clear") else _ids(data.get("delete")))
        self._changed()
        return web.Response()

    async def get_history(self, request: web.Request) -> web.Response:
        """List what is done, the older way: the newest `max_items`, or some from `offset` on."""
        most, offset = _number(request, "max_items", -1), _number(request, "offset", -1)
        if "id" in request.match_info:
            job = self.store.get(request.match_info["id"])
            find = lambda: [job] if job is not None and job.state in DONE else []
        elif offset < 0:
            find = lambda: self.store.listed(DONE, "rowid desc", most)[::-1]
        else:
            find = lambda: self.store.listed(DONE, "rowid", most, offset)
        return await _told(lambda: {job.id: wire.history_entry(job) for job in find()})

    async def post_history(self, request: web.Request) -> web.Response:
        """Forget what is done, or some of it. The files stay."""
        data = await read_json(request)
        self.store.drop(DONE, None if data.get("clear") else _ids(data.get("delete")))
        return web.Response()

    async def interrupt(self, request: web.Request) -> web.Response:
        """Stop what runs, or the job that is named."""
        data = await read_json(request) if request.body_exists and await request.read() else {}
        self.worker.interrupt(str(data["prompt_id"]) if data.get("prompt_id") else None)
        return web.Response()

    async def free(self, request: web.Request) -> web.Response:
        """Forget kept results, which hold the models."""
        host = await self.studio.host()
        if host.executor.cache is not None:
            host.executor.cache.clear()
        return web.Response()

    # -- the newer way ---------------------------------------------------------------------------------------
    async def get_jobs(self, request: web.Request) -> web.Response:
        """List jobs of all states or some, the newest first, a page at a time."""
        asked = request.query
        wanted = [word.strip().lower() for word in asked.get("status", "").split(",") if word.strip()]
        known, order = set(wire.STATUS.values()), asked.get("sort_by", "created_at").lower()
        direction = asked.get("sort_order", "desc").lower()
        good = set(wanted) <= known and order in _ORDERS and direction in ("asc", "desc")
        expect(good, f"Use status {', '.join(sorted(known))}; sort_by {', '.join(_ORDERS)}; sort_order asc or desc.")
        states = tuple(state for state, name in wire.STATUS.items() if not wanted or name in wanted)
        limit, offset = _number(request, "limit", -1, least=1), max(0, _number(request, "offset", 0))
        by = f"{_ORDERS[order]} {direction}, rowid {direction}"
        total, found = self.store.count(states), self.store.brief(states, by, limit, offset)
        more = offset + len(found) < total
        page = {"offset": offset, "limit": limit if limit > 0 else None, "total": total, "has_more": more}
        return await _told(lambda: {"jobs": [wire.job_entry(job) for job in found], "pagination": page})

    async def get_job(self, request: web.Request) -> web.Response:
        """Answer with all about one job."""
        return web.json_response(wire.job_entry(self._job(request), whole=True), dumps=wire.dump)

    async def cancel(self, request: web.Request) -> web.Response:
        """Stop a job or several, or take them out of the queue; nothing where they are done."""
        ids = [request.match_info["id"]] if "id" in request.match_info else (await read_json(request)).get("job_ids")
        expect(isinstance(ids, list) and all(map(is_id, ids)), "job_ids must be a list of the ids of jobs.")
        cancelled = sum(map(self.worker.cancel, ids)) > 0
        self._changed()
        return web.json_response({"cancelled": cancelled})

    async def requeue(self, request: web.Request) -> web.Response:
        """Queue a job again that came to nothing; `client_id` names the page that wants to hear of it."""
        data = await read_json(request) if request.body_exists and await request.read() else {}
        job = self.store.again(self._job(request).id, wire.as_name(data.get("client_id")))
        self._changed()
        if job is None:
            raise web.HTTPConflict(text="Only a job that was interrupted, cancelled or failed can be queued again.")
        return web.json_response({"prompt_id": job.id, "number": job.number, "node_errors": {}})

    def _job(self, request: web.Request) -> Job:
        job = self.store.get(request.match_info["id"])
        if job is None:
            raise web.HTTPNotFound(text='{"error": "Job not found"}', content_type="application/json")
        return job


async def _told(make: Callable[[], Any]) -> web.Response:
    """Answer with JSON that is made in a thread: of long histories it is much, and the pages must hear on."""
    return web.json_response(text=await asyncio.to_thread(lambda: wire.dump(make())))


def _ids(given: Any) -> list[str]:
    return [each for each in given if is_id(each)] if isinstance(given, list) else []


def _number(request: web.Request, name: str, usual: int, least: int = -1) -> int:
    text = request.query.get(name)
    try:
        number = usual if text is None else int(text)
    except ValueError:
        number = least - 1
    expect(least <= number < 1 << 31 or text is None, f"{name} must be a whole number of at least {least}.")
    return number
