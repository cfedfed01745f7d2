"""The verbs: submit, claim, apply, review. Each writes a status with its change, once, whoever else is at work."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from service import database, moderation
from service.errors import Conflict, InvalidFields, NotFound
from service.moderation import Scored, Submitted
from service.submission import Submission, validate
from service.tables import MOVES, Status, articles, changes, comments, new_id, utc_now, verdicts

from ..conftest import FLAGGING, KIND, Site, at_once, decide_pending, verdict


def store(site: Site, key: str | None = None, **fields: Any) -> Submitted:
    return moderation.submit(site.id, validate(Submission, KIND | fields), key)


def rows(table: Any) -> list[Any]:
    with database.reading() as connection:
        return connection.execute(select(table)).all()


def set_row(comment_id: str, **values: Any) -> None:
    with database.writing() as connection:
        connection.execute(update(comments).where(comments.c.id == comment_id).values(values))


def log(comment_id: str) -> list[tuple[str, str, str | None]]:
    with database.reading() as connection:
        return [tuple(row) for row in connection.execute(
            select(changes.c.from_status, changes.c.to_status, changes.c.reviewer)
            .where(changes.c.comment_id == comment_id).order_by(changes.c.id))]


def flagged(site: Site) -> str:
    """A comment that waits for a person."""
    submitted = store(site)
    assert {Status.FLAGGED: 1} == decide_pending(toxicity=0.7)
    return submitted.id


# ---------------------------------------------------------------------------------------------- submit


def test_a_comment_is_kept_as_pending(site: Site) -> None:
    """Every field is kept, nothing is decided, and nothing is in the log."""
    before = utc_now()
    submitted = store(site, website="http://ada.example", author_ip="203.0.113.9", user_agent="Lynx", site_ref=7,
                      submitted_at="2026-11-25T09:30:00Z")

    (row,) = rows(comments)
    assert (submitted.id, site.id, Status.PENDING, 1, 0) == (row.id, row.site_id, row.status, row.revision,
                                                             row.attempts)
    assert [KIND["comment"], "Ada", "ada@mail.example", "http://ada.example", "203.0.113.9", "Lynx", "7"] == [
        row.comment, row.name, row.email, row.website, row.author_ip, row.user_agent, row.site_ref]
    assert "2026-11-25T09:30:00+00:00" == row.submitted_at.isoformat()
    assert before <= row.received_at <= utc_now()
    assert [] == rows(changes)


def test_an_article_is_kept_once_and_kept_up_to_date(site: Site, other_site: Site) -> None:
    """A headline that changes is changed; one that is not told is kept; another site's article is another one."""
    store(site, article={"id": "17", "title": "Bus", "url": "https://news.example/17"})
    store(site, article={"id": "17", "title": "Night bus"})
    store(site, article="17")
    store(other_site, article={"id": "17", "title": "Hill"})

    assert {(site.id, "17", "https://news.example/17", "Night bus"), (other_site.id, "17", None, "Hill")} == {
        (row.site_id, row.ref, row.url, row.title) for row in rows(articles)}


@pytest.mark.parametrize(("key", "site_ref"), [("key-1", None), (None, "ref-1"), ("key-1", "ref-1")])
def test_a_repeat_gets_the_first(site: Site, key: str | None, site_ref: str | None) -> None:
    """A site that did not hear our answer asks again, and nothing is stored twice, whatever was decided meanwhile."""
    first = store(site, key, site_ref=site_ref)
    decide_pending()

    again = store(site, key, site_ref=site_ref)

    assert Submitted(first.id, Status.PUBLISHED, repeated=True) == again
    assert 1 == len(rows(comments))


def test_without_a_reference_two_alike_are_two(site: Site) -> None:
    """Two readers may write "Thanks!"; only a reference makes a repeat."""
    assert store(site).id != store(site).id


