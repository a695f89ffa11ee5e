"""Commands for what a home keeps: models, concepts, families, jobs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from remembrandt.cli.command import (
    Document,
    Name,
    alone,
    app,
    command,
    concepts,
    facts,
    families,
    jobs,
    models,
    published,
    shown,
    table,
)
from remembrandt.settings import Wrong

LEARN = "nothing was taught yet: remembrandt finetune PHOTOS --category dog"
Which = Annotated[str | None, Option("--model", help="The model; all of them by default.")]


@command(
    models, "list", table("name", "scope", "memory", "base", "version", "concepts", "bytes", empty=LEARN)
)
def models_list(service, tell):
    """Every model."""
    return service.models()


@command(models, "show", facts)
def models_show(service, tell, name: Annotated[str, Argument(help="The model.")] = "mine"):
    """One model, its concepts and its versions."""
    return service.model(name)


To = Annotated[str, Argument(help="The new name.")]
WhichConcept = Annotated[str, Argument(help="Identifier, name or id.")]
VERSIONS = ("version", "present", "parent", "mean_retention", "worst_retention", "bytes", "created", "steps", "rungs",
            "concepts")  # fmt: skip


def _versions(found: Any) -> Any:
    return facts(found) if isinstance(found, dict) else table(*VERSIONS, empty=LEARN)(found)


@command(models, "versions", _versions)
def models_versions(
    service,
    tell,
    name: Name = "mine",
    pick: Annotated[int | None, Option(help="Publish this rung of the last lesson's ladder, by its steps.")] = None,
    concept: Annotated[str | None, Option(help="With --pick: of the lesson on this concept.")] = None,
):
    """The versions of a model: what `rollback` can go back to, their bytes, and the rungs of their ladders."""
    if pick is None:
        if concept is not None:
            raise Wrong("--concept belongs to --pick STEPS")
        return service.versions(name)
    alone(service.settings.home)
    return service.pick(name, pick, concept)


@command(models, "rollback", facts)
def models_rollback(service, tell, name: Name = "mine"):
    """One version back."""
    return service.rollback(name)


def _forgot(found: Document) -> str:
    if not published(found):
        print("remembrandt: not rebuilt:", found["retention"]["why"], file=sys.stderr)
    return facts(found)


@command(models, "forget", _forgot, computes=True)
def models_forget(service, tell, name: Name, concept: WhichConcept):
    """Take one concept out again, by teaching the others anew where weights are shared; `rollback` brings it back."""
    return service.forget(name, concept, progress=tell)


@command(models, "promote", shown("lesson"), computes=True)
def models_promote(
    service,
    tell,
    concept: WhichConcept,
    to: Annotated[str, Option(help="The model that learns it; made with scope meta if it is not there.")],
    model: Which = None,
):
    """Teach a tested concept to another model, with the same photos and parameters."""
    return service.promote(concept, to, model, progress=tell)


@command(models, "rename", facts)
def models_rename(service, tell, name: Name, to: To):
    """Another name for a model."""
    return service.rename_model(name, to)


@command(models, "delete", facts)
def models_delete(service, tell, name: Name):
    """A model with all it was taught, or an imported LoRA, for good."""
    return service.delete_model(name)


@command(models, "export", facts)
def models_export(
    service,
    tell,
    name: Annotated[str, Argument(help="The model.")],
    to: Annotated[str, Option(help="diffusers, single-file, lora or embedding.")],
    out: Annotated[Path, Option("--out", "-o", help="A new folder.")],
    concept: Annotated[str | None, Option(help="Which concept is exported.")] = None,
    rank: Annotated[int | None, Option(help="The largest rank of a LoRA.")] = None,
):
    """A concept for other tools: in plain weights, as a LoRA or as an embedding."""
    return service.export(name, to, out, concept=concept, rank=rank)


def _imported(found: Document) -> str:
    shown("hints")(found["warnings"])
    return f'imported {found["name"]}: call it in a prompt as "{found["prompt"]}"'


@command(models, "import", _imported)
def models_import(
    service,
    tell,
    file: Annotated[Path, Argument(help="A LoRA of diffusers, peft or kohya (.safetensors).")],
    name: Annotated[str | None, Option(help="What prompts call it; the file's name.")] = None,
    model: Annotated[str | None, Option(help="A model on the base that it is for; `mine`.")] = None,
):
    """A LoRA of another tool, called in a prompt as <lora:name:0.8>."""
    return service.import_lora(file, name=name, model=model)


@command(
    concepts,
    "list",
    table("identifier", "name", "category", "model", "method", "lesson", "created", empty=LEARN),
)
def concepts_list(service, tell, model: Which = None):
    """Every concept that was taught."""
    return service.concepts(model)


@command(concepts, "show", facts)
def concepts_show(
    service,
    tell,
    concept: Annotated[str, Argument(help="Identifier, name or id.")],
    model: Which = None,
):
    """One concept."""
    return service.concept(concept, model)


@command(concepts, "rename", facts)
def concepts_rename(service, tell, concept: WhichConcept, name: To, model: Which = None):
    """Another name that calls a concept up."""
    return service.rename_concept(concept, name, model)


@command(concepts, "delete", facts)
def concepts_delete(service, tell, concept: WhichConcept, model: Which = None):
    """A concept, its adapter and its photos, out of every version and for good."""
    return service.delete_concept(concept, model)


@command(app, "clean", facts)
def clean(service, tell):
    """Free what nothing needs any more; a model keeps its version and the one before it."""
    return service.clean()


@command(families, "list", table("name", "source", empty=""))
def families_list(service, tell):
    """The names that `--base` knows."""
    return service.families()


@command(families, "add", facts)
def families_add(
    service,
    tell,
    name: Annotated[str, Argument(help="The name for `--base` and `--model`.")],
    source: Annotated[
        str, Argument(help="A folder, a .safetensors file or a hub id (owner/name@rev).")
    ],
):
    """Give a base a name."""
    return service.add_family(name, source)


@command(families, "pull", facts)
def families_pull(
    service,
    tell,
    name: Annotated[str, Argument(help="The hub id, such as owner/name or owner/name@rev.")],
):
    """Bring a base from the hub; the one command that needs the network."""
    return service.pull_family(name)


JOBS = ("id", "kind", "state", "stage", "step", "total", "model", "identifier", "created")


def _jobs(found: list[Document]) -> Any:
    whose = ("user",) if found and "user" in found[0] else ()
    return table(*whose, *JOBS, empty="no jobs yet")(found)


@command(jobs, "list", _jobs)
def jobs_list(service, tell, everyone: Annotated[bool, Option("--all", help="Of all users of the server.")] = False):
    """Every job, oldest first."""
    return service.jobs(everyone)


Job = Annotated[str, Argument(help="The job's id.")]


@command(jobs, "show", facts)
def jobs_show(service, tell, job: Job):
    """One job, its request and its result."""
    return service.job(job)


@command(jobs, "resume", shown("lesson"))
def jobs_resume(service, tell, job: Job):
    """Finish an interrupted or failed job from its last checkpoint, on the device that it began on."""
    return service.resume(job, progress=tell)


@command(jobs, "cancel", facts)
def jobs_cancel(service, tell, job: Job):
    """Give up a job that waits, or that the server runs; its files go."""
    return service.cancel(job)
