"""Reading: pages that neither repeat nor leave out while others write, replies in their place, counts that agree."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from service import database, moderation, queries
from service.errors import InvalidFields, NotFound
from service.submission import Submission, validate
from service.tables import Status, articles, comments, new_id, utc_now, verdicts

from ..conftest import KIND, Site, decide_pending, verdict


def add(site: Site, status: Status = Status.PUBLISHED, **fields: Any) -> str:
    """A comment with this status, younger than the one before."""
    comment_id = moderation.submit(site.id, validate(Submission, KIND | fields)).id
    if status != Status.PENDING:
        decide_pending(0.7 if status == Status.FLAGGED else 0.1)
    if status == Status.REJECTED:
        reject(comment_id)
    return comment_id


def reject(comment_id: str) -> None:
    moderation.review(comment_id, Status.REJECTED, revision=1, seen=Status.PUBLISHED, reviewer="moderator:1")


def all_pages(read: Any, **arguments: Any) -> list[list[str]]:
    """The ids on every page from the first to the last."""
    pages, cursor = [], None
    while True:
        page = read(cursor=cursor, **arguments)
        pages.append([item["id"] for item in page.items])
        if (cursor := page.next_cursor) is None:
            return pages


def tree(items: list[dict[str, Any]]) -> list[Any]:
    return [(item["id"], tree(item["replies"])) for item in items]


# ---------------------------------------------------------------------------------------------- one comment


def test_one_comment(site: Site) -> None:
    """It comes with its article, its verdict, its whole history, and its last change as decision."""
    comment_id = add(site, Status.REJECTED, site_ref="7")

    found = queries.comment(comment_id, site.id)

    assert (KIND["comment"], "17", "The night bus", "7", "rejected") == (
        found["comment"], found["article"], found["article_title"], found["site_ref"], found["status"])
    assert "a-test" == found["verdict"]["model"]
    assert ["published", "rejected"] == [change["to_status"] for change in found["history"]]
    assert found["history"][-1] == found["decision"]
    assert Status.REJECTED == queries.status(comment_id)


def test_a_pending_comment_has_neither_verdict_nor_decision(site: Site) -> None:
    """What is not known yet is none."""
    found = queries.comment(add(site, Status.PENDING), site.id)

    assert (None, None, []) == (found["verdict"], found["decision"], found["history"])


def test_the_last_verdict_is_shown(site: Site) -> None:
    """A comment that a newer model scored again shows the newer verdict."""
    comment_id = add(site)
    with database.writing() as connection:
        connection.execute(insert(verdicts).values({"comment_id": comment_id, "revision": 1,
                                                    "scored_at": utc_now() + timedelta(seconds=1),
                                                    **verdict(0.3), "model": "newer"}))

    assert "newer" == queries.comment(comment_id, site.id)["verdict"]["model"]


def test_another_site_s_comment_is_not_there(site: Site, other_site: Site) -> None:
    """Neither by itself nor among several."""
    comment_id = add(site)

    with pytest.raises(NotFound):
        queries.comment(comment_id, other_site.id)
    assert [] == queries.some([comment_id], other_site.id)
    assert [comment_id] == [row["id"] for row in queries.some([new_id(), comment_id], site.id)]


# ---------------------------------------------------------------------------------------------- under an article


def test_only_what_is_published_is_listed(site: Site, other_site: Site) -> None:
    """Nothing pending, flagged or rejected; nothing of another article, or of another site's article of that id."""
    shown = add(site)
    for status in (Status.FLAGGED, Status.REJECTED, Status.PENDING):
        add(site, status)
    moderation.submit(site.id, validate(Submission, KIND | {"article": "18"}))
    moderation.submit(other_site.id, validate(Submission, KIND))
    elsewhere = queries.published(site.id, "no-such-article")

    assert [shown] == [item["id"] for item in queries.published(site.id, "17", nested=True).items]
    assert [shown] == [item["id"] for item in queries.published(site.id, "17", nested=False).items]
    assert ([], None) == elsewhere


def test_a_reader_sees_no_address(site: Site) -> None:
    """What is listed under an article holds neither the e-mail nor the IP address, nor why it was published."""
    add(site, author_ip="203.0.113.9", user_agent="Lynx")
    (item,) = queries.published(site.id, "17", nested=False).items

    assert {"id", "parent_id", "name", "website", "comment", "submitted_at", "received_at"} == set(item)


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_order(site: Site, order: str) -> None:
    """Oldest first or newest first."""
    ids = sorted(add(site) for _ in range(3))

    listed = [item["id"] for item in queries.published(site.id, "17", order=order, nested=False).items]
    assert (ids if order == "oldest" else ids[::-1]) == listed


