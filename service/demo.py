"""/demo: an article page with a "Leave a reply" form, a newspaper in small that posts to this service."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, make_response, redirect, render_template, request, session, url_for

from . import moderation, queries
from .auth import check_csrf, ensure_site, public
from .body import read_body
from .errors import InvalidFields
from .submission import Submission, validate
from .tables import Status

blueprint = Blueprint("demo", __name__, url_prefix="/demo")

SITE = "Demo"
ARTICLE = {"id": "the-night-bus", "title": "The night bus comes back"}
FIELDS = ("comment", "name", "email", "website")
# How many of a visitor's own comments the session remembers, so that they see them wait for moderation.
REMEMBERED = 20
SAVED_DAYS = 180
PUBLIC = "The demo stands for a newspaper's public page; it is served only where DEMO is on."


@blueprint.get("")
@public(PUBLIC)
def article() -> str:
    """Show the article, its comments and the form."""
    saved = {field: request.cookies.get(f"demo_{field}", "") for field in ("name", "email", "website")}
    return render_template("demo.html", **_discussion(), values=saved, errors={}, saved=any(saved.values()))


@blueprint.get("/comments")
@public(PUBLIC)
def discussion() -> Response:
    """Give the discussion alone, for the script that keeps the page up to date."""
    response = make_response(render_template("_discussion.html", **_discussion()))
    response.headers["Cache-Control"] = "private, no-cache"
    response.add_etag()
    return response.make_conditional(request)


@blueprint.post("")
@public(PUBLIC)
def reply() -> Any:
    """Take a reply from the form: back to the page, or the page again with a message under each wrong field."""
    fields = read_body(request)  # First: once Flask has parsed the form, its bytes are gone.
    check_csrf()
    wants_json = request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json"
    try:
        body = {name: value for name, value in fields.items() if name in (*FIELDS, "parent_id")}
        here = ARTICLE | {"url": url_for("demo.article", _external=True)}
        submission = validate(Submission, body | {"article": here})
    except InvalidFields as problem:
        if wants_json:
            raise
        errors = {error.field: error.message for error in problem.errors}
        return render_template("demo.html", **_discussion(), values=fields, errors=errors,
                               saved="save" in fields), problem.status
    submitted = moderation.submit(ensure_site(SITE), submission)
    current_app.extensions["waker"].wake()
    session["mine"] = [*session.get("mine", []), submitted.id][-REMEMBERED:]
    target = url_for("demo.article", _anchor=f"comment-{submitted.id}")
    response = Response("{}", 202, content_type="application/json") if wants_json else redirect(target, 303)
    for field in ("name", "email", "website"):
        if "save" in fields:
            response.set_cookie(f"demo_{field}", fields.get(field, ""), max_age=SAVED_DAYS * 86_400, samesite="Lax",
                                secure=current_app.config["SECURE_COOKIES"], httponly=True, path="/demo")
        else:
            response.delete_cookie(f"demo_{field}", path="/demo")
    return response


def _discussion() -> dict[str, Any]:
    """What is published, and this visitor's own comments that are not (yet)."""
    site_id = ensure_site(SITE)
    page = queries.published(site_id, ARTICLE["id"], order="newest", limit=queries.MAX_PAGE)
    comments = page.items[::-1]  # The newest of them, in the order of their arrival.
    mine = queries.some(session.get("mine", []), site_id)
    waiting = [comment for comment in mine if comment["status"] in (Status.PENDING, Status.FLAGGED)]
    return {"article": ARTICLE, "comments": comments, "number": _number(comments), "waiting": waiting}


def _number(comments: list[dict[str, Any]]) -> int:
    return sum(1 + _number(comment["replies"]) for comment in comments)
