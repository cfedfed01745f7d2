"""The verbs: submit, claim, apply, review. Only they write a comment's status, each with its row in the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from . import database
from .errors import Conflict, FieldError, InvalidFields, NotFound
from .policy import Decision, Policy, decide
from .submission import Submission
from .tables import MOVES, Status, articles, changes, comments, new_id, sites, utc_now, verdicts


@dataclass(frozen=True, slots=True)
class Submitted:
    """The comment that a submission became, or the first one of which it is a repeat."""

    id: str
    status: Status
    repeated: bool


def submit(site_id: str, submission: Submission, idempotency_key: str | None = None) -> Submitted:
    """Store a comment as pending and commit; the caller then wakes a worker.

    A repeat, known by its idempotency key or its site_ref, stores nothing and returns the first comment.
    Raises InvalidFields if the parent is unknown or stands under another article, or if the idempotency key was used
    for another submission; Conflict if the site_ref was; Unavailable if the database does not answer.
    """
    digest = submission.digest()
    repeat = (site_id, submission.site_ref, idempotency_key, digest)
    try:
        with database.writing() as connection:
            if first := _first_of(connection, *repeat):
                return first
            row = _row(connection, site_id, submission) | {
                "idempotency_key": idempotency_key, "submission_sha256": digest}
            connection.execute(insert(comments).values(row))
            return Submitted(row["id"], Status.PENDING, repeated=False)
    except IntegrityError:
        # Its twin was committed between our look and our insert (PostgreSQL only; SQLite has one writer at a time).
        with database.reading() as connection:
            if first := _first_of(connection, *repeat):
                return first
        raise


def _first_of(connection: Connection, site_id: str, site_ref: str | None, key: str | None,
              digest: str) -> Submitted | None:
    """Find the comment of which this submission is a repeat."""
    for column, value in ((comments.c.idempotency_key, key), (comments.c.site_ref, site_ref)):
        if value is None:
            continue
        row = connection.execute(select(comments.c.id, comments.c.status, comments.c.submission_sha256)
                                 .where(comments.c.site_id == site_id, column == value)).first()
        if row is None:
            continue
        if row.submission_sha256 == digest:
            return Submitted(row.id, Status(row.status), repeated=True)
        if column is comments.c.idempotency_key:
            # draft-ietf-httpapi-idempotency-key-header, section 2.7, asks for 422.
            raise InvalidFields("This Idempotency-Key was used for another comment; use a new key for each comment.",
                                errors=(FieldError("Idempotency-Key", "reused", "Use a new key for each comment."),))
        raise Conflict("This site_ref belongs to another comment, which was kept as it is.", id=row.id)
    return None


def _row(connection: Connection, site_id: str, submission: Submission) -> dict[str, Any]:
    """The comment's row, with its article made or brought up to date."""
    article_id = submission.article and _article(connection, site_id, submission)
    if submission.parent_id is not None:
        parent = connection.execute(select(comments.c.article_id).where(
            comments.c.site_id == site_id, comments.c.id == submission.parent_id)).first()
        if parent is None or article_id not in (None, parent.article_id):
            raise InvalidFields("The comment that this one answers is not there. Nothing was stored.", errors=(
                FieldError("parent_id", "unknown", "There is no such comment under this article."),))
        article_id = parent.article_id
    written = submission.model_dump(exclude={"article"})
    return written | {"id": new_id(), "site_id": site_id, "article_id": article_id, "received_at": utc_now(),
                      "status": Status.PENDING}


def _article(connection: Connection, site_id: str, submission: Submission) -> str:
    given = submission.article
    row = connection.execute(select(articles).where(
        articles.c.site_id == site_id, articles.c.ref == given.ref)).first()
    facts = {name: value for name, value in (("url", given.url), ("title", given.title)) if value is not None}
    if row is None:
        article = {"id": new_id(), "site_id": site_id, "ref": given.ref, **facts}
        # Two first comments under one article may race; the loser finds the winner's row.
        kind = _insert_for(connection)
        connection.execute(kind(articles).values(article).on_conflict_do_nothing())
        return connection.execute(select(articles.c.id).where(
            articles.c.site_id == site_id, articles.c.ref == given.ref)).scalar_one()
    if any(getattr(row, name) != value for name, value in facts.items()):
        connection.execute(update(articles).where(articles.c.id == row.id).values(facts))
    return row.id


