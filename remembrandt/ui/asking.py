"""The HTTP API, asked in this process as whoever sits at the page: with the cookie or the token that they sent."""

from __future__ import annotations

import asyncio
import base64
import html
import mimetypes
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
from starlette.requests import Request

ENDED = ("succeeded", "failed", "canceled")
LOOK = 0.4  # seconds between looks at a job
Document = dict[str, Any]


@dataclass(frozen=True)
class Api:
    """All that the page knows of the server; what goes wrong is a `gr.Error` with the API's own line."""

    app: Any

    async def ask(self, who: gr.Request, method: str, path: str, **how: Any) -> Document:
        """The answer's document; `Error` as the API says it."""
        answer = await self.send(who, method, path, **how)
        if answer.status_code >= 400:
            raise wrong(_said(answer))
        return answer.json() if answer.content else {}

    async def send(self, who: gr.Request | Request, method: str, path: str, **how: Any) -> httpx.Response:
        """The answer, whatever it is."""
        told = {k: v for k, v in who.headers.items() if k.lower() in ("cookie", "authorization")}
        through = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=through, base_url="http://page", timeout=None) as http:
            return await http.request(method, path, headers=told | how.pop("headers", {}), **how)

    async def enter(self, who: gr.Request, path: str, **how: Any) -> Document:
        """What may be long: the job, or the result where there was nothing to wait for."""
        return await self.ask(who, "POST", path, headers={"prefer": "respond-async"}, **how)

    async def watch(self, who: gr.Request, key: str) -> AsyncIterator[Document]:
        """The job whenever something happened to it; the last one has ended."""
        seen = -1
        while True:
            job = await self.ask(who, "GET", f"/jobs/{key}")
            if job["seq"] != seen or job["state"] in ENDED:
                seen = job["seq"]
                yield job
            if job["state"] in ENDED:
                return
            await asyncio.sleep(LOOK)


def wrong(said: str) -> gr.Error:
    """An error as the page shows it: one line, that is text whatever it quotes."""
    return gr.Error(html.escape(said), duration=12, title="That did not work", print_exception=False)


def data_url(path: str | Path) -> str:
    """A picture within a request: the server keeps it for a day."""
    return embedded(Path(path).read_bytes(), mimetypes.guess_type(str(path))[0] or "image/png")


def embedded(data: bytes, media: str) -> str:
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


def _said(answer: httpx.Response) -> str:
    try:
        told = answer.json()
        return "; ".join(told.get("faults") or []) or told["detail"]
    except (ValueError, KeyError):
        return f"the server answered {answer.status_code}"
