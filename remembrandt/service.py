"""The use cases: everything that the command line, Python and HTTP can ask for.

A use case checks all it can before it writes anything: what the user gave wrong leaves nothing
behind. torch is imported by the use cases that compute, never by those that list what a home holds.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remembrandt import report
from remembrandt.jobs import adding, controls, imagining, keeping, painters, telling, varying, wishes
from remembrandt.jobs.entering import Ticket
from remembrandt.jobs.files import Files, Home
from remembrandt.jobs.given import paths, pictures
from remembrandt.jobs.painters import MINE, POCKET, PRETRAINED, VARIATIONS
from remembrandt.jobs.process import alive
from remembrandt.jobs.runner import Runner
from remembrandt.report import Progress, silent, write_atomic
from remembrandt.settings import Denied, Missing, Settings, Wrong, nearest
from remembrandt.store.rows import Concept, Job, Model
from remembrandt.store.store import FILE, Store

if TYPE_CHECKING:
    from remembrandt.engine.engine import Painted
    from remembrandt.family.family import Family
    from remembrandt.jobs.worker import Worker

FORMATS = ("png", "jpg", "webp")
GRIDS = ("prompt", "negative", "sampler", "steps", "guidance", "seed", "size", "strength")
Document = dict[str, Any]


@dataclass(frozen=True)
class Service:
    """The use cases on one home. Loaded families are kept for the next request."""

    settings: Settings
    owner: str = ""  # the local user
    queued: Ticket | None = None  # None: long work is done here and now
    _loaded: dict[tuple, Any] = field(default_factory=dict, repr=False)

    def of(self, owner: str) -> Service:
        """The same home for another user, who sees their own things and the models that are everyone's."""
        return replace(self, owner=owner)

    def later(self, ticket: Ticket) -> Service:
        """Long use cases wait for a worker there: what they answer is their job."""
        return replace(self, queued=ticket)

    def worker(self, **how) -> Worker:
        """What runs waiting jobs, of all users."""
        from remembrandt.jobs.worker import Worker

        return Worker(self.of("")._store(create=True), self.settings, self._load, **how)

    # -- teaching ----------------------------------------------------------------------------------

    def prepare(self, images, out: str | Path = "prepared", size: int | None = None) -> Document:
        """The squares that would be trained on, and a contact sheet with every crop drawn.

        Without a `size` they are as large as the model `mine` paints.
        """
        from remembrandt.training import photos

        place = Path(out).expanduser().absolute()
        _writable(place)
        with paths(images) as given:
            found = photos.inspect(given, 128 if size is None else size)
            if found.faults:
                raise Wrong(f"these photos cannot be used: {'; '.join(found.faults)}")
            if size is None:
                standing = self._standing(None)
                found = photos.inspect(given, size := self._family(standing).record.size)
        written = photos.write(found, place)
        rows = zip(written["squares"], found.names, found.boxes, strict=True)
        return {
            "size": size,
            "images": [{"path": str(p), "photo": n, "crop": list(b)} for p, n, b in rows],
            "sheet": str(written["sheet"]),
            "hints": found.hints,
        }

    def finetune(
        self,
        images,
        category: str,
        *,
        name: str | None = None,
        model: str | None = None,
        base: str | None = None,
        scope: str | None = None,
        memory: str | None = None,
        method: str | None = None,
        identifier: str | None = None,
        steps: int | str | None = None,
        learning_rate: float | str | None = None,
        class_images=None,
        instance_prompt: str | None = None,
        class_prompt: str | None = None,
        num_class_images: int | None = None,
        policy: str | None = None,
        margin: float = 0.1,
        captioner: str | None = None,
        mask_dir: str | Path | None = None,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        progress: Progress = silent,
    ) -> Document:
        """Teach one concept and publish it.

        `images` is a folder, or a list of paths, PIL pictures, arrays or tensors. What is not given comes from the
        family's record and the method's defaults, an "auto" learning rate too; "auto" steps are told by the ladder.
        The result's `retention["published"]` says whether the model has it.
        """
        asked = {"steps": steps, "learning_rate": learning_rate, "num_class_images": num_class_images}
        values = {k: v for k, v in asked.items() if v not in (None, "auto")}
        with paths(images) as photos, paths(class_images) as beside:
            from remembrandt.jobs import orders

            wish = orders.Wish(
                photos, category, name, model, base, scope, memory, method, identifier, beside,
                instance_prompt,
                class_prompt,
                seed,
                {**(options or {}), **values},
                policy,
                margin,
                captioner,
                mask_dir,
                ladder=steps == "auto",
            )
            return self._taught(wish, progress)

    def consolidate(
        self,
        model: str = MINE,
        to: str | None = None,
        *,
        margin: float = 0.1,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        progress: Progress = silent,
    ) -> Document:
        """Distil all concepts of a gated model into one set of weights: the model `to`, or its next version.

        Published only if no concept, no pair of them and not the base lost more than `margin` for sure:
        `retention["published"]` says so.
        """
        from remembrandt.jobs import consolidating

        asked = {"values": options or {}, "seed": seed, "margin": margin}
        made = consolidating.order(self._store(), self._family, self.settings.home, model, to, **asked)
        from remembrandt.jobs import entering, permissions

        permissions.teach(store := self._store(create=True), made[0], self.settings)
        files = Files(self._home, entering.key(self.queued), self._load)
        return self._do(entering.making(*made, store, files, self.queued), progress)

    # -- painting ----------------------------------------------------------------------------------

    def train(
        self,
        family: str,
        recipe: str,
        data: str | Path,
        *,
        out: str | Path | None = None,
        name: str | None = None,
        preset: str | None = None,
        stage: int | None = None,
        gpus: int = 1,
        batch: int | None = None,
        dedup: bool = False,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        dry_run: bool = False,
        progress: Progress = silent,
    ) -> Document:
        """Train a family by a recipe on many pictures; the model lies in the folder `out`, named as the recipe.
        What `controlnet` trains has a `name` instead, by which it is painted with."""
        from remembrandt.jobs import training

        more = {"preset": preset, "stage": stage, "processes": gpus, "batch": batch, "dedup": dedup, "seed": seed}
        course = training.asked(recipe, data, out, name, self._home, options=options, **more)
        source = self._store().families().get(family, POCKET if family == PRETRAINED else family)
        return training.run(self.settings, source, course, dry_run, progress)

    def recipes(self) -> list[Document]:
        """Every recipe with its presets and options."""
        from remembrandt.training import recipes

        return recipes.describe()

    def generate(
        self, prompt: str, *, out: str | Path | None = None, format: str = "png", **asked
    ) -> Document:
        """Paint and save: `{images: [{path, seed, model, version, prompt, ...}]}`, and the `sheet` of a grid."""
        return self._saved(lambda: self.paint(prompt, **asked), out, format, asked.get("grid"), prompt)

    def variations(self, images, *, out: str | Path | None = None, format: str = "png", **asked) -> Document:
        """Vary pictures and save: as `generate`."""
        return self._saved(lambda: self.vary(images, **asked), out, format, asked.get("grid"), asked.get("prompt", ""))

    def _saved(self, paint: Callable[[], list[Painted]], out, format: str, grid, title: str) -> Document:
        if format not in FORMATS:
            hint = nearest(format, FORMATS)
            raise Wrong(f"there is no format {format!r}.{hint} Formats: {', '.join(FORMATS)}")
        place = Path(out).expanduser().absolute() if out else self._home.pictures
        _writable(place)
        painted = paint()
        from remembrandt.jobs import work

        images = [work.keep(p, place, format) for p in painted]
        kept = [image["path"] for image in images if image["path"]]
        if not grid or not kept:
            return {"images": images}
        mark = Path(kept[0]).stem.rsplit("-", 1)[1]
        drawn = report.grid(grid, [p.pixels for p in painted], title)
        drawn.save(place / f"grid-{mark}.png")
        return {"images": images, "sheet": str(place / f"grid-{mark}.png")}

    def paint(
        self,
        prompt: str,
        *,
        n: int = 1,
        model: str | None = None,
        sampler: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        negative: str = "",
        seed: int | None = None,
        size: tuple[int, int] | None = None,
        strength_of: Mapping[str, float] | None = None,
        image=None,
        mask=None,
        expand: tuple[int, int, int, int] | None = None,
        depth=None,
        upscale: bool = False,
        level: int | None = None,
        control: Sequence[Any] = (),
        control_span: Mapping[str, Sequence[float]] | None = None,
        strength: float | None = None,
        grid: Mapping[str, Sequence[Any]] | None = None,
        safety: str | None = None,
        sees: Sequence[Document] = (),
        imagines: Mapping[str, Any] | None = None,
        progress: Progress = silent,
    ) -> list[Painted]:
        """`n` pictures with their recipes; without a seed, from one that is drawn and told.

        An `image` (path, PIL, array or tensor) is painted over as far as `strength` says; with a `mask`, white where it
        is painted anew, the rest of it stays; with `expand` it is continued by so many pixels on each side. `depth`
        (white is near; "auto", or the folder of an estimator) is its shape. `control` are texts NAME=FILE[:WEIGHT], or
        mappings of `name`, `image`, `hint` (true where the image is the hint), `weight`, `start` and `end`; hints come
        back with the pictures. A `grid` of one or two of these options and
        their values is painted in one batch, the second option's values side by side.
        `safety` says what becomes of pictures in which the family's checker, if it brings one, sees something: `blur`,
        `withhold` (a card in its place), `report` (the default) or `off`.
        `upscale`: four times as large, from an `image` as it is, or what is painted; `level` of noise.
        `sees` are what `vary` makes of its inputs, each painted `n` times; `imagines` what `imagine` adds.
        """
        if grid and len(sees) > 1:
            raise Wrong("a grid is of one picture: give one")
        wish = {
            "n": n, "sampler": sampler, "steps": steps, "guidance": guidance, "negative": negative, "seed": seed,
            "size": size, "strength_of": strength_of, "expand": expand, "depth": depth, "upscale": upscale,
            "level": level, "strength": strength, "safety": safety,
        }  # fmt: skip
        from remembrandt.jobs import upscaling

        with controls.given(control, control_span) as steers, pictures(image=image, mask=mask, depth=depth) as given:
            wish["controls"] = steers
            request = wishes.picture(self._store(), self.settings, prompt, model, wish)
            cells = [{**request, **given, **values} for values in _crossed(grid or {}, n)]
            requests = [{**cell, "sees": each} for each in sees for cell in cells] or cells
            requests = imagining.asked(requests, **imagines) if imagines is not None else requests
            painted = upscaling.paint(requests, Files(self._home, "", self._load), progress)
        return [p for pictures in painted for p in pictures]

    def vary(
        self,
        images,
        *,
        mix: Sequence[Any] = (),
        edit: str | None = None,
        blend: str = varying.BLENDS[0],
        prompt: str = "",
        model: str | None = None,
        **asked,
    ) -> list[Painted]:
        """`n` variations of each of the `images`: paths, PIL, arrays, or tensors as the model's preprocessing gives.

        `mix` holds pictures and texts that are mixed into each, alone or with a weight (the picture itself weighs 1),
        by `blend`: slerp or sum. `edit`, "FROM->TO:WEIGHT", moves it from one text to another; `prompt` is mixed too.
        Everything else as `paint`; the model is the embedded `variations`, unless another is named.
        """
        with varying.given(images, mix, edit, blend) as sees:
            return self.paint(prompt, model=model or VARIATIONS, sees=sees, **asked)

    def imagine(self, prompt: str, *, out: str | Path | None = None, format: str = "png", **asked) -> Document:
        """Imagine and save: as `generate`."""
        return self._saved(lambda: self.dream(prompt, **asked), out, format, asked.get("grid"), prompt)

    def dream(self, prompt: str, *, prior=None, candidates=None, model: str | None = None, **asked) -> list[Painted]:
        """The prompt through a prior (a folder; the embedded one) to what a model of kind `variations` is steered by.

        Of so many `candidates` each picture takes the one nearest to the prompt. Everything else as `paint`.
        """
        told = {"prior": prior, "candidates": candidates}
        return self.paint(prompt, model=model or VARIATIONS, imagines=told, **asked)

    def compare(
        self,
        a: str,
        b: str,
        inputs,
        out: str | Path = "compare",
        *,
        known: str | Path | None = None,
        n: int = 2,
        prompt: str = "",
        seed: int = 0,
        progress: Progress = silent,
        **asked,
    ) -> Document:
        """Two models on the same pictures: `compare.png`, and `compare.json` (the answer) in `out`.

        `inputs` are pictures and folders of them. A model of kind `variations` varies each, any other paints it over
        under the `prompt`. `known` is a folder of pictures that a model may have learned by heart. Everything else as
        `paint`.
        """
        from remembrandt.jobs import comparing

        place = Path(out).expanduser().absolute()
        _writable(place)
        for model in (a, b):  # a wrong name is told before anything is painted
            self._standing(model)

        def family(model: str) -> Family:
            return self._family(self._standing(model))

        def paint(model: str, picture: Path) -> list[Painted]:
            how = {**asked, "model": model, "n": n, "seed": seed, "progress": progress}
            if family(model).kind != VARIATIONS:
                return self.paint(prompt, image=picture, **how)
            return self.vary(picture, **{k: v for k, v in how.items() if k != "strength"})

        pictures, learned = comparing.given(inputs), known and comparing.given(known)
        return comparing.compare((a, b), pictures, paint, lambda: map(family, (a, b)), place, learned or None)

    # -- what a home holds -------------------------------------------------------------------------

    def models(self) -> list[Document]:
        """The base itself, then what was taught, then imported LoRAs."""
        return telling.models(self._store(), self._home)

    def model(self, name: str = MINE) -> Document:
        """Everything about one model."""
        store = self._store()
        held = store.model(name)
        fresh = name == PRETRAINED or (name == MINE and not (held and held.version))
        return telling.model(store, None if fresh else painters.taught(store, name), name)

    def concepts(self, model: str | None = None) -> list[Document]:
        """The concepts of a model, or of all of them."""
        if model is not None:
            return self.model(model)["concepts"]
        store = self._store()
        return [telling.concept(c, m) for m in store.models() for c in store.concepts(m)]

    def concept(self, which: str, model: str | None = None) -> Document:
        """One concept, by identifier, name or id."""
        known, word = self.concepts(model), which.lower()
        found = [c for c in known if word in (c["identifier"], c["name"], c["id"])]
        if not found:
            hint = nearest(which, [w for c in known for w in (c["identifier"], c["name"]) if w])
            raise Missing(f"there is no concept {which!r}.{hint} `concepts list` names them")
        if len(found) > 1:
            where = ", ".join(c["model"] for c in found)
            raise Wrong(f"several models know {which!r}: say which with --model ({where})")
        return found[0]

    def plan(
        self, known: str, new: str, images: int, *, policy: str | None = None, out: str | Path | None = None
    ) -> Document:
        """What a replay lesson on `new` would train beside the photos: `{class, concepts, total}`, and its pie."""
        from remembrandt.memory import policies

        if not 0 <= images <= 1_000_000:
            raise Wrong(f"images must be from 0 to 1000000, not {images}")
        chosen, new = policy or next(iter(policies.POLICIES)), " ".join(new.lower().split())
        if not new:
            raise Wrong("--new takes the category of what is taught next, for example dog")
        split = policies.policy(chosen)(policies.read(known), new, images)
        found = {"policy": chosen, "class": split.classes, "concepts": split.concepts, "total": split.total}
        if out is None:
            return found
        place = Path(out).expanduser().absolute()
        _writable(place)
        place.mkdir(parents=True, exist_ok=True)
        parts = [(f"class {category}", n) for category, n in split.classes.items()]
        title = f"Another {new}: {split.total} images to remember by ({chosen})"
        report.pie([*parts, *split.concepts.items()], title).save(place / "plan.png")
        return {**found, "pie": str(place / "plan.png")}

    def retention(
        self, name: str = MINE, out: str | Path = "retention", *, full: bool = False, progress: Progress = silent
    ) -> Document:
        """What is left of every concept: `report.html`, `report.json` (the answer) and `retention.png` in `out`."""
        painters.taught(self._store(), name)
        where = {"device": self.settings.device, "precision": self.settings.precision}
        if self.queued:
            return self._wait("evaluate", {"model": name, "full": full, **where})
        place = Path(out).expanduser().absolute()
        _writable(place)
        from remembrandt.jobs import reporting

        files = Files(self._home, "", self._load)
        return reporting.report(self._store(), files, name, place, where, full=full, progress=progress)

    # -- publish or keep: each answers with a receipt -------------------------------------------------

    def versions(self, name: str = MINE) -> list[Document]:
        """The versions of a model, oldest first."""
        return keeping.versions(self._store(), self._home, name)

    def pick(self, name: str = MINE, steps: int = 0, concept: str | None = None) -> Document:
        """Publish another rung of a lesson's ladder without training again; of the newest lesson, or of `concept`'s."""
        store = self._store()

        def judge(key: str, weights: Path) -> Document:
            from remembrandt.jobs import replay

            job = store.job(key)
            assert job is not None
            return replay.judge(job.request, Files(self._home, key, self._load), weights)

        return keeping.pick(store, self._home, name, steps, concept, judge)

    def rollback(self, name: str = MINE) -> Document:
        """One version back; nothing is thrown away before `clean`."""
        return keeping.rollback(self._store(), name)

    def forget(self, name: str, concept: str, progress: Progress = silent) -> Document:
        """Take a concept out of a model; `rollback` brings it back until `clean`.

        Where weights are shared (memory `replay`) the others are taught anew; called again, it goes on.
        """
        store = self._store()
        held = painters.taught(store, name)
        if held.memory != "replay" or held.scope == "private":
            return keeping.forget(store, self._home, name, concept)
        from remembrandt.jobs import rebuilding

        row, runner = keeping.find(store, held, concept), self._runner()
        if self.queued:
            if held.owner != self.owner:
                raise Denied(f"{held.name} is everyone's: only the home's own user changes what it was")
            where = {"device": self.settings.device, "precision": self.settings.precision}
            return self._wait("forget", {"model": held.name, "concept": row.id, **where})
        teach = lambda wish: self._taught(wish, progress)  # noqa: E731
        return rebuilding.forget(store, self._home, held, row, teach, lambda key: runner.run(key, progress))

    def promote(self, concept: str, to: str, model: str | None = None, progress: Progress = silent) -> Document:
        """Teach `to` what was tested in another model: the same photos, prompts and parameters; as `finetune`."""
        from remembrandt.jobs import promoting

        held, row = self._row(concept, model)
        return self._taught(promoting.again(row, held, to, self._store(), self._home), progress)

    def rename_model(self, name: str, to: str) -> Document:
        """Another name for a model."""
        return keeping.rename(self._store(), name, to)

    def delete_model(self, name: str) -> Document:
        """A model with all it was taught, or an imported LoRA, for good."""
        return keeping.delete(self._store(), self._home, name)

    def rename_concept(self, concept: str, name: str, model: str | None = None) -> Document:
        """Another name that calls a concept up."""
        from remembrandt.memory import identifiers

        held, row = self._row(concept, model)
        tokenizer = self._family(self._standing(held.name)).tokenizer
        return keeping.call(self._store(), held, row, lambda taken: identifiers.check_name(name, tokenizer, taken))

    def delete_concept(self, concept: str, model: str | None = None) -> Document:
        """A concept, its adapter and its photos, out of every version and for good."""
        held, row = self._row(concept, model)
        return keeping.erase(self._store(), self._home, held, row)

    def clean(self) -> Document:
        """Free what nothing needs: versions that `rollback` cannot reach, and what only they held."""
        if not (self.settings.home / FILE).is_file():
            raise Wrong(f"there is no home {self.settings.home}: nothing to clean")
        return keeping.clean(self._store(), self._home)

    # -- jobs --------------------------------------------------------------------------------------

    def jobs(self, everyone: bool = False) -> list[Document]:
        """Every job, oldest first; the home's own user may ask for everyone's, with whose each is."""
        store = self._store()
        return telling.everyones_jobs(store) if everyone else telling.jobs(store, store.jobs())

    def job(self, key: str) -> Document:
        """One job, with its request, its result and the paths of its previews."""
        found = self._job(key)
        previews = sorted((self._home.job(key) / "previews").glob("*.png"))
        more = {"request": found.request, "result": found.result, "attempt": found.attempt}
        return {**telling.job(found, self._store()), **more, "previews": [str(p) for p in previews]}

    def resume(self, key: str, progress: Progress = silent) -> Document:
        """Finish an interrupted or failed job in the foreground; its result."""
        self._job(key)
        return self._runner().run(key, progress)

    def cancel(self, key: str) -> Document:
        """Give up a job that waits, or that a worker runs; its files go."""
        self._job(key)
        cancelled = (store := self._store(create=True)).cancel(key, alive)
        if cancelled.state == "canceled":  # else its worker tidies up
            shutil.rmtree(self._home.job(key), ignore_errors=True)
        return telling.job(cancelled, store)

    # -- users -------------------------------------------------------------------------------------

    def users(self) -> list[Document]:
        """Who may use a server on this home; the first is its own user."""
        from remembrandt.store import users

        rows = users.users(self._store())
        shown = ("scopes", "quota", "consent", "created", "id")
        return [{"user": u.name, **{k: getattr(u, k) for k in shown}} for u in rows]

    def add_user(self, name: str, scopes: Sequence[str] | None = None, quota: int | None = None) -> Document:
        """A new user: `{user, token, id}`; the token is told this once."""
        from remembrandt.store import users
        from remembrandt.store.rows import SCOPES

        users.checked(name, asked := tuple(scopes or SCOPES), quota)  # before there is a home
        made, token = users.add(self._store(create=True), name, asked, quota)
        return {"user": made.name, "token": token, "id": made.id}

    def add_token(self, name: str) -> Document:
        """Another token of a user."""
        from remembrandt.store import users

        return {"user": name, "token": users.token(self._store(), name)}

    def set_quota(self, user: str, quota: int | None) -> Document:
        """How many bytes a user may keep; None: as many as the settings say."""
        from remembrandt.store import users

        users.set_quota(self._store(), user, quota)
        return {"user": user, "quota": quota or self.settings.quota}

    def audit(self, model: str | None = None) -> list[Document]:
        """What was done to shared models and users' data, oldest first; a server's user sees what they did."""
        return telling.audit(self._store(), model)

    def revoke(self, what: str) -> Document:
        """A token, or all tokens of a user, from now on."""
        from remembrandt.store import users

        return {"revoked": users.revoke(self._store(), what)}

    def leave(self, user: str) -> Document:
        """A user goes, with photos, adapters and pictures; shared weights are rebuilt by jobs. The receipt."""
        from remembrandt.jobs import leaving

        where = {"device": self.settings.device, "precision": self.settings.precision}
        return leaving.leave(self.of("")._store(), self._home, user, where)

    # -- tables ------------------------------------------------------------------------------------

    def samplers(self) -> list[Document]:
        """The samplers: `{name, label, order, calls_per_step, steps, stochastic, advice}`."""
        return telling.samplers()

    def convergence(
        self,
        samplers: Sequence[str] | None = None,
        model: str | None = None,
        *,
        out: str | Path | None = None,
        progress: Progress = silent,
    ) -> Document:
        """Error over model calls: `{bench, samplers: [{name, order, converges, points}], recommendation, plot}`."""
        from remembrandt.diffusion.samplers import SAMPLERS
        from remembrandt.evaluation.convergence import measure
        from remembrandt.jobs import work

        names = list(dict.fromkeys(samplers or SAMPLERS))
        for name in names:
            if name not in SAMPLERS:
                raise Wrong(f"there is no sampler {name!r}.{nearest(name, SAMPLERS)} There are: {', '.join(SAMPLERS)}")
        place = out and Path(out).expanduser().absolute()
        if place:
            _writable(place)
        family = None
        if model is not None:
            where = {"device": self.settings.device, "precision": self.settings.precision}
            asked = {**painters.painter(self._store(), model), **where}
            family = painters.text_to_image(work.based(asked, Files(self._home, "", self._load)))
        found = measure(names, family, progress)
        if not place:
            return found
        curves = [(row["name"], [(p["calls"], p["error"]) for p in row["points"]]) for row in found["samplers"]]
        drawn = report.plot(curves, f"Error over model calls: {found['bench']}", ("model calls", "error"))
        place.mkdir(parents=True, exist_ok=True)
        drawn.save(place / "convergence.png")
        write_atomic(place / "convergence.json", json.dumps(found, indent=1))
        return {**found, "plot": str(place / "convergence.png")}

    def methods(self) -> list[Document]:
        """The methods and their options: `{name, about, memories, options}`."""
        from remembrandt.training import methods

        return methods.describe()

    def families(self) -> list[Document]:
        """What a model can stand on: `{name, source}`."""
        own = [{"name": POCKET, "source": "embedded"}]
        added = self._store().families().items()
        return own + [{"name": name, "source": source} for name, source in added]

    def add_family(self, name: str, source: str) -> Document:
        """Give a folder, file or hub id a name for `--base`, or a folder of a control one for `--control`; it is looked
        at once, as a check."""
        return adding.add(name, source, self._family, lambda: self._store(create=True))

    def pull_family(self, name: str) -> Document:
        """Bring a family, a control or an estimator from the hub into its cache: what alone needs the network."""
        return adding.pull(name)

    # -- export, demo ------------------------------------------------------------------------------

    def export(
        self,
        name: str,
        to: str,
        out: str | Path,
        *,
        concept: str | None = None,
        rank: int | None = None,
    ) -> Document:
        """A concept of a model for other tools; its only one need not be named.

        `to` is `diffusers` or `single-file` (merged into plain weights, where it acts on every prompt), `lora` (of at
        most `rank`, with its identifier's embedding in a second file) or `embedding`.
        """
        from remembrandt.jobs import exporting

        exporting.check(to, rank)
        if self.queued:
            painters.painter(self._store(), name)
            return self._wait("export", {"model": name, "to": to, "concept": concept, "rank": rank})
        target = Path(out).expanduser().absolute()
        _writable(target)
        if target.exists() and any(target.iterdir()):
            raise Wrong(f"{target} is there already: give -o a folder that is new or empty")
        return exporting.write(self._store(), self._home, name, to, target, concept, rank)

    def import_lora(self, file: str | Path, *, name: str | None = None, model: str | None = None) -> Document:
        """Keep a LoRA of diffusers, peft or kohya, which prompts call as `<lora:name:0.8>`.

        It is checked against the base of `model`, and may be called with any model of the same shapes.
        """
        from remembrandt.memory import imports

        family = self._family(self._standing(model))
        return imports.lora(Path(file).expanduser(), family, self._home.loras, name)

    def demo(self, out: str | Path = "demo", progress: Progress = silent) -> Document:
        """Teach the embedded painter two things and draw what it learned and did not forget."""
        from remembrandt.pocket import demo

        place = Path(out).expanduser().absolute()
        _writable(place)
        shutil.rmtree(place / "home", ignore_errors=True)
        player = Service(replace(self.settings, home=place / "home"))
        return demo.run(player, place, progress)  # type: ignore[arg-type]

    # -- within ------------------------------------------------------------------------------------

    @property
    def _home(self) -> Home:
        return Home(self.settings.home)

    def _store(self, *, create: bool = False) -> Store:
        return Store(self.settings.home, create=create).of(self.owner)

    def _runner(self) -> Runner:
        return Runner(self._store(create=True), self._home, self._load)

    def _family(self, source: str | Path) -> Family:
        return self._load(source, self.settings.device, self.settings.precision)

    def _load(
        self, source: str | Path, device: str | None, precision: str | None, *, own: bool = False
    ) -> Family:
        """The family, loaded once for as long as no other is asked for; `own` is the caller's."""
        from remembrandt.family.load import load

        asked = (str(source), device, precision)
        if asked in self._loaded and not own:
            return self._loaded[asked]
        self._loaded.clear()
        family = load(source, device=device, precision=precision)
        if not own:
            found = (str(source), str(family.device), family.precision)
            self._loaded.update({asked: family, found: family})
        return family

    def _taught(self, wish, progress: Progress) -> Document:
        """Check a wish, queue its lesson and run it."""
        from remembrandt.jobs import orders

        order = orders.lesson(wish, self._store(), self._family, self.settings.home, self.settings.photo_days)
        return self._do(self._enter(order), progress)

    def _enter(self, order) -> str:
        from remembrandt.jobs import entering, permissions

        permissions.teach(store := self._store(create=True), order.model, self.settings)
        files = Files(self._home, entering.key(self.queued), self._load)
        key = entering.lesson(order, store, files, self.queued)
        permissions.consent(store)
        return key

    def _wait(self, kind: str, request: Document) -> Document:
        """Queue what teaches nothing; its job."""
        assert self.queued is not None
        store, how = self._store(create=True), self.queued
        known = store.job(how.key) if how.key else None
        return telling.job(known or store.queue(kind, request, how.priority, how.key, how.webhook), store)

    def _do(self, key: str, progress: Progress) -> Document:
        """The result of a job, or where it waits for a worker, the job."""
        return self.job(key) if self.queued else self._runner().run(key, progress)

    def _row(self, concept: str, model: str | None) -> tuple[Model, Concept]:
        told, store = self.concept(concept, model), self._store()
        held = painters.taught(store, told["model"])
        return held, keeping.find(store, held, told["id"])

    def _standing(self, model: str | None) -> str | Path:
        from remembrandt.jobs import work

        return work.standing(painters.painter(self._store(), model), self._home)

    def _job(self, key: str) -> Job:
        found = self._store().job(key)
        if found is None:
            raise Missing(f"there is no job {key!r}: `jobs list` names them")
        return found


def _crossed(grid: Mapping[str, Sequence[Any]], n: int) -> list[Document]:
    """The values of every cell, row by row; one empty cell without a grid."""
    for name in grid:
        if name not in GRIDS:
            raise Wrong(f"there is no grid over {name!r}.{nearest(name, GRIDS)} Grids: {', '.join(GRIDS)}")
    cells = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if len(grid) > 2 or not 0 < len(cells) <= 256 or (grid and n != 1):
        raise Wrong("a grid is of one or two options, of 1 to 256 cells, and of one picture a cell (-n 1)")
    return cells


def _writable(place: Path) -> None:
    """`Wrong` if nothing can be written there; makes nothing."""
    standing = next(p for p in (place, *place.parents) if p.exists())
    if not standing.is_dir():
        raise Wrong(f"{standing} is a file: give a folder to write to")
    if not os.access(standing, os.W_OK):
        raise Wrong(f"{standing} cannot be written to: give another folder")