def test_a_reused_key_is_told(site: Site) -> None:
    """An Idempotency-Key that comes with other words is a mistake of the site's."""
    store(site, "key-1")

    with pytest.raises(InvalidFields) as caught:
        store(site, "key-1", comment="Something else.")

    assert [("Idempotency-Key", "reused")] == [error[:2] for error in caught.value.errors]
    assert 1 == len(rows(comments))


def test_a_reused_site_ref_is_told(site: Site) -> None:
    """A site_ref that comes with other words is refused, and names the comment that has it."""
    first = store(site, site_ref="7")

    with pytest.raises(Conflict) as caught:
        store(site, site_ref="7", comment="Something else.")

    assert {"id": first.id} == caught.value.members
    assert [KIND["comment"]] == [row.comment for row in rows(comments)]


def test_references_are_a_site_s_own(site: Site, other_site: Site) -> None:
    """Another site may use the same key and the same site_ref."""
    first, second = store(site, "key-1", site_ref="7"), store(other_site, "key-1", site_ref="7", comment="Else.")

    assert not second.repeated
    assert first.id != second.id


def test_a_reply_stands_under_its_parent_s_article(site: Site) -> None:
    """Whether the site names the article again or not. And a reply is not published by itself: it is pending too."""
    parent = store(site, article="17")
    decide_pending()
    with_article, without = store(site, article="17", parent_id=parent.id), store(site, article=None,
                                                                                  parent_id=parent.id)

    assert 1 == len({row.article_id for row in rows(comments)})
    assert [Status.PENDING] * 2 == [with_article.status, without.status]


@pytest.mark.parametrize("case", ["unknown", "another site's", "under another article"])
def test_a_parent_that_is_not_there(site: Site, other_site: Site, case: str) -> None:
    """The parent must be a comment of this site under this article; nothing tells whether it exists elsewhere."""
    parent = {"unknown": new_id(), "another site's": store(other_site, article="17").id,
              "under another article": store(site, article="18").id}[case]
    before = len(rows(comments)), len(rows(articles))

    with pytest.raises(InvalidFields) as caught:
        store(site, article="17", parent_id=parent)

    assert [("parent_id", "unknown", "There is no such comment under this article.")] == [*caught.value.errors]
    assert before == (len(rows(comments)), len(rows(articles)))


@pytest.mark.parametrize("references", [{"key": "key-1"}, {"site_ref": "7"}, {"key": "key-1", "site_ref": "7"}])
def test_eight_repeats_at_once_are_one(app: Flask, site: Site, references: dict[str, str]) -> None:
    """A proxy that sends a request again while the first is on its way makes no second comment."""
    found = at_once(app, *[lambda: store(site, **references)] * 8)

    assert 1 == len(rows(comments))
    assert {rows(comments)[0].id} == {submitted.id for submitted in found}
    assert [False] + [True] * 7 == sorted(submitted.repeated for submitted in found)


def test_two_at_once_with_one_site_ref_but_other_words(app: Flask, site: Site) -> None:
    """One is kept, the other is told; neither is mixed into the other."""
    found = at_once(app, *[lambda word=word: store(site, site_ref="7", comment=word) for word in ("One.", "Two.")] * 3)

    (row,) = rows(comments)
    assert 3 == sum(isinstance(each, Conflict) for each in found)
    assert {row.id} == {each.id for each in found if isinstance(each, Submitted)}


def test_first_comments_under_one_article_at_once(app: Flask, site: Site) -> None:
    """A new article's first eight comments arrive together: one article, eight comments."""
    at_once(app, *[lambda: store(site, article="new")] * 8)

    assert 1 == len(rows(articles))
    assert [rows(articles)[0].id] * 8 == [row.article_id for row in rows(comments)]


# ---------------------------------------------------------------------------------------------- claim and apply