def _insert_for(connection: Connection) -> Callable[..., Any]:
    """`ON CONFLICT` is spelled alike in both databases, but lives in their dialects."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as kind
    else:
        from sqlalchemy.dialects.postgresql import insert as kind
    return kind


# ---------------------------------------------------------------------------------------------- the worker's verbs


def claim(claim_id: str, limit: int, claim_seconds: float) -> Sequence[Row]:
    """Take up to `limit` pending comments, oldest first, that nobody holds.

    Returns rows of id, site_id, revision, comment, name, email, website, attempts. Two workers never get the same
    comment while its claim lasts; apply() refuses the decisions of a claim that was lost.
    """
    now = utc_now()
    free = (select(comments.c.id)
            .where(_is_free(now)).order_by(comments.c.id).limit(limit)
            # PostgreSQL: do not wait for what another worker is taking. SQLite has one writer at a time.
            .with_for_update(skip_locked=True).cte("free"))
    with database.writing() as connection:
        rows = connection.execute(
            update(comments).where(comments.c.id.in_(select(free.c.id)))
            .values(claim=claim_id, claimed_until=now + timedelta(seconds=claim_seconds),
                    attempts=comments.c.attempts + 1)
            .returning(comments.c.id, comments.c.site_id, comments.c.revision, comments.c.comment, comments.c.name,
                       comments.c.email, comments.c.website, comments.c.attempts)).all()
    return sorted(rows, key=lambda row: row.id)


def _is_free(now: datetime) -> Any:
    return (comments.c.status == Status.PENDING) & or_(comments.c.claimed_until.is_(None),
                                                       comments.c.claimed_until < now)


@dataclass(frozen=True, slots=True)
class Scored:
    """A claimed comment with the classifier's verdict; `verdict` is None when there is none."""

    comment_id: str
    site_id: str
    revision: int
    verdict: Mapping[str, Any] | None  # scores, model, spans


def apply(claim_id: str, scored: Iterable[Scored], policies: Callable[[bool], Policy]) -> dict[Status, int]:
    """Decide claimed comments by the policy, and write verdict, status and change of each in one transaction.

    policies: gives the policy for a site that does, or does not, reject without a person.
    A comment that is no longer ours (decided by a person meanwhile, or claimed by another worker) is passed over.
    Returns how many comments came to each status.
    """
    now = utc_now()
    counts: dict[Status, int] = {}
    by_id = {each.comment_id: each for each in scored}
    with database.writing() as connection:
        rejecting = set(connection.scalars(select(sites.c.id).where(sites.c.rejects_automatically)))
        ours = connection.execute(select(comments.c.id, comments.c.revision).where(
            comments.c.id.in_(by_id), comments.c.claim == claim_id,
            comments.c.status == Status.PENDING).with_for_update()).all()
        decided: dict[Status, list[str]] = {}
        verdict_rows, change_rows = [], []
        for row in ours:
            each = by_id[row.id]
            if row.revision != each.revision:
                continue  # Another text was scored; when the claim runs out, this one is.
            decision = decide(each.verdict and each.verdict["scores"], policies(each.site_id in rejecting))
            decided.setdefault(decision.outcome, []).append(row.id)
            change_rows.append(_change(row.id, row.revision, Status.PENDING, decision, now))
            if each.verdict is not None:
                verdict_rows.append({"comment_id": row.id, "revision": row.revision, "scored_at": now, **each.verdict})
        for status, ids in decided.items():
            _move(connection, ids, Status.PENDING, status, now)
            counts[status] = len(ids)
        if verdict_rows:
            connection.execute(insert(verdicts), verdict_rows)
        if change_rows:
            connection.execute(insert(changes), change_rows)
    return counts


