"""What went wrong, as RFC 9457 problem+json with a stable code; on /v1 also in the form that official clients read."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from remembrandt.jobs.arriving import Faulty
from remembrandt.jobs.permissions import Unasked
from remembrandt.settings import Denied, Full, Missing, Wrong
from remembrandt.store.remembering import Differs, InFlight

#: The first row whose error it is.
STATUS: tuple[tuple[type[Exception], int, str], ...] = (
    (Missing, 404, "not_found"),
    (Denied, 403, "not_allowed"),
    (Full, 413, "no_room"),
    (Differs, 422, "idempotency_key_reused"),
    (InFlight, 409, "idempotency_key_in_use"),
    (Faulty, 422, "invalid_files"),
    (Unasked, 422, "consent_needed"),
    (Wrong, 422, "invalid"),
)
CODES = {400: "bad_request", 401: "unauthorized", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}

log = logging.getLogger(__name__)


class Problem(Exception):
    """An answer that is an error; `extra` are members of the document, `headers` of the answer."""

    def __init__(self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any):
        self.status, self.code, self.detail = status, code, detail
        self.headers, self.extra = dict(headers or {}), extra


def of(fault: Exception) -> Problem:
    """The problem that an error of ours is."""
    for kind, status, code in STATUS:
        if isinstance(fault, kind):
            extra = {"faults": fault.faults, "crops": fault.crops} if isinstance(fault, Faulty) else {}
            return Problem(status, code, str(fault), **extra)
    return Problem(500, "our_fault", "something broke here; the server's log says what")


def document(problem: Problem, path: str) -> dict[str, Any]:
    """As JSON; OpenAI's clients read `error`, Replicate's `detail` and `status`."""
    told = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        **problem.extra,
    }
    if path.startswith("/v1/"):
        kind = "invalid_request_error" if problem.status < 500 else "server_error"
        told["error"] = {"message": problem.detail, "type": kind, "param": None, "code": problem.code}
    return told


def answer(problem: Problem, path: str) -> JSONResponse:
    log.info("%s refused: %s", path, problem.code)
    told = document(problem, path)
    return JSONResponse(told, problem.status, problem.headers, media_type="application/problem+json")


def mount(app: FastAPI) -> None:
    """Every error that a route can raise."""

    @app.exception_handler(Problem)
    async def problem(request: Request, fault: Problem):
        return answer(fault, request.url.path)

    @app.exception_handler(Wrong)
    async def wrong(request: Request, fault: Wrong):
        return answer(of(fault), request.url.path)

    @app.exception_handler(Exception)
    async def ours(request: Request, fault: Exception):
        return answer(of(fault), request.url.path)

    @app.exception_handler(HTTPException)
    async def http(request: Request, fault: HTTPException):
        code = CODES.get(fault.status_code, "http_error")
        return answer(Problem(fault.status_code, code, str(fault.detail), headers=fault.headers), request.url.path)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, fault: RequestValidationError):
        errors = [{"where": ".".join(map(str, e["loc"])), "what": e["msg"]} for e in fault.errors()]
        said = "; ".join(f"{e['where']}: {e['what']}" for e in errors[:5])
        return answer(Problem(422, "invalid", said, errors=errors), request.url.path)


def raw(problem: Problem, path: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Body and headers, for what answers before there are routes."""
    body = json.dumps(document(problem, path)).encode()
    headers = {"content-type": "application/problem+json", "content-length": str(len(body)), **problem.headers}
    return body, [(k.encode(), v.encode()) for k, v in headers.items()]