def test_replies_stand_under_what_they_answer(site: Site) -> None:
    """However deep, oldest first. A reply to what is not published stands for itself, with its own replies."""
    root = add(site)
    first = add(site, parent_id=root)
    deep = add(site, parent_id=first)
    second = add(site, parent_id=root)
    orphan = add(site, parent_id=deep)
    under_orphan = add(site, parent_id=orphan)
    reject(deep)

    assert [(root, [(first, []), (second, [])]), (orphan, [(under_orphan, [])])] == tree(
        queries.published(site.id, "17").items)
    assert [root, first, second, orphan, under_orphan] == [
        item["id"] for item in queries.published(site.id, "17", nested=False).items]


def test_pages_of_nested_comments_carry_all_replies(site: Site) -> None:
    """A page counts the comments that answer none; their replies come along, whatever their number."""
    roots = sorted(add(site) for _ in range(3))
    replies = [add(site, parent_id=roots[0]) for _ in range(4)]

    page = queries.published(site.id, "17", limit=2)

    assert [roots[0], roots[1]] == [item["id"] for item in page.items]
    assert sorted(replies) == [reply["id"] for reply in page.items[0]["replies"]]


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize("number", [0, 1, 3, 4, 6, 7])
def test_pages_cover_everything_once(site: Site, order: str, number: int) -> None:
    """Pages of three: each comment on one page, the last one without a cursor, and no page is empty for nothing."""
    ids = sorted((add(site) for _ in range(number)), reverse=order == "newest")

    pages = all_pages(lambda **arguments: queries.published(site.id, "17", **arguments), order=order, limit=3)

    assert [ids[begin:begin + 3] for begin in range(0, max(number, 1), 3)] == pages


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_pages_hold_still_while_others_write(site: Site, order: str) -> None:
    """Between two pages one that was shown goes, the one at which the next begins goes, and one comes: nothing is
    shown twice, and nothing that stays is left out."""
    ids = sorted((add(site) for _ in range(6)), reverse=order == "newest")
    first = queries.published(site.id, "17", order=order, limit=2)

    reject(ids[0])
    reject(ids[2])
    new = add(site)
    rest = queries.published(site.id, "17", order=order, limit=50, cursor=first.next_cursor)

    assert ids[:2] == [item["id"] for item in first.items]
    assert [*ids[3:], *([new] if order == "oldest" else [])] == [item["id"] for item in rest.items]


@pytest.mark.parametrize("cursor", [
    pytest.param("", id="empty"),
    pytest.param("abc", id="not one of ours"),
    pytest.param("ü", id="letters that base64 has not"),
    pytest.param("WyJvbGRlc3QiXQ", id="without an id"),
    pytest.param("WyJvbGRlc3QiLCAxXQ", id="a number for the id"),
    pytest.param("WyJvbGRlc3QiLCAiLTEiXQ", id="a page before the first"),
    pytest.param("bnVsbA", id="null"),
    pytest.param("W1tb" * 5000, id="deeper than JSON is read"),
    pytest.param("_w", id="not UTF-8"),
])
def test_a_cursor_that_is_not_ours(site: Site, cursor: str) -> None:
    """It is refused, and does not read as the first page."""
    with pytest.raises(InvalidFields) as caught:
        queries.published(site.id, "17", cursor=cursor)

    assert ["invalid_cursor"] == [error.code for error in caught.value.errors]


def test_a_cursor_of_the_other_order(site: Site) -> None:
    """It would show what was seen already."""
    for _ in range(2):
        add(site)
    cursor = queries.published(site.id, "17", order="oldest", limit=1).next_cursor

    with pytest.raises(InvalidFields):
        queries.published(site.id, "17", order="newest", cursor=cursor)


# ---------------------------------------------------------------------------------------------- the flag queue


def test_the_queue_holds_what_is_flagged(site: Site, other_site: Site) -> None:
    """One site's, or all; with verdict and decision."""
    mine, theirs = add(site, Status.FLAGGED), add(other_site, Status.FLAGGED)
    for status in (Status.PUBLISHED, Status.REJECTED, Status.PENDING):
        add(site, status)
    (item,) = queries.queue(site.id).items

    assert mine == item["id"]
    assert ("doubtful", 0.7) == (item["decision"]["phase"], item["verdict"]["scores"]["toxicity"])
    assert {mine, theirs} == {item["id"] for item in queries.queue().items}


