"""Users and their tokens. A token is 256 random bits; what is kept of it is its SHA-256."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from dataclasses import asdict

from sqlalchemy import insert, select, update

from remembrandt.settings import Missing, Wrong
from remembrandt.store import schema
from remembrandt.store import transaction as within
from remembrandt.store.connect import writing
from remembrandt.store.rows import SCOPES, User
from remembrandt.store.store import Store
from remembrandt.store.transaction import new_id

PREFIX = "rmb_"  # by which a token that was published by mistake is recognised
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
LOCAL = User("", "local", list(SCOPES))


def checked(name: str, scopes: tuple[str, ...] = SCOPES, quota: int | None = None) -> None:
    """`Wrong` unless there may be such a user."""
    if not NAME.fullmatch(name):
        raise Wrong(f"user name {name!r} must be letters, digits, '-', '_', '.' and '@', 64 at most")
    for scope in scopes:
        if scope not in SCOPES:
            raise Wrong(f"there is no scope {scope!r}: there are {', '.join(SCOPES)}")
    if quota is not None and not 1 <= quota < 2**63:
        raise Wrong(f"a quota is a number of bytes from 1 on, not {quota}")


def add(store: Store, name: str, scopes: tuple[str, ...] = SCOPES, quota: int | None = None) -> tuple[User, str]:
    """A new user and their first token, which is told this once."""
    checked(name, scopes, quota)
    made = User(new_id(), name, list(scopes), quota, created=time.time())
    t = schema.users
    with writing(store.engine) as connection:
        if connection.execute(select(t.c.id).where(t.c.name == name)).first():
            raise Wrong(f"there is a user {name!r} already: `users token {name}` makes another token")
        connection.execute(insert(t), asdict(made))
    return made, token(store, made.id)


def token(store: Store, who: str, label: str | None = None) -> str:
    """Another token of a user, by id or name."""
    told, held = PREFIX + secrets.token_urlsafe(32), _known(store, who)
    row = {"id": new_id(), "user": held.id, "hash": _hash(told), "label": label, "created": time.time()}
    with writing(store.engine) as connection:
        connection.execute(insert(schema.tokens), row)
    return told


def set_quota(store: Store, who: str, quota: int | None) -> None:
    """How many bytes they may keep; None: as many as the server's settings say."""
    held, t = _known(store, who), schema.users
    checked(held.name, (), quota)
    with writing(store.engine) as connection:
        connection.execute(update(t).where(t.c.id == held.id).values(quota=quota))


def revoke(store: Store, what: str) -> int:
    """A token, by itself or its id, or all tokens of a user, from now on; how many."""
    t, u = schema.tokens, schema.users
    of = select(u.c.id).where(u.c.name == what)
    meant = (t.c.hash == _hash(what)) | (t.c.id == what) | t.c.user.in_(of)
    with writing(store.engine) as connection:
        known = connection.execute(select(t.c.id).where(meant)).first() or connection.execute(of).first()
        if not known:
            raise Missing("there is no such user or token: `users list` names the users")
        gone = update(t).where(meant, t.c.revoked.is_(None)).values(revoked=time.time())
        return connection.execute(gone).rowcount


def user_of(store: Store, token: str) -> User | None:
    """Whose token that is; None if it is nobody's, or was revoked."""
    u, t = schema.users, schema.tokens
    held = select(u).join(t, t.c.user == u.c.id).where(t.c.hash == _hash(token), t.c.revoked.is_(None))
    return store._one(User, held.where(u.c.gone.is_(None)))


def user(store: Store, who: str) -> User | None:
    """A user by id or name."""
    t = schema.users
    return store._one(User, select(t).where((t.c.id == who) | (t.c.name == who), t.c.gone.is_(None)))


def users(store: Store) -> list[User]:
    """All users, the local one first."""
    t = schema.users
    return store._all(User, select(t).where(t.c.gone.is_(None)).order_by(t.c.created))


def secret(store: Store, who: str) -> str:
    """What signs a user's webhooks, made at the first ask."""
    held = _known(store, who)
    if held.secret:
        return held.secret
    made = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    t = schema.users
    with writing(store.engine) as connection:
        connection.execute(update(t).where(t.c.id == held.id, t.c.secret.is_(None)).values(secret=made))
    return _known(store, who).secret or made


def consent(store: Store, who: str, how: str) -> None:
    """That the user has the right to the photos and the consent of the people in them; the first word counts."""
    t = schema.users
    with writing(store.engine) as connection:
        first = update(t).where(t.c.id == who, t.c.consent.is_(None)).values(consent=time.time())
        if connection.execute(first).rowcount:
            within.noted(connection, who, "consent", None, {"how": how})


def _known(store: Store, who: str) -> User:
    held = user(store, who)
    if held is None:
        raise Missing(f"there is no user {who!r}: `users list` names them")
    return held


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
