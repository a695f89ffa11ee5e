"""The page as a whole: its tabs, how it looks, and the part of the server that is its own."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Match, Mount

from remembrandt.ui import jobs, memory, paint, teach
from remembrandt.ui.asking import Api

HERE = Path(__file__).parent
FILES = re.compile(r"/|/(assets|static|svelte)/.*|/(theme\.css|favicon\.ico|manifest\.json|robots\.txt|pwa_icon.*)")
OWN = re.compile(rf"{FILES.pattern}|/config/?|/(gradio_api|custom_component)/.*")
UPLOAD = 64 * 2**20  # bytes of one file, as everywhere
KEPT = 3600  # seconds that Gradio keeps what was dropped on the page
# Nothing that the page shows can reach another machine, or be shown within another's page.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'; form-action 'self';"
    " base-uri 'self'; object-src 'none'"
)


def mount(app: FastAPI) -> Callable[[str], bool]:
    """Mount the page at `/`; which paths are its own files, that need no token."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("GRADIO_TEMP_DIR", tempfile.mkdtemp(prefix="remembrandt-page-"))
    api = Api(app)
    gr.mount_gradio_app(
        app, blocks(api), "/", footer_links=[], run_history=False, show_error=True, ssr_mode=False, mcp_server=False,
        max_file_size=UPLOAD, theme=theme(), css_paths=HERE / "page.css", favicon_path=str(HERE / "page.svg"),
        head='<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">',
    )  # fmt: skip
    gradio = app.router.routes.pop()
    assert isinstance(gradio, Mount)
    app.router.routes.append(_Own("/", app=_Guard(gradio.app, api)))
    return lambda path: bool(FILES.fullmatch(path))


class _Own(Mount):
    """Gradio has its own paths and no others, so that what is nowhere is told as on every route."""

    def matches(self, scope) -> Any:
        return super().matches(scope) if OWN.fullmatch(scope["path"]) else (Match.NONE, {})


class _Guard:
    """Whoever has not signed in is shown the door; the page says what it may load."""

    def __init__(self, app, api: Api) -> None:
        self.app, self.api = app, api

    async def __call__(self, scope, receive, send) -> None:
        if scope["path"] == "/":
            found = await self.api.send(Request(scope), "GET", "/samplers")
            if found.status_code == 401:
                await RedirectResponse("/sign-in", 303)(scope, receive, send)
                return

        async def telling(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self.app(scope, receive, telling)


def blocks(api: Api) -> gr.Blocks:
    """The four tabs."""
    with gr.Blocks(title="Remembrandt", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gr.HTML('<header class="head"><h1>Remembrandt</h1><p>learns your things, and forgets none of them</p></header>')
        with gr.Tabs():
            made = {}
            for name, part in (("Paint", paint), ("Teach", teach), ("Memory", memory), ("Jobs", jobs)):
                with gr.Tab(name, id=name, elem_id=f"tab-{name.lower()}") as tab:
                    made[name] = tab, part.tab(api)
        for tab, (load, outputs) in made.values():
            tab.select(load, None, outputs, show_progress="hidden", api_visibility="private")
        load, outputs = made["Paint"][1]
        page.load(load, None, outputs, show_progress="hidden", api_visibility="private")
    return page.queue(default_concurrency_limit=None)


def theme() -> gr.themes.Base:
    """Umber on paper; fonts of the machine itself."""
    plain = ("ui-sans-serif", "system-ui", "Segoe UI", "Roboto", "sans-serif")
    made = gr.themes.Default(
        primary_hue="orange", secondary_hue="orange", neutral_hue="stone", radius_size="lg", font=plain,
        font_mono=("ui-monospace", "Consolas", "monospace"),
    )  # fmt: skip
    deep, bright = "#9a3412", "#fdba74"
    return made.set(
        body_background_fill="#faf8f4", body_background_fill_dark="#16130f", block_background_fill_dark="#211c17",
        button_primary_background_fill=deep, button_primary_background_fill_hover="#7c2d12",
        button_primary_background_fill_dark=deep, button_primary_background_fill_hover_dark="#c2410c",
        button_primary_text_color="white", button_primary_text_color_dark="white",
        slider_color=deep, slider_color_dark=bright, link_text_color=deep, link_text_color_dark=bright,
        checkbox_background_color_selected=deep, checkbox_background_color_selected_dark=deep,
        checkbox_label_background_fill_selected=deep, checkbox_label_background_fill_selected_dark=deep,
        checkbox_label_text_color_selected="white", checkbox_label_text_color_selected_dark="white",
        block_info_text_color="#57534e", block_info_text_color_dark="#d6d3d1",
        block_label_text_color="#44403c", block_label_text_color_dark="#e7e5e4",
        body_text_color_subdued="#57534e", body_text_color_subdued_dark="#c7c2bd",
        input_placeholder_color="#6b645e", input_placeholder_color_dark="#a8a29e",
    )  # fmt: skip
