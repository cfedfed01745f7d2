"""The site's JSON routes: submit, read, what is published under an article, the flag queue, a person's decision."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from flask import Blueprint, Response, current_app, g, json, request, url_for
from pydantic import BaseModel, Field, StrictInt
from werkzeug.routing import BaseConverter

from . import moderation, queries
from .auth import needs_key
from .body import FORM_TYPES, read_body
from .errors import FieldError, InvalidFields, Unavailable
from .openapi import operation
from .submission import Submission, at_most, optional, validate
from .tables import Status

blueprint = Blueprint("api", __name__, url_prefix="/v1")

# While a client waits for its verdict the status is looked up this often; the pause grows to spare the database.
FIRST_LOOK_SECONDS, LOOK_GROWTH, MAX_LOOK_SECONDS = 0.005, 1.5, 0.1


class Span(BaseModel):
    """A stretch of the comment that weighed for a label."""

    label: str
    begin: int = Field(description="Its first character, counted in code points from 0.")
    end: int = Field(description="The character after its last.")
    weight: float = Field(description="What it added to the label's logit.")


class Verdict(BaseModel):
    """What the classifier says: numbers, not a decision."""

    model: str = Field(description="The version of the model.")
    scores: dict[str, float] = Field(description="The probability of each label, from 0 to 1.")
    spans: list[Span]
    scored_at: datetime


class Change(BaseModel):
    """A move of a comment's status: by which phase of the policy or by a person, and why."""

    from_status: Status
    to_status: Status
    revision: int
    phase: str = Field(description="The policy's phase; `review` for a person.")
    reason: str
    label: str | None = Field(description="The label whose score was the reason.")
    score: float | None
    threshold: float | None
    note: str | None = Field(description="The person's own words.")
    reviewer: str | None = Field(description="Which moderator or key; null for the policy.")
    changed_at: datetime


class Written(BaseModel):
    """What a reader wrote, as anyone may see it: no e-mail, no IP address."""

    id: UUID
    parent_id: UUID | None
    name: str
    website: str | None
    comment: str
    submitted_at: datetime | None
    received_at: datetime


class PublishedComment(Written):
    """A published comment."""

    replies: list[PublishedComment] | None = Field(None, description="The replies to it; absent in a flat list.")


class Comment(Written):
    """A comment as its site may see it."""

    status: Status
    status_url: str
    revision: int = Field(description="Name it in a decision: it says which text was judged.")
    site_ref: str | None
    article: str | None
    article_url: str | None
    article_title: str | None
    decided_at: datetime | None
    verdict: Verdict | None
    decision: Change | None = Field(description="The last change; null while pending.")
    history: list[Change] = Field(description="Every change, oldest first.")


class Receipt(BaseModel):
    """The answer to a submission."""

    id: UUID
    status: Status
    status_url: str = Field(description="Where to ask what became of it.")


class Queue(BaseModel):
    """A page of the flag queue."""

    items: list[Comment]
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page; null at the end.")
    total: int = Field(description="How many comments wait in all.")


class Published(BaseModel):
    """A page of what is published under an article."""

    items: list[PublishedComment]
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page; null at the end.")


Limit = Annotated[int, Field(ge=1, le=queries.MAX_PAGE, description="How many on a page.")]
Cursor = Annotated[str | None, Field(description="The next_cursor of the page before.")]
Order = Annotated[Literal["oldest", "newest"], Field(description="Which comes first.")]


class QueueQuery(BaseModel):
    """The flag queue's parameters."""

    order: Order = "oldest"
    cursor: Cursor = None
    limit: Limit = queries.DEFAULT_PAGE


class PublishedQuery(QueueQuery):
    """The parameters of an article's comments."""

    replies: Annotated[Literal["nested", "flat"], Field(
        description="Replies under the comment that they answer, or each by itself.")] = "nested"


class Review(BaseModel):
    """A person's decision on a comment that they saw."""

    decision: Literal["approve", "reject"]
    revision: StrictInt = Field(description="The revision that the person saw.", examples=[1])
    status: Status = Field(Status.FLAGGED, description="The status that the person saw.")
    note: optional(at_most(2000)) = Field(None, description="The person's own words.")


@blueprint.post("/comments")
@needs_key("comments:write")
@operation("Submit a comment", body=Submission, form=True, answers={200: Comment, 202: Receipt},
           problems=(400, 409, 413, 415, 422, 503), headers={
               "Idempotency-Key": "A repeat with the same key gets the first comment.",
               "Prefer": "`wait=2` waits up to that many seconds for the decision and then answers 200 with it."})
def submit() -> Response:
    """Keep a comment, wake a worker, and answer 202 with where to ask what became of it.

    A repeat, by Idempotency-Key or site_ref, stores nothing and gets the first comment.
    """
    submission = validate(Submission, read_body(request))
    submitted = moderation.submit(g.site_id, submission, _idempotency_key())
    if submitted.status == Status.PENDING:
        current_app.extensions["waker"].wake()
    seconds = _preferred_wait()
    headers = {"Location": _status_url(submitted.id)}
    if submitted.repeated:
        headers["Idempotency-Replayed"] = "true"
    if seconds is not None:
        headers["Preference-Applied"] = f"wait={seconds:g}"
        # The comment is stored; that the database does not answer now must not make the client think otherwise.
        with suppress(Unavailable):
            if _wait_for_decision(submitted, seconds):
                return _answer(_decided(submitted.id, headers["Location"]), 200, headers)
    receipt = Receipt(id=submitted.id, status=submitted.status, status_url=headers["Location"])
    return _answer(receipt, 202, headers)


