"""The server, from the command line."""

from __future__ import annotations

import ipaddress
import sys
from typing import Annotated

from typer import Option

from remembrandt.cli.command import app, command, facts


@command(app, "serve", facts, computes=True)
def serve(
    service,
    tell,
    host: Annotated[str, Option(help="The address to listen at; others than loopback need users.")] = "127.0.0.1",
    port: Annotated[int, Option(min=0, max=65535, help="0 is any that is free.")] = 8000,
    allow_private_webhooks: Annotated[bool, Option(help="Webhooks may go into one's own network.")] = False,
):
    """The service: HTTP, the web page, painting and lessons for many users, until Ctrl-C."""
    from remembrandt import serving

    return serving.serve(
        service.settings, host, port, private_webhooks=allow_private_webhooks, loopback=loopback(host), say=_say
    )


def loopback(host: str) -> bool:
    """Whether nobody else can reach it."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
