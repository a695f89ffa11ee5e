"""BIG's endpoints, jobs and their events, pictures, what is kept; errors and idempotency."""

import base64
import io
import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import event

from remembrandt.api import files as replicated
from remembrandt.family import control
from remembrandt.store import users
from remembrandt.store.rows import Model
from remembrandt.store.store import Store
from tests.conftest import biting
from tests.homes import logged

ASKED = {"steps": 2, "seed": 5, "size": "64x64"}


def png(size=(64, 64), mode="RGB") -> bytes:
    data = io.BytesIO()
    grain = np.random.default_rng(0).integers(0, 255, (*size[::-1], len(mode))).astype(np.uint8)
    Image.fromarray(grain).save(data, "PNG")
    return data.getvalue()


def zipped(folder) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"inside/{path.name}")
        archive.writestr("__MACOSX/._1.png", b"litter")
    return data.getvalue()


def test_generate_answers_with_images(server):
    word = server.lesson["identifier"]
    with server.http() as http:
        found = http.post("/generate", json={"prompt": [f"{word} dog", "briscoe"], "num_images": 2, **ASKED})
        assert found.status_code == 200, found.text
        images = found.json()["images"]
        assert [i["seed"] for i in images] == [5, 6, 5, 6] and images[0]["model"] == "mine"
        assert images[0]["concepts"] == [word]
        first, third = (http.get(images[k]["url"]) for k in (0, 2))
        assert first.headers["content-type"] == "image/png" and first.content == http.get(images[0]["url"]).content
        pixels = [np.asarray(Image.open(io.BytesIO(r.content))) for r in (first, third)]
        assert pixels[0].shape == (64, 64, 3) and np.abs(pixels[0].astype(int) - pixels[1]).max() <= 4  # one dog
        here = server.service.of(server.alice.id).paint(f"{word} dog", seed=5, steps=2, size=(64, 64))[0].pixels
        assert np.abs(here.astype(int) - pixels[0]).max() <= 4  # Studio paints the same
        told = json.loads(Image.open(io.BytesIO(first.content)).text["remembrandt"])
        assert told["prompt"] == f"{word} dog" and told["seed"] == 5
        assert http.get(f"{images[0]['url']}/recipe").json()["sampler"] == told["sampler"]
        page = http.get("/images", params={"limit": 3}).json()
        more = http.get("/images", params={"limit": 3, "before": page["next"]}).json()
        assert len(page["images"]) == 3 and images[0]["id"] in {i["id"] for i in page["images"] + more["images"]}
        assert http.delete(images[3]["url"]).status_code == 204
        assert http.get(images[3]["url"]).status_code == 404


def test_generate_as_a_job_whose_events_resume(server):
    with server.http() as http:
        found = http.post("/generate", json={"prompt": "a dog", **ASKED}, headers={"prefer": "respond-async"})
        assert found.status_code == 202
        job = found.json()
        assert {
            "id",
            "kind",
            "state",
            "position",
            "step",
            "total",
            "eta",
            "loss",
            "previews",
            "error",
            "seq",
        } <= job.keys()
        events = read(http.get(f"/jobs/{job['id']}/events").text)
        assert [e["event"] for e in events][-2:] == ["succeeded", "job"] and events[0]["event"] == "running"
        assert [int(e["id"]) for e in events[:-1]] == list(range(1, len(events)))
        again = read(http.get(f"/jobs/{job['id']}/events", headers={"last-event-id": events[0]["id"]}).text)
        assert again == events[1:]
        done = http.get(f"/jobs/{job['id']}").json()
        assert done["state"] == "succeeded" and done["result"]["images"][0]["url"].startswith("/images/")
        assert str(server.home) not in json.dumps(done)
        assert http.get("/jobs", params={"limit": 1}).json()["jobs"][0]["id"] == job["id"]


def read(stream: str) -> list[dict]:
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in stream.strip().split("\n\n")]


def test_pictures_are_painted_over(server):
    with server.http() as http:
        picture = png()
        key = http.post("/uploads", files={"file": ("a.png", picture, "image/png")}).json()["id"]
        url = "data:image/png;base64," + base64.b64encode(picture).decode()
        seen = []
        for given in (key, url):
            body = {"prompt": "a dog", "image": given, "strength": 0.5, "steps": 4, "seed": 1, "task": "image-to-image"}
            found = http.post("/generate", json=body)
            assert found.status_code == 200, found.text
            seen.append(http.get(found.json()["images"][0]["url"]).content)
        assert np.array_equal(*(np.asarray(Image.open(io.BytesIO(data))) for data in seen))
        for body in (
            {"image": "0123456789ab"},
            {"image": url, "task": "inpaint"},
            {"image": "data:,x"},
            {"strength": 0.5},
        ):
            assert http.post("/generate", json={"prompt": "a", **body, **ASKED}).status_code in (404, 422)


