"""The controls of Paint: words first, a picture where the task takes one, everything else folded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from remembrandt.ui import markup
from remembrandt.ui.asking import Api
from remembrandt.ui.markup import QUIET
from remembrandt.ui.wishing import AXES, MIXED, SIDES, TASKS

GROUPS = ("picture", "canvas", "strength", "seeing", "mixing", "editing", "frame")
OWN = "as the model says"


@dataclass
class Controls:
    """`given` is what a request is made of, by name; `loaded` what `fresh` fills."""

    given: dict[str, Any]
    axes: list[Any]
    go: gr.Button
    stop: gr.Button
    compare: gr.Button
    drop: gr.File
    chips: gr.HTML
    advice: gr.State  # of samplers, by name

    def values(self, told: dict) -> dict[str, Any]:
        return {name: told[part] for name, part in self.given.items()}

    def set(self, found: dict[str, Any]) -> list[Any]:
        """Updates of all of `given`, in order."""
        return [gr.update(value=found[name]) if name in found else gr.skip() for name in self.given]

    @property
    def loaded(self) -> list[Any]:
        return [self.chips, self.given["model"], self.given["seeing"], self.given["sampler"], self.advice]

    async def fresh(self, api: Api, who: gr.Request) -> list[Any]:
        """Concepts, models and samplers as they are now."""
        concepts = (await api.ask(who, "GET", "/concepts"))["concepts"]
        families = [row["name"] for row in (await api.ask(who, "GET", "/families"))["families"]]
        samplers = (await api.ask(who, "GET", "/samplers"))["samplers"]
        rules = [(OWN, ""), *((row["label"], row["name"]) for row in samplers)]
        seeing = list(dict.fromkeys(["variations", *families]))
        lists = [gr.update(choices=found) for found in (await models(api, who), seeing, rules)]
        return [chips(concepts), *lists, {row["name"]: advice(row) for row in samplers}]


async def models(api: Api, who: gr.Request) -> list[str]:
    """What this caller may paint with."""
    taught = [row["name"] for row in (await api.ask(who, "GET", "/models"))["models"] if row["scope"] != "lora"]
    families = [row["name"] for row in (await api.ask(who, "GET", "/families"))["families"]]
    return list(dict.fromkeys(["mine", *taught, *families]))


def controls() -> Controls:
    """Draw them."""
    given: dict[str, Any] = {}
    given["prompt"] = gr.Textbox(
        label="Words", placeholder="a red dog on the beach", lines=2, max_lines=6, elem_id="words"
    )
    called = markup.live("", elem_id="chips")
    given["task"] = gr.Radio(list(TASKS), value="From words", label="How", elem_id="tasks")
    about = gr.HTML(f'<p class="about">{next(iter(TASKS.values())).about}</p>')
    groups = _groups(given)
    with gr.Row():
        go = gr.Button("Paint", variant="primary", size="lg", elem_id="go")
        stop = gr.Button("Stop", visible=False, size="lg", elem_id="stop")
    _options(given)
    advised = gr.State({})
    given["sampler"].change(
        lambda name, told: gr.update(info=told.get(name, "")), [given["sampler"], advised], given["sampler"], **QUIET
    )
    with gr.Accordion("Compare on a grid", open=False):
        axes = _axes()
        compare = gr.Button("Paint the grid")
    with gr.Accordion("Restore a recipe", open=False):
        drop = gr.File(label="A picture that was painted here", file_types=["image"], height=120, elem_id="drop")

    def turn(label: str):
        shown = [gr.update(visible=group in TASKS[label].shows) for group in GROUPS]
        return f'<p class="about">{TASKS[label].about}</p>', *shown

    given["task"].change(turn, given["task"], [about, *(groups[name] for name in GROUPS)], **QUIET)
    return Controls(given, axes, go, stop, compare, drop, called, advised)


def _groups(given: dict[str, Any]) -> dict[str, Any]:
    """What only some tasks take, each hidden until then."""
    groups = {}
    sources: Any = ["upload", "clipboard"]
    with gr.Group(visible=False) as groups["picture"]:
        given["picture"] = gr.Image(
            label="Picture", type="filepath", format="png", sources=sources, height=260, elem_id="picture"
        )
    with gr.Group(visible=False) as groups["canvas"]:
        given["canvas"] = gr.ImageEditor(
            label="Brush over what shall be repainted", type="pil", format="png", image_mode="RGBA", sources=sources,
            transforms=(), layers=False, height=380, elem_id="canvas",
            brush=gr.Brush(default_size=24, colors=["#ffffff"], color_mode="fixed"),
        )  # fmt: skip
    with gr.Group(visible=False) as groups["strength"]:
        given["strength"] = gr.Slider(0, 1, 0.6, step=0.05, label="Strength", info="0 keeps the picture, 1 forgets it")
    with gr.Group(visible=False) as groups["mixing"]:
        for k in range(MIXED):
            with gr.Row(elem_classes="mixed"):
                given[f"picture{k}"] = gr.Image(
                    label=f"Mix in {k + 1}", type="filepath", format="png", sources=sources, height=120, min_width=120
                )
                with gr.Column(min_width=140):
                    given[f"words{k}"] = gr.Textbox(label=f"or words {k + 1}", placeholder="a forest in snow")
                    given[f"weight{k}"] = gr.Slider(0, 4, 1, step=0.1, label=f"Weight {k + 1}")
    with gr.Group(visible=False) as groups["editing"]:
        given["source"] = gr.Textbox(label="It shows", placeholder="a cat")
        given["target"] = gr.Textbox(label="It shall show", placeholder="a dog")
        given["weight"] = gr.Slider(0, 4, 1, step=0.1, label="How far")
    with gr.Row(visible=False) as groups["frame"]:
        for side in SIDES:
            given[side] = gr.Number(32 if side in ("left", "right") else 0, label=side.capitalize(), precision=0,
                                    minimum=0, step=8, min_width=70)  # fmt: skip
    with gr.Group(visible=False) as groups["seeing"]:
        given["seeing"] = gr.Dropdown(
            ["variations"], value="variations", label="Painter that sees", info="a model that is steered by pictures"
        )
    return groups


def _options(given: dict[str, Any]) -> None:
    """What is empty is as the model's own record says."""
    with gr.Accordion("More options", open=False):
        with gr.Row():
            given["n"] = gr.Number(1, label="Pictures", precision=0, minimum=1, maximum=16, min_width=90)
            given["seed"] = gr.Number(
                None, label="Seed", precision=0, minimum=0, placeholder="another each time", min_width=120
            )
            given["size"] = gr.Textbox(label="Size", placeholder=OWN, info="as 128x192", min_width=120)
        with gr.Row():
            given["sampler"] = gr.Dropdown([(OWN, "")], value="", label="Sampler", min_width=180)
            given["steps"] = gr.Number(None, label="Steps", precision=0, minimum=1, placeholder=OWN, min_width=100)
            given["guidance"] = gr.Number(None, label="Guidance", minimum=0, placeholder=OWN, min_width=100)
        given["negative"] = gr.Textbox(label="What shall not be seen", placeholder="blurry")
        with gr.Row():
            given["model"] = gr.Dropdown(["mine"], value="mine", label="Model", min_width=140)
            given["safety"] = gr.Dropdown(
                [(OWN, ""), "blur", "withhold", "report", "off"], value="", label="Safety", min_width=140
            )


def _axes() -> list[Any]:
    axes = []
    for name, axis, example in (("Across", "Steps", "5, 10, 20"), ("Down", "Guidance", "")):
        with gr.Row():
            axes.append(gr.Dropdown(list(AXES), value=axis, label=name, min_width=120))
            axes.append(gr.Textbox(example, label=f"{name}: values", placeholder="2, 4, 8", min_width=160))
    return axes


def advice(row: markup.Document) -> str:
    """What to know of a sampler before one chooses it."""
    return f"{row['advice']} About {row['steps']} steps."


def chips(concepts: list[markup.Document]) -> str:
    """A button for each concept, that calls it up."""
    if not concepts:
        return '<p class="hint">Taught things appear here: see Teach.</p>'
    made = []
    for row in concepts:
        word = row["name"] or f"{row['identifier']} {row['category']}"
        made.append(markup.button(word, "call", kind="chip", label=f"Add {word}", word=word, model=row["model"]))
    return f'<div class="chips" role="group" aria-label="Taught things">{"".join(made)}</div>'
