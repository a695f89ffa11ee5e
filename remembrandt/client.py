"""The use cases over HTTP, by the names and fields of `Studio`; it needs no torch.

from remembrandt import Client

client = Client("http://localhost:8000", token)
lesson = client.finetune("photos/", category="dog")
picture = client.generate(f"a {lesson.identifier} dog on the beach", seed=1)[0]
"""

from __future__ import annotations

import io
import json
import os
import secrets
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from remembrandt.jobs import controls, varying
from remembrandt.jobs.given import missing, paths, pictures, zipped
from remembrandt.report import Event, Progress, silent
from remembrandt.settings import Missing, Wrong
from remembrandt.studio import Lesson, picture

Document = dict[str, Any]
FIELDS = (
    "name", "identifier", "method", "memory", "policy", "model", "base", "learning_rate", "seed", "webhook", "consent",
)  # fmt: skip


class Client:
    """A server's use cases for the user of `token`; without a URL that of REMEMBRANDT_URL, and _TOKEN."""

    def __init__(self, url: str | None = None, token: str | None = None, timeout: float = 600.0) -> None:
        url, token = url or os.environ.get("REMEMBRANDT_URL"), token or os.environ.get("REMEMBRANDT_TOKEN")
        if not url or not token:
            raise Wrong("Client takes the server's URL and a token: `remembrandt users add NAME` makes one")
        self._http = httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=timeout)

    def finetune(
        self, images, category: str, *, scope: str = "private_meta", steps: int | str | None = None, class_images=None,
        progress: Progress = silent, **options: Any,
    ) -> Lesson:  # fmt: skip
        """Teach one concept and wait for it; errors as `Studio.finetune`."""
        unknown = options.keys() - set(FIELDS)
        if unknown:
            raise Wrong(f"the server takes no {', '.join(sorted(unknown))}: it takes {', '.join(FIELDS)}")
        asked = {"category": category, "target_model": scope, "max_train_steps": steps, **options}
        data = {k: str(v) for k, v in _given(**asked).items()}
        with paths(images) as photos, paths(class_images) as beside:
            files = [("images", ("photos.zip", zipped(photos), "application/zip"))]
            if beside is not None:
                files.append(("class_images", ("class.zip", zipped(beside), "application/zip")))
            return self._lesson(self._create("/finetune", data=data, files=files), progress)

    def promote(self, concept: str, to: str, model: str | None = None, progress: Progress = silent) -> Lesson:
        """Teach a tested concept to another model, as it was taught."""
        how = {"params": _given(model=model), "json": {"to": to}}
        return self._lesson(self._create(f"/concepts/{concept}/promote", **how), progress)

    def generate(
        self, prompt: str, *, n: int = 1, size=None, image=None, mask=None, depth=None, control=(), control_span=None,
        **options: Any,
    ) -> list[Image.Image]:  # fmt: skip
        """Pictures (PIL) with `.recipe`; options and errors as `Studio.generate`."""
        with pictures(image=image, mask=mask, depth=depth) as given:
            kept = {k: v if v is None or missing(v) else self.upload(v)["id"] for k, v in given.items()}
        kept["control"] = controls.sent(control, control_span, self.upload) or None
        asked = _given(prompt=prompt, num_images=n, size=size and "{}x{}".format(*size), **kept, **options)
        rows = self._create("/generate", json=asked)["images"]
        return [picture(self._picture(row["url"]), _recipe(row)) for row in rows]

    def imagine(self, prompt: str, **options: Any) -> list[Image.Image]:
        """Pictures of a prompt through the server's own prior; options and errors as `Studio.imagine`."""
        return self.generate(prompt, task="imagine", **options)

    def variations(
        self, images, *, prompt: str = "", mix=(), edit: str | None = None, blend: str = "slerp", **options: Any
    ) -> list[Image.Image]:
        """Variations (PIL) of each picture; `mix`, `edit` and errors as `Studio.variations`."""
        with varying.given(images, mix, edit, blend) as seen:
            mixed, moved = [*map(self._mixed, seen[0]["mix"])], seen[0]["edit"]
            moved = moved and {"source": moved["from"], "target": moved["to"], "weight": moved["weight"]}
            asked = _given(task="variations", mix=mixed, edit=moved, blend=blend, **options)
            return [found for one in seen for found in self.generate(prompt, image=one["picture"], **asked)]

    def consolidate(
        self, model: str = "mine", to: str | None = None, *, progress: Progress = silent, **options: Any
    ) -> Document:
        """Distil all concepts of a gated model into one set of weights, and wait for it."""
        return self._wait(self._create(f"/models/{model}/consolidate", json=_given(to=to, **options)), progress)

    # -- what there is, publish or keep ------------------------------------------------------------

    def models(self) -> list[Document]:
        return self._all("models")

    def model(self, name: str = "mine") -> Document:
        return self._get(f"/models/{name}")

    def versions(self, name: str = "mine") -> list[Document]:
        return self._get(f"/models/{name}/versions")["versions"]

    def concepts(self, model: str | None = None) -> list[Document]:
        return self._all("concepts", model=model)

    def concept(self, which: str, model: str | None = None) -> Document:
        return self._get(f"/concepts/{which}", model=model)

    def samplers(self) -> list[Document]:
        return self._get("/samplers")["samplers"]

    def methods(self) -> list[Document]:
        return self._get("/methods")["methods"]

    def families(self) -> list[Document]:
        return self._get("/families")["families"]

    def plan(self, known: str, new: str, images: int, *, policy: str = "balanced") -> Document:
        return self._get("/plan", known=known, new=new, images=images, policy=policy)

    def prepare(self, images, size: int = 128) -> Document:
        """The crops that would be trained on, faults and hints."""
        with paths(images) as photos:
            files = [("images", ("photos.zip", zipped(photos), "application/zip"))]
            return self._create("/prepare", params={"size": size}, files=files)

    def rollback(self, name: str = "mine") -> Document:
        return self._create(f"/models/{name}/rollback")

    def pick(self, name: str = "mine", steps: int = 0, concept: str | None = None) -> Document:
        return self._create(f"/models/{name}/pick", json=_given(steps=steps, concept=concept))

    def forget(self, name: str, concept: str, progress: Progress = silent) -> Document:
        found = self._create(f"/models/{name}/forget", json={"concept": concept})
        return self._wait(found, progress) if "state" in found else found

    def rename_model(self, name: str, to: str) -> Document:
        return self._ask("PATCH", f"/models/{name}", json={"name": to})

    def delete_model(self, name: str) -> Document:
        return self._ask("DELETE", f"/models/{name}")

    def rename_concept(self, concept: str, name: str, model: str | None = None) -> Document:
        return self._ask("PATCH", f"/concepts/{concept}", params=_given(model=model), json={"name": name})

    def delete_concept(self, concept: str, model: str | None = None) -> Document:
        return self._ask("DELETE", f"/concepts/{concept}", params=_given(model=model))

    def retention(
        self, name: str = "mine", out: str | Path = "retention", *, full: bool = False, progress: Progress = silent
    ) -> Document:
        """What is left of every concept; the report's files lie in `out`."""
        return self._made(self._create(f"/models/{name}/retention", params={"full": full}), Path(out), progress)

    def export(
        self, name: str, to: str, out: str | Path, *, concept: str | None = None, rank: int | None = None,
        progress: Progress = silent,
    ) -> Document:  # fmt: skip
        """A concept or a model for other tools, in `out`."""
        asked = _given(to=to, concept=concept, rank=rank)
        return self._made(self._create(f"/models/{name}/export", json=asked), Path(out), progress)

    # -- jobs and files ----------------------------------------------------------------------------

    def jobs(self) -> list[Document]:
        """Every job, oldest first."""
        return self._all("jobs")[::-1]

    def job(self, key: str) -> Document:
        return self._get(f"/jobs/{key}")

    def cancel(self, key: str) -> Document:
        return self._ask("POST", f"/jobs/{key}/cancel")

    def upload(self, file: str | Path) -> Document:
        """Keep a file on the server: `{id, ...}`."""
        if not Path(file).is_file():
            raise Wrong(f"there is no file {file}")
        with open(file, "rb") as opened:
            return self._create("/uploads", files={"file": (Path(file).name, opened)})

    def _mixed(self, each: Document) -> Document:
        what = {"text": each["text"]} if "text" in each else {"image": self.upload(each["picture"])["id"]}
        return {**what, "weight": each["weight"]}

    def _wait(self, job: Document, progress: Progress) -> Document:
        """The result of a job, told on the way; a lost connection is taken up where it was."""
        last = "0"
        while True:
            with suppress(httpx.TransportError):
                for kind, key, told in self._events(job["id"], last):
                    last = key or last
                    if kind == "job":
                        return _result(told)
                    if kind == "progress":
                        stage, step, total = told.get("stage") or "", told.get("step") or 0, told.get("total") or 1
                        progress(Event(stage, step, total, told.get("loss"), None, told.get("message")))
            self.job(job["id"])  # if the server is there, the stream goes on

    def _events(self, key: str, last: str):
        headers = {"last-event-id": last}
        with self._http.stream("GET", f"/jobs/{key}/events", headers=headers, timeout=60) as answer:
            _raise(answer)
            event: dict[str, str] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if line:
                    event[name] = value
                elif event.get("data"):
                    yield event.get("event"), event.get("id"), json.loads(event["data"])
                    event = {}

    def _lesson(self, job: Document, progress: Progress) -> Lesson:
        return Lesson(**self._wait(job, progress))

    def _made(self, job: Document, out: Path, progress: Progress) -> Document:
        found = self._wait(job, progress)
        out.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(io.BytesIO(self._send("GET", f"/jobs/{job['id']}/files").content)) as archive:
            archive.extractall(out)
        return found

    def _picture(self, url: str) -> Image.Image:
        return Image.open(io.BytesIO(self._send("GET", url).content)).convert("RGB")

    def _all(self, name: str, **params: Any) -> list[Document]:
        """Every page of a list."""
        rows, before = [], None
        while True:
            found = self._get(f"/{name}", before=before, limit=200, **params)
            rows += found[name]
            if not (before := found.get("next")):
                return rows

    def _get(self, path: str, **params: Any) -> Document:
        return self._ask("GET", path, params=_given(**params))

    def _create(self, path: str, **how: Any) -> Document:
        """Once, however often the line breaks."""
        return self._ask("POST", path, headers={"idempotency-key": secrets.token_urlsafe(16)}, **how)

    def _ask(self, method: str, path: str, **how: Any) -> Document:
        answer = self._send(method, path, **how)
        try:
            return answer.json()
        except ValueError:
            raise Wrong(f"{self._http.base_url} is no Remembrandt server: its answer is no JSON") from None

    def _send(self, method: str, path: str, **how: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **how)
        except (httpx.TransportError, httpx.InvalidURL) as fault:
            said = " ".join(str(fault).split()) or type(fault).__name__
            raise Wrong(f"no server answers at {self._http.base_url} ({said}): is it running?") from None
        _raise(answer)
        return answer


def _raise(answer: httpx.Response) -> None:
    if answer.status_code < 300:
        return
    try:
        answer.read()  # of a stream nothing has been read
        said = answer.json().get("detail", answer.text)
    except (ValueError, AttributeError):
        said = f"{answer.url.netloc.decode()} answered {answer.status_code}: {answer.text[:300]}"
    kind = Missing if answer.status_code == 404 else Wrong if answer.status_code < 500 else RuntimeError
    raise kind(f"{said}")


def _result(job: Document) -> Document:
    """What a job came to; a lesson that ran and was refused has a result as well."""
    if job.get("result"):
        return job["result"]
    raise Wrong(job.get("error") or f"the job is {job['state']}")


def _given(**options: Any) -> dict[str, Any]:
    return {k: v for k, v in options.items() if v is not None}


def _recipe(row: Mapping[str, Any]) -> Document:
    return {k: v for k, v in row.items() if k not in ("id", "url", "format")}
