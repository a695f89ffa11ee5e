"""Who may what, over the server's own list of routes: a stranger sees nothing, another user 404 and nothing else."""

import re
import time

import jwt
import pytest

from remembrandt.api import auth
from remembrandt.api.auth import OPEN, Auth, Links, Provider
from remembrandt.store import audit, users
from remembrandt.store.store import Store
from tests.api.test_native import png


def routes(server) -> list[tuple[str, str]]:
    paths = server.app.openapi()["paths"]
    found = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    assert len(found) > 60
    return found


def filled(path: str, ids: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda m: ids.get(m[1], "x"), path)


def test_without_a_token_nothing_is_looked_at(server):
    with server.http(None) as http:
        for method, path in routes(server):
            if OPEN.fullmatch(path):
                continue
            for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic eDp4"}):
                found = http.request(method, filled(path, {}), headers=headers, content=b"{not json")
                assert found.status_code == 401 and found.json()["code"] == "unauthorized", (method, path)
        for path in ("/nowhere", "/v1/nowhere", "/jobs/../metrics/x", "/docsx"):
            assert http.get(path).status_code == 401
        assert http.put("/v1/upload/a?signature=wrong", content=b"x").status_code == 401


def test_another_users_ids_are_404_on_every_route(server):
    """Everything that alice has, asked for by bob; what he may not see he can neither read nor change."""
    with server.http() as alice, server.http("bob") as bob:
        assert alice.patch("/models/mine", json={"name": "hers"}).status_code == 200  # everybody has a `mine`
        body = {"prompt": "briscoe", "steps": 1, "size": "64x64", "model": "hers"}
        painted = alice.post("/generate", json=body).json()
        upload = alice.post("/uploads", files={"file": ("a.png", png(), "image/png")}).json()["id"]
        made = alice.post("/v1/files", files={"content": ("a.png", png(), "image/png")}).json()["id"]
        version = alice.get("/v1/models/alice/hers").json()["latest_version"]["id"]
        paint = {"version": version, "input": {"prompt": "a", "num_inference_steps": 1, "width": 64}}
        prediction = alice.post("/v1/predictions", json=paint, headers={"prefer": "wait"}).json()["id"]
        assert bob.post("/v1/predictions", json=paint).status_code == 404
        owned = {
            "/jobs/": painted["job"], "/images/": painted["images"][0]["id"], "/uploads/": upload, "/v1/files/": made,
            "/concepts/": server.lesson["concept"], "/models/": "hers", "/v1/models/": "hers",
            "/v1/predictions/": prediction, "/v1/trainings/": prediction,
        }  # fmt: skip
        bodies = {"forget": {"concept": "briscoe"}, "consolidate": {"to": "new"}, "export": {"to": "lora"}}
        bodies |= {"pick": {"steps": 1}}
        bodies |= {"promote": {"to": "other"}, "concepts": {"name": "rex"}, "models": {"name": "rex"}}
        asked = 0
        for method, path in routes(server):
            start = next((s for s in sorted(owned, key=len, reverse=True) if path.startswith(s + "{")), None)
            if start is None or path == "/v1/models/{owner}/{name}/versions/{id}/trainings":
                continue
            ids = {"id": owned[start], "owner": "alice", "name": "hers", "delivery": "x"}
            if path.endswith("/versions/{id}"):
                ids["id"] = version
            sent = next((v for k, v in bodies.items() if path.rstrip("/").endswith(k)), None)
            sent = sent or next((v for k, v in bodies.items() if path.startswith(f"/{k}/") and method == "PATCH"), None)
            if path.endswith("/predictions"):
                sent = {"input": {}}
            params = {"new": "dog", "images": 3} if path.endswith("plan") else {}
            found = bob.request(method, filled(path, ids), json=sent, params=params)
            assert found.status_code == 404, (method, path, found.status_code, found.text)
            asked += 1
        assert asked >= 30
        for path, kind in (("/jobs", "jobs"), ("/images", "images"), ("/uploads", "uploads"), ("/v1/files", "results")):
            ids = {row["id"] for row in bob.get(path).json()[kind]}
            assert not ids & {painted["job"], painted["images"][0]["id"], upload, made}
        assert "briscoe" not in bob.get("/concepts").text and server.lesson["identifier"] not in bob.get("/models").text
        for given in (upload, painted["images"][0]["id"]):
            over = {"prompt": "a", "image": given, "steps": 1}
            assert bob.post("/generate", json=over).status_code == 404
        assert alice.get(painted["images"][0]["url"]).status_code == 200  # it is all still there
        assert alice.patch("/models/hers", json={"name": "mine"}).status_code == 200