def test_a_claim_takes_the_oldest_that_nobody_holds(site: Site) -> None:
    """Up to the limit, oldest first; what is held is not given again."""
    ids = [store(site).id for _ in range(5)]
    ids.sort()  # Those of one millisecond are in no order.

    first, second = moderation.claim(new_id(), 3, 15), moderation.claim(new_id(), 3, 15)

    assert [ids[:3], ids[3:]] == [[row.id for row in first], [row.id for row in second]]
    assert [] == list(moderation.claim(new_id(), 3, 15))
    assert {1} == {row.attempts for row in first}
    assert (KIND["comment"], "Ada", "ada@mail.example", None, site.id) == (
        first[0].comment, first[0].name, first[0].email, first[0].website, first[0].site_id)


def test_claims_at_once_never_overlap(app: Flask, site: Site) -> None:
    """Workers that ask together get different comments, and in the end all are taken."""
    ids = {store(site).id for _ in range(60)}
    taken: list[str] = []
    for _ in range(10):
        for batch in at_once(app, *[lambda: moderation.claim(new_id(), 7, 15)] * 4):
            taken += [row.id for row in batch]
        if len(taken) >= 60:
            break

    assert sorted(ids) == sorted(taken)


def test_a_claim_that_ran_out_is_taken_over(site: Site) -> None:
    """A dead worker's comments are claimed again, and counted; when it comes back, its verdicts are dropped."""
    comment_id = store(site).id
    dead, heir = new_id(), new_id()
    moderation.claim(dead, 1, 0.01)
    time.sleep(0.02)

    (row,) = moderation.claim(heir, 1, 15)
    assert 2 == row.attempts
    late = moderation.apply(dead, [Scored(row.id, row.site_id, 1, verdict(0.99))], lambda _: FLAGGING)
    good = moderation.apply(heir, [Scored(row.id, row.site_id, 1, verdict(0.1))], lambda _: FLAGGING)

    assert {} == late
    assert {Status.PUBLISHED: 1} == good
    assert [("pending", "published", None)] == log(comment_id)
    assert 1 == len(rows(verdicts))


def test_a_claim_that_ran_out_but_that_nobody_took_still_counts(site: Site) -> None:
    """A worker that was slow, and alone, has not worked for nothing."""
    store(site)
    claim_id = new_id()
    (row,) = moderation.claim(claim_id, 1, 0.01)
    time.sleep(0.02)

    assert {Status.PUBLISHED: 1} == moderation.apply(claim_id, [Scored(row.id, row.site_id, 1, verdict(0.1))],
                                                     lambda _: FLAGGING)


def test_a_decision_is_written_whole(site: Site) -> None:
    """Status, verdict and change are there together, and the claim is gone."""
    comment_id = store(site).id
    decide_pending(toxicity=0.7)

    (row,), (change,), (scored,) = rows(comments), rows(changes), rows(verdicts)
    assert (Status.FLAGGED, None, None) == (row.status, row.claim, row.claimed_until)
    assert row.decided_at == change.changed_at == scored.scored_at
    assert (comment_id, 1, "pending", "flagged", "doubtful", "score_over_threshold", "toxicity", 0.7, 0.5, None, None
            ) == (change.comment_id, change.revision, change.from_status, change.to_status, change.phase,
                  change.reason, change.label, change.score, change.threshold, change.note, change.reviewer)
    assert (comment_id, 1, "a-test", {"toxicity": 0.7, "spam": 0.01}) == (
        scored.comment_id, scored.revision, scored.model, scored.scores)


def test_no_verdict_is_flagged(site: Site) -> None:
    """A comment that could not be scored goes to a person, and no verdict is made up."""
    comment_id = store(site).id
    claim_id = new_id()
    moderation.claim(claim_id, 1, 15)

    moderation.apply(claim_id, [Scored(comment_id, site.id, 1, None)], lambda _: FLAGGING)

    assert ["no_verdict"] == [change.phase for change in rows(changes)]
    assert Status.FLAGGED == rows(comments)[0].status
    assert [] == rows(verdicts)


