"""The command line. torch, SQL and Rich are imported by the commands that need them.

Results go to stdout, everything else to stderr. Exit codes: 0 done; 1 our fault; 2 what the user
gave is wrong; 3 a lesson ran but was not published; 130 Ctrl-C.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
from typer import Argument, Option
from typer.core import TyperGroup
from typer.exceptions import Abort, TyperException

from remembrandt.settings import Wrong

NOT_PUBLISHED, INTERRUPTED = 3, 130
Document = dict[str, Any]


class OneLine(TyperGroup):
    """Every error is one line on stderr, the option parser's too."""

    def main(self, args=None, prog_name=None, standalone_mode=True, **extra):  # type: ignore[override]
        verbose = any(word in ("-v", "--verbose") for word in args or sys.argv[1:])
        try:
            name = prog_name or "remembrandt"
            code = super().main(args, name, standalone_mode=False, **extra)  # type: ignore[misc]
        except Wrong as fault:
            code = _complain(fault, 2)
        except TyperException as fault:
            said = getattr(fault, "format_message", fault.__str__)()  # that of the parser's errors
            code = _complain(said or "say what to do: `remembrandt --help`", 2)
        except Abort:
            code = INTERRUPTED
        except Exception as fault:
            if verbose:
                raise
            said = str(fault) or type(fault).__name__
            code = _complain(f"{said} {_notes(fault)} (-v shows where)", 1)
        sys.exit(code if isinstance(code, int) else 0)


app = typer.Typer(
    cls=OneLine,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="One Stable Diffusion that learns your things, one after another, and forgets none.",
)


def group(name: str, about: str) -> typer.Typer:
    made = typer.Typer(no_args_is_help=True, help=about)
    app.add_typer(made, name=name)
    return made


models = group(
    "models", "The models of this home: what they were taught, and taking them elsewhere."
)
concepts = group("concepts", "The things that were taught.")
families = group("families", "What a model can stand on.")
jobs = group("jobs", "Lessons and other long work: what runs, what was interrupted.")

Home = Annotated[
    Path | None, Option("--home", help="Where everything is kept.", envvar="REMEMBRANDT_HOME")
]
Json = Annotated[bool, Option("--json", help="One JSON document on stdout and nothing else.")]
Verbose = Annotated[bool, Option("--verbose", "-v", help="Library warnings, and tracebacks.")]
Device = Annotated[str | None, Option(help="cpu, cuda or mps; chosen by itself.")]
Precision = Annotated[str | None, Option(help="fp32, fp16 or bf16; chosen by itself.")]
Policy = Annotated[str | None, Option(help="How replay divides its images: balanced or big.")]
Out = Annotated[Path | None, Option("--out", "-o", help="The folder to write to.")]