def test_a_first_lesson_asks_once_for_consent(server):
    store = Store(server.home)
    carl, token = users.add(store, "carl")
    with server.http(token=token) as http:
        shot = ("1.png", (server.shots / "0.png").read_bytes(), "image/png")

        def teach(shot=shot, **said):
            data = {"category": "dog", "base": "small", "max_train_steps": "2", **said}
            return http.post("/finetune", data=data, files={"images": shot})

        for said in ({}, {"consent": "false"}):
            asked = teach(**said)
            assert asked.status_code == 422 and asked.json()["code"] == "consent_needed"
            assert all(word in asked.json()["detail"] for word in ("right to use", "consent of the people", "kept for"))
        assert users.user(store, "carl").consent is None and http.get("/jobs").json()["jobs"] == []
        job = teach(consent="true")
        assert job.status_code == 202 and users.user(store, "carl").consent
        assert [line.what for line in audit.lines(store.of(carl.id))] == ["consent"]
        assert http.post(f"/jobs/{job.json()['id']}/cancel").status_code == 200
        assert teach(("1.png", b"none", "image/png")).json()["code"] == "invalid_files"  # never asked again


def test_who_leaves_leaves_nothing(server):
    store = Store(server.home)
    with server.http(token=users.add(store, "carol")[1]) as http:
        upload = http.post("/uploads", files={"file": ("a.png", png(), "image/png")}).json()["id"]
        assert http.delete("/me").status_code == 422 and http.delete("/me", params={"name": "bob"}).status_code == 422
        assert http.get(f"/uploads/{upload}").status_code == 200
        assert http.delete("/me", params={"name": "carol"}).status_code == 200
        assert http.get("/models").status_code == 401
    assert users.user(store, "carol") is None


def test_another_page_does_nothing_with_our_cookie(server):
    store = Store(server.home)
    token = users.token(store, "bob", "cookie")
    host = server.url.removeprefix("http://")
    origins = {f"http://{host}": 201, None: 201, "http://127.0.0.1:1": 403, "null": 403, f"http://{host}.evil.com": 403}
    for origin, wanted in origins.items():
        headers = {"cookie": f"{auth.COOKIE}={token}"} | ({"origin": origin} if origin else {})
        with server.http(None) as http:
            found = http.post("/uploads", files={"file": ("a.png", png(), "image/png")}, headers=headers)
            assert found.status_code == wanted, origin
            assert wanted == 201 or found.json()["code"] == "foreign_origin"
            assert http.get("/models", headers=headers).status_code == 200  # which `SameSite` lets nobody read
            own = {"authorization": f"Bearer {token}", **headers}
            assert http.post("/uploads", files={"file": ("a.png", png(), "image/png")}, headers=own).status_code == 201


def test_a_revoked_token_is_nobodys_at_once(server):
    store = Store(server.home)
    token = users.token(store, "bob", "old")
    with server.http(None) as http:
        headers = {"authorization": f"Token {token}"}
        assert http.get("/models", headers=headers).status_code == 200
        users.revoke(store, token)
        assert http.get("/models", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "claim",
    [{}, {"exp": -10}, {"iss": "else"}, {"aud": "else"}, {"alg": "none"}, *({"sub": s} for s in ("none", "local", ""))],
)
def test_tokens_of_an_identity_provider(server, claim):
    key = "a secret of thirty-two bytes or more"
    gate = Auth(None, Store(server.home), Links(), Provider(key, ("HS256",), "us", "them"))
    told = {"sub": "alice", "iss": "us", "aud": "them", "exp": time.time() + 60 + claim.get("exp", 0) * 60}
    told |= {k: v for k, v in claim.items() if k not in ("exp", "alg")}
    token = jwt.encode(told, None if "alg" in claim else key, algorithm=claim.get("alg", "HS256"))
    found = gate.who({b"authorization": f"Bearer {token}".encode()})
    assert found is None if claim else found.name == "alice"


def test_who_asks_too_often_waits(server):
    gate = Auth(None, Store(server.home), Links(), rate=1.0)
    user = server.alice
    for _ in range(300):
        gate._limited(user)
    from remembrandt.api.problems import Problem

    with pytest.raises(Problem) as fault:
        gate._limited(user)
    assert fault.value.status == 429 and fault.value.headers["retry-after"] == "1"
    gate._limited(server.bob)


def test_a_body_that_is_too_large_is_refused_before_it_comes(server):
    with server.http() as http:
        found = http.post("/generate", content=b"{" + b" " * 33 * 2**20, headers={"content-type": "application/json"})
        assert found.status_code == 413 and found.json()["code"] == "too_large"


def test_what_comes_by_a_link_is_counted_too(server, monkeypatch):
    monkeypatch.setattr(auth, "MOST", 1000)
    with server.http() as http:
        places = [http.post("/v1/upload/a.zip").json()["upload_url"] for _ in range(2)]
    with server.http(None) as http:
        assert http.put(places[0], content=b"x" * 2000).status_code == 413
        assert http.put(places[1], content=iter([b"x" * 600] * 2)).status_code == 413  # of no length told
