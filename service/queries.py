"""Reading: one comment, what is published under an article, the flag queue. Nothing here writes."""

from __future__ import annotations

import base64
import binascii
import json
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, Select, func, or_, select
from sqlalchemy.orm import aliased

from . import database
from .errors import FieldError, InvalidFields, NotFound
from .tables import Status, articles, changes, comments, utc_now, verdicts

DEFAULT_PAGE, MAX_PAGE = 50, 200
# No page indents further. A chain of a thousand replies, each to the one before, must not break the page for all.
MAX_REPLY_DEPTH = 10
# No page carries more replies; a flat list pages through all of them.
MAX_REPLIES = 2_000


class Page(NamedTuple):
    """Some rows, and the cursor at which the next page begins; None at the end."""

    items: list[dict[str, Any]]
    next_cursor: str | None


# What a reader may see of a comment, and what its site may see besides. Neither holds an e-mail or an IP address.
_PUBLIC = (comments.c.id, comments.c.parent_id, comments.c.name, comments.c.website, comments.c.comment,
           comments.c.submitted_at, comments.c.received_at)
_FOR_SITE = (*_PUBLIC, comments.c.status, comments.c.revision, comments.c.site_ref, comments.c.decided_at,
             articles.c.ref.label("article"), articles.c.url.label("article_url"),
             articles.c.title.label("article_title"))


def status(comment_id: str) -> Status:
    """Look up one comment's status; cheap enough to be asked many times a second."""
    with database.reading() as connection:
        return Status(connection.execute(select(comments.c.status).where(comments.c.id == comment_id)).scalar_one())


def comment(comment_id: str, site_id: str) -> dict[str, Any]:
    """One comment with its verdict and decision. Raises NotFound, also for another site's comment."""
    found = some([comment_id], site_id)
    if not found:
        raise NotFound("There is no such comment.")
    return found[0]


def some(comment_ids: Sequence[str], site_id: str) -> list[dict[str, Any]]:
    """Those of the comments that are there and the site's, in the order of their arrival."""
    with database.reading() as connection:
        found = _comments_for_site().where(comments.c.id.in_(comment_ids), comments.c.site_id == site_id)
        return _with_reasons(connection, connection.execute(found.order_by(comments.c.id)).all())


def _comments_for_site() -> Select:
    return select(*_FOR_SITE).select_from(comments.outerjoin(articles))


