"""Teach: photos, each with its crop and what is wrong with it; then a lesson, watched until it can be painted."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from remembrandt.ui import crops, markup
from remembrandt.ui.asking import Api
from remembrandt.ui.markup import QUIET

KINDS = ["image", ".zip", ".heic"]
WHERE = {"My own model": "private_meta", "A model for it alone": "private", "Everyone's model": "meta"}
SEED, SHOWN = 1, 3  # of the pictures before and after
EMPTY = markup.empty(
    "Teach it something of yours",
    "Drop four to twenty photos of one thing, or pictures in one style. Nothing starts yet: first you see what would"
    " be trained.",
)  # fmt: skip
CONSENT = "I have the right to these photos, and the consent of the people in them"
KEPT = "They are kept on this server for measuring and rebuilding, until you delete what was taught."


def tab(api: Api):
    """The tab; what fills it when it is opened."""
    given = {}
    with gr.Row(elem_classes="desk"):
        with gr.Column(scale=2, min_width=320):
            given["photos"] = gr.File(
                label="Photos, or one zip", file_count="multiple", file_types=KINDS, height=170, elem_id="photos"
            )
            given["category"] = gr.Textbox(label="What is it?", placeholder="dog, bottle, painting", elem_id="category")
            given["name"] = gr.Textbox(label="Its name, if it has one", placeholder="briscoe", elem_id="name")
            given["consent"] = gr.Checkbox(label=CONSENT, info=KEPT, elem_id="consent")
            with gr.Row():
                go = gr.Button("Teach", variant="primary", size="lg", elem_id="teach")
                stop = gr.Button("Stop", visible=False, size="lg")
            given |= _options()
        with gr.Column(scale=3, min_width=320, elem_classes="easel"):
            board = markup.live(EMPTY, elem_id="board")
    job = gr.State(None)
    teaching = _Teaching(api, given)
    shown = [board, job, go, stop]
    given["photos"].change(teaching.look, given["photos"], board, **QUIET)
    go.click(teaching.teach, {*given.values()}, shown, **QUIET)
    stop.click(teaching.stop, job, None, **QUIET)
    board.click(teaching.pick, None, board, **QUIET)
    return teaching.load, [given["method"], given["base"], *shown]


def _options() -> dict:
    given = {}
    with gr.Accordion("More options", open=False):
        given["where"] = gr.Radio(list(WHERE), value="My own model", label="Who learns it")
        with gr.Row():
            given["method"] = gr.Dropdown([("chosen by itself", "")], value="", label="Method", min_width=140)
            given["memory"] = gr.Dropdown(
                [("chosen by itself", ""), "gated", "replay"], value="", label="Memory", min_width=140,
                info="gated forgets nothing",
            )  # fmt: skip
        with gr.Row():
            given["steps"] = gr.Textbox(
                label="Steps",
                placeholder="the method's own",
                info="a number, or auto: it looks for itself",
                min_width=140,
            )
            given["rate"] = gr.Textbox(label="Learning rate", placeholder="the method's own", min_width=140)
        with gr.Row():
            given["base"] = gr.Dropdown([("pocket", "")], value="", label="A new model stands on", min_width=140)
            given["model"] = gr.Textbox(label="Model's name", placeholder="as above", min_width=140)
            given["identifier"] = gr.Textbox(label="Identifier", placeholder="chosen by itself", min_width=140)
    return given


class _Teaching:
    """What the buttons do."""

    def __init__(self, api: Api, given: dict) -> None:
        self.api, self.given = api, given

    async def load(self, who: gr.Request):
        """Methods and bases; a lesson that is on its way is shown again."""
        methods = (await self.api.ask(who, "GET", "/methods"))["methods"]
        families = (await self.api.ask(who, "GET", "/families"))["families"]
        rules = [("chosen by itself", ""), *(row["name"] for row in methods)]
        bases = [("pocket", ""), *(row["name"] for row in families if row["name"] != "pocket")]
        yield gr.update(choices=rules), gr.update(choices=bases), *[gr.skip()] * 4
        jobs = (await self.api.ask(who, "GET", "/jobs"))["jobs"]
        if under := next((j for j in jobs if j["kind"] == "finetune" and j["state"] in ("queued", "running")), None):
            async for shown in self._watched(who, under["id"]):
                yield gr.skip(), gr.skip(), *shown

    async def look(self, paths: list[str] | None, who: gr.Request):
        """What would be trained, and what is wrong with it."""
        if not paths:
            return EMPTY
        told = await self.api.ask(who, "POST", "/prepare", files=_files(paths))
        return crops.board(told, paths)

    async def teach(self, told: dict, who: gr.Request):
        """One lesson: what is wrong is said at once, else it is watched to its end."""
        given = {name: told[part] for name, part in self.given.items()}
        asked = {
            "target_model": WHERE[given["where"]],
            "max_train_steps": given["steps"],
            "learning_rate": given["rate"],
        }
        asked |= {name: given[name] for name in ("category", "name", "method", "memory", "base", "model", "identifier")}
        asked["consent"] = "true" if given["consent"] else ""
        try:
            if not given["photos"]:
                raise markup.wrong("drop some photos first")
            form = {name: value.strip() for name, value in asked.items() if value and value.strip()}
            job = await self.api.enter(who, "/finetune", data=form, files=_files(given["photos"]))
        except gr.Error as fault:
            yield markup.trouble(fault.message), None, gr.update(visible=True), gr.update(visible=False)
            return
        async for shown in self._watched(who, job["id"]):
            yield shown

    async def _watched(self, who: gr.Request, key: str):
        yield markup.waiting("It begins"), key, gr.update(visible=False), gr.update(visible=True)
        try:
            async for job in self.api.watch(who, key):
                yield markup.working(job, f"Learning {job.get('identifier') or ''}".strip()), *[gr.skip()] * 3
            if job["state"] != "succeeded":
                raise markup.failed(job)
            lesson = job["result"]
            yield _learned(lesson, None), *[gr.skip()] * 3
            yield (
                _learned(lesson, await self._pairs(who, lesson)),
                None,
                gr.update(visible=True),
                gr.update(visible=False),
            )
        except gr.Error as fault:
            yield markup.trouble(fault.message), None, gr.update(visible=True), gr.update(visible=False)

    async def _pairs(self, who: gr.Request, lesson: dict) -> list[tuple[str, list[dict]]]:
        """The same seeds without its word, which is how it was before, and with it."""
        rows = []
        for said in (lesson["category"], f"{lesson['identifier']} {lesson['category']}"):
            body = {"prompt": f"a {said}", "model": lesson["model"], "num_images": SHOWN, "seed": SEED}
            found = await self.api.ask(who, "POST", "/generate", json=body)
            rows.append((f"a {said}", found["images"]))
        return rows

    async def stop(self, key: str | None, who: gr.Request):
        if key:
            await self.api.ask(who, "POST", f"/jobs/{key}/cancel")

    async def pick(self, who: gr.Request, told: gr.EventData):
        """Another rung of the ladder, or the lesson's pictures anew."""
        asked = {"steps": int(told.steps), "concept": told.concept}
        await self.api.ask(who, "POST", f"/models/{told.model}/pick", json=asked)
        return markup.note(f"Now it is as after {told.steps} steps. Paint shows how it looks.")