def test_pictures_are_varied(server):
    with server.http() as http:
        first, second = ("data:image/png;base64," + base64.b64encode(png((64, 64 + k))).decode() for k in (0, 32))
        body = {"prompt": "", "task": "variations", "model": "eyes", "image": first, **ASKED}
        mixed = http.post("/generate", json={**body, "mix": [{"image": second, "weight": 2}]}).json()["images"][0]
        alone = http.post("/generate", json=body).json()["images"][0]
        assert alone["task"] == mixed["task"] == "variations" and "mix" not in alone and mixed["mix"][0]["weight"] == 2
        assert http.get(alone["url"]).content != http.get(mixed["url"]).content
        told = {**body, "mix": [{"text": "/etc/passwd"}]}  # a text is never a path; this model reads no texts
        for bad in ({}, {"image": None}, {"mix": [{}]}, {"model": "small"}, {"task": None}):
            assert http.post("/generate", json={**told, **bad}).status_code == 422
        request = server.app.state.desk.store.of(server.alice.id).jobs()[-1].request  # ids, whose place may change
        assert request["requests"][0]["sees"]["picture"] and str(server.home) not in json.dumps(request)
        for over in ({"mask": second}, {"strength": 0.5}, {"expand": [8, 8, 8, 8]}):  # else they would do nothing
            assert "from noise" in http.post("/generate", json={**body, **over}).json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "a", "sampler": "none"}, {"prompt": "a", "size": "65x64"}, {"prompt": "a", "model": "../home"},
        {"prompt": "a", "model": "/etc"}, {"prompt": []}, {"prompt": "a", "num_images": 65}, {"prompt": "a", "webhook": "ftp://x"},
        {"prompt": "a", "target_model": "private", "identifier": "zzz"}, {"prompt": "a", "unknown": 1}, {},
    ],
)  # fmt: skip
def test_what_is_wrong_is_a_problem(server, body):
    with server.http() as http:
        found = http.post("/generate", json=body)
        assert found.status_code in (404, 422) and found.headers["content-type"] == "application/problem+json"
        told = found.json()
        assert {"type", "title", "status", "detail", "code"} <= told.keys() and told["status"] == found.status_code


def test_controls_give_their_hints_back(server, tiny):
    control.save(biting(tiny.unet), server.home / "controls" / "canny")
    word, shown = server.lesson["identifier"], "data:image/png;base64," + base64.b64encode(png()).decode()
    body = {"prompt": f"a {word} dog", "model": "mine", **ASKED}
    with server.http() as http:
        each = {"name": "canny", "image": shown, "weight": 0.8, "end": 0.5}
        found = http.post("/generate", json={**body, "control": [each]})
        assert found.status_code == 200, found.text
        made = found.json()["images"][0]
        assert made["control"][0]["weight"] == 0.8 and made["concepts"] == [word]
        ready = {**each, "image": made["hints"]["canny"]["id"], "hint": True}
        again = http.post("/generate", json={**body, "control": [ready]}).json()["images"][0]
        assert http.get(again["url"]).content == http.get(made["url"]).content
        assert http.get(made["hints"]["canny"]["url"]).status_code == 200
        for bad in ({**each, "name": "cany"}, {**each, "image": "nothing"}, {**each, "weight": 11}):
            assert http.post("/generate", json={**body, "control": [bad]}).status_code in (404, 422)
    with server.http("bob") as http:
        assert http.get(made["hints"]["canny"]["url"]).status_code == 404


