"""The composition root: settings -> store, painter, worker, service -> FastAPI."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.security import HTTPBearer

import remembrandt
from remembrandt.api import (
    files,
    jobs,
    keeping,
    native,
    openai,
    operations,
    pictures,
    problems,
    replicate,
    running,
    shapes,
)
from remembrandt.api.auth import COOKIE, RATE, Auth, Links, Provider
from remembrandt.api.desk import Desk, plain
from remembrandt.api.operations import Metrics
from remembrandt.family.family import Family
from remembrandt.family.load import load
from remembrandt.jobs import telling
from remembrandt.jobs.files import Home
from remembrandt.jobs.gallery import Gallery
from remembrandt.jobs.hooks import Hooks
from remembrandt.jobs.painting import Painter
from remembrandt.service import Service
from remembrandt.settings import Settings
from remembrandt.store import users
from remembrandt.store.rows import Delivery
from remembrandt.store.store import Store
from remembrandt.ui.door import door

log = logging.getLogger(__name__)
ROUTERS = (native, jobs, pictures, keeping, openai, files, replicate, running, operations)


def build(
    settings: Settings,
    *,
    private_webhooks: bool = False,
    worker: bool = True,
    rate: float = RATE,
    mount: Callable[[FastAPI], Callable[[str], bool]] | None = None,
) -> FastAPI:
    """The server on one home; its threads begin with its lifespan. `mount(app)` adds the page, and tells its files."""
    store = Store(settings.home, create=True)
    service, home = Service(settings), Home(settings.home)
    links, provider, stopping = Links(), Provider.told(), threading.Event()

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        painter = Painter(fresh, home)
        gallery = Gallery(store, home, painter, settings)
        app.state.desk = desk = Desk(service, store, home, gallery, links, private_webhooks, stopping)
        app.state.worker = service.worker() if worker else None
        app.state.metrics = Metrics(desk, app.state.worker)
        hooks = Hooks(store, lambda delivery: body(store, delivery), private=private_webhooks)
        app.state.hooks = hooks
        if app.state.worker:
            app.state.worker.start()
        try:
            yield
        finally:
            app.state.stop()
            gallery.close()
            hooks.close()
            if app.state.worker:
                app.state.worker.stop()

    def stop() -> None:
        """The end is near: streams close, and the lesson in hand leaves its checkpoint while answers go out."""
        stopping.set()
        if running := getattr(app.state, "worker", None):
            running.halt()

    app = FastAPI(
        title="Remembrandt",
        version=remembrandt.__version__,
        description="One Stable Diffusion that learns your things, one after another, and forgets none of them.",
        lifespan=lifespan,
        dependencies=[Depends(HTTPBearer(auto_error=False))],
        responses={"4XX": {"description": "RFC 9457 problem", "content": {"application/problem+json": {}}}},
    )
    app.state.links, app.state.stop = links, stop
    problems.mount(app)
    for part in ROUTERS:
        app.include_router(part.router)
    app.include_router(openai.models)
    app.add_api_route("/sign-in", sign_in, include_in_schema=False)
    app.add_api_route("/sign-in", sign_in_with, methods=["POST"], include_in_schema=False)
    page = mount(app) if mount else lambda path: False
    app.state.first = "/" if mount else "/docs"
    app.add_middleware(Auth, store=store, links=links, provider=provider, page=page, rate=rate)
    app.add_middleware(_Counted)
    return app


def fresh(source, device: str | None, precision: str | None, *, own: bool = True) -> Family:
    """A family for the painter alone."""
    return load(source, device=device, precision=precision)


class _Counted:
    def __init__(self, app) -> None:
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        metrics = getattr(scope.get("app") and scope["app"].state, "metrics", None)
        await (metrics.around(self.app) if metrics else self.app)(scope, receive, send)


def sign_in(request: Request, code: str = "") -> Response:
    """The link of one's own laptop: opens once, and leaves a cookie that only this host is sent."""
    links: Links = request.app.state.links
    if not code:
        return HTMLResponse(door())
    if not links.sign_in or not secrets.compare_digest(links.sign_in.encode(), code.encode()):
        return HTMLResponse(door("This link was used: start `remembrandt serve` again for another."), 401)
    links.sign_in = None
    return _in(request, users.token(request.app.state.desk.store, users.LOCAL.name, "sign-in link"))


def sign_in_with(request: Request, token: Annotated[str, Form(max_length=4096)]) -> Response:
    """The page's own form, for a token that somebody was given."""
    if users.user_of(request.app.state.desk.store, token.strip()) is None:
        return HTMLResponse(door("Nobody has this token, or it was revoked."), 401)
    return _in(request, token.strip())


def _in(request: Request, token: str) -> Response:
    answer = RedirectResponse(request.app.state.first, 303)
    answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return answer


def body(store: Store, delivery: Delivery) -> dict[str, Any]:
    """What a webhook is told: the job as the API tells it, in the form of whoever made it."""
    own = store.of(delivery.owner)
    row = own.job(delivery.job)
    if row is None:
        return {"id": delivery.job, "kind": delivery.kind, "seq": delivery.seq}
    if (row.webhook or {}).get("replicate"):
        return shapes.shape(own, row)
    return {"type": f"job.{delivery.kind}", "seq": delivery.seq, "job": plain(telling.job(row, own))}
