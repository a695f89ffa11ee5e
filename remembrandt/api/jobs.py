"""Jobs: what runs, what happened, stop; and what their webhooks were told."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from remembrandt.api.desk import ENDED, Me, event, plain
from remembrandt.jobs import telling
from remembrandt.settings import Missing, Wrong
from remembrandt.store import outbox, queue

router = APIRouter(tags=["jobs"])
POLL, CALM = 0.25, 15.0  # seconds between looks for events, and between signs of life to who waits for them
Document = dict[str, Any]


@router.get("/jobs")
def jobs(
    me: Me,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(description="the id of the last job of the page before")] = None,
) -> Document:
    """The newest jobs; `next` is the `before` of the next page."""
    found = page([{"id": row.id, "row": row} for row in me.store.jobs()[::-1]], before, limit, "jobs")
    places = queue.places(me.store)
    return {**found, "jobs": [plain(telling.job(one["row"], me.store, places)) for one in found["jobs"]]}


def page(rows: list[Document], before: str | None, limit: int, name: str) -> Document:
    ids = [row["id"] for row in rows]
    if before is not None and before not in ids:
        raise Wrong(f"`before` is the id of one of your {name}")
    rest = rows[ids.index(before) + 1 :] if before is not None else rows
    more = len(rest) > limit
    return {name: rest[:limit], "next": rest[limit - 1]["id"] if more else None}


@router.get("/jobs/{id}")
def job(me: Me, id: str) -> Document:
    """One job."""
    return me.job(id)


@router.post("/jobs/{id}/cancel")
def cancel(me: Me, id: str) -> Document:
    """Stop it; what it made so far goes."""
    me.row(id)
    found = me.service.cancel(id)
    me.desk.gallery.cancel(id)
    return plain(found)


@router.get("/jobs/{id}/events", responses={200: {"content": {"text/event-stream": {}}}})
async def events(
    me: Me, id: str, last_event_id: Annotated[str | None, Header(pattern=r"^[0-9]{1,18}$")] = None
) -> StreamingResponse:
    """Server-sent events: all that happened, then what happens, until the job ends; resumed after `Last-Event-ID`."""
    await run_in_threadpool(me.row, id)

    async def stream():
        after, quiet = int(last_event_id or 0), 0.0
        while True:
            ended = (await run_in_threadpool(me.row, id)).state in ENDED  # before the events: none is missed
            for happened in await run_in_threadpool(me.store.events, id, after):
                after, quiet = happened.seq, 0.0
                told = json.dumps(event(happened), default=str)
                yield f"id: {happened.seq}\nevent: {happened.kind}\ndata: {told}\n\n"
            if ended:
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
