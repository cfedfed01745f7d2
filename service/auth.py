"""Who may do what: API keys with scopes for sites, sign-in for moderators, and a token against forged forms.

Every view states its access with one of three decorators: needs_key, needs_moderator, or public with a reason. A test
walks the route table and finds the view that does not.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cache, wraps
from typing import Any, NamedTuple, TypeVar

from email_validator import EmailNotValidError, validate_email
from flask import Flask, g, redirect, request, session, url_for
from sqlalchemy import Row, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from werkzeug.security import check_password_hash, generate_password_hash

from . import database
from .errors import NotAllowed, NotSignedIn
from .tables import api_keys, moderators, sites, utc_now

SCOPES = {
    "comments:write": "submit comments",
    "comments:read": "read comments and what is published under an article",
    "queue:read": "read the flag queue",
    "queue:decide": "approve and reject",
}
# A person mistypes a few times; a program that guesses gets 5 tries, then one a minute.
FREE_SIGN_INS = 5
SIGN_IN_PAUSE = timedelta(minutes=1)
MIN_PASSWORD_CHARS = 10

_hashing = threading.Lock()
View = TypeVar("View", bound=Callable[..., Any])


class Access(NamedTuple):
    """What a view asks for: kind is "key", "moderator" or "public"; detail the scope, or the reason."""

    kind: str
    detail: str


# ---------------------------------------------------------------------------------------------- sites and their keys


def add_site(name: str, rejects_automatically: bool = False) -> str:
    """Add a site and return its id. Raises ValueError for a name that is blank, too long, or taken."""
    if not name.strip() or len(name) > sites.c.name.type.length:
        raise ValueError(f"a site's name needs 1 to {sites.c.name.type.length} characters")
    try:
        with database.writing() as connection:
            return connection.execute(insert(sites).values(name=name, rejects_automatically=rejects_automatically)
                                      .returning(sites.c.id)).scalar_one()
    except IntegrityError:
        raise ValueError(f"there is a site called {name!r} already") from None


def set_site(site_id: str, rejects_automatically: bool) -> None:
    """Say whether what is decided from now on may be rejected without a person."""
    with database.writing() as connection:
        connection.execute(update(sites).where(sites.c.id == site_id)
                           .values(rejects_automatically=rejects_automatically))


def ensure_site(name: str) -> str:
    """Return the id of the site of that name, which is added if it is not there."""
    if site_id := find_site(name):
        return site_id
    with suppress(ValueError):  # Another process was faster; its site will do.
        return add_site(name)
    return find_site(name)


def find_site(name: str) -> str | None:
    """Return the id of the site of that name; None if there is none."""
    with database.reading() as connection:
        return connection.execute(select(sites.c.id).where(sites.c.name == name)).scalar()


def add_key(site_id: str, scopes: Sequence[str] = tuple(SCOPES)) -> str:
    """Make a key for a site and return it; this is the only time that it can be seen.

    Raises ValueError for a scope that there is not.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise ValueError(f"unknown scope {unknown[0]!r}; there are {', '.join(SCOPES)}")
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    with database.writing() as connection:
        connection.execute(insert(api_keys).values(id=key_id, site_id=site_id, secret_sha256=_digest(secret),
                                                   scopes=list(scopes)))
    return f"cd_{key_id}_{secret}"


def revoke_key(key_id: str) -> None:
    """Revoke a key, at once. Raises ValueError if there is no valid one of that id."""
    with database.writing() as connection:
        if not connection.execute(update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
                                  .values(revoked_at=utc_now())).rowcount:
            raise ValueError(f"There is no valid key {key_id}; `flask keys list` shows them.")


def find_key(key: str) -> Row | None:
    """Return the row of a valid key; None if it is wrong or revoked."""
    match = re.fullmatch(r"cd_([0-9a-f]{16})_([\w-]+)", key, re.ASCII)
    if match is None:
        return None
    with database.reading() as connection:
        row = connection.execute(select(api_keys).where(api_keys.c.id == match[1])).first()
    valid = row and row.revoked_at is None and hmac.compare_digest(row.secret_sha256, _digest(match[2]))
    return row if valid else None


def _digest(secret: str) -> str:
    # The secret has 256 random bits, so a plain digest cannot be searched for; a slow one would only cost time.
    return hashlib.sha256(secret.encode()).hexdigest()