def test_a_comment_that_nobody_scores_is_seen(site: Site) -> None:
    """The desk also shows what has been pending for too long; what has just come is left to the worker."""
    old, new = add(site, Status.PENDING), add(site, Status.PENDING)
    with database.writing() as connection:
        connection.execute(update(comments).where(comments.c.id == old).values(
            received_at=utc_now() - timedelta(seconds=10)))

    assert [old] == [item["id"] for item in queries.queue(overdue_seconds=5).items]
    assert new in [item["id"] for item in queries.queue(overdue_seconds=0).items]
    assert [] == queries.queue().items


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_pages_of_the_queue(site: Site, order: str) -> None:
    """A moderator who works through the pages sees each comment once, also while they decide."""
    ids = sorted((add(site, Status.FLAGGED) for _ in range(5)), reverse=order == "newest")
    first = queries.queue(site.id, order=order, limit=2)
    for item in first.items:
        moderation.review(item["id"], Status.PUBLISHED, revision=1, seen=Status.FLAGGED, reviewer="moderator:1")
    rest = all_pages(lambda **arguments: queries.queue(site.id, **arguments), order=order, limit=2)
    second = queries.queue(site.id, order=order, limit=2, cursor=first.next_cursor)

    assert [ids[2:4], ids[4:]] == rest
    assert ids[2:4] == [item["id"] for item in second.items]


def test_counts_agree_with_the_lists(site: Site, other_site: Site) -> None:
    """The number beside the queue is the queue's length, by site and in all."""
    for status, number in (("published", 3), ("flagged", 2), ("rejected", 1), ("pending", 4)):
        for _ in range(number):
            add(site, Status(status))
    decided = decide_pending(0.7)
    add(other_site, Status.FLAGGED)

    assert {Status.FLAGGED: 4} == decided
    assert {"pending": 0, "published": 3, "flagged": 7, "rejected": 1} == queries.counts()
    assert 6 == queries.queue_length(site.id) == len(queries.queue(site.id).items)
    assert 7 == len(queries.queue().items)
    assert 0 == queries.queue_length(new_id())


def test_a_reply_that_is_older_than_what_it_answers(site: Site) -> None:
    """Two hosts' clocks differ, and so an id may sort before its parent's; the reply is in its place all the same."""
    root, older, younger = add(site), new_id(), new_id()
    with database.writing() as connection:
        article = connection.scalar(select(articles.c.id).where(articles.c.site_id == site.id))
        for comment_id, parent in ((younger, root), (older, younger)):
            connection.execute(insert(comments).values(
                id=comment_id, parent_id=parent, site_id=site.id, article_id=article, name="Ada",
                email="ada@mail.example", comment="And again.", submission_sha256="-", status="published",
                received_at=utc_now(), revision=1, attempts=0))

    (item,) = queries.published(site.id, "17").items

    assert younger == item["replies"][0]["id"]
    assert older == item["replies"][0]["replies"][0]["id"]


def test_a_page_has_an_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many answered one comment, a nested page carries so many replies; the flat list has all."""
    monkeypatch.setattr(queries, "MAX_REPLIES", 5)
    chain(site, add(site), 9)

    page = json.dumps(queries.published(site.id, "17").items, default=str)

    assert 5 == page.count("And again.")
    assert 10 == len(queries.published(site.id, "17", nested=False).items)


def test_oldest_pending(site: Site) -> None:
    """The time since when somebody waits; none when nobody does."""
    add(site)
    assert queries.oldest_pending() is None

    old = add(site, Status.PENDING)
    add(site, Status.PENDING)
    with database.reading() as connection:
        arrived = {row.id: row.received_at for row in connection.execute(select(comments))}
    assert min(arrived, key=lambda each: (each != old, each)) == old
    assert arrived[old] == queries.oldest_pending()


def test_a_very_long_conversation(site: Site) -> None:
    """1,000 replies, each to the one before, indent no further than the limit; there, each is listed by itself."""
    root = add(site)
    chain(site, root, 1000)

    (item,) = queries.published(site.id, "17").items
    depth = 0
    while len(item["replies"]) == 1:
        (item,) = item["replies"]
        depth += 1

    assert queries.MAX_REPLY_DEPTH - 1 == depth
    assert 1000 - depth == len(item["replies"])
    assert item["id"] == item["replies"][0]["parent_id"]
    assert [] == [reply for reply in item["replies"] if reply["replies"]]


def chain(site: Site, root: str, length: int) -> None:
    """Published replies, each to the one before."""
    with database.writing() as connection:
        article = connection.scalar(select(articles.c.id).where(articles.c.site_id == site.id))
        ids = [root, *sorted(new_id() for _ in range(length))]
        connection.execute(insert(comments), [
            {"id": comment_id, "parent_id": parent, "site_id": site.id, "article_id": article, "name": "Ada",
             "email": "ada@mail.example", "comment": "And again.", "submission_sha256": "-", "status": "published",
             "received_at": utc_now()} for parent, comment_id in pairwise(ids)])