def test_finetune_then_generate_by_scope(server):
    with server.http() as http:
        asked = {"category": "cat", "target_model": "private", "max_train_steps": "2", "base": "small"}
        files = {"images": ("photos.zip", zipped(server.shots), "application/zip")}
        found = http.post("/finetune", data=asked, files=files, headers={"idempotency-key": "one"})
        assert found.status_code == 202, found.text
        job = found.json()
        again = http.post("/finetune", data=asked, files=files, headers={"idempotency-key": "one"})
        assert again.json() == job and again.headers["idempotent-replayed"] == "true"
        other = http.post(
            "/finetune", data=asked | {"category": "dog"}, files=files, headers={"idempotency-key": "one"}
        )
        assert other.status_code == 422 and other.json()["code"] == "idempotency_key_reused"
        lesson = server.work(job["id"])
        known = http.get("/list_identifiers_n_categories").json()
        assert known["private"] == {lesson["identifier"]: "cat"}
        assert known["private_meta"][server.lesson["identifier"]] == "dog" and known["meta"] == {}
        body = {
            "prompt": f"a {lesson['identifier']} cat",
            "target_model": "private",
            "identifier": lesson["identifier"],
        }
        images = http.post("/generate", json={**body, **ASKED}).json()["images"]
        assert images[0]["model"] == lesson["model"]
        done = http.get(f"/jobs/{job['id']}").json()
        assert done["state"] == "succeeded" and str(server.home) not in json.dumps(done)
        assert http.get(f"/models/{lesson['model']}/retention").json()["version"] == 1
        assert http.get("/models/mine/plan", params={"new": "dog", "images": 20}).json()["total"] == 20
        assert [c["id"] for c in http.get("/concepts", params={"model": "mine"}).json()["concepts"]]
        assert http.post("/models/mine/forget", json={"concept": "nobody"}).status_code == 404
        assert http.delete(f"/models/{lesson['model']}").status_code == 200
        assert http.get(f"/models/{lesson['model']}").status_code == 404


def test_faults_of_an_upload_are_told_at_once_and_leave_nothing(server):
    with server.http() as http:
        before = len(http.get("/jobs").json()["jobs"])
        files = [("images", (f"{k}.png", b"no picture", "image/png")) for k in range(3)]
        files.append(("images", ("good.png", (server.shots / "0.png").read_bytes(), "image/png")))
        found = http.post("/finetune", data={"category": "dog", "base": "small"}, files=files)
        assert found.status_code == 422 and found.json()["code"] == "invalid_files"
        assert len(found.json()["faults"]) == 3 and found.json()["crops"][0]["photo"] == "good.png"
        told = http.post("/prepare", files=files).json()
        assert len(told["faults"]) == 3 and len(told["images"]) == 1
        assert len(http.get("/jobs").json()["jobs"]) == before


def test_a_picture_that_is_not_finite_has_a_name_of_its_own(server):
    body = {"prompt": "a dog", "model": "small", **ASKED}
    with server.http() as http:
        assert http.post("/generate", json=body).status_code == 200
        easels = server.app.state.desk.gallery.painter._easels.values()
        biases = [easel.engine.family.vae.decoder.conv_out.bias.data for easel in easels]
        before = [bias.clone() for bias in biases]
        for bias in biases:
            bias.fill_(float("nan"))
        try:
            with logged() as lines:
                found = http.post("/generate", json=body)
        finally:
            for bias, was in zip(biases, before, strict=True):
                bias.copy_(was)
        assert found.status_code == 500 and found.json()["code"] == "picture_not_finite"
        job = http.get(f"/jobs/{found.json()['job']}").json()
        assert job["state"] == "failed" and "not finite" in job["error"] and "\n" not in job["error"]
        said = [line for line in lines() if line.get("job") == job["id"]]
        assert said[0]["message"] == "generate begins, attempt 1"
        assert "not finite" in said[-1]["message"] and "NotFinite" in said[-1]["trace"]
        assert {line["user"] for line in lines()} == {server.alice.id}
        assert any(line["message"] == "/generate refused: picture_not_finite" for line in lines())
        assert http.post("/generate", json=body).status_code == 200


def test_lists_come_in_pages(server):
    """Whatever is listed comes whole, newest first, and a page reads a page."""
    store = Store(server.home)
    dora, token = users.add(store, "dora")
    own = store.of(dora.id)
    with server.http(token=token) as http:
        for k in range(5):
            own.queue("export", {"k": k}, priority=None, webhook={"replicate": {"kind": "training"}} if k % 2 else None)
            http.post("/uploads", files={"file": (f"{k}.png", b"%d" % k, "image/png")})
        own.make(Model("", "second", "private_meta", "gated", {"name": "small"}))
        for path, kind in (("/jobs", "jobs"), ("/uploads", "uploads")):
            rows = http.get(path).json()[kind]
            assert len(rows) == 5 and rows == sorted(rows, key=lambda row: -row["created"])
            seen, before, pages = [], None, 0
            while pages == 0 or before:
                page = http.get(path, params={"limit": 2, **({"before": before} if before else {})}).json()
                seen, before, pages = seen + page[kind], page["next"], pages + 1
            assert [row["id"] for row in seen] == [row["id"] for row in rows] and pages == 3
            assert http.get(path, params={"before": "nobody"}).status_code == 404
        counted = []
        listen = lambda *given: counted.append(given[2])  # noqa: E731
        event.listen(server.app.state.desk.store.engine, "before_cursor_execute", listen)
        http.get("/jobs", params={"limit": 2})
        event.remove(server.app.state.desk.store.engine, "before_cursor_execute", listen)
        assert [q for q in counted if "FROM jobs" in q and "LIMIT" in q]
        assert not [q for q in counted if "jobs.request" in q and "LIMIT" not in q]  # whole rows of one page only
        for path in ("/models", "/concepts"):
            assert http.get(path, params={"limit": 1}).json().keys() == {path[1:], "next"}
        assert http.get("/models", params={"before": "nobody"}).status_code == 404
        found = {name: len(http.get(f"/v1/{name}").json()["results"]) for name in ("files", "trainings")}
        assert found == {"files": 5, "trainings": 2}
    with server.http() as http:
        names = [m["name"] for m in http.get("/models").json()["models"]]
        first = http.get("/models", params={"limit": 1}).json()
        rest = http.get("/models", params={"before": first["next"]}).json()["models"]
        assert [m["name"] for m in first["models"] + rest] == names and len(names) > 1


