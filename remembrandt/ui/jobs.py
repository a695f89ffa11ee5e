"""Jobs: what runs, what waits, what was; and stop."""

from __future__ import annotations

import time

import gradio as gr

from remembrandt.ui import markup
from remembrandt.ui.asking import ENDED, Api
from remembrandt.ui.markup import QUIET, text

SHOWN, AGAIN = 30, 2.0  # jobs, and seconds between looks at them
KINDS = {
    "generate": "Painting", "finetune": "Lesson", "evaluate": "Measuring", "consolidate": "Distilling",
    "export": "Export", "forget": "Forgetting",
}  # fmt: skip


def tab(api: Api):
    """The list, which follows what happens while it is looked at."""
    listed = markup.live(markup.empty("Nothing yet", "What you paint and teach is listed here while it runs."))
    clock = gr.Timer(AGAIN)

    async def load(who: gr.Request):
        found = (await api.ask(who, "GET", "/jobs", params={"limit": SHOWN}))["jobs"]
        if not found:
            return gr.skip()
        return f'<ul class="jobs">{"".join(map(row, found))}</ul>'

    async def act(who: gr.Request, told: gr.EventData):
        await api.ask(who, "POST", f"/jobs/{told.id}/cancel")
        return await load(who)

    clock.tick(load, None, listed, **QUIET)
    listed.click(act, None, listed, **QUIET)
    return load, listed


def row(job: markup.Document) -> str:
    """A job: what, for what, how far, and a way to stop it."""
    kind, state = KINDS.get(job["kind"], job["kind"]), job["state"]
    about = " ".join(str(job[k]) for k in ("identifier", "category") if job.get(k)) or job.get("model") or ""
    named = f"{kind}{f' of {about}' if about else ''}"
    if state in ENDED:
        said = job.get("error") or f"{state}, {_ago(job['finished'])}"
        return f'<li class="{state}"><b>{text(named)}</b><span>{text(said)}</span></li>'
    stop = markup.button("Cancel", "cancel", id=job["id"], label=f"Cancel: {named}")
    said = "Interrupted: it goes on by itself" if state == "interrupted" else markup.standing(job, "Running")
    bar = f'<progress aria-label="{text(named)}" value="{job["step"] or 0}" max="{job["total"] or 1}"></progress>'
    return f'<li class="{state}"><b>{text(named)}</b><span>{text(said)}</span>{bar}{stop}</li>'


def _ago(then: float | None) -> str:
    if not then:
        return "before it began"
    return f"{markup.lasting(max(0.0, time.time() - then))} ago"