def command(
    to: typer.Typer, name: str, show: Callable[[Any], Any], *, computes: bool = False
) -> Callable:
    """A command from `function(service, tell, ...)`, whose answer `show` prints for people.

    Adds the options that every command takes; its answer is the document of `--json`.
    """

    def decorate(function: Callable[..., Any]) -> Callable:
        def run(*, home, as_json, verbose, device=None, precision=None, **given) -> int:
            from remembrandt import display

            display.quiet(verbose, online=name == "pull")
            from remembrandt.service import Service
            from remembrandt.settings import settings

            service = Service(settings(home, device, precision))
            try:
                with display.progress() as tell:
                    document = function(service, tell, **given)
            except KeyboardInterrupt as stop:
                return _complain(f"interrupted; {_notes(stop)}", INTERRUPTED)
            if as_json:
                print(json.dumps(document, indent=1, default=str, ensure_ascii=False))
            else:
                display.show(show(document))
            refused = isinstance(document, dict) and not _published(document)
            return NOT_PUBLISHED if refused else 0

        kinds = get_type_hints(function, include_extras=True)
        own = list(inspect.signature(function).parameters.values())[2:]
        common = {"home": (Home, None), "as_json": (Json, False), "verbose": (Verbose, False)}
        if computes:
            common |= {"device": (Device, None), "precision": (Precision, None)}
        word = inspect.Parameter.KEYWORD_ONLY
        parameters = [p.replace(annotation=kinds[p.name], kind=word) for p in own]
        parameters += [
            inspect.Parameter(n, word, annotation=kind, default=value)
            for n, (kind, value) in common.items()
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        run.__doc__ = function.__doc__
        to.command(name)(run)
        return function

    return decorate


def _published(document: Document) -> bool:
    return document.get("retention", {}).get("published", True)


def _notes(fault: BaseException) -> str:
    return " ".join(getattr(fault, "__notes__", ()))


def _complain(message: object, code: int) -> int:
    print("remembrandt:", " ".join(str(message).split()), file=sys.stderr)
    return code


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    """`FIELD=VALUE`, repeated."""
    found = {}
    for pair in given or []:
        field, equals, value = pair.partition("=")
        if not (field and equals and value):
            raise Wrong(f"{option} takes NAME=VALUE, not {pair!r}")
        found[field.strip()] = value.strip()
    return found


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Wrong(f"{what} must be a number, not {text!r}") from None


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    wide, _, high = text.lower().partition("x")
    if not (wide.isdecimal() and high.isdecimal()):
        raise Wrong(f"--size takes WIDTHxHEIGHT, for example 512x512, not {text!r}")
    return int(wide), int(high)


def _expand(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    sides = [side.strip() for side in text.split(",")]
    if len(sides) != 4 or not all(side.isdecimal() for side in sides):
        raise Wrong(f"--expand takes LEFT,TOP,RIGHT,BOTTOM in pixels, for example 64,0,64,0, not {text!r}")
    return tuple(map(int, sides))


def _grid(given: list[str] | None) -> dict[str, list[Any]]:
    def read(option: str, word: str) -> Any:
        kinds: dict[str, Callable[[str], Any]] = {"steps": int, "seed": int, "guidance": float, "strength": float}
        try:
            return _size(word) if option == "size" else kinds.get(option, str)(word)
        except ValueError:
            raise Wrong(f"--grid {option}= takes numbers, not {word!r}") from None

    pairs = _pairs(given, "--grid").items()
    return {option: [read(option, word.strip()) for word in text.split(",")] for option, text in pairs}


def _table(*columns: str, empty: str) -> Callable[[list[Document]], Any]:
    def show(rows: list[Document]) -> Any:
        from remembrandt.display import table

        return table(rows, columns, empty)

    return show


def _facts(document: Document) -> str:
    from remembrandt.display import facts

    return facts(document)


def _shown(kind: str) -> Callable[[Any], Any]:
    def show(found: Any) -> Any:
        from remembrandt import display

        return getattr(display, kind)(found)

    return show


def _prepared(found: Document) -> str:
    _shown("hints")(found["hints"])
    return f"{len(found['images'])} squares of {found['size']} pixels, drawn in {found['sheet']}"


@command(app, "demo", _facts, computes=True)
def demo(service, tell, out: Out = None):
    """Teach the embedded painter two things, paint both, and show that nothing was forgotten."""
    return service.demo(out or "demo", progress=tell)


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


@command(app, "finetune", _shown("lesson"), computes=True)
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
        options=_pairs(set_, "--set"),
        progress=tell,
    )


@command(app, "consolidate", _shown("consolidated"), computes=True)
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
    values = _pairs(set_, "--set") | ({} if steps == "auto" else {"steps": steps})
    return service.consolidate(model, to, margin=margin, seed=seed, options=values, progress=tell)


@command(app, "generate", _shown("paths"), computes=True)
def generate(
    service,
    tell,
    prompt: Annotated[str, Argument(help="What to paint; name what was taught.")],
    n: Annotated[int, Option("-n", help="How many pictures.")] = 1,
    model: Annotated[str | None, Option(help="A model, a folder, a .safetensors file or HUB_ID; `mine`.")] = None,
    sampler: Annotated[str | None, Option(help="See `samplers`.")] = None,
    steps: Annotated[int | None, Option(help="Steps of the sampler.")] = None,
    guidance: Annotated[float | None, Option(help="1 is without, 0 without the prompt.")] = None,
    negative: Annotated[str, Option(help="What to keep away from.")] = "",
    seed: Annotated[int | None, Option(help="Picture k has seed S + k; drawn if not given.")] = None,
    size: Annotated[str | None, Option(help="WIDTHxHEIGHT in pixels.")] = None,
    strength_of: Annotated[list[str] | None, Option(help="ID=W: how strongly a concept acts; 1 as taught.")] = None,
    image: Annotated[Path | None, Option(help="A picture to paint over.")] = None,
    strength: Annotated[float | None, Option(help="How much of it: 0 to 1.")] = None,
    mask: Annotated[Path | None, Option(help="White where the picture is painted anew; the rest stays.")] = None,
    expand: Annotated[str | None, Option(help="L,T,R,B: pixels to continue the picture by.")] = None,
    grid: Annotated[
        list[str] | None, Option(help="OPTION=A,B,C: a picture for each value; twice, for each pair of values.")
    ] = None,
    format: Annotated[str, Option(help="png, jpg or webp.")] = "png",
    out: Out = None,
):
    """Paint a prompt, or a picture over, with everything the model was taught."""
    strengths = _pairs(strength_of, "--strength-of")
    return service.generate(
        prompt,
        n=n,
        model=model,
        sampler=sampler,
        steps=steps,
        guidance=guidance,
        negative=negative,
        seed=seed,
        size=_size(size),
        strength_of={k: _number(w, "--strength-of") for k, w in strengths.items()},
        image=image,
        strength=strength,
        mask=mask,
        expand=_expand(expand),
        grid=_grid(grid),
        format=format,
        out=out,
        progress=tell,
    )


LEARN = "nothing was taught yet: remembrandt finetune PHOTOS --category dog"
Which = Annotated[str | None, Option("--model", help="The model; all of them by default.")]


@command(
    models, "list", _table("name", "scope", "memory", "base", "version", "concepts", "bytes", empty=LEARN)
)
def models_list(service, tell):
    """Every model."""
    return service.models()


@command(models, "show", _facts)
def models_show(service, tell, name: Annotated[str, Argument(help="The model.")] = "mine"):
    """One model, its concepts and its versions."""
    return service.model(name)


Name = Annotated[str, Argument(help="The model.")]


def _retention(found: Document) -> str:
    advice = [line for row in found["concepts"] for line in row["advice"]]
    _shown("hints")(advice)
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


To = Annotated[str, Argument(help="The new name.")]
WhichConcept = Annotated[str, Argument(help="Identifier, name or id.")]
VERSIONS = ("version", "present", "parent", "mean_retention", "worst_retention", "bytes", "created", "steps", "rungs",
            "concepts")  # fmt: skip


def _versions(found: Any) -> Any:
    return _facts(found) if isinstance(found, dict) else _table(*VERSIONS, empty=LEARN)(found)


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
    return service.pick(name, pick, concept)


@command(models, "rollback", _facts)
def models_rollback(service, tell, name: Name = "mine"):
    """One version back."""
    return service.rollback(name)


def _forgot(found: Document) -> str:
    if not _published(found):
        print("remembrandt: not rebuilt:", found["retention"]["why"], file=sys.stderr)
    return _facts(found)


@command(models, "forget", _forgot, computes=True)
def models_forget(service, tell, name: Name, concept: WhichConcept):
    """Take one concept out again, by teaching the others anew where weights are shared; `rollback` brings it back."""
    return service.forget(name, concept, progress=tell)


@command(models, "promote", _shown("lesson"), computes=True)
def models_promote(
    service,
    tell,
    concept: WhichConcept,
    to: Annotated[str, Option(help="The model that learns it; made with scope meta if it is not there.")],
    model: Which = None,
):
    """Teach a tested concept to another model, with the same photos and parameters."""
    return service.promote(concept, to, model, progress=tell)


@command(models, "rename", _facts)
def models_rename(service, tell, name: Name, to: To):
    """Another name for a model."""
    return service.rename_model(name, to)


@command(models, "delete", _facts)
def models_delete(service, tell, name: Name):
    """A model with all it was taught, or an imported LoRA, for good."""
    return service.delete_model(name)


@command(models, "export", _facts)
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
    _shown("hints")(found["warnings"])
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
    _table("identifier", "name", "category", "model", "method", "lesson", "created", empty=LEARN),
)
def concepts_list(service, tell, model: Which = None):
    """Every concept that was taught."""
    return service.concepts(model)


