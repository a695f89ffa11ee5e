"""Nonsense on every route of the server's own list: an answer that says so, never a 5xx."""

import random
import re

import pytest

from tests.api.test_rights import routes
from tests.jobs.test_hostile_files import KINDS, torn

IDS = ("x", "%00", "..%2f..%2fetc%2fpasswd", "é" * 50, "a" * 400, "'; drop table jobs; --")
BODIES = (
    b"", b"null", b"[]", b"{}", b'"text"', b"{not json", b"\xff\xfe\x00", b"[" * 20000, b'{"prompt": 1e999}',
    b'{"prompt": "\\u0000\\ud800", "num_images": -1, "concept": null, "to": [], "input": 3, "version": {}, "name": 1}',
    b'{"prompt": "a", "steps": 1e30, "seed": -1, "size": "0x0", "to": "../x", "concept": "\\u0000", "name": "../"}',
    b'{"input": {"prompt": [1], "seed": "NaN", "width": "1e400"}, "version": "x", "destination": "a/../b"}',
)  # fmt: skip
QUERIES = ({}, {"limit": "-1", "before": "x", "new": "", "images": "1e9", "size": "nan", "cursor": "\0", "model": ".."})


def test_nonsense_is_answered(server):
    asked = 0
    with server.http() as http:
        for k, (method, path) in enumerate(routes(server)):
            for j in range(4):
                place = re.sub(r"\{\w+\}", IDS[(j + k) % len(IDS)], path)
                kinds = ("application/json", "multipart/form-data; boundary=x", "text/plain", "application/json")
                body = None if method == "GET" else BODIES[(3 * k + j) % len(BODIES)]
                headers = {"content-type": kinds[j], "last-event-id": "9" * 30, "prefer": "wait=99999"}
                found = http.request(method, place, content=body, headers=headers, params=QUERIES[j % 2])
                assert found.status_code < 500, (method, place, body, found.text)
                if found.status_code >= 400:
                    told = found.json()
                    assert told["status"] == found.status_code and told["code"], (method, place)
                asked += 1
    assert asked > 240


@pytest.mark.parametrize("body", BODIES)
def test_the_main_routes_bear_every_body(server, body):
    with server.http() as http:
        for path in ("/generate", "/v1/images/generations", "/v1/predictions", "/v1/trainings"):
            for kind in ("application/json", "multipart/form-data; boundary=x"):
                found = http.post(path, content=body, headers={"content-type": kind})
                assert 400 <= found.status_code < 500, (path, body, found.text)


def test_files_that_mean_harm_are_refused_by_the_routes_too(server):
    """One of each kind; hundreds go through what the routes call in `tests/jobs/test_hostile_files.py`."""
    draw = random.Random(1)
    with server.http() as http:
        lessons = [j["id"] for j in http.get("/jobs").json()["jobs"] if j["kind"] == "finetune"]
        for kind in (k for k in KINDS if k is not torn):
            photo = ("../../out.png", kind(draw, 0), "image/png")
            lesson = http.post("/finetune", data={"category": "dog", "base": "small"}, files={"images": photo})
            assert lesson.status_code == 422, (kind, lesson.text)
            assert http.post("/prepare", files={"images": photo}).status_code == 200
            edit = http.post("/v1/images/edits", data={"prompt": "a"}, files={"image": photo})
            assert edit.status_code < 500, (kind, edit.text)
            key = http.post("/uploads", files={"file": photo}).json()["id"]
            training = {"instance_data": f"/v1/files/{key}", "instance_prompt": "a zuzu dog", "class_prompt": "a dog"}
            found = http.post("/v1/trainings", json={"destination": "a/b", "input": training})
            assert found.status_code == 422, (kind, found.text)
        assert [j["id"] for j in http.get("/jobs").json()["jobs"] if j["kind"] == "finetune"] == lessons
    assert not list(server.home.parent.rglob("out.png"))


def test_files_that_are_not_what_they_say(server):
    """A page, a pickle, a bomb of pixels, and what is cut off: refused where a picture is meant, and never shown."""
    bomb = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x01\x86\xa0\x00\x01\x86\xa0\x08\x02\x00\x00\x00" + b"\0" * 40
    files = (
        b"<script>alert(1)</script>",
        b"\x80\x04\x95",
        bomb,
        b"\x89PNG\r\n\x1a\n",
        b"",
        b"RIFF\x00\x00\x00\x00WEBP",
    )
    with server.http() as http:
        for data in files:
            key = http.post("/uploads", files={"file": ("a.png", data, "text/html")}).json()["id"]
            back = http.get(f"/uploads/{key}")
            assert back.content == data and back.headers["content-type"] == "application/octet-stream"
            assert (
                back.headers["x-content-type-options"] == "nosniff"
                and "attachment" in back.headers["content-disposition"]
            )
            assert http.post("/generate", json={"prompt": "a", "image": key, "steps": 1}).status_code == 422
            edit = http.post("/v1/images/edits", data={"prompt": "a"}, files={"image": ("a.png", data, "image/png")})
            assert edit.status_code == 422 and edit.json()["error"]["code"] == "invalid"
            lesson = http.post("/finetune", data={"category": "dog"}, files={"images": ("a.png", data, "image/png")})
            assert lesson.status_code == 422
