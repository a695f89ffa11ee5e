"""Commands that train a family on many pictures."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from remembrandt.cli.command import Document, Out, app, command, facts, pairs


@command(app, "train", facts, computes=True)
def train(
    service,
    tell,
    family: Annotated[str, Argument(help="What is trained: pocket, a folder, a .safetensors file or a hub id.")],
    recipe: Annotated[str, Argument(help="See `recipes`.")],
    data: Annotated[
        str, Option(help="A folder of pictures, a JSON-lines file, or tars (a folder of them, *.tar, {000..009}.tar).")
    ],
    name: Annotated[str | None, Option(help="Of what controlnet trains: `--control NAME=FILE` paints with it.")] = None,
    method: Annotated[str | None, Option(help="How controlnet trains: copy, or oft, which turns the UNet.")] = None,
    preset: Annotated[str | None, Option(help="Published numbers: see `recipes`.")] = None,
    stage: Annotated[int | None, Option(help="This stage only; a later one goes on in the same folder.")] = None,
    gpus: Annotated[int, Option(help="Processes, one on each GPU.")] = 1,
    batch: Annotated[int | None, Option(help="Pictures that each takes at once; what fits.")] = None,
    dedup: Annotated[bool, Option("--dedup", help="Of pictures that are nearly the same, only the first.")] = False,
    seed: Annotated[int, Option(help="Of everything random in it.")] = 0,
    set_: Annotated[list[str] | None, Option("--set", help="FIELD=VALUE: an option of the recipe, repeated.")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Only say pictures, hours and gigabytes.")] = False,
    out: Out = None,
):
    """Train a family for a task, or further, on as many pictures as there are; stopped, the same command goes on."""
    return service.train(
        family,
        recipe,
        data,
        out=out,
        name=name,
        preset=preset,
        stage=stage,
        gpus=gpus,
        batch=batch,
        dedup=dedup,
        seed=seed,
        options=pairs(set_, "--set") | ({"method": method} if method else {}),
        dry_run=dry_run,
        progress=tell,
    )


def _recipes(rows: list[Document]) -> str:
    lines = []
    for row in rows:
        presets = f" (presets: {', '.join(row['presets'])})" if row["presets"] else ""
        lines.append(f"{row['name']}{presets}: {row['about']}")
        lines += [f"  {o['name']} = {o['default']}  {o['help']}" for o in row["options"]]
    return "\n".join(lines)


@command(app, "recipes", _recipes)
def recipes(service, tell):
    """What `train` knows, with the options of its `--set`."""
    return service.recipes()


