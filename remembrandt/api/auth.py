"""Who asks: settled before any route is looked up, any path parsed and any body read (an ASGI middleware)."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

import jwt
from starlette.concurrency import run_in_threadpool

from remembrandt import logs
from remembrandt.api import problems
from remembrandt.api.problems import Problem
from remembrandt.store import users
from remembrandt.store.rows import User
from remembrandt.store.store import Store

OPEN = re.compile(r"/(healthz|readyz|metrics|docs(/.*)?|openapi\.json)")
COOKIE = "remembrandt"
READS = ("GET", "HEAD", "OPTIONS")
MOST = 512 * 2**20  # bytes of a body
JSON_MOST = 32 * 2**20
RATE, BURST = 20.0, 300.0  # requests a second and at once, of each user


@dataclass(frozen=True)
class Provider:
    """An identity provider whose JWTs are accepted: its key, and what they must say."""

    key: str
    algorithms: tuple[str, ...]
    issuer: str | None = None
    audience: str | None = None
    claim: str = "sub"  # whose value is the user's name

    @classmethod
    def told(cls) -> Provider | None:
        """By REMEMBRANDT_JWT_KEY (a PEM or a secret), _ALGORITHMS, _ISSUER, _AUDIENCE, _CLAIM."""
        asked = {name: os.environ.get(f"REMEMBRANDT_JWT_{name}") for name in ("KEY", "ISSUER", "AUDIENCE", "CLAIM")}
        if not asked["KEY"]:
            return None
        kinds = os.environ.get("REMEMBRANDT_JWT_ALGORITHMS", "RS256,ES256,EdDSA")
        return cls(asked["KEY"], tuple(kinds.split(",")), asked["ISSUER"], asked["AUDIENCE"], asked["CLAIM"] or "sub")

    def name(self, token: str) -> str | None:
        """Whose token it is, if it is theirs, valid now and for us."""
        needs = ["exp", self.claim, *(["iss"] if self.issuer else []), *(["aud"] if self.audience else [])]
        try:
            told = jwt.decode(
                token, self.key, list(self.algorithms), issuer=self.issuer, audience=self.audience,
                options={"require": needs, "verify_aud": self.audience is not None},
            )  # fmt: skip
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        found = told.get(self.claim)
        return found if isinstance(found, str) else None


@dataclass
class Links:
    """Signed links that open one thing once: the sign-in of one's own laptop, and uploads by Replicate's clients."""

    sign_in: str | None = None
    uploads: dict[str, tuple[str, str, float]] = field(default_factory=dict)  # by signature: owner, name, until

    def upload(self, owner: str, name: str, seconds: float = 3600) -> str:
        now = time.time()
        for old in [k for k, row in self.uploads.items() if row[2] < now]:
            del self.uploads[old]
        key = secrets.token_urlsafe(24)
        self.uploads[key] = owner, name, now + seconds
        return key

    def take(self, key: str, name: str) -> str | None:
        """The owner of an upload link, which is used up by it."""
        found = self.uploads.get(key)
        if found is None or found[1] != name or found[2] < time.time():
            return None
        del self.uploads[key]
        return found[0]


class Auth:
    """Middleware: `scope["state"]["user"]` is who asks. `page(path)` says whether a path is a file of the web page."""

    def __init__(
        self,
        app: Any,
        store: Store,
        links: Links,
        provider: Provider | None = None,
        page: Callable[[str], bool] = lambda path: False,
        rate: float = RATE,
    ) -> None:
        self.app, self.store, self.links, self.provider, self.page = app, store, links, provider, page
        self.rate, self._buckets = rate, dict[str, tuple[float, float]]()

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self.app(scope, receive, send)
            return
        path, headers = scope["path"], dict(scope["headers"])
        try:
            if OPEN.fullmatch(path) or self._signed(scope) or self.page(path):
                await self.app(scope, _counted(headers, receive), send)
                return
            user = await run_in_threadpool(self.who, headers)
            if user is None:
                said = "send `Authorization: Bearer TOKEN` with a token of yours (`remembrandt users add NAME`)"
                raise Problem(401, "unauthorized", said, headers={"www-authenticate": "Bearer"})
            if scope["method"] not in READS and not _ours(headers):
                raise Problem(403, "foreign_origin", "another page's request is not done with this browser's cookie")
            logs.note(user=user.id)
            self._limited(user)
            scope.setdefault("state", {})["user"] = user
            await self.app(scope, _counted(headers, receive), send)
        except Problem as problem:
            body, told = problems.raw(problem, path)
            await send({"type": "http.response.start", "status": problem.status, "headers": told})
            await send({"type": "http.response.body", "body": body})

    def who(self, headers: dict[bytes, bytes]) -> User | None:
        """The user of a request's token: in its header, else, of the page, in its cookie."""
        kind, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if kind.lower() not in ("bearer", "token"):
            token = _cookie(headers) if not kind else ""
        token = token.strip()
        if not token:
            return None
        if self.provider and token.count(".") == 2:
            name = self.provider.name(token)
            found = users.user(self.store, name) if name else None
            return found if found and found.id and found.name == name else None  # never the home's own user
        return users.user_of(self.store, token)

    def _signed(self, scope) -> bool:
        """Whether one of the two links is asked for; their routes look at the signature themselves."""
        path, asked = scope["path"], parse_qs(scope["query_string"].decode("latin-1"))
        if path == "/sign-in":
            return True
        return scope["method"] == "PUT" and path.startswith("/v1/upload/") and "signature" in asked

    def _limited(self, user: User) -> None:
        """A bucket for each user, which fills by `rate` a second."""
        now = time.monotonic()
        left, since = self._buckets.get(user.id, (BURST, now))
        left = min(BURST, left + (now - since) * self.rate)
        self._buckets[user.id] = max(left - 1, 0.0), now
        if left < 1:
            wait = str(max(1, round((1 - left) / self.rate)))
            raise Problem(429, "too_many_requests", f"try again in {wait} s", headers={"retry-after": wait})


def _ours(headers: dict[bytes, bytes]) -> bool:
    """Whether a request brings its own token, or comes from a page of this very host and port, if from a page at all.

    `SameSite=strict` lets in what another port of the same host shows.
    """
    origin = headers.get(b"origin")
    return b"authorization" in headers or origin is None or origin.partition(b"://")[2] == headers.get(b"host", b"")


def _cookie(headers: dict[bytes, bytes]) -> str:
    try:
        found = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _counted(headers: dict[bytes, bytes], receive):
    """The body, up to what may come; its length may be a lie, or not be told."""
    most = JSON_MOST if headers.get(b"content-type", b"").startswith(b"application/json") else MOST
    told, come = headers.get(b"content-length", b"0"), 0
    if told.isdigit() and int(told) > most:
        raise Problem(413, "too_large", f"send at most {most // 2**20} MiB")

    async def counting():
        nonlocal come
        message = await receive()
        come += len(message.get("body", b""))
        if come > most:
            raise Problem(413, "too_large", f"send at most {most // 2**20} MiB")
        return message

    return counting
