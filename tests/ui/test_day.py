"""A day in the life, in a real browser: sign in, teach, paint in every way, see the memory, forget.

The tests of this file are one day, in order, in one browser. Nothing may leave the machine, the console stays clean,
and axe finds nothing serious.
"""

import os
import re
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from remembrandt.app import build
from remembrandt.service import Service
from remembrandt.settings import Settings
from remembrandt.store.store import Store
from tests.homes import SHORT, photos, serving

playwright = pytest.importorskip("playwright.sync_api", reason="the page is tested with playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the page is tested with axe")

FLAGS = [f"--{name}" for name in ("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync")]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
TABS = ("Paint", "Teach", "Memory", "Jobs")
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@dataclass
class Day:
    url: str
    app: object
    service: Service
    page: object
    shots: Path
    outside: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def tab(self, name: str):
        self.page.get_by_role("tab", name=name).click()

    def newest(self) -> dict:
        """The recipe of the newest picture, as the API tells it to the page's own cookie."""
        return self.page.request.get(f"{self.url}/images?limit=1").json()["images"][0]

    def paint(self, button: str = "Paint") -> dict:
        """Press it, and wait for another picture than the newest."""
        said = self.press(button)
        assert said is None, said
        return self.newest()

    def press(self, button: str) -> str | None:
        """What trouble there was, when there is trouble or another picture than the newest."""
        before = self.page.request.get(f"{self.url}/images?limit=1").json()["images"]
        self.page.get_by_role("button", name=button, exact=True).click()
        self.page.wait_for_function(
            "old => { const seen = document.querySelector('#easel .shown img');"
            " return document.querySelector('#easel .trouble') || (seen && !seen.src.endsWith(old)) }",
            arg=before[0]["id"] if before else "none",
        )
        said = self.page.locator("#easel .trouble")
        return said.inner_text() if said.count() else None

    def listen(self, page) -> None:
        """Note what leaves the machine, and what breaks."""
        inside = (self.url, "data:", "blob:")
        page.on("request", lambda r: None if r.url.startswith(inside) else self.outside.append(r.url))
        page.on("console", lambda m: self.console.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda fault: self.console.append(str(fault)))

    def serious(self, page=None) -> list[str]:
        """What axe finds on a page as it is."""
        found = axe.Axe().run(page or self.page).response["violations"]
        return [f"{v['id']}: {v['nodes'][0]['html'][:300]}" for v in found if v["impact"] in ("serious", "critical")]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as play:
        named = ("chromium", "chromium-browser", "google-chrome", "chrome")
        found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, named)), None)
        found = found or play.chromium.executable_path
        if not Path(found).is_file():
            pytest.skip("there is no Chromium here: install one, or say in CHROMIUM where it is")
        opened = play.chromium.launch(executable_path=found, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def day(browser, tiny_folder, pictured_folder, tmp_path_factory):
    from remembrandt.ui.page import mount

    place = tmp_path_factory.mktemp("day")
    service = Service(Settings(place / "home", "cpu", "fp32"))
    service.add_family("small", str(tiny_folder))
    service.add_family("eyes", str(pictured_folder))
    style = photos(place / "style", seed=1)
    service.finetune(style, "painting", identifier="lnl", base="small", steps=2, options=SHORT)
    app = build(service.settings, worker=False, rate=1e6, mount=mount)
    with serving(app) as url:
        page = browser.new_context(viewport=WIDE).new_page()
        page.set_default_timeout(120_000)
        made = Day(url, app, service, page, photos(place / "dog", count=5))
        made.listen(page)
        yield made
        page.context.close()


def test_sign_in(day):
    day.page.goto(day.url)
    assert day.page.url.endswith("/sign-in") and day.page.get_by_label("Token").is_visible()
    assert day.serious() == []
    day.page.get_by_label("Token").fill("nobody's")
    with day.page.expect_response(lambda r: r.request.method == "POST") as answered:
        day.page.get_by_role("button", name="Sign in").click()
    assert answered.value.status == 401 and "Nobody has this token" in day.page.get_by_role("alert").inner_text()
    day.console.clear()  # the browser itself reports the 401
    day.app.state.links.sign_in = code = secrets.token_urlsafe(8)
    day.page.goto(f"{day.url}/sign-in?code={code}")
    day.page.get_by_role("button", name="Paint", exact=True).wait_for()
    assert day.page.url == f"{day.url}/"
    day.page.get_by_role("button", name="Add lnl painting").wait_for()


def test_teach_from_five_photos(day):
    day.tab("Teach")
    teach = day.page.get_by_role("button", name="Teach", exact=True)
    teach.click()
    day.page.locator("#board [role=alert]").get_by_text("drop some photos").wait_for()
    day.page.locator("#photos input[type=file]").set_input_files(sorted(day.shots.iterdir()))
    day.page.get_by_text("5 photos can be taught").wait_for()
    assert day.page.locator(".crop i").count() == 5 and day.page.locator(".crop img").count() == 5
    day.page.get_by_label("What is it?").fill("dog")
    day.page.get_by_label("Its name").fill("briscoe")
    day.page.get_by_label(re.compile("I have the right")).check()
    day.page.locator("#tab-teach").get_by_role("button", name="More options").click()
    day.page.locator("#tab-teach").get_by_label("Steps").fill("2")
    teach.click()
    day.page.locator("#board progress").wait_for()
    jobs = Store(day.service.settings.home).jobs()
    lesson = day.service.resume(next(j.id for j in jobs if j.state == "queued"))
    day.page.get_by_role("heading", name="Learned: briscoe").wait_for()
    day.page.get_by_role("heading", name=f"After: a {lesson['identifier']} dog").wait_for()
    assert day.page.locator("#board .several img").count() == 6


def test_paint_alone_and_with_a_style(day):
    day.tab("Paint")
    day.page.get_by_role("button", name="Add briscoe").click()
    day.page.wait_for_function("document.querySelector('#words textarea').value === 'briscoe'")
    alone = day.paint()
    assert alone["prompt"] == "briscoe" and alone["task"] == "text-to-image"
    day.page.get_by_role("button", name="Add lnl painting").click()
    day.page.wait_for_function("document.querySelector('#words textarea').value === 'briscoe lnl painting'")
    assert day.paint()["prompt"] == "briscoe lnl painting"
    day.page.get_by_role("textbox", name="Words").focus()
    day.page.keyboard.press("Control+a")
    day.page.keyboard.type("{{7*7}} <b>${1+1}</b>")
    day.page.keyboard.press("Tab")
    shown = day.paint()
    assert shown["prompt"] in day.page.locator("#easel figcaption").inner_text()


def test_repaint_and_vary_a_picture(day):
    day.page.get_by_role("button", name="Repaint", exact=True).click()
    day.page.locator("#picture img").wait_for()
    assert day.paint()["task"] == "image-to-image"
    day.page.get_by_role("textbox", name="Words").fill("")  # this model reads no words
    day.page.get_by_role("radio", name="Vary").check()
    chosen = day.page.get_by_label("Painter that sees")
    chosen.click()
    day.page.get_by_role("option", name="eyes").click()
    assert day.paint()["task"] == "variations"


def test_inpaint_what_was_brushed_over(day):
    day.page.get_by_role("button", name="Inpaint", exact=True).click()
    canvas = day.page.locator("#canvas canvas").first
    canvas.wait_for()
    day.page.wait_for_timeout(500)
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for _ in range(10):  # until the canvas has sent what was drawn
        day.page.mouse.move(x, y)
        day.page.mouse.down()
        day.page.mouse.move(x + 20, y, steps=5)
        day.page.mouse.up()
        day.page.wait_for_timeout(1000)
        if day.press("Paint") is None:
            break
    assert day.newest()["task"] == "inpaint"


def test_a_recipe_comes_back(day):
    with day.page.expect_download() as saved:
        day.page.locator("#easel").get_by_role("link", name="Save").click()
    path = day.shots.parent / "again.png"
    saved.value.save_as(path)
    recipe = day.newest()
    day.page.get_by_role("button", name="Restore a recipe").click()
    day.page.locator("#drop input[type=file]").set_input_files(path)
    day.page.get_by_text("Restored:").wait_for()
    paint = day.page.locator("#tab-paint")
    paint.get_by_role("button", name="More options").click()
    assert paint.get_by_label("Seed").input_value() == str(recipe["seed"])


def test_see_the_memory_and_forget(day):
    day.tab("Memory")
    card = day.page.locator(".cards li").filter(has_text="briscoe")
    card.locator("img").wait_for()
    assert day.page.locator(".heat td").all_inner_texts().count("100%") >= 2
    card.get_by_role("button", name="Forget: briscoe").click()
    day.page.locator(".sure").get_by_role("button", name="Forget", exact=True).click()
    day.page.wait_for_function("document.querySelectorAll('.cards li').length === 1")
    assert [row["identifier"] for row in day.service.concepts()] == ["lnl"]
    day.tab("Jobs")
    day.page.locator(".jobs li").first.wait_for()
    assert "Lesson" in day.page.locator(".jobs").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_use_it(day, scheme):
    """axe, on every tab; nothing wider than a phone; the keyboard reaches the tabs."""
    page = day.page.context.new_page()
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(PHONE if scheme == "dark" else WIDE)
    day.listen(page)
    page.goto(day.url)
    page.get_by_role("button", name="Add lnl painting").wait_for()
    assert ("dark" in (page.locator("body").get_attribute("class") or "").split()) == (scheme == "dark")
    for name in TABS:
        page.get_by_role("tab", name=name).press("Enter")
        assert page.get_by_role("tab", name=name).get_attribute("aria-selected") == "true"
        page.wait_for_timeout(500)
        assert day.serious(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_nothing_left_the_machine_and_nothing_broke(day):
    assert day.outside == [] and day.console == []
