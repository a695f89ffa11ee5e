"""Commands that teach: photos, lessons, and what they left."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from remembrandt.cli.command import Document, Name, Out, Policy, app, command, facts, pairs, shown


@command(app, "demo", facts, computes=True)
def demo(service, tell, out: Out = None):
    """Teach the embedded painter two things, paint both, and show that nothing was forgotten."""
    return service.demo(out or "demo", progress=tell)


def _prepared(found: Document) -> str:
    shown("hints")(found["hints"])
    return f"{len(found['images'])} squares of {found['size']} pixels, drawn in {found['sheet']}"


@command(app, "prepare", _prepared)
def prepare(
    service,
    tell,
    images: Annotated[Path, Argument(help="A folder of photos.")],
    out: Out = None,
    size: Annotated[int | None, Option(help="Pixels a side; the base's own by default.")] = None,
):
    """The squares that would be trained on, a contact sheet with every crop, and all faults."""
    return service.prepare(images, out=out or "prepared", size=size)


@command(app, "finetune", shown("lesson"), computes=True)
def finetune(
    service,
    tell,
    images: Annotated[Path, Argument(help="A folder of photos of one thing, 4 to 20 of them.")],
    category: Annotated[str, Option(help="What it is: dog, bottle, painting.")],
    name: Annotated[str | None, Option(help="A name of your own that calls it up.")] = None,
    model: Annotated[str | None, Option(help="The model that is taught; `mine`.")] = None,
    base: Annotated[
        str | None,
        Option(help="Pocket, a folder, a .safetensors file or a hub id (owner/name@rev)."),
    ] = None,
    scope: Annotated[str | None, Option(help="private, private_meta or meta.")] = None,
    memory: Annotated[str | None, Option(help="How a new model keeps what it knows: gated or replay.")] = None,
    method: Annotated[str | None, Option(help="How weights move: see `methods`.")] = None,
    identifier: Annotated[str | None, Option(help="The word that calls it up; chosen.")] = None,
    steps: Annotated[str | None, Option(help="Of the lesson; auto looks on the way and keeps the best.")] = None,
    learning_rate: Annotated[str | None, Option(help="Or auto, the method's own for a base of this size.")] = None,
    class_images: Annotated[Path | None, Option(help="Your own pictures of the category.")] = None,
    instance_prompt: Annotated[str | None, Option(help="What the photos are trained with.")] = None,
    class_prompt: Annotated[str | None, Option(help="What class images are trained with.")] = None,
    num_class_images: Annotated[int | None, Option(help="How many class images.")] = None,
    policy: Policy = None,
    margin: Annotated[float, Option(help="What an older concept may lose; a lesson that costs more is refused.")] = 0.1,
    captioner: Annotated[
        str | None, Option(help="Captions photos that have none: a folder, a cached hub id, or own.")
    ] = None,
    mask_dir: Annotated[Path | None, Option(help="Masks named as the photos: white is learned.")] = None,
    seed: Annotated[int, Option(help="Of everything random in the lesson.")] = 0,
    set_: Annotated[list[str] | None, Option("--set", help="FIELD=VALUE: an option of the method, repeated.")] = None,
):
    """Teach a model one thing from a few photos; it forgets nothing that it knew."""
    return service.finetune(
        images,
        category,
        name=name,
        model=model,
        base=base,
        scope=scope,
        memory=memory,
        method=method,
        identifier=identifier,
        steps=steps,
        learning_rate=learning_rate,
        class_images=class_images,
        instance_prompt=instance_prompt,
        class_prompt=class_prompt,
        num_class_images=num_class_images,
        policy=policy,
        margin=margin,
        captioner=captioner,
        mask_dir=mask_dir,
        seed=seed,
        options=pairs(set_, "--set"),
        progress=tell,
    )


@command(app, "consolidate", shown("consolidated"), computes=True)
def consolidate(
    service,
    tell,
    model: Annotated[str, Argument(help="The gated model whose concepts are distilled.")] = "mine",
    to: Annotated[str | None, Option(help="The model that is made, or made anew; MODEL-consolidated.")] = None,
    steps: Annotated[str, Option(help="Steps of the distillation, or auto.")] = "auto",
    margin: Annotated[float, Option(help="How much a concept, or the base, may lose.")] = 0.1,
    seed: Annotated[int, Option(help="Of everything random in it.")] = 0,
    set_: Annotated[list[str] | None, Option("--set", help="FIELD=VALUE: an option, repeated.")] = None,
):
    """Distil a gated model into one set of weights, and publish it if it keeps what was taught."""
    values = pairs(set_, "--set") | ({} if steps == "auto" else {"steps": steps})
    return service.consolidate(model, to, margin=margin, seed=seed, options=values, progress=tell)


def _methods(rows: list[Document]) -> str:
    lines = []
    for row in rows:
        lines.append(f"{row['name']} ({', '.join(row['memories'])}): {row['about']}")
        for o in row["options"]:
            lines.append(f"  {o['name']} = {o['default']}  {o['help']}")
    return "\n".join(lines)


@command(app, "methods", _methods)
def methods(service, tell):
    """How weights move in a lesson, with the options of `finetune --set`."""
    return service.methods()


def _plan(found: Document) -> Any:
    from remembrandt.display import table

    rows = [{"trained again": f"class {k}", "images": n, "of them": "generated"} for k, n in found["class"].items()]
    rows += [{"trained again": k, "images": n, "of them": "real photos"} for k, n in found["concepts"].items()]
    rows.append({"trained again": "total", "images": found["total"], "of them": found.get("pie", "")})
    return table(rows, ("trained again", "images", "of them"), "")


@command(app, "plan", _plan)
def plan(
    service,
    tell,
    new: Annotated[str, Option(help="The category of what is taught next.")],
    images: Annotated[int, Option(help="How many images there are to divide.")],
    known: Annotated[str, Option(help='What was taught: "bottle:b1,b2;dog:d1,d2;painting:p1".')] = "",
    policy: Policy = None,
    out: Out = None,
):
    """What a lesson with replay memory would train again; -o draws the pie."""
    return service.plan(known, new, images, policy=policy, out=out)


def _retention(found: Document) -> str:
    advice = [line for row in found["concepts"] for line in row["advice"]]
    shown("hints")(advice)
    mean, worst = ("-" if (x := found[k]) is None else f"{x:.3f}" for k in ("mean_retention", "worst_retention"))
    return f"{found['model']}: {len(found['concepts'])} concepts, retention mean {mean}, worst {worst}\n{found['page']}"


@command(app, "retention", _retention, computes=True)
def retention(
    service,
    tell,
    name: Name = "mine",
    full: Annotated[bool, Option("--full", help="Measure every concept anew, not eight by turns.")] = False,
    out: Out = None,
):
    """What is left of every concept after every lesson: a page, a picture and numbers."""
    return service.retention(name, out or "retention", full=full, progress=tell)