def needs_key(scope: str) -> Callable[[View], View]:
    """Ask for a site's key with this scope; the view finds the site in `g.site_id`."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            key = _key_of_request()
            if scope not in key.scopes:
                raise NotAllowed(f"This key may not {SCOPES[scope]}: it lacks the scope {scope}.")
            g.site_id, g.scopes, g.reviewer = key.site_id, key.scopes, f"key:{key.id}"
            return view(*args, **kwargs)

        guarded.access = Access("key", scope)
        return guarded

    return decorate


def _key_of_request() -> Row:
    challenge = {"WWW-Authenticate": 'Bearer realm="copydesk"'}
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise NotSignedIn("Send the site's key as `Authorization: Bearer cd_...`.", headers=challenge)
    found = find_key(key.strip())
    if found is None:
        raise NotSignedIn("This key is wrong, or was revoked.", headers=challenge)
    return found


def public(reason: str) -> Callable[[View], View]:
    """Leave a view open to everyone, and say why; the docs list these."""

    def decorate(view: View) -> View:
        view.access = Access("public", reason)
        return view

    return decorate


# ---------------------------------------------------------------------------------------------- moderators


def add_moderator(email: str, password: str) -> None:
    """Add a moderator. Raises ValueError for what is no address, a password that is too short, or an address taken."""
    email = _normal(email)
    try:
        validate_email(email, check_deliverability=False)
    except EmailNotValidError as error:
        raise ValueError(f"{email[:80]!r} is not an e-mail address: {error}") from None
    _check_password(password)
    try:
        with database.writing() as connection:
            connection.execute(insert(moderators).values(email=email, password_hash=generate_password_hash(password)))
    except IntegrityError:
        raise ValueError(f"there is a moderator with the address {email} already") from None


def _check_password(password: str) -> None:
    if len(password) < MIN_PASSWORD_CHARS:
        raise ValueError(f"the password needs at least {MIN_PASSWORD_CHARS} characters")


def remove_moderator(email: str) -> None:
    """Remove a moderator; what they decided stays. Raises ValueError if there is none of that address."""
    with database.writing() as connection:
        if not connection.execute(delete(moderators).where(moderators.c.email == _normal(email))).rowcount:
            raise ValueError(f"there is no moderator with the address {email}")


def set_password(email: str, password: str) -> None:
    """Give a moderator this password. Raises ValueError if there is none of that address, or if it is too short."""
    row = _moderator(email)
    if row is None:
        raise ValueError(f"there is no moderator with the address {email}")
    _check_password(password)
    if not check_password_hash(row.password_hash, password):
        with database.writing() as connection:
            connection.execute(update(moderators).where(moderators.c.id == row.id)
                               .values(password_hash=generate_password_hash(password)))


def _moderator(email: str) -> Row | None:
    if "\0" in email:  # PostgreSQL cannot even look for it.
        return None
    with database.reading() as connection:
        return connection.execute(select(moderators).where(moderators.c.email == _normal(email))).first()


def _normal(email: str) -> str:
    return email.strip().lower()


def sign_in(email: str, password: str) -> bool:
    """Sign a moderator in, or say no; which of the two was wrong, or whether it is too soon, is not told apart."""
    row = _moderator(email)
    in_time = row is not None and _count_try(row.id)
    # The hash of nobody's password is checked too, so that the time taken does not tell who has an account.
    # One at a time: each takes 32 MB while it lasts, and anyone may ask.
    with _hashing:
        fits = check_password_hash(row.password_hash if row else _nobodys_hash(), password)
    if not (in_time and fits):
        return False
    with database.writing() as connection:
        connection.execute(update(moderators).where(moderators.c.id == row.id)
                           .values(failed_sign_ins=0, next_sign_in_at=None))
    session.clear()
    session.update(moderator_id=row.id, password=_fingerprint(row.password_hash))
    session.permanent = True
    return True


def _count_try(moderator_id: str) -> bool:
    """Count a try before its password is looked at, so that many at once are counted; say whether it may be made."""
    now = utc_now()
    may_try = or_(moderators.c.next_sign_in_at.is_(None), moderators.c.next_sign_in_at <= now)
    with database.writing() as connection:
        tries = connection.execute(update(moderators).where(moderators.c.id == moderator_id, may_try)
                                   .values(failed_sign_ins=moderators.c.failed_sign_ins + 1)
                                   .returning(moderators.c.failed_sign_ins)).scalar()
        if tries is not None and tries >= FREE_SIGN_INS:
            connection.execute(update(moderators).where(moderators.c.id == moderator_id)
                               .values(next_sign_in_at=now + SIGN_IN_PAUSE))
    return tries is not None


def _fingerprint(password_hash: str) -> str:
    """What a session remembers of the password, so that it ends when the password is changed."""
    return hashlib.sha256(password_hash.encode()).hexdigest()[:16]


@cache
def _nobodys_hash() -> str:
    return generate_password_hash(secrets.token_hex())


def _signed_in() -> Row | None:
    if "moderator_id" not in session:
        return None
    with database.reading() as connection:
        row = connection.execute(select(moderators).where(moderators.c.id == session["moderator_id"])).first()
    return row if row and session.get("password") == _fingerprint(row.password_hash) else None


def needs_moderator(view: View) -> View:
    """Ask for a signed-in moderator, found in `g.moderator`; others are sent to the sign-in and back."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        g.moderator = _signed_in()
        if g.moderator is None:
            here = request.full_path.rstrip("?") if request.method == "GET" else None
            return redirect(url_for("desk.sign_in_page", next=here))
        g.reviewer = f"moderator:{g.moderator.email}"
        return view(*args, **kwargs)

    guarded.access = Access("moderator", "")
    return guarded


# ---------------------------------------------------------------------------------------------- forged forms


def csrf_token() -> str:
    """The token that every form of this session carries."""
    return session.setdefault("csrf_token", secrets.token_urlsafe(32))


def check_csrf() -> None:
    """Refuse a form that another site made the browser send. Raises NotAllowed."""
    if not hmac.compare_digest(request.form.get("csrf_token", "").encode(), csrf_token().encode()):
        raise NotAllowed("This form has expired, or did not come from this page. Go back, reload, and try again.")


def init_app(app: Flask) -> None:
    """Set the session's cookie up, and give the templates the token."""
    app.config.update(
        SESSION_COOKIE_NAME="copydesk", SESSION_COOKIE_HTTPONLY=True, SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=app.config["SECURE_COOKIES"],
        # A shift at the desk, and a night's sleep.
        PERMANENT_SESSION_LIFETIME=timedelta(hours=12))
    app.jinja_env.globals["csrf_token"] = csrf_token
