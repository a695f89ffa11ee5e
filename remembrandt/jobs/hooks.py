"""Webhooks: what happened goes out signed (Standard Webhooks), is tried for a day, and never into our own network."""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
from standardwebhooks import Webhook

from remembrandt import logs
from remembrandt.settings import Wrong
from remembrandt.store import outbox, users
from remembrandt.store.rows import Delivery
from remembrandt.store.store import Store

WAITS = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 28800)  # seconds between tries: a day in all
PATIENCE, PACE = 10.0, 1.0  # seconds that a receiver has to answer; between two looks at what is due
SENDERS, EACH = 16, 4  # messages under way at once, and those of one user
Document = dict[str, Any]
log = logging.getLogger(__name__)


def checked(url: str, *, private: bool = False) -> str:
    """The URL of a webhook, as far as it can be told without asking anybody; `Wrong` if nothing may be sent there."""
    try:
        parts, _ = urlsplit(url), httpx.URL(url)
        host, _ = parts.hostname, parts.port
    except (ValueError, httpx.InvalidURL):
        raise Wrong(f"the webhook {url[:200]!r} is no URL") from None
    if parts.scheme not in ("http", "https") or not host or parts.username or len(url) > 2000:
        raise Wrong(f"the webhook {url[:200]!r} must be http:// or https:// and a host")
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        literal = None
    inner = host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    if not private and (inner or (literal and not _public(literal))):
        raise Wrong(f"the webhook's host {host!r} is in a private network: serve --allow-private-webhooks lets it")
    return url


def signed(secret: str, key: str, body: str, when: float) -> dict[str, str]:
    """The headers of a message, as any library of Standard Webhooks verifies them."""
    stamp = datetime.fromtimestamp(int(when), UTC)
    return {
        "content-type": "application/json",
        "webhook-id": key,
        "webhook-timestamp": str(int(when)),
        "webhook-signature": Webhook(secret).sign(key, stamp, body),
        "user-agent": "remembrandt",
    }


class Hooks:
    """Delivers what lies in the outbox; `body(delivery)` writes what is told of an event.

    Several at once, so that one receiver's slowness is its own: at most `EACH` of a user, and one after another of a
    job, in their order.
    """

    def __init__(self, store: Store, body: Callable[[Delivery], Document], *, private: bool = False) -> None:
        self._store, self._body, self._private = store, body, private
        self._stop, self._bell = threading.Event(), threading.Event()
        self._going: dict[str, tuple[str, threading.Thread]] = {}  # by job: whose, and who sends
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self, grace: float = 3.0) -> None:
        """Stop; what is due goes out when the server is back."""
        self._stop.set()
        self._bell.set()
        self._thread.join()
        until = time.monotonic() + grace
        for _, sender in [*self._going.values()]:
            sender.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        while not self._stop.is_set():
            self._bell.wait(PACE)
            self._bell.clear()
            try:
                self._hand_out()
            except Exception:  # a locked database, a full disk: they are still due
                log.exception("webhooks could not be sent; they are tried again")

    def _hand_out(self) -> None:
        for delivery in outbox.due(self._store, time.time(), EACH, [*self._going]):
            whose = [owner for owner, _ in [*self._going.values()]]
            if self._stop.is_set() or len(whose) >= SENDERS:
                return
            if delivery.job in self._going or whose.count(delivery.owner) >= EACH:
                continue
            sender = threading.Thread(target=self._one, args=(delivery,), name="webhook", daemon=True)
            self._going[delivery.job] = delivery.owner, sender
            sender.start()

    def _one(self, delivery: Delivery) -> None:
        try:
            self.deliver(delivery)
        except Exception:
            log.exception("a webhook's end could not be recorded; it is tried again")
            self._stop.wait(PACE)
        finally:
            del self._going[delivery.job]
            self._bell.set()

    def deliver(self, delivery: Delivery) -> None:
        """One try."""
        status, error = None, ""
        try:
            status = self._send(delivery)
            error = "" if 200 <= status < 300 else f"answered {status}" + " (a redirect)" * (300 <= status < 400)
        except Exception as fault:  # whatever it is, the others' messages still go out
            error = " ".join(str(fault).split())[:300] or type(fault).__name__
        if not error:
            outbox.sent(self._store, delivery.id, status or 200)
            return
        again = delivery.tries < len(WAITS)
        with logs.about(job=delivery.job, user=delivery.owner):
            then = f"tried again in {WAITS[delivery.tries]} s" if again else "given up"
            log.warning("webhook of event %s not delivered, %s: %s", delivery.kind, then, error)
        if again:
            outbox.again(self._store, delivery.id, time.time() + WAITS[delivery.tries], status, error)
        else:
            outbox.give_up(self._store, delivery.id, status, error)

    def _send(self, delivery: Delivery) -> int:
        body = delivery.body or json.dumps(self._body(delivery), separators=(",", ":"), default=str)
        if delivery.body is None:
            outbox.write(self._store, delivery.id, body)
        headers = signed(users.secret(self._store, delivery.owner), f"msg_{delivery.id}", body, time.time())
        url, extra = self._where(delivery.url)
        how = {"content": body, "headers": headers | extra[0], "extensions": extra[1]}
        with (
            httpx.Client(timeout=PATIENCE, follow_redirects=False, trust_env=False) as client,
            client.stream("POST", url, **how) as answer,  # whatever it says is not read
        ):
            return answer.status_code

    def _where(self, url: str) -> tuple[httpx.URL, tuple[dict[str, str], dict[str, str]]]:
        """The address itself, resolved once and looked at: a name may not mean another host when it is asked again."""
        parts = httpx.URL(checked(url, private=self._private))
        if self._private:
            return parts, ({}, {})
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = socket.getaddrinfo(parts.host, port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(row[4][0]) for row in found]
        if not addresses or not all(map(_public, addresses)):
            raise Wrong(f"the webhook's host {parts.host!r} is in a private network")
        host = parts.netloc.decode()
        return parts.copy_with(host=str(addresses[0])), ({"host": host}, {"sni_hostname": parts.host})


def _public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None) or address
    return inner.is_global and not inner.is_multicast
