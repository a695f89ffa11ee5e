"""Clients that people hold: OpenAI's, Replicate's, the script printed in a seed, and our own."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.api.test_native import png, zipped

SEED = Path(__file__).parents[2] / ".." / "shared" / "seeds" / "002_aee95a80ffc795c0.txt"


@pytest.fixture
def hook():
    """A receiver of webhooks: `come` are (headers, body)."""
    come = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            come.append((dict(self.headers), self.rfile.read(int(self.headers["content-length"])).decode()))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *said):
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", come
    server.shutdown()


def test_the_openai_client(server):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(api_key=server.tokens["alice"], base_url=f"{server.url}/v1", max_retries=0)
    more = {"extra_body": {"seed": 3, "steps": 2}, "size": "64x64"}
    made = client.images.generate(prompt="briscoe", n=2, response_format="b64_json", **more)
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(d.b64_json)))) for d in made.data]
    assert len(pictures) == 2 and pictures[0].shape == (64, 64, 3) and not np.array_equal(*pictures)
    linked = client.images.generate(prompt="briscoe", model="mine", response_format="url", **more)
    with server.http() as http:
        assert http.get(linked.data[0].url).content[:4] == b"\x89PNG"
    hole = Image.open(io.BytesIO(png())).convert("RGBA")
    hole.putalpha(Image.fromarray(np.repeat(np.uint8([[255] * 32 + [0] * 32]), 64, 0)))
    mask = io.BytesIO()
    hole.save(mask, "PNG")
    edited = client.images.edit(
        image=("a.png", png()), mask=("m.png", mask.getvalue()), prompt="a dog", response_format="b64_json",
        extra_body={"seed": 1},
    )  # fmt: skip
    after = np.asarray(Image.open(io.BytesIO(base64.b64decode(edited.data[0].b64_json))))
    before = np.asarray(Image.open(io.BytesIO(png())))
    assert np.array_equal(after[:, :32], before[:, :32]) and not np.array_equal(after[:, 32:], before[:, 32:])
    varied = client.images.create_variation(image=("a.png", png()), n=1, response_format="b64_json")
    assert base64.b64decode(varied.data[0].b64_json)[:4] == b"\x89PNG"
    with pytest.raises(openai.NotFoundError) as fault:
        client.images.generate(prompt="a", model="nothing")
    assert fault.value.code == "not_found" and "nothing" in fault.value.message
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(api_key="wrong", base_url=f"{server.url}/v1", max_retries=0).images.generate(prompt="a")


def test_the_replicate_client(server, hook, tmp_path):
    replicate = pytest.importorskip("replicate")
    client = replicate.Client(api_token=server.tokens["alice"], base_url=server.url, timeout=httpx.Timeout(120))
    (tmp_path / "data.zip").write_bytes(zipped(server.shots))
    kept = client.files.create(tmp_path / "data.zip", metadata={"why": "test"})
    assert client.files.get(kept.id).checksums == kept.checksums and kept.id in {f.id for f in client.files.list()}
    trainer = client.models.get("remembrandt/dreambooth").latest_version
    training = client.trainings.create(
        model="remembrandt/dreambooth", version=trainer.id, destination="alice/zozo",
        input={
            "instance_data": kept.urls["get"], "instance_prompt": "a photo of a zozo dog",
            "class_prompt": "a photo of a dog",
            "max_train_steps": "2", "train_text_encoder": "true",
        },
        webhook=hook[0], webhook_events_filter=["completed"],
    )  # fmt: skip
    assert training.status == "starting" and training.id in {t.id for t in client.trainings.list()}
    server.work(training.id)
    training.reload()
    assert training.status == "succeeded" and training.output["version"].startswith("alice/zozo:")
    assert training.output["version"].endswith(client.models.get("alice/zozo").latest_version.id)
    asked = {"prompt": "a zozo dog", "num_outputs": "2", "num_inference_steps": 2, "seed": 4, "width": 64, "height": 64}
    output = client.run(training.output["version"], input={**asked, "scheduler": "K_EULER"})
    with server.http() as http:  # over https the client itself makes files of them
        assert [http.get(str(url)).content[:4] for url in output] == [b"\x89PNG"] * 2
    later = client.predictions.create(
        version=training.output["version"].split(":")[1], input={**asked, "num_outputs": 1}
    )
    later.wait()
    assert later.status == "succeeded" and len(later.output) == 1
    long = client.predictions.create(version=training.output["version"], input={**asked, "num_inference_steps": 900})
    long.cancel()
    for _ in range(100):
        long.reload()
        if long.status == "canceled":
            break
        time.sleep(0.1)
    assert long.status == "canceled"
    secret = client.webhooks.default.secret()
    for _ in range(100):
        if hook[1]:
            break
        time.sleep(0.1)
    headers, body = hook[1][0]
    replicate.webhook.Webhooks.validate(headers=headers, body=body, secret=secret, tolerance=60)
    assert json.loads(body)["id"] == training.id and json.loads(body)["status"] == "succeeded"
    with pytest.raises(replicate.webhook.InvalidSignatureError):
        replicate.webhook.Webhooks.validate(headers=headers, body=body + " ", secret=secret)
    for bad in (
        {"instance_data": "https://example.com/a.zip"},
        {"class_prompt": "a zozo dog"},
        {"max_train_steps": "x"},
    ):
        good = {"instance_data": kept.urls["get"], "instance_prompt": "a zozo dog", "class_prompt": "a dog"}
        with pytest.raises(replicate.exceptions.ReplicateError):
            client.trainings.create(
                model="remembrandt/dreambooth", version=trainer.id, destination="a/b", input={**good, **bad}
            )
    assert client.files.delete(kept.id)


def test_the_seeds_script_with_another_host(server, tmp_path):
    """Its lines as they are printed: bold marks and example values are the reader's, the host is ours."""
    if not SEED.is_file():
        pytest.skip("the seeds are not beside this repository")
    for tool in ("bash", "curl", "jq", "zip"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    text = SEED.read_text()
    text = text[text.index("zip -r data.zip data") : text.index("Important tips for training")]
    text = text.replace("**", "").replace("https://dreambooth-api-experimental.replicate.com", server.url)
    upload = text[: text.index("Do the same uploading")]
    commands = [line for line in upload.splitlines() if re.match(r"(zip|RESPONSE=|curl|SERVING_URL=)", line)]
    assert len(commands) == 4
    body = text[text.index("curl -X POST \\") : text.index('This call returns "id"')]
    train = "\n".join(line for line in body.splitlines() if line.strip())
    shutil.copytree(server.shots, tmp_path / "data")
    script = "\n".join([
        "set -e", *commands, "OURS=$SERVING_URL", *commands[1:3], "CLASS_URL=$(jq -r .serving_url <<< $RESPONSE)",
        "SERVING_URL=$OURS", train,
    ])  # fmt: skip
    given = {**os.environ, "REPLICATE_API_TOKEN": server.tokens["bob"], "no_proxy": "*"}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=given, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    training = json.loads(done.stdout.strip()[done.stdout.strip().rindex('{"id"') :])
    assert training["id"] and training["status"] == "starting" and training["destination"] == "marioschlosser/oscvtr"
    with server.http("bob") as http:
        seen = http.get(f"/v1/trainings/{training['id']}", headers={"authorization": f"Token {server.tokens['bob']}"})
        assert seen.json()["webhook_completed"] == "https://example.com/dreambooth-webhook"
        job = http.get(f"/jobs/{training['id']}").json()
        assert (job["identifier"], job["category"], job["total"]) == ("oscvtr", "doctor", 0)
        assert http.post(f"/v1/trainings/{training['id']}/cancel").json()["status"] == "canceled"


def test_our_own_client(server, tmp_path):
    import remembrandt

    client = remembrandt.Client(server.url, server.tokens["alice"])
    pictures = client.generate("briscoe", n=2, seed=1, steps=2, size=(64, 64))
    assert [p.recipe["seed"] for p in pictures] == [1, 2] and pictures[0].size == (64, 64)
    over = client.generate("briscoe", image=pictures[0], strength=0.5, steps=2, seed=1)
    assert over[0].recipe["task"] == "image-to-image"
    varied = client.variations(pictures, mix=[(pictures[0], 2.0)], model="eyes", steps=2, seed=1)
    assert [p.recipe["task"] for p in varied] == ["variations"] * 2 and varied[0].recipe["mix"][0]["weight"] == 2
    assert client.model("mine")["name"] == "mine" and client.concepts()[0]["name"] == "briscoe"
    assert client.plan("dog:d1", "dog", 20)["total"] == 20 and client.samplers()[0]["name"]
    with pytest.raises(remembrandt.settings.Wrong, match="no model"):
        client.generate("a", model="nothing")
    work = threading.Thread(target=worked, args=(server,))
    work.start()
    lesson = client.finetune(server.shots, "bird", model="birds", base="small", steps=2)
    work.join()
    assert lesson.model == "birds" and lesson.retention["published"]
    assert client.delete_model("birds")


def test_variations_are_asked_for_as_in_python():
    import remembrandt

    sent = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/uploads":
            return httpx.Response(201, json={"id": "kept"})
        sent.append(json.loads(request.content))
        return httpx.Response(200, json={"images": []})

    client = remembrandt.Client("http://server", "token")
    client._http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://server")
    picture = Image.new("RGB", (8, 8))
    client.variations(picture, mix=["a red dog:0.5", (picture, 2.0)], edit="dog->cat:2", blend="sum")
    mix = [{"text": "a red dog", "weight": 0.5}, {"image": "kept", "weight": 2.0}]
    asked = {"mix": mix, "edit": {"source": "dog", "target": "cat", "weight": 2.0}, "blend": "sum", "image": "kept"}
    assert sent[0] | asked == sent[0] and sent[0]["task"] == "variations"
    for wrong in ({"mix": ["no.png"]}, {"mix": [("a dog", -1)]}, {"edit": "dog"}, {"blend": "mean"}):
        with pytest.raises(remembrandt.settings.Wrong):
            client.variations(picture, **wrong)
    paint, teach = lambda p: client.generate("a dog", image=p), lambda p: client.finetune([p], "dog")
    for ask in (client.variations, paint, teach):
        with pytest.raises(remembrandt.settings.Wrong, match="there is no"):
            ask("no.png")
    assert len(sent) == 1


def test_who_is_no_server_is_told_in_one_line():
    import remembrandt
    from remembrandt.settings import Wrong

    with pytest.raises(Wrong, match=r"no server answers at http://127\.0\.0\.1:9/? .*: is it running\?"):
        remembrandt.Client("http://127.0.0.1:9", "token").models()
    page, client = {"content-type": "text/html"}, remembrandt.Client("http://server", "token")
    answers = iter([(200, "<html>"), (404, "<html>\n<p>"), (302, ""), (500, "[1]")])

    def answer(request: httpx.Request) -> httpx.Response:
        status, text = next(answers)
        return httpx.Response(status, text=text, headers=page)

    client._http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://server")
    for said in ("no Remembrandt server", "answered 404", "answered 302"):
        with pytest.raises(Wrong, match=said) as fault:
            client.model()
        assert "\n" not in str(fault.value)
    with pytest.raises(RuntimeError, match="answered 500"):
        client.model()


def worked(server) -> None:
    with server.http() as http:
        for _ in range(300):
            waits = [j for j in http.get("/jobs").json()["jobs"] if j["state"] == "queued" and j["model"] == "birds"]
            if waits:
                server.work(waits[0]["id"])
                return
            time.sleep(0.1)
