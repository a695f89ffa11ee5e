"""For who looks after the server: whether it lives, whether it is ready, and its figures for Prometheus."""

from __future__ import annotations

import time
from collections import Counter as Count

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector

from remembrandt.api.desk import Desk
from remembrandt.jobs.worker import Worker
from remembrandt.store import lanes

router = APIRouter(tags=["operations"])
STUCK = 600.0  # seconds without a step, while somebody waits


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """It answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(request: Request) -> Response:
    """It paints and remembers: 503 says which part does not."""
    desk: Desk = request.app.state.desk
    painter, worker = desk.gallery.painter, request.app.state.worker
    parts = {"painter": painter.alive, "gallery": desk.gallery.alive, "worker": worker is None or worker.alive}
    parts["webhooks"] = request.app.state.hooks.alive
    parts["painting"] = not painter.waiting() or time.monotonic() - painter.last < STUCK
    try:
        desk.store.job("none")
        parts["store"] = True
    except Exception:  # whatever a broken database raises
        parts["store"] = False
    ready = all(parts.values())
    return JSONResponse({"status": "ready" if ready else "not ready", **parts}, 200 if ready else 503)


@router.get("/metrics", responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request) -> Response:
    """In Prometheus' text format; it tells no names."""
    return Response(generate_latest(request.app.state.metrics.registry), media_type="text/plain; version=0.0.4")


class Metrics:
    """The figures of one server; middleware that counts its answers."""

    def __init__(self, desk: Desk, worker: Worker | None = None) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_State(desk, worker))
        self.answers = Counter("remembrandt_answers", "HTTP answers", ["method", "status"], registry=self.registry)
        self.seconds = Histogram("remembrandt_answer_seconds", "Until an answer begins", registry=self.registry)

    def around(self, app):
        async def counted(scope, receive, send):
            began = time.monotonic()

            async def telling(message):
                if message["type"] == "http.response.start":
                    self.answers.labels(scope["method"], message["status"]).inc()
                    self.seconds.observe(time.monotonic() - began)
                await send(message)

            await app(scope, receive, telling if scope["type"] == "http" else send)

        return counted


class _State(Collector):
    """What the parts say when they are asked."""

    def __init__(self, desk: Desk, worker: Worker | None) -> None:
        self._desk, self._worker = desk, worker

    def collect(self):
        painter, shelf = self._desk.gallery.painter, self._desk.gallery.painter.shelf
        jobs = GaugeMetricFamily("remembrandt_jobs", "Jobs that have not ended", labels=["kind", "state"])
        for (kind, state), n in sorted(Count(lanes.unfinished(self._desk.store)).items()):
            jobs.add_metric([kind, state], n)
        yield jobs
        gauges = {
            "rows": ("Rows of the last step", painter.rows),
            "waiting": ("Requests that wait for the painter", painter.waiting()),
            "adapter_bytes": ("Bytes of adapters in memory", shelf.bytes),
            "adapters": ("Adapters in memory", len(shelf)),
        }
        for name, (about, value) in gauges.items():
            yield GaugeMetricFamily(f"remembrandt_painter_{name}", about, value)
        yield CounterMetricFamily("remembrandt_painter_steps", "Steps so far", painter.steps)
        yield CounterMetricFamily("remembrandt_adapter_reads", "Adapters read from the disk", shelf.reads)
        lost = self._desk.gallery.lost + (self._worker.lost if self._worker else 0)
        yield CounterMetricFamily("remembrandt_leases_lost", "Jobs that another server took", lost)
        ended = CounterMetricFamily("remembrandt_jobs_ended", "Jobs that came to an end", labels=["kind", "state"])
        for kind, state, n in lanes.ended(self._desk.store):
            ended.add_metric([kind, state], n)
        yield ended
        waits = SummaryMetricFamily("remembrandt_job_wait_seconds", "Until a job begins", labels=["kind"])
        for kind, n, seconds in lanes.waited(self._desk.store):
            waits.add_metric([kind], n, seconds)
        yield waits