def postpone(claim_id: str, comment_ids: Sequence[str]) -> None:
    """Take back the attempt that claim() counted for comments whose turn comes later; they stay claimed."""
    with database.writing() as connection:
        connection.execute(update(comments).where(comments.c.id.in_(comment_ids), comments.c.claim == claim_id)
                           .values(attempts=comments.c.attempts - 1))


def resume(claim_id: str, comment_ids: Sequence[str], claim_seconds: float) -> None:
    """Count the attempt of postponed comments whose turn has come, and hold all of the claim for longer."""
    ours = (comments.c.claim == claim_id) & (comments.c.status == Status.PENDING)
    with database.writing() as connection:
        connection.execute(update(comments).where(ours)
                           .values(claimed_until=utc_now() + timedelta(seconds=claim_seconds)))
        connection.execute(update(comments).where(ours, comments.c.id.in_(comment_ids))
                           .values(attempts=comments.c.attempts + 1))


def has_overdue(overdue_seconds: float) -> bool:
    """Say whether any comment has been pending for longer than that, held by nobody."""
    now = utc_now()
    with database.reading() as connection:
        return connection.execute(select(comments.c.id).limit(1).where(
            _is_free(now), comments.c.received_at < now - timedelta(seconds=overdue_seconds))).first() is not None


# ---------------------------------------------------------------------------------------------- a person's verb


OUTCOMES = {"approve": Status.PUBLISHED, "reject": Status.REJECTED}


def review(comment_id: str, outcome: Status, *, revision: int, seen: Status, reviewer: str,
           site_id: str | None = None, note: str | None = None) -> Row:
    """Decide a comment as a person who saw `revision` of it with the status `seen`.

    site_id: if given, the comment must be that site's.
    Returns the comment's row of id, status, revision. The same decision by the same reviewer again changes nothing.
    Raises NotFound; Conflict, with what now holds, if the comment is no longer what was seen or cannot move so.
    """
    now = utc_now()
    with database.writing() as connection:
        found = select(comments.c.id, comments.c.status, comments.c.revision).where(comments.c.id == comment_id)
        if site_id is not None:
            found = found.where(comments.c.site_id == site_id)
        row = connection.execute(found.with_for_update()).first()
        if row is None:
            raise NotFound("There is no such comment.")
        if row.status == outcome and row.revision == revision and _last_reviewer(connection, row.id) == reviewer:
            return row
        if (row.status, row.revision) != (seen, revision):
            raise Conflict(f"Someone was faster: this comment is now {row.status}, revision {row.revision}. "
                           "Nothing was changed.", current={"status": row.status, "revision": row.revision})
        if (Status(row.status), outcome) not in MOVES:
            raise Conflict(f"A comment that is {row.status} cannot become {outcome}.",
                           current={"status": row.status, "revision": row.revision})
        decision = Decision(outcome, "review", "moderator_approved" if outcome == Status.PUBLISHED
                            else "moderator_rejected")
        _move(connection, [row.id], Status(row.status), outcome, now)
        connection.execute(insert(changes).values(
            _change(row.id, row.revision, row.status, decision, now) | {"reviewer": reviewer, "note": note}))
        return connection.execute(found).one()


def _last_reviewer(connection: Connection, comment_id: str) -> str | None:
    return connection.execute(select(changes.c.reviewer).where(changes.c.comment_id == comment_id)
                              .order_by(changes.c.id.desc()).limit(1)).scalar()


def _move(connection: Connection, ids: list[str], before: Status, after: Status, now: datetime) -> None:
    """Write the new status; the caller holds the rows, has checked them, and writes the changes."""
    if (before, after) not in MOVES:
        raise ValueError(f"a comment cannot move from {before} to {after}")
    connection.execute(update(comments).where(comments.c.id.in_(ids))
                       .values(status=after, decided_at=now, claim=None, claimed_until=None))


def _change(comment_id: str, revision: int, before: str, decision: Decision, now: datetime) -> dict[str, Any]:
    return {"comment_id": comment_id, "revision": revision, "from_status": before, "to_status": decision.outcome,
            "phase": decision.phase, "reason": decision.reason, "label": decision.label, "score": decision.score,
            "threshold": decision.threshold, "reviewer": None, "note": None, "changed_at": now}
