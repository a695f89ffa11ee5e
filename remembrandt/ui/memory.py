"""Memory: all that was taught, how much of it is left, and what may be done with it."""

from __future__ import annotations

import gradio as gr

from remembrandt.ui import heat, markup
from remembrandt.ui.asking import Api
from remembrandt.ui.markup import QUIET

EMPTY = markup.empty(
    "Nothing is remembered yet", "What you teach appears here, with its picture and how much of it is left."
)
SHARED = "meta"


def tab(api: Api):
    """The tab; what fills it when it is opened."""
    chosen = gr.State(None)
    shelf = markup.live(EMPTY, elem_id="shelf")
    with gr.Group(visible=False, elem_classes="sure") as sure:
        asked = gr.HTML()
        word = gr.Textbox(label="Name", visible=False)
        with gr.Row():
            yes = gr.Button("Yes", variant="primary")
            no = gr.Button("No, leave it")
    said = gr.HTML(elem_id="said")
    with gr.Row(elem_classes="narrow"):
        model = gr.Dropdown([], label="Model", elem_id="model")
    report = markup.live("", elem_id="report")
    remembering = _Remembering(api)
    everything = [shelf, model, report]
    closed = [sure, said, chosen, *everything]
    model.input(remembering.report, model, report, **QUIET)
    for part in (shelf, report):
        part.click(remembering.ask, None, [sure, asked, word, yes, chosen, said], **QUIET)
    yes.click(remembering.do, [chosen, word, model], closed, **QUIET)
    no.click(lambda: (gr.update(visible=False), None), None, [sure, chosen], **QUIET)
    return remembering.load, everything


class _Remembering:
    """What the buttons do: everything that changes something is asked about first."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def load(self, who: gr.Request):
        """Everything as it is now."""
        return await self._all(who, None)

    async def _all(self, who: gr.Request, model: str | None):
        concepts = (await self.api.ask(who, "GET", "/concepts"))["concepts"]
        if not concepts:
            return EMPTY, gr.update(choices=[], value=None), ""
        names = list(dict.fromkeys(row["model"] for row in concepts))
        name = model if model in names else "mine" if "mine" in names else names[0]
        cards = "".join([await self._card(who, row) for row in concepts])
        return f'<ul class="cards">{cards}</ul>', gr.update(choices=names, value=name), await self.report(name, who)

    async def _card(self, who: gr.Request, row: dict) -> str:
        """A concept: how it looked when it was learned, what calls it up, what may be done."""
        told = await self.api.send(who, "GET", f"/jobs/{row['job']}")
        seen = told.json().get("previews") if told.status_code == 200 else None
        name = row["name"] or row["identifier"]
        facts = f"{row['identifier']} {row['category']} · {row['method']} · {row['photos']} photos · in {row['model']}"
        shown = (
            f'<img src="{seen[0]}" alt="{markup.text(name)}, as it was learned">'
            if seen
            else '<span class="blank"></span>'
        )
        acts = "".join(
            markup.button(words, do, label=f"{words}: {name}", id=row["id"], model=row["model"], name=name)
            for words, do in (
                ("Rename", "rename"),
                ("Promote", "promote"),
                ("Share", "share"),
                ("Export", "export"),
                ("Forget", "forget"),
            )
        )
        return f'<li>{shown}<h3>{markup.text(name)}</h3><p>{markup.text(facts)}</p><div class="acts">{acts}</div></li>'

    async def report(self, name: str | None, who: gr.Request) -> str:
        """The heat map of a model and its versions."""
        if not name:
            return ""
        model = await self.api.ask(who, "GET", f"/models/{name}")
        versions = (await self.api.ask(who, "GET", f"/models/{name}/versions"))["versions"]
        kept = (await self.api.ask(who, "GET", f"/models/{name}/retention"))["all"]
        return heat.report(model, versions, {row["version"]: row for row in kept})

    def ask(self, told: gr.EventData):
        """What a button is about to do, in a sentence."""
        about = dict(told._data)
        question, answer, field = QUESTIONS[about["do"]]
        sentence = f"<p>{markup.text(question.format(**{'name': '', **about}))}</p>"
        shown = gr.update(visible=bool(field), label=field or "", value="")
        return gr.update(visible=True), sentence, shown, gr.update(value=answer), about, ""

    async def do(self, about: dict | None, word: str, model: str | None, who: gr.Request):
        """Do it, wait for it where it takes long, and show everything as it is then."""
        try:
            if not about:
                raise markup.wrong("choose what shall be done first")
            ends = "Done."
            begun = await self._done(about, word.strip(), who)
            if "state" in begun:
                async for job in self.api.watch(who, begun["id"]):
                    yield gr.update(visible=False), markup.working(job, "At work"), *[gr.skip()] * 4
                if job["state"] != "succeeded":
                    raise markup.failed(job)
                ends = heat.ended(about["do"], job)
            yield gr.update(visible=False), markup.noted(ends), None, *await self._all(who, model)
        except gr.Error as fault:
            yield gr.update(visible=False), markup.trouble(fault.message), None, *[gr.skip()] * 3

    async def _done(self, about: dict, word: str, who: gr.Request) -> dict:
        key, model = about.get("id"), about["model"]
        match about["do"]:
            case "rename":
                return await self.api.ask(
                    who, "PATCH", f"/concepts/{key}", params={"model": model}, json={"name": word}
                )
            case "forget":
                return await self.api.enter(who, f"/models/{model}/forget", json={"concept": key})
            case "rollback":
                return await self.api.enter(who, f"/models/{model}/rollback")
            case "measure":
                return await self.api.enter(who, f"/models/{model}/retention", params={"full": True})
            case "export":
                return await self.api.enter(who, f"/models/{model}/export", json={"to": "lora", "concept": key})
        to = SHARED if about["do"] == "share" else word
        return await self.api.enter(who, f"/concepts/{key}/promote", params={"model": model}, json={"to": to})


#: What is asked before it is done, the answer that does it, and a word that it needs.
QUESTIONS = {
    "rename": ("Call {name} by another name?", "Rename", "New name"),
    "promote": (
        "Teach another model what was tested here: {name}, with the same photos and steps.",
        "Promote",
        "To which model",
    ),
    "share": ("Teach {name} to the model that everybody here paints with? Its photos go with it.", "Share", None),
    "export": ("Make a LoRA of {name} for other tools?", "Export", None),
    "forget": ("Forget {name}? Roll back brings it back, until the home is cleaned.", "Forget", None),
    "rollback": ("Take {model} one version back?", "Roll back", None),
    "measure": ("Measure everything in {model} anew? It paints for a while.", "Measure", None),
}