def test_only_a_site_that_switched_it_on_rejects(app: Flask) -> None:
    """The same score is rejected on one site and flagged on another, in one batch."""
    from ..conftest import make_site

    careful, strict = make_site("Careful"), make_site("Strict", rejects_automatically=True)
    ids = {site.id: store(site).id for site in (careful, strict)}

    assert {Status.FLAGGED: 1, Status.REJECTED: 1} == decide_pending(toxicity=0.95)
    assert {ids[careful.id]: "flagged", ids[strict.id]: "rejected"} == {row.id: row.status for row in rows(comments)}


def test_a_person_is_faster_than_the_worker(site: Site) -> None:
    """A comment that a person decides while a worker holds it: the worker's verdict is dropped, nothing is double."""
    comment_id, other_id = store(site).id, store(site).id
    claim_id = new_id()
    claimed = moderation.claim(claim_id, 10, 15)

    moderation.review(comment_id, Status.REJECTED, revision=1, seen=Status.PENDING, reviewer="moderator:1")
    counts = moderation.apply(claim_id, [Scored(row.id, row.site_id, 1, verdict(0.1)) for row in claimed],
                              lambda _: FLAGGING)

    assert {Status.PUBLISHED: 1} == counts
    assert [("pending", "rejected", "moderator:1")] == log(comment_id)
    assert [("pending", "published", None)] == log(other_id)
    assert [other_id] == [row.comment_id for row in rows(verdicts)]


def test_a_person_and_a_worker_at_once(app: Flask, site: Site) -> None:
    """Whoever commits first decides; the other changes nothing, and says so."""
    for _ in range(10):
        comment_id, claim_id = store(site).id, new_id()
        moderation.claim(claim_id, 1, 15)

        person, worker = at_once(
            app,
            lambda comment_id=comment_id: moderation.review(comment_id, Status.REJECTED, revision=1,
                                                            seen=Status.PENDING, reviewer="moderator:1"),
            lambda comment_id=comment_id, claim_id=claim_id: moderation.apply(
                claim_id, [Scored(comment_id, site.id, 1, verdict(0.1))], lambda _: FLAGGING))

        outcome = log(comment_id)
        assert outcome == [("pending", "rejected", "moderator:1")] if worker == {} else [("pending", "published", None)]
        assert (worker == {}) != isinstance(person, Conflict)


@pytest.mark.parametrize(("age_seconds", "held", "status", "expected"), [
    pytest.param(3, False, "pending", True, id="pending for longer than that is overdue"),
    pytest.param(1, False, "pending", False, id="pending for less is not"),
    pytest.param(3, True, "pending", False, id="a worker holds it"),
    pytest.param(3, False, "flagged", False, id="a person has it"),
])
def test_overdue(site: Site, age_seconds: float, held: bool, status: str, expected: bool) -> None:
    """The sweep looks for comments that wait for nobody in particular."""
    comment_id = store(site).id
    if held:
        moderation.claim(new_id(), 1, 15)
    set_row(comment_id, status=status, received_at=utc_now() - timedelta(seconds=age_seconds))

    assert expected == moderation.has_overdue(2)


# ---------------------------------------------------------------------------------------------- review


@pytest.mark.parametrize("before", list(Status))
@pytest.mark.parametrize("after", [Status.PUBLISHED, Status.REJECTED])
def test_a_person_s_moves(site: Site, before: Status, after: Status) -> None:
    """A person may make every allowed move, and no other; each leaves one row in the log."""
    comment_id = store(site).id
    set_row(comment_id, status=before)

    def decide() -> Any:
        return moderation.review(comment_id, after, revision=1, seen=before, reviewer="moderator:1", note="My words.")

    if (before, after) in MOVES:
        assert after == decide().status
        (change,) = rows(changes)
        assert (before, after, "review", "moderator:1", "My words.") == (
            change.from_status, change.to_status, change.phase, change.reviewer, change.note)
        assert change.reason == {"published": "moderator_approved", "rejected": "moderator_rejected"}[after]
    else:
        with pytest.raises(Conflict):
            decide()
        assert [] == rows(changes)


