"""What the page draws by itself: pictures, progress, cards. All that comes from a user is text, never markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gradio as gr

from remembrandt.ui.asking import wrong

Document = Mapping[str, Any]
# Buttons with `data-do` are told to Python with all their data; focus outlives a redrawing.
ACTIONS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-do]');
  if (button) trigger('click', {...button.dataset});
});
let held = null;
const key = (found) => found && element.contains(found) ? JSON.stringify({...found.dataset}) : null;
element.addEventListener('focusin', (event) => { held = key(event.target); });
element.addEventListener('focusout', (event) => { if (event.relatedTarget) held = null; });
watch('value', () => {
  if (!held || document.activeElement !== document.body) return;
  [...element.querySelectorAll('[data-do]')].find((found) => key(found) === held)?.focus();
});
"""
# Of every event: the page shows progress itself.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def live(value: str = "", **how: Any) -> gr.HTML:
    """A part of the page that is drawn here; its `click` tells which button."""
    return gr.HTML(value, js_on_load=ACTIONS, **how)


def button(words: str, do: str, *, kind: str = "", label: str | None = None, **data: Any) -> str:
    """A button that `live` tells of; its words are text."""
    told = "".join(f' data-{k}="{text(v)}"' for k, v in {"do": do, **data}.items())
    named = f' aria-label="{text(label)}"' if label else ""
    return f'<button type="button" class="act {kind}"{told}{named}>{text(words)}</button>'


def text(said: Any) -> str:
    return html.escape(str(said))


def empty(title: str, said: str) -> str:
    """Where there is nothing yet: what would be here, and how it comes."""
    return f'<div class="empty"><p class="title">{text(title)}</p><p>{text(said)}</p></div>'


def note(said: str) -> str:
    return noted(text(said))


def noted(said: str) -> str:
    """As `note`, of what is markup already."""
    return f'<p class="note" role="status">{said}</p>'


def trouble(said: str) -> str:
    """What went wrong, in place; `said` is the message of an `Error`, which is markup already."""
    return f'<p class="trouble" role="alert">{said}</p>'


def picture(row: Document) -> str:
    """One picture, large, with what painted it and what can be done with it."""
    key = row["id"]
    acts = [
        button(words, do, id=key)
        for words, do in (
            ("Repaint", "repaint"), ("Vary", "vary"), ("Extend", "extend"), ("Inpaint", "inpaint"),
            ("Use its recipe", "recipe"), ("Delete", "delete"),
        )
    ]  # fmt: skip
    save = f'<a class="act" href="/images/{key}" download="{key}.{row.get("format", "png")}">Save</a>'
    return (
        f'<figure class="shown"><img src="/images/{key}" alt="{text(_alt(row))}">'
        f"<figcaption>{text(recipe(row))}</figcaption></figure>"
        f'<div class="acts" role="group" aria-label="This picture">{save}{"".join(acts)}</div>'
    )


def pictures(rows: Iterable[Document], kind: str = "wall") -> str:
    """Several, each a button that shows it large."""
    cells = [
        f'<button type="button" class="cell" data-do="show" data-id="{row["id"]}">'
        f'<img loading="lazy" src="/images/{row["id"]}" alt="{text(_alt(row))}"></button>'
        for row in rows
    ]
    return f'<div class="{kind}">{"".join(cells)}</div>' if cells else ""


def hung(rows: Sequence[Document]) -> str:
    """What was just painted: one large, several side by side."""
    if len(rows) == 1:
        return picture(rows[0])
    return pictures(rows, "several") + note("Choose one to see it large, and what can be done with it.")


def sheet(down: list[str], across: str, values: list[list[str]], rows: Sequence[Document]) -> str:
    """A grid of pictures over one or two options; `values` are the last one's last."""
    *first, columns = values
    lines = first[0] if first else [""]
    head = "".join(f'<th scope="col">{text(across.lower())} {text(v)}</th>' for v in columns)
    found = []
    for k, value in enumerate(lines):
        cells = "".join(f"<td>{pictures([r], 'one')}</td>" for r in rows[k * len(columns) : (k + 1) * len(columns)])
        named = f"{down[0].lower()} {value}" if down else ""
        found.append(f'<tr><th scope="row">{text(named)}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0"><table class="sheet"><tr><td></td>{head}</tr>{"".join(found)}</table></div>'
    )


def recipe(row: Document) -> str:
    """What painted a picture, in a line."""
    facts = [row.get("prompt") or row.get("task"), row.get("sampler"), f"{row.get('steps')} steps"]
    facts += [f"guidance {row.get('guidance'):g}" if row.get("guidance") is not None else None]
    facts += [f"seed {row.get('seed')}", row.get("size")]
    return " · ".join(str(fact) for fact in facts if fact)


def waiting(said: str) -> str:
    return f'<div class="work"><progress aria-label="{text(said)}"></progress><p>{text(said)}</p></div>'


def failed(job: Document) -> gr.Error:
    """Why a job ended without what was asked for."""
    return wrong(job.get("error") or ("It was stopped" if job["state"] == "canceled" else f"the job {job['state']}"))


def working(job: Document, doing: str) -> str:
    """A job on its way: how far, how long still, and how it looks."""
    step, total = job.get("step") or 0, job.get("total") or 0
    bar = f'value="{min(step, total)}" max="{total}"' if total and job["state"] == "running" else ""
    seen = [f'<img class="preview" src="{url}?{job["seq"]}" alt="How it looks so far">' for url in job["previews"][-1:]]
    return (
        f'<div class="work">{"".join(seen)}'
        f'<progress aria-label="{text(doing)}" {bar}></progress><p>{text(standing(job, doing))}</p></div>'
    )


def standing(job: Document, doing: str) -> str:
    """Where a job stands, in a line."""
    if job["state"] == "queued":
        ahead = job.get("position") or 1
        return "Next in line" if ahead <= 1 else f"Waiting: {ahead - 1} before it"
    parts = [doing]
    if job.get("total"):
        parts.append(f"step {job['step']} of {job['total']}")
    if job.get("eta"):
        parts.append(f"about {lasting(job['eta'])} left")
    return " · ".join(parts)


def lasting(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _alt(row: Document) -> str:
    return str(row.get("prompt") or row.get("task") or "a picture")[:200]
