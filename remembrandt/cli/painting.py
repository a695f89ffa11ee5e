"""Commands that paint, and the samplers they paint with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from remembrandt.cli.command import (
    Document,
    Out,
    app,
    borders,
    command,
    crossed,
    number,
    pairs,
    shown,
    sides,
    spans,
    table,
)  # fmt: skip

Sampler = Annotated[str | None, Option(help="See `samplers`.")]
Steps = Annotated[int | None, Option(help="Steps of the sampler.")]
Size = Annotated[str | None, Option(help="WIDTHxHEIGHT in pixels.")]
Strength = Annotated[float | None, Option(help="How much of it: 0 to 1.")]
Grid = Annotated[
    list[str] | None, Option(help="OPTION=A,B,C: a picture for each value; twice, for each pair of values.")
]
Control = Annotated[
    list[str] | None,
    Option(help="NAME=FILE[:WEIGHT]: what is painted follows it; NAME:hint=FILE is the hint itself; repeated."),
]
Span = Annotated[list[str] | None, Option(help="NAME=START,END: the share of the steps in which a control acts.")]
Format = Annotated[str, Option(help="png, jpg or webp.")]
Safety = Annotated[
    str | None, Option(help="Of pictures in which the model's checker sees something: blur, withhold, report or off.")
]


@command(app, "generate", shown("paths"), computes=True)
def generate(
    service,
    tell,
    prompt: Annotated[str, Argument(help="What to paint; name what was taught.")],
    n: Annotated[int, Option("-n", help="How many pictures.")] = 1,
    model: Annotated[str | None, Option(help="A model, a folder, a .safetensors file or HUB_ID; `mine`.")] = None,
    sampler: Sampler = None,
    steps: Steps = None,
    guidance: Annotated[float | None, Option(help="1 is without, 0 without the prompt.")] = None,
    negative: Annotated[str, Option(help="What to keep away from.")] = "",
    seed: Annotated[int | None, Option(help="Picture k has seed S + k; drawn if not given.")] = None,
    size: Size = None,
    strength_of: Annotated[list[str] | None, Option(help="ID=W: how strongly a concept acts; 1 as taught.")] = None,
    image: Annotated[Path | None, Option(help="A picture to paint over.")] = None,
    strength: Strength = None,
    mask: Annotated[Path | None, Option(help="White where the picture is painted anew; the rest stays.")] = None,
    expand: Annotated[str | None, Option(help="L,T,R,B: pixels to continue the picture by.")] = None,
    depth: Annotated[str | None, Option(help="Its shape, white is near: a file, auto, an estimator folder.")] = None,
    upscale: Annotated[bool, Option("--upscale", help="Four times as large: the image, or what is painted.")] = False,
    level: Annotated[int | None, Option(help="With --upscale: noise on the small picture, 0 to 350; 20.")] = None,
    control: Control = None,
    control_span: Span = None,
    grid: Grid = None,
    safety: Safety = None,
    format: Format = "png",
    out: Out = None,
):
    """Paint a prompt, or a picture over, with everything the model was taught."""
    strengths = pairs(strength_of, "--strength-of")
    return service.generate(
        prompt,
        n=n,
        model=model,
        sampler=sampler,
        steps=steps,
        guidance=guidance,
        negative=negative,
        seed=seed,
        size=sides(size),
        strength_of={k: number(w, "--strength-of") for k, w in strengths.items()},
        image=image,
        strength=strength,
        mask=mask,
        expand=borders(expand),
        depth=depth,
        upscale=upscale,
        level=level,
        control=control or (),
        control_span=spans(control_span),
        grid=crossed(grid),
        safety=safety,
        format=format,
        out=out,
        progress=tell,
    )


@command(app, "variations", shown("paths"), computes=True)
def variations(
    service,
    tell,
    images: Annotated[list[Path], Argument(help="Pictures to vary, each by itself.")],
    mix: Annotated[
        list[str] | None, Option(help="PICTURE_OR_TEXT[:WEIGHT] mixed into each, which weighs 1; repeated.")
    ] = None,
    edit: Annotated[str | None, Option(help="FROM->TO[:WEIGHT]: two texts, from one towards the other.")] = None,
    prompt: Annotated[str, Option(help="A text that is mixed into each.")] = "",
    blend: Annotated[str, Option(help="How it is mixed: slerp or sum.")] = "slerp",
    n: Annotated[int, Option("-n", help="How many of each picture.")] = 1,
    model: Annotated[str | None, Option(help="A folder, a .safetensors file or HUB_ID; `variations`.")] = None,
    sampler: Sampler = None,
    steps: Steps = None,
    guidance: Annotated[float | None, Option(help="1 is without, 0 without the picture.")] = None,
    seed: Annotated[int | None, Option(help="Variation k has seed S + k; drawn if not given.")] = None,
    size: Size = None,
    image: Annotated[Path | None, Option(help="A picture to paint over, for its composition.")] = None,
    strength: Strength = None,
    mask: Annotated[Path | None, Option(help="White where that picture is painted anew; the rest stays.")] = None,
    expand: Annotated[str | None, Option(help="L,T,R,B: pixels to continue that picture by.")] = None,
    control: Control = None,
    control_span: Span = None,
    grid: Grid = None,
    safety: Safety = None,
    format: Format = "png",
    out: Out = None,
):
    """Paint what pictures show anew, mixed with others, edited by texts."""
    return service.variations(
        images,
        mix=mix or [],
        edit=edit,
        prompt=prompt,
        blend=blend,
        n=n,
        model=model,
        sampler=sampler,
        steps=steps,
        guidance=guidance,
        seed=seed,
        size=sides(size),
        image=image,
        strength=strength,
        mask=mask,
        expand=borders(expand),
        control=control or (),
        control_span=spans(control_span),
        grid=crossed(grid),
        safety=safety,
        format=format,
        out=out,
        progress=tell,
    )


@command(app, "imagine", shown("paths"), computes=True)
def imagine(
    service,
    tell,
    prompt: Annotated[str, Argument(help="What to imagine.")],
    prior: Annotated[Path | None, Option(help="A folder, as of Karlo or Kandinsky 2.1; the embedded one.")] = None,
    candidates: Annotated[int | None, Option(help="Drawn, of which the nearest to the prompt is taken; 2.")] = None,
    n: Annotated[int, Option("-n", help="How many pictures.")] = 1,
    model: Annotated[str | None, Option(help="A folder, a .safetensors file or HUB_ID; `variations`.")] = None,
    sampler: Sampler = None,
    steps: Steps = None,
    guidance: Annotated[float | None, Option(help="1 is without, 0 without the prompt.")] = None,
    seed: Annotated[int | None, Option(help="Picture k has seed S + k; drawn if not given.")] = None,
    size: Size = None,
    image: Annotated[Path | None, Option(help="A picture to paint over, for its composition.")] = None,
    strength: Strength = None,
    mask: Annotated[Path | None, Option(help="White where that picture is painted anew; the rest stays.")] = None,
    expand: Annotated[str | None, Option(help="L,T,R,B: pixels to continue that picture by.")] = None,
    grid: Grid = None,
    safety: Safety = None,
    format: Format = "png",
    out: Out = None,
):
    """Paint a prompt by what a picture of it would be seen as: through a prior, with a model of variations."""
    return service.imagine(
        prompt,
        prior=prior,
        candidates=candidates,
        n=n,
        model=model,
        sampler=sampler,
        steps=steps,
        guidance=guidance,
        seed=seed,
        size=sides(size),
        image=image,
        strength=strength,
        mask=mask,
        expand=borders(expand),
        grid=crossed(grid),
        safety=safety,
        format=format,
        out=out,
        progress=tell,
    )


@command(
    app,
    "samplers",
    table("name", "label", "order", "calls_per_step", "steps", "stochastic", "advice", empty=""),
)
def samplers(service, tell):
    """The rules that walk from noise to picture."""
    return service.samplers()


def _convergence(found: Document) -> Any:
    from remembrandt.display import table

    rows = [
        {k: row.get(k) for k in ("name", "order", "own_order", "converges")}
        | {"error (calls)": "  ".join(f"{p['error']:.2g} ({p['calls']:.0f})" for p in row["points"])}
        for row in found["samplers"]
    ]
    print(found["recommendation"], file=sys.stderr)
    return table(rows, ("name", "order", "own_order", "converges", "error (calls)"), "")


@command(app, "convergence", _convergence, computes=True)
def convergence(
    service,
    tell,
    samplers: Annotated[str | None, Option(help="Names with commas between; all of them by default.")] = None,
    model: Annotated[str | None, Option("--model", help="A painter; by default data whose denoiser is exact.")] = None,
    out: Out = None,
):
    """How many model calls each sampler needs, and whether it settles at all; -o draws the curves."""
    names = samplers.replace(" ", "").split(",") if samplers else None
    return service.convergence(names, model, out=out, progress=tell)


def _compared(found: Document) -> Any:
    from remembrandt.display import table

    columns = ("model", "similarity", "similarity_to_others", "spread", "near_copies", "category_kept", "remembered")
    print(f"similarity by {found['measure']}; drawn in {found['sheet']}", file=sys.stderr)
    return table(found["models"], [c for c in columns if any(c in row for row in found["models"])], "")


@command(app, "compare", _compared, computes=True)
def compare(
    service,
    tell,
    a: Annotated[str, Argument(help="A model.")],
    b: Annotated[str, Argument(help="Another one.")],
    inputs: Annotated[list[Path], Argument(help="Pictures, and folders of them.")],
    known: Annotated[Path | None, Option(help="A folder of pictures that a model may have learned by heart.")] = None,
    n: Annotated[int, Option("-n", help="How many pictures of each input.")] = 2,
    prompt: Annotated[str, Option(help="What a text model paints the inputs over with.")] = "",
    strength: Annotated[float | None, Option(help="How much a text model paints over: 0 to 1.")] = None,
    sampler: Sampler = None,
    steps: Steps = None,
    guidance: Annotated[float | None, Option(help="1 is without.")] = None,
    seed: Annotated[int, Option(help="Picture k has seed S + k.")] = 0,
    out: Out = None,
):
    """Two models on the same pictures: a sheet, how near they keep to each, and what is merely copied."""
    how = {"strength": strength, "sampler": sampler, "steps": steps, "guidance": guidance, "seed": seed}
    return service.compare(a, b, inputs, out or "compare", known=known, n=n, prompt=prompt, progress=tell, **how)