def _files(paths: list[str]):
    return [("images", (Path(path).name, Path(path).read_bytes())) for path in paths]


def _learned(lesson: dict, pairs: list[tuple[str, list[dict]]] | None) -> str:
    """What a lesson came to: its word, before and after, the ladder, what became of what was known."""
    word = lesson.get("name") or f"{lesson['identifier']} {lesson['category']}"
    kept = lesson["retention"]
    worst = kept.get("worst")
    said = f"Say “{word}” in Paint. {lesson['steps']} steps, {markup.lasting(lesson['seconds'])}."
    old = "" if worst is None else f"<p>Of what it knew before, {worst:.0%} is left at the least.</p>"
    warned = "".join(f"<li>{markup.text(w)}</li>" for w in lesson.get("warnings") or [])
    rows = "".join(
        f"<h3>{title}: {markup.text(said)}</h3>{markup.pictures(images, 'several')}"
        for title, (said, images) in zip(("Before", "After"), pairs or [], strict=False)
    )
    shown = rows if pairs is not None else markup.waiting("Painting before and after")
    return (
        f'<section class="learned" role="status"><h2>Learned: {markup.text(word)}</h2><p>{markup.text(said)}</p>{old}'
        f"{f'<ul class=hints>{warned}</ul>' if warned else ''}</section>{shown}{_ladder(lesson)}"
    )


def _ladder(lesson: dict) -> str:
    """The rungs of a lesson that looked for its own number of steps."""
    found = lesson.get("ladder")
    if not found:
        return ""
    rows = []
    for rung in found["rungs"]:
        chosen = rung["steps"] == found["chosen"]
        take = markup.button("Take it", "pick", label=f"Take the rung of {rung['steps']} steps", steps=rung["steps"],
                             concept=lesson["identifier"], model=lesson["model"])  # fmt: skip
        cells = "".join(f"<td>{_score(rung[k])}</td>" for k in ("identity", "prompt"))
        rows.append(f"<tr><th scope=row>{rung['steps']}</th>{cells}<td>{'chosen' if chosen else take}</td></tr>")
    strip = f'<img class="ladder" src="/jobs/{lesson["job"]}/ladder" alt="Pictures of every rung">'
    head = "".join(f"<th scope=col>{name}</th>" for name in ("Steps", "Identity", "Prompt", ""))
    return (
        f'<h3>The ladder</h3><p>{markup.text(found["why"])}</p><div class="scroll" tabindex="0"><table class="figures">'
        f"<tr>{head}</tr>{''.join(rows)}</table></div>{strip}"
    )


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
