"""Paint: every task from words and one picture, watched while it is painted; one's pictures, and their recipes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any

import gradio as gr
from PIL import Image

from remembrandt.ui import markup, wishing
from remembrandt.ui.asking import Api
from remembrandt.ui.controls import Controls, controls, models
from remembrandt.ui.markup import QUIET

PAGE = 24  # pictures of the gallery at a time
INTO = {"repaint": "Repaint", "vary": "Vary", "extend": "Extend", "inpaint": "Inpaint"}
EMPTY = markup.empty(
    "What do you want to see?", "Say it in words and press Paint; or drop a picture and choose what becomes of it."
)
NONE = markup.empty("Your pictures", "Everything that you paint stays here, each with its recipe.")


def tab(api: Api):
    """The tab; what fills it when it is opened."""
    with gr.Row(elem_classes="desk"):
        with gr.Column(scale=2, min_width=320):
            made = controls()
        with gr.Column(scale=3, min_width=320, elem_classes="easel"):
            easel = markup.live(EMPTY, elem_id="easel")
            gallery = markup.live(NONE, elem_id="gallery")
            older = gr.Button("Older", size="sm", visible=False)
    job, last = gr.State(None), gr.State(None)
    painting = _Painting(api, made)
    shown = [easel, job, made.go, made.stop]
    for asked in (made.go.click, made.given["prompt"].submit):
        asked(painting.paint, {*made.given.values()}, shown, **QUIET).then(
            painting.newest, None, [gallery, last, older], **QUIET
        )
    made.compare.click(painting.grid, {*made.given.values(), *made.axes}, shown, **QUIET).then(
        painting.newest, None, [gallery, last, older], **QUIET
    )
    made.stop.click(painting.stop, job, None, **QUIET)
    older.click(painting.older, [gallery, last], [gallery, last, older], **QUIET)
    changed = [*made.given.values()]
    for part in (easel, gallery):
        part.click(painting.act, None, [easel, gallery, last, older, *changed], **QUIET)
    made.drop.upload(painting.restore, made.drop, [easel, *changed], **QUIET)
    made.chips.click(painting.call, made.given["prompt"], [made.given["prompt"], made.given["model"]], **QUIET)

    async def load(who: gr.Request):
        return *await made.fresh(api, who), *await painting.newest(who)

    return load, [*made.loaded, gallery, last, older]


class _Painting:
    """What the buttons do."""

    def __init__(self, api: Api, made: Controls) -> None:
        self.api, self.made = api, made

    async def paint(self, given: dict, who: gr.Request):
        """Paint what the controls say, and show it on the way."""
        try:
            async for told in self._painted(who, [wishing.body(self.made.values(given))], markup.hung):
                yield told
        except gr.Error as fault:
            yield markup.trouble(fault.message), None, gr.update(visible=True), gr.update(visible=False)

    async def grid(self, given: dict, who: gr.Request):
        """Paint over one or two options, on one sheet."""
        try:
            x, xs, y, ys = (given[part] for part in self.made.axes)
            axes = {y: ys} if y and ys and y != x else {}
            values, bodies = wishing.grid(wishing.body(self.made.values(given)), {**axes, x: xs})
            async for told in self._painted(who, bodies, partial(markup.sheet, list(axes), x, values)):
                yield told
        except gr.Error as fault:
            yield markup.trouble(fault.message), None, gr.update(visible=True), gr.update(visible=False)

    async def _painted(self, who: gr.Request, bodies: list[dict], hang: Callable[[list[dict]], str]):
        yield markup.waiting("Asking for it"), None, gr.update(visible=False), gr.update(visible=True)
        jobs = [await self.api.enter(who, "/generate", json=body) for body in bodies]
        keys, images = [job["id"] for job in jobs], []
        for number, key in enumerate(keys, 1):
            doing = "Painting" if len(keys) == 1 else f"Painting {number} of {len(keys)}"
            async for job in self.api.watch(who, key):
                yield markup.working(job, doing), keys, gr.skip(), gr.skip()
            if job["state"] != "succeeded":
                raise markup.failed(job)
            images += job["result"]["images"]
        yield hang(images), None, gr.update(visible=True), gr.update(visible=False)

    async def stop(self, keys: list[str] | None, who: gr.Request):
        for key in keys or []:
            await self.api.send(who, "POST", f"/jobs/{key}/cancel")  # one may have ended meanwhile

    async def newest(self, who: gr.Request):
        """The first page of the gallery."""
        found = await self.api.ask(who, "GET", "/images", params={"limit": PAGE})
        wall = f"<h2>Your pictures</h2>{markup.pictures(found['images'])}" if found["images"] else NONE
        return wall, found["next"], gr.update(visible=bool(found["next"]))

    async def older(self, wall: str, last: str | None, who: gr.Request):
        """One page more."""
        found = await self.api.ask(who, "GET", "/images", params={"limit": PAGE, "before": last})
        return wall + markup.pictures(found["images"]), found["next"], gr.update(visible=bool(found["next"]))

    async def act(self, who: gr.Request, told: gr.EventData):
        """What a button of a picture does: show it large, take it as the next picture, restore its recipe, delete."""
        rest = [gr.skip()] * 3
        if told.do == "delete":
            await self.api.ask(who, "DELETE", f"/images/{told.id}")
            return EMPTY, *await self.newest(who), *self.made.set({})
        row = await self.api.ask(who, "GET", f"/images/{told.id}/recipe")
        if told.do == "show":
            return markup.picture(row), *rest, *self.made.set({})
        if told.do == "recipe":
            return gr.skip(), *rest, *self.made.set(wishing.restored(row, await models(self.api, who)))
        data = await self.api.send(who, "GET", f"/images/{told.id}")
        seen = Image.open(BytesIO(data.content)).convert("RGB")
        found: dict[str, Any] = {"task": INTO[told.do]}
        found["canvas" if told.do == "inpaint" else "picture"] = seen
        if told.do in ("repaint", "inpaint"):
            found["prompt"] = row.get("prompt") or ""
        return gr.skip(), *rest, *self.made.set(found)

    async def restore(self, path: str, who: gr.Request):
        """The recipe of a dropped picture."""
        found = wishing.read(path)
        said = markup.note(f"Restored: {markup.recipe(found)}")
        return said, *self.made.set(wishing.restored(found, await models(self.api, who)))

    def call(self, prompt: str, told: gr.EventData):
        """A concept's word at the end of the prompt, and the model that knows it."""
        return f"{prompt} {told.word}".strip(), told.model
