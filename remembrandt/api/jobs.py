"""Jobs: what runs, what happened, stop; and what their webhooks were told."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from remembrandt.api.desk import Before, Limit, Me, event, following, plain
from remembrandt.jobs import telling
from remembrandt.settings import Missing, Wrong
from remembrandt.store import outbox, paging, queue
from remembrandt.store.rows import ENDED

router = APIRouter(tags=["jobs"])
POLL, CALM = 0.25, 15.0  # seconds between looks for events, and between signs of life to who waits for them
Document = dict[str, Any]


@router.get("/jobs")
def jobs(me: Me, limit: Limit = 50, before: Before = None) -> Document:
    """The newest jobs; `next` is the `before` of the next page."""
    rows = paging.jobs(me.store, before, limit + 1)
    told = [plain(job) for job in telling.jobs(me.store, rows[:limit])]
    return {"jobs": told, "next": following(rows, limit)}


@router.get("/jobs/{id}")
def job(me: Me, id: str) -> Document:
    """One job."""
    return me.job(id)


@router.post("/jobs/{id}/cancel")
def cancel(me: Me, id: str) -> Document:
    """Stop it; what it made so far goes."""
    if (state := me.row(id).state) in ENDED:
        raise Wrong(f"job {id} is {state}: there is nothing to cancel")
    found = me.service.cancel(id)
    me.desk.gallery.cancel(id)
    return plain(found)


@router.get("/jobs/{id}/events", responses={200: {"content": {"text/event-stream": {}}}})
async def events(
    me: Me, id: str, last_event_id: Annotated[str | None, Header(pattern=r"^[0-9]{1,18}$")] = None
) -> StreamingResponse:
    """Server-sent events: all that happened, then what happens, until the job ends; resumed after `Last-Event-ID`.

    A server that stops ends the stream; it goes on with the next.
    """
    await run_in_threadpool(me.row, id)

    async def stream():
        after, quiet = int(last_event_id or 0), 0.0
        while not me.desk.stopping.is_set():
            seq, state = await run_in_threadpool(queue.reached, me.store, id)
            for happened in await run_in_threadpool(me.store.events, id, after) if seq > after else ():
                after, quiet = happened.seq, 0.0
                told = json.dumps(event(happened), default=str)
                yield f"id: {happened.seq}\nevent: {happened.kind}\ndata: {told}\n\n"
            if state in ENDED:
                last = json.dumps(await run_in_threadpool(me.job, id), default=str)
                yield f"event: job\ndata: {last}\n\n"
                return
            await asyncio.sleep(POLL)
            quiet += POLL
            if quiet >= CALM:
                quiet = 0.0
                yield ": still here\n\n"

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)


@router.post("/jobs/{id}/deliveries/{delivery}/replay")
def replay(me: Me, id: str, delivery: str) -> Document:
    """Send a webhook's message once more."""
    me.row(id)
    if delivery not in [d.id for d in outbox.deliveries(me.store, id)]:
        raise Missing(f"there is no delivery {delivery!r}")
    return asdict(outbox.replay(me.store, delivery))


@router.get("/jobs/{id}/deliveries")
def deliveries(me: Me, id: str) -> Document:
    """The log of a job's webhooks."""
    me.row(id)
    return {"deliveries": [asdict(d) for d in outbox.deliveries(me.store, id)]}