@pytest.mark.parametrize(("revision", "seen"), [
    pytest.param(2, Status.FLAGGED, id="a revision that is not there yet"),
    pytest.param(0, Status.FLAGGED, id="a revision that is past"),
    pytest.param(1, Status.PENDING, id="another status"),
])
def test_what_was_not_seen_is_not_decided(site: Site, revision: int, seen: Status) -> None:
    """A person decides what they saw; if that has changed they are told what now holds."""
    comment_id = flagged(site)

    with pytest.raises(Conflict) as caught:
        moderation.review(comment_id, Status.PUBLISHED, revision=revision, seen=seen, reviewer="moderator:1")

    assert {"current": {"status": "flagged", "revision": 1}} == caught.value.members
    assert [("pending", "flagged", None)] == log(comment_id)


def test_the_same_click_twice_is_one(site: Site) -> None:
    """A moderator who clicks twice has decided once; another one's same decision is too late."""
    comment_id = flagged(site)
    facts = {"revision": 1, "seen": Status.FLAGGED}

    first = moderation.review(comment_id, Status.PUBLISHED, reviewer="moderator:1", **facts)
    assert tuple(first) == tuple(moderation.review(comment_id, Status.PUBLISHED, reviewer="moderator:1", **facts))
    with pytest.raises(Conflict):
        moderation.review(comment_id, Status.PUBLISHED, reviewer="moderator:2", **facts)
    with pytest.raises(Conflict):
        moderation.review(comment_id, Status.REJECTED, reviewer="moderator:1", **facts)

    assert [("pending", "flagged", None), ("flagged", "published", "moderator:1")] == log(comment_id)


@pytest.mark.parametrize("outcomes", [(Status.PUBLISHED, Status.REJECTED), (Status.PUBLISHED, Status.PUBLISHED)])
def test_two_moderators_at_once(app: Flask, site: Site, outcomes: tuple[Status, Status]) -> None:
    """Exactly one wins and the other is told, whether they agree or not; the log has one more row."""
    for _ in range(10):
        comment_id = flagged(site)

        found = at_once(app, *[
            lambda number=number, outcome=outcome, comment_id=comment_id: moderation.review(
                comment_id, outcome, revision=1, seen=Status.FLAGGED, reviewer=f"moderator:{number}")
            for number, outcome in enumerate(outcomes)])

        (winner,) = [number for number, each in enumerate(found) if not isinstance(each, Exception)]
        assert isinstance(found[1 - winner], Conflict)
        assert ("flagged", outcomes[winner], f"moderator:{winner}") == log(comment_id)[1]
        assert 2 == len(log(comment_id))


def test_a_comment_that_is_not_there(site: Site, other_site: Site) -> None:
    """An unknown comment and another site's are alike."""
    comment_id = flagged(site)
    for unknown, of_site in ((new_id(), None), (comment_id, other_site.id)):
        with pytest.raises(NotFound):
            moderation.review(unknown, Status.PUBLISHED, revision=1, seen=Status.FLAGGED, reviewer="-",
                              site_id=of_site)


def test_the_log_tells_every_comment_s_status(site: Site) -> None:
    """The log's last row of each comment is its status, and each row begins where the one before ended."""
    for toxicity in (0.1, 0.7):
        store(site)
        decide_pending(toxicity)
    for row in rows(comments):
        for outcome in (Status.REJECTED, Status.PUBLISHED, Status.REJECTED):
            moderation.review(row.id, outcome, revision=1, reviewer="moderator:1", seen=Status(_status(row.id)))

    for row in rows(comments):
        moves = log(row.id)
        assert ["pending", *[move[1] for move in moves]] == [*[move[0] for move in moves], row.status]
    with database.reading() as connection:
        assert 8 == connection.scalar(select(func.count()).select_from(changes))


def _status(comment_id: str) -> str:
    return next(row.status for row in rows(comments) if row.id == comment_id)