@command(concepts, "show", _facts)
def concepts_show(
    service,
    tell,
    concept: Annotated[str, Argument(help="Identifier, name or id.")],
    model: Which = None,
):
    """One concept."""
    return service.concept(concept, model)


@command(concepts, "rename", _facts)
def concepts_rename(service, tell, concept: WhichConcept, name: To, model: Which = None):
    """Another name that calls a concept up."""
    return service.rename_concept(concept, name, model)


@command(concepts, "delete", _facts)
def concepts_delete(service, tell, concept: WhichConcept, model: Which = None):
    """A concept, its adapter and its photos, out of every version and for good."""
    return service.delete_concept(concept, model)


@command(app, "clean", _facts)
def clean(service, tell):
    """Free what nothing needs any more; a model keeps its version and the one before it."""
    return service.clean()


@command(
    app,
    "samplers",
    _table("name", "label", "order", "calls_per_step", "steps", "stochastic", "advice", empty=""),
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


@command(families, "list", _table("name", "source", empty=""))
def families_list(service, tell):
    """The names that `--base` knows."""
    return service.families()


@command(families, "add", _facts)
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


@command(families, "pull", _facts)
def families_pull(
    service,
    tell,
    name: Annotated[str, Argument(help="The hub id, such as owner/name or owner/name@rev.")],
):
    """Bring a base from the hub; the one command that needs the network."""
    return service.pull_family(name)


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


JOBS = ("id", "kind", "state", "stage", "step", "total", "model", "identifier", "created")


@command(jobs, "list", _table(*JOBS, empty="no jobs yet"))
def jobs_list(service, tell):
    """Every job, oldest first."""
    return service.jobs()


Job = Annotated[str, Argument(help="The job's id.")]


@command(jobs, "show", _facts)
def jobs_show(service, tell, job: Job):
    """One job, its request and its result."""
    return service.job(job)


@command(jobs, "resume", _shown("lesson"))
def jobs_resume(service, tell, job: Job):
    """Finish an interrupted or failed job from its last checkpoint, on the device that it began on."""
    return service.resume(job, progress=tell)


@command(jobs, "cancel", _facts)
def jobs_cancel(service, tell, job: Job):
    """Give up a job that does not run; its files go."""
    return service.cancel(job)


def main() -> None:
    """The entry point of `remembrandt`."""
    app()


if __name__ == "__main__":
    main()