def _decided(comment_id: str, status_url: str) -> Comment | Receipt:
    """All about the comment for a key that may read comments; only what became of it for another."""
    if "comments:read" in g.scopes:
        return _comment(queries.comment(comment_id, g.site_id))
    return Receipt(id=comment_id, status=queries.status(comment_id), status_url=status_url)


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 0 < len(key) <= 255:
        raise InvalidFields("The Idempotency-Key has the wrong length.", errors=(
            FieldError("Idempotency-Key", "too_long" if key else "missing", "Send 1 to 255 characters."),))
    return key


def _preferred_wait() -> float | None:
    """Read `Prefer: wait=2` (RFC 7240, section 4.3), cut to what this installation grants."""
    preferences = ",".join(request.headers.getlist("Prefer"))
    match = re.search(r'(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})\b', preferences, re.IGNORECASE)
    return min(float(match[1]), current_app.config["MAX_WAIT_SECONDS"]) if match else None


def _wait_for_decision(submitted: moderation.Submitted, seconds: float) -> bool:
    deadline, pause = time.monotonic() + seconds, FIRST_LOOK_SECONDS
    while queries.status(submitted.id) == Status.PENDING:
        if time.monotonic() + pause > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * LOOK_GROWTH, MAX_LOOK_SECONDS)
    return True


@blueprint.get("/comments/<uuid:comment_id>")
@needs_key("comments:read")
@operation("Read a comment", answers={200: Comment}, problems=(404, 503))
def comment(comment_id: UUID) -> Response:
    """Give one of the site's comments, with its status, verdict and decision."""
    return _answer(_comment(queries.comment(str(comment_id), g.site_id)))


class ReferenceConverter(BaseConverter):
    """A site's own name of an article in a path: anything, slashes at its ends included."""

    regex = ".+"
    part_isolating = False
    weight = 300  # Tried after everything that is more particular.


@blueprint.get("/articles/<reference:article>/comments")
@needs_key("comments:read")
@operation("Read an article's published comments", query=PublishedQuery, answers={200: Published},
           problems=(422, 503), headers={"If-None-Match": "The ETag of an earlier answer; 304 if nothing changed."})
def published(article: str) -> Response:
    """Give a page of what is published under an article; an article that nobody commented on has an empty page."""
    query = validate(PublishedQuery, request.args.to_dict())
    page = queries.published(g.site_id, article, order=query.order, nested=query.replies == "nested",
                             cursor=query.cursor, limit=query.limit)
    body = Published(items=[PublishedComment(**item) for item in page.items], next_cursor=page.next_cursor)
    response = _answer(body, headers={"Cache-Control": "private, no-cache"}, exclude_unset=True)
    response.add_etag()
    return response.make_conditional(request)


@blueprint.get("/queue")
@needs_key("queue:read")
@operation("Read the flag queue", query=QueueQuery, answers={200: Queue}, problems=(422, 503))
def queue() -> Response:
    """Give a page of the site's comments that wait for a person."""
    query = validate(QueueQuery, request.args.to_dict())
    page = queries.queue(g.site_id, order=query.order, cursor=query.cursor, limit=query.limit)
    return _answer(Queue(items=list(map(_comment, page.items)), next_cursor=page.next_cursor,
                         total=queries.queue_length(g.site_id)))


@blueprint.post("/comments/<uuid:comment_id>/decision")
@needs_key("queue:decide")
@operation("Decide a comment", body=Review, form=True, answers={200: Comment},
           problems=(400, 404, 409, 413, 415, 422, 503))
def decide(comment_id: UUID) -> Response:
    """Approve or reject a comment as a person who saw a revision of it; 409 when it has changed since."""
    body = read_body(request)
    if request.mimetype in FORM_TYPES and re.fullmatch(r"[0-9]{1,9}", body.get("revision", "")):
        body["revision"] = int(body["revision"])  # A form has only texts.
    asked = validate(Review, body)
    moderation.review(str(comment_id), moderation.OUTCOMES[asked.decision], revision=asked.revision, seen=asked.status,
                      reviewer=g.reviewer, site_id=g.site_id, note=asked.note)
    return _answer(_comment(queries.comment(str(comment_id), g.site_id)))


def _comment(row: dict[str, Any]) -> Comment:
    return Comment(**row, status_url=_status_url(row["id"]))


def _status_url(comment_id: str) -> str:
    base = current_app.config["PUBLIC_URL"] or request.host_url
    return base.rstrip("/") + url_for("api.comment", comment_id=comment_id)


def _answer(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None, **options: Any) -> Response:
    return Response(json.dumps(body.model_dump(mode="json", **options), ensure_ascii=False), status,
                    {"Cache-Control": "no-store"} | (headers or {}), content_type="application/json")
