"""What commands share: errors of one line, the options that every command takes, and how options are read.

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
#: Commands, in whatever group, that change what a server beside them would go on believing.
ALONE = ("clean", "consolidate", "delete", "finetune", "forget", "import", "promote", "rename", "resume", "rollback")
ALONE = (*ALONE, "serve")
Document = dict[str, Any]


class OneLine(TyperGroup):
    """Every error is one line on stderr, the option parser's too."""

    def main(self, args=None, prog_name=None, standalone_mode=True, **extra):  # type: ignore[override]
        verbose = any(word in ("-v", "--verbose") for word in args or sys.argv[1:])
        try:
            name = prog_name or "remembrandt"
            code = super().main(args, name, standalone_mode=False, **extra)  # type: ignore[misc]
        except Wrong as fault:
            code = complain(fault, 2)
        except TyperException as fault:
            said = getattr(fault, "format_message", fault.__str__)()  # that of the parser's errors
            code = complain(said or "say what to do: `remembrandt --help`", 2)
        except Abort:
            code = INTERRUPTED
        except Exception as fault:
            if verbose:
                raise
            said = str(fault) or type(fault).__name__
            code = complain(f"{said} {notes(fault)} (-v shows where)", 1)
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
Policy = Annotated[str | None, Option(help="How replay divides its images: balanced, big or category-alone.")]
Name = Annotated[str, Argument(help="The model.")]
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
            if name in ALONE:
                alone(service.settings.home)
            try:
                with display.progress() as tell:
                    document = function(service, tell, **given)
            except KeyboardInterrupt as stop:
                return complain(f"interrupted; {notes(stop)}", INTERRUPTED)
            if as_json:
                print(json.dumps(document, indent=1, default=str, ensure_ascii=False))
            else:
                display.show(show(document))
            refused = isinstance(document, dict) and not published(document)
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


def alone(home: Path) -> None:
    """`Wrong` while a server holds the home."""
    from remembrandt.jobs.holding import holder

    if url := holder(home):
        raise Wrong(f"the server at {url} holds this home: do it there (the page, or `Client`), or stop it first")


def published(document: Document) -> bool:
    return document.get("retention", {}).get("published", True)


def notes(fault: BaseException) -> str:
    return " ".join(getattr(fault, "__notes__", ()))


def complain(message: object, code: int) -> int:
    print("remembrandt:", " ".join(str(message).split()), file=sys.stderr)
    return code


def pairs(given: list[str] | None, option: str) -> dict[str, str]:
    """`FIELD=VALUE`, repeated."""
    found = {}
    for pair in given or []:
        field, equals, value = pair.partition("=")
        if not (field and equals and value):
            raise Wrong(f"{option} takes NAME=VALUE, not {pair!r}")
        found[field.strip()] = value.strip()
    return found


def number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Wrong(f"{what} must be a number, not {text!r}") from None


def sides(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    wide, _, high = text.lower().partition("x")
    if not (wide.isdecimal() and high.isdecimal()):
        raise Wrong(f"--size takes WIDTHxHEIGHT, for example 512x512, not {text!r}")
    return int(wide), int(high)


def borders(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    sides = [side.strip() for side in text.split(",")]
    if len(sides) != 4 or not all(side.isdecimal() for side in sides):
        raise Wrong(f"--expand takes LEFT,TOP,RIGHT,BOTTOM in pixels, for example 64,0,64,0, not {text!r}")
    return tuple(map(int, sides))


def spans(given: list[str] | None) -> dict[str, tuple[float, ...]]:
    found = {}
    for name, text in pairs(given, "--control-span").items():
        found[name] = tuple(number(word, f"each end of --control-span {name}=") for word in text.split(","))
    return found


def crossed(given: list[str] | None) -> dict[str, list[Any]]:
    def read(option: str, word: str) -> Any:
        kinds: dict[str, Callable[[str], Any]] = {"steps": int, "seed": int, "guidance": float, "strength": float}
        try:
            return sides(word) if option == "size" else kinds.get(option, str)(word)
        except ValueError:
            raise Wrong(f"--grid {option}= takes numbers, not {word!r}") from None

    options = pairs(given, "--grid")
    if len(options) < len(given or []):
        raise Wrong("--grid takes an option once, with all its values: --grid seed=1,2")
    return {option: [read(option, word.strip()) for word in text.split(",")] for option, text in options.items()}


def table(*columns: str, empty: str) -> Callable[[list[Document]], Any]:
    def show(rows: list[Document]) -> Any:
        from remembrandt.display import table

        return table(rows, columns, empty)

    return show


def facts(document: Document) -> str:
    from remembrandt.display import facts

    return facts(document)


def shown(kind: str) -> Callable[[Any], Any]:
    def show(found: Any) -> Any:
        from remembrandt import display

        return getattr(display, kind)(found)

    return show
