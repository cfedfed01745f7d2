"""The moderators' pages: sign in, see the flag queue with scores and reasons, approve, reject."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, current_app, flash, redirect, render_template, request, session, url_for
from flask import g as request_globals

from . import moderation, queries
from .auth import check_csrf, needs_moderator, public, sign_in
from .errors import Conflict, InvalidFields, NotFound
from .tables import Status

blueprint = Blueprint("desk", __name__, url_prefix="/desk")


@blueprint.after_request
def never_kept(response: Response) -> Response:
    """Keep no page of the desk anywhere: going back after the sign-out shows nothing."""
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/sign-in")
@public("Nobody can be signed in before they sign in.")
def sign_in_page() -> str:
    """Show the form."""
    return render_template("sign_in.html", next=request.args.get("next", ""))


@blueprint.post("/sign-in")
@public("Nobody can be signed in before they sign in.")
def sign_in_form() -> Any:
    """Sign in, and go where the moderator was going."""
    check_csrf()
    if sign_in(request.form.get("email", ""), request.form.get("password", "")):
        return redirect(_inside(request.form.get("next", "")))
    message = "That is not right. Check the address and the password; after several tries, wait a minute."
    return render_template("sign_in.html", next=request.form.get("next", ""), message=message), 401


def _inside(target: str) -> str:
    """Only go on to our own pages, or anyone could send moderators from our sign-in to a page of theirs."""
    inside = re.fullmatch(r"/desk([/?][\w/?=&.%-]*)?", target, re.ASCII)
    return target if inside else url_for("desk.queue")


@blueprint.post("/sign-out")
@needs_moderator
def sign_out() -> Response:
    """End the session."""
    check_csrf()
    session.clear()
    return redirect(url_for("desk.sign_in_page"))


@blueprint.get("")
@needs_moderator
def queue() -> str:
    """Show what waits for a person: what was flagged, and what nobody scored in time."""
    cursor = request.args.get("cursor")
    page = queries.queue(cursor=cursor, limit=queries.DEFAULT_PAGE,
                         overdue_seconds=current_app.config["OVERDUE_SECONDS"])
    return render_template("queue.html", items=page.items, cursor=cursor, next_cursor=page.next_cursor,
                           counts=queries.counts(), moderator=request_globals.moderator)


@blueprint.post("/comments/<uuid:comment_id>/decision")
@needs_moderator
def decide(comment_id: UUID) -> Response:
    """Approve or reject the comment as it was shown; say so when someone was faster."""
    check_csrf()
    try:
        outcome = moderation.OUTCOMES[request.form.get("decision", "")]
        revision, seen = int(request.form.get("revision", "")), Status(request.form.get("status", ""))
    except (KeyError, ValueError):
        raise InvalidFields("The form lacks the decision, the revision or the status. Reload the page.") from None
    try:
        moderation.review(str(comment_id), outcome, revision=revision, seen=seen, reviewer=request_globals.reviewer)
        flash("Published." if outcome == Status.PUBLISHED else "Rejected.")
    except (Conflict, NotFound) as problem:
        flash(problem.detail)
    return redirect(url_for("desk.queue", cursor=request.form.get("cursor")))


@blueprint.app_template_filter()
def marked(comment: dict[str, Any]) -> list[tuple[str, bool]]:
    """Cut a comment's text at the spans of the label that was the reason: pieces of (text, whether it is in one).

    Other labels' spans are not marked: a page where every second word is yellow says nothing.
    """
    text = comment["comment"]
    label = comment["decision"] and comment["decision"]["label"]
    spans = [span for span in (comment["verdict"] or {"spans": []})["spans"] if span["label"] == label]
    cuts = sorted({0, len(text), *(span[side] for span in spans for side in ("begin", "end"))})
    return [(text[begin:end], any(span["begin"] <= begin and end <= span["end"] for span in spans))
            for begin, end in pairwise(cuts)]


@blueprint.app_template_filter()
def probability(score: float) -> str:
    """Two digits that mean something, also for a rare label, whose scores are all small."""
    return f"{score:.2f}" if score >= 0.1 else f"{score:.2g}"