def _with_reasons(connection: Connection, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Add each comment's last verdict, all its changes as `history`, and the last of them as its decision."""
    ids = [row.id for row in rows]
    scores = {row.comment_id: {"model": row.model, "scores": row.scores, "spans": row.spans, "scored_at": row.scored_at}
              for row in connection.execute(select(verdicts).where(verdicts.c.comment_id.in_(ids))
                                            .order_by(verdicts.c.scored_at))}
    histories: dict[str, list[dict[str, Any]]] = {comment_id: [] for comment_id in ids}
    for row in connection.execute(select(changes).where(changes.c.comment_id.in_(ids)).order_by(changes.c.id)):
        histories[row.comment_id].append({**row._mapping})
    return [{**row._mapping, "verdict": scores.get(row.id), "history": histories[row.id],
             "decision": histories[row.id][-1] if histories[row.id] else None} for row in rows]


# ---------------------------------------------------------------------------------------------- under an article


def published(site_id: str, article: str, *, order: str = "oldest", nested: bool = True,
              cursor: str | None = None, limit: int = DEFAULT_PAGE) -> Page:
    """A page of what is published under an article, by the order of arrival.

    order: "oldest" or "newest" first. nested: pages over comments that answer none, each with all its `replies`,
    oldest first; else every comment stands by itself. A reply whose parent is not published stands for itself, and
    one that is deeper than MAX_REPLY_DEPTH hangs at that depth; its `parent_id` still says what it answers.
    Paging is by id, not by number, so that a page never shows a comment twice or leaves one out while others arrive.
    """
    if "\0" in article:  # PostgreSQL cannot even look for it.
        return Page([], None)
    parent = aliased(comments, name="parent")
    visible = (select(*_PUBLIC).join(articles, articles.c.id == comments.c.article_id)
               .where(articles.c.site_id == site_id, articles.c.ref == article, comments.c.status == Status.PUBLISHED))
    page = visible
    if nested:
        published_parent = (select(parent.c.id).where(parent.c.id == comments.c.parent_id,
                                                      parent.c.status == Status.PUBLISHED))
        page = page.where(~published_parent.exists())
    with database.reading() as connection:
        rows, next_cursor = _page(connection, page, order, cursor, limit)
        items = [{**row._mapping} for row in rows]
        if nested:
            _add_replies(connection, items)
    return Page(items, next_cursor)


def _add_replies(connection: Connection, roots: list[dict[str, Any]]) -> None:
    """Hang every published reply under the comment that it answers, as deep as MAX_REPLY_DEPTH."""
    tree = (select(comments.c.id).where(comments.c.parent_id.in_([root["id"] for root in roots]),
                                        comments.c.status == Status.PUBLISHED).cte("tree", recursive=True))
    tree = tree.union_all(select(comments.c.id).join(tree, comments.c.parent_id == tree.c.id)
                          .where(comments.c.status == Status.PUBLISHED))
    replies = connection.execute(select(*_PUBLIC).where(comments.c.id.in_(select(tree.c.id)))
                                 .order_by(comments.c.id).limit(MAX_REPLIES))
    answers: dict[str, list[Row]] = {}
    for row in replies:
        answers.setdefault(row.parent_id, []).append(row)
    # Each comment that is placed waits here with its depth, and with the list in which replies to it belong.
    placed = deque()
    for root in roots:
        root["replies"] = []
        placed.append((root["id"], 1, root["replies"]))
    while placed:
        comment_id, depth, place = placed.popleft()
        for row in answers.get(comment_id, ()):
            item = {**row._mapping, "replies": []}
            place.append(item)
            deeper = depth < MAX_REPLY_DEPTH
            placed.append((row.id, depth + deeper, item["replies"] if deeper else place))


# ---------------------------------------------------------------------------------------------- the flag queue


def queue(site_id: str | None = None, *, order: str = "oldest", cursor: str | None = None,
          limit: int = DEFAULT_PAGE, overdue_seconds: float | None = None) -> Page:
    """A page of the comments that wait for a person: flagged ones with verdict and decision.

    site_id: one site's; None for all (the desk's). overdue_seconds: also show what has been pending for longer than
    that, so that a comment which nobody scores is seen by someone.
    """
    waiting = comments.c.status == Status.FLAGGED
    if overdue_seconds is not None:
        waiting = or_(waiting, (comments.c.status == Status.PENDING)
                      & (comments.c.received_at < utc_now() - timedelta(seconds=overdue_seconds)))
    found = _comments_for_site().where(waiting)
    if site_id is not None:
        found = found.where(comments.c.site_id == site_id)
    with database.reading() as connection:
        rows, next_cursor = _page(connection, found, order, cursor, limit)
        return Page(_with_reasons(connection, rows), next_cursor)


def counts() -> dict[str, int]:
    """Count all comments by status; every status is there, if only with 0."""
    found = select(comments.c.status, func.count()).group_by(comments.c.status)
    with database.reading() as connection:
        return dict.fromkeys(Status, 0) | {Status(name): number for name, number in connection.execute(found)}


def queue_length(site_id: str) -> int:
    """Count a site's flagged comments."""
    found = select(func.count()).where(comments.c.site_id == site_id, comments.c.status == Status.FLAGGED)
    with database.reading() as connection:
        return connection.execute(found).scalar_one()


def oldest_pending() -> datetime | None:
    """When the comment arrived that has waited longest for its decision; None when none waits."""
    with database.reading() as connection:
        return connection.execute(select(comments.c.received_at).where(comments.c.status == Status.PENDING)
                                  .order_by(comments.c.id).limit(1)).scalar()


# ---------------------------------------------------------------------------------------------- pages


def _page(connection: Connection, found: Select, order: str, cursor: str | None,
          limit: int) -> tuple[Sequence[Row], str | None]:
    """Take the page that begins at `cursor`; one row more is read to know whether another page follows."""
    newest = order == "newest"
    if cursor is not None:
        begin = _decode_cursor(cursor, order)
        found = found.where(comments.c.id <= begin if newest else comments.c.id >= begin)
    rows = connection.execute(found.order_by(comments.c.id.desc() if newest else comments.c.id)
                              .limit(limit + 1)).all()
    return rows[:limit], _encode_cursor(rows[limit].id, order) if len(rows) > limit else None


def _encode_cursor(comment_id: str, order: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([order, comment_id]).encode()).decode().rstrip("=")


def _decode_cursor(cursor: str, order: str) -> str:
    """Read a cursor back. Raises InvalidFields for one that is not ours, or of a list in the other order."""
    try:
        made_for, comment_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if made_for == order:
            return str(UUID(comment_id))
    except (binascii.Error, ValueError, TypeError, AttributeError, RecursionError):
        pass
    raise InvalidFields("This cursor was not given by this list.", errors=(
        FieldError("cursor", "invalid_cursor", "Send the next_cursor of the page before, with the same order."),))