def test_replicates_pages_and_models(server, monkeypatch):
    monkeypatch.setattr(replicated, "PAGE", 2)
    store = Store(server.home)
    token = users.add(store, "emil")[1]
    with server.http(token=token) as http:
        sends = [{"content": (f"{k}.png", b"%d" % k, "image/png")} for k in range(5)]
        ids = [http.post("/v1/files", files=files).json()["id"] for files in sends]
        seen, url = [], "/v1/files"
        while url:
            page = http.get(url).json()
            seen, url = seen + [row["id"] for row in page["results"]], page["next"]
        assert seen == ids[::-1]
        asked = {"owner": "emil", "name": "fresh", "visibility": "private", "hardware": "cpu"}
        assert http.get("/v1/models/emil/fresh").status_code == 404
        once = {"idempotency-key": "fresh"}
        assert [http.post("/v1/models", json=asked, headers=once).status_code for _ in range(2)] == [201, 201]
        found = http.get("/v1/models/emil/fresh")  # before its first training
        assert found.status_code == 200 and found.json()["latest_version"] is None
        assert http.post("/v1/models", json=asked).status_code == 422
        assert http.post("/v1/models", json={**asked, "name": "../x"}).status_code == 422
        assert http.post("/v1/models/emil/fresh/predictions", json={"input": {}}).status_code == 404
        assert "fresh" not in [m["name"] for m in http.get("/models").json()["models"]]


def test_cancel_ends_a_painting(server):
    with server.http() as http:
        body = {"prompt": "a dog", "steps": 1000, "size": "64x64"}
        job = http.post("/generate", json=body, headers={"prefer": "respond-async"}).json()["id"]
        assert http.post(f"/jobs/{job}/cancel").status_code == 200
        events = read(http.get(f"/jobs/{job}/events").text)
        assert events[-2]["event"] == "canceled" and http.get(f"/jobs/{job}").json()["state"] == "canceled"
        assert http.post(f"/jobs/{job}/cancel").status_code == 422
        own = server.app.state.desk.store.of(server.alice.id)
        broken = own.queue("export", {}, priority=None)
        own.finish(broken, "failed", error="why")
        assert http.post(f"/jobs/{broken.id}/cancel").status_code == 422
        assert http.get(f"/jobs/{broken.id}").json()["error"] == "why"  # it stays what it was


def test_health_and_metrics_need_no_token_and_the_page_a_link(server):
    with server.http(None) as http:
        assert http.get("/healthz").json() == {"status": "ok"} and http.get("/readyz").status_code == 200
        text = http.get("/metrics").text
        assert "remembrandt_painter_steps_total" in text and "remembrandt_answers_total" in text
        assert re.search(r'jobs_ended_total{kind="finetune",state="succeeded"} [1-9]', text)
        assert re.search(r'job_wait_seconds_count{kind="finetune"} [1-9]', text) and "leases_lost_total 0" in text
        assert http.get("/readyz").json()["webhooks"] is True
        assert "alice" not in text and server.lesson["identifier"] not in text
        server.app.state.links.sign_in = "once"
        assert http.get("/sign-in", params={"code": "twice"}).status_code == 401
        found = http.get("/sign-in", params={"code": "once"})
        assert found.status_code == 303 and http.get(found.headers["location"]).status_code == 200
        assert http.get("/sign-in", params={"code": "once"}).status_code == 401
        assert http.get("/models").status_code == 200  # by the cookie, as the home's own user
        assert "concepts" in http.get("/models").json()["models"][0]
