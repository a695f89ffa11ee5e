"""The model card of a model that holds everything in its weights, filled from what is known of it."""

from __future__ import annotations

from typing import Any

from remembrandt import __version__
from remembrandt.store.rows import Model
from remembrandt.store.store import Store

Document = dict[str, Any]

PAGE = """\
# {model}

A Stable Diffusion that paints {count} taught concepts beside all that its base, {base}, paints. One set of weights, no
adapters to load.

{painting}

| word | name | what | method | kept of its teacher |
|---|---|---|---|---|
{concepts}

## How it was made

{how}

{retention}

## Licences

{licence} The photos that the concepts were taught from have owners too: whoever passes this model on answers for their
consent. They are not part of it.

*Made by Remembrandt {version}.*
"""

PAINTING = {
    "diffusers": """\
```python
from diffusers import StableDiffusionPipeline

pipeline = StableDiffusionPipeline.from_pretrained("this folder")
pipeline("a {word} {category}").images[0]
```

The words are whole words of the tokenizer in this folder, with rows of their own in the text encoder.""",
    "single-file": """\
In any tool that loads checkpoints: "a {word} {category}". The words are rare ones of the usual tokenizer, whose rows in
the text encoder are those of the concepts.""",
}


def card(store: Store, held: Model, export: Document) -> str:
    """Markdown with the hub's header; `export` is what `models export` tells."""
    from huggingface_hub import ModelCardData

    version, concepts = store.version(held.id, held.version), store.concepts(held)
    assert version is not None
    source = held.base["source"]
    data = ModelCardData(
        base_model=source if "/" in source and not source.startswith(("/", ".", "~")) else None,
        library_name="diffusers",
        pipeline_tag="text-to-image",
        tags=["stable-diffusion", "text-to-image", "remembrandt", held.memory],
    )
    kept = version.retention
    words = export["trigger"]
    figures = [_figure(_of(kept, c.id)) for c in concepts]
    cells = [
        (f"`{words[c.identifier]}`", c.name or "", c.category, c.method, figure)
        for c, figure in zip(concepts, figures, strict=True)
    ]
    first = concepts[0]
    page = PAGE.format(
        model=f"{held.name}, version {held.version}",
        count=len(concepts),
        base=" ".join(str(held.base[k]) for k in ("name", "revision") if held.base[k]),
        painting=PAINTING[export["to"]].format(word=words[first.identifier], category=first.category),
        concepts="\n".join(f"| {' | '.join(row)} |" for row in cells),
        how=_how(store, version.job),
        retention=_retention(kept),
        licence=_licence(export["licence"]),
        version=__version__,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{page}"


def _how(store: Store, key: str) -> str:
    job = store.job(key)
    if job is None or job.kind != "consolidate":
        return "Its concepts were taught one after another, each with what was taught before."
    source, options = job.request["source"], job.request["options"]
    return (
        f"Distilled from version {source['version']} of the gated model {source['model']}: the base, frozen, wearing"
        f" each concept's adapter, was the teacher of a copy of its UNet. {options['steps']} steps of"
        f" {options['batch']} rows, learning rate {options['learning_rate']:g}, seed {job.request['seed']}; losses on"
        f" prompts without a concept weigh {options['base_weight']:g}, on prompts with two"
        f" {options['composed_weight']:g}, the real photos' {options['photo_weight']:g}."
    )


def _retention(kept: Document) -> str:
    """What the gate measured when it was published."""
    cases = kept.get("cases", {})
    beside = "; ".join(f"{name}: {_figure(row['fidelity'])}" for name, row in cases.items() if " " in name)
    return (
        f"Retention, 1 being the teacher and 0 the base: mean {_figure(kept.get('mean'))}, worst"
        f" {_figure(kept.get('worst'))}" + (f"; {beside}" if beside else "") + ", by paired denoising losses."
    )


def _of(kept: Document, key: str) -> float | None:
    return kept.get("concepts", {}).get(key, {}).get("fidelity")


def _figure(value: float | None) -> str:
    return "not measurable" if value is None else f"{value:.3f}"


def _licence(told: Document) -> str:
    return " ".join(f"{what.capitalize()}: {said}." for what, said in told.items() if said)
