"""The server as a process: where it listens, its sign-in link, how it stops."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable
from typing import Any

from remembrandt import logs
from remembrandt.jobs.holding import held
from remembrandt.settings import Settings, Wrong

GRACE = 10  # seconds for answers under way when it stops; lessons leave a checkpoint, paintings are painted again


def serve(
    settings: Settings, host: str, port: int, *, private_webhooks: bool, loopback: bool, say: Callable[[str], None]
) -> dict[str, Any]:
    """Serve until it is interrupted; where it was."""
    import uvicorn

    from remembrandt.app import build
    from remembrandt.store import users
    from remembrandt.store.store import Store
    from remembrandt.ui.page import mount

    known = [user for user in users.users(Store(settings.home)) if user.id]
    if not loopback and not known:
        raise Wrong(f"others can reach {host}, and there are no users yet: `remembrandt users add NAME` makes one")
    with listening(host, port) as listener:
        bound = listener.getsockname()[1]
        shown = "localhost" if loopback else host
        url = f"http://{'[' + shown + ']' if ':' in shown else shown}:{bound}"
        app = build(settings, private_webhooks=private_webhooks, mount=mount)
        if loopback:
            app.state.links.sign_in = secrets.token_urlsafe(24)
            link = f"{url}/sign-in?code={app.state.links.sign_in}"
            say(f"Sign in, once: {link}")
            if sys.stderr.isatty():
                webbrowser.open(link)
        say(f"Serving at {url} (API: {url}/docs). Ctrl-C stops; lessons go on with the next start.")
        logs.configure()
        server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=GRACE, server_header=False)
        )
        stops(server, app)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # whom uvicorn asks in the end: as Ctrl-C
        with contextlib.suppress(KeyboardInterrupt), held(settings.home, url):
            server.run([listener])
    return {"url": url, "home": str(settings.home)}


def stops(server, app) -> None:
    """At a signal the parts hear of the end at once: event streams close, a lesson writes its checkpoint meanwhile."""
    ends = server.handle_exit

    def hear(number: int, frame) -> None:
        app.state.stop()
        ends(number, frame)

    server.handle_exit = hear


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; `Wrong` if it cannot."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
        return listener
    except OSError as fault:
        raise Wrong(f"cannot listen at {host}:{port}: {fault.strerror}; take another --host or --port") from None
