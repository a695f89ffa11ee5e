"""Commands for who may use a server on this home."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from remembrandt.cli.command import command, facts, group, table

users = group("users", "Who may use a server on this home.")

Name = Annotated[str, Argument(help="The user's name.")]


@command(users, "list", table("user", "scopes", "quota", "consent", "created", empty="no home yet"))
def users_list(service, tell):
    """Every user; `local` is you, at this machine."""
    return service.users()


@command(users, "add", facts)
def users_add(
    service,
    tell,
    name: Name,
    scope: Annotated[list[str] | None, Option(help="Models that they may use; all by default. Repeatable.")] = None,
    quota: Annotated[int | None, Option(help="Bytes of uploads and pictures that they may keep.")] = None,
):
    """A new user and their token, which is told this once."""
    return service.add_user(name, scope, quota)


@command(users, "token", facts)
def users_token(service, tell, name: Name):
    """Another token for a user; the others stay valid."""
    return service.add_token(name)


@command(users, "quota", facts)
def users_quota(
    service,
    tell,
    name: Name,
    quota: Annotated[int | None, Argument(metavar="[BYTES]", help="Without it, what the settings say.")] = None,
):
    """How many bytes of uploads and pictures a user may keep."""
    return service.set_quota(name, quota)


@command(users, "audit", table("time", "user", "what", "model", "data", empty="no lines yet"))
def users_audit(
    service,
    tell,
    model: Annotated[str | None, Option(help="What was done to this model; everything by default.")] = None,
):
    """Who did what to shared models and to users' data, when and with which photos; lines are only added."""
    return service.audit(model)


@command(users, "revoke", facts)
def users_revoke(
    service,
    tell,
    what: Annotated[str, Argument(help="A user's name, or one token.", metavar="NAME_OR_TOKEN")],
    erase: Annotated[bool, Option("--erase", help="And all that the user gave, and all that was made of it.")] = False,
):
    """A token, or all tokens of a user, from now on."""
    return service.leave(what) if erase else service.revoke(what)
