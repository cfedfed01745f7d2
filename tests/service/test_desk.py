"""The desk: what waits, why, and a decision that counts once, on a page where nothing that a reader wrote runs."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from service import auth, database
from service.desk import marked
from service.tables import Status, changes, comments, new_id, utc_now

from ..conftest import KIND, Site, at_once, decide_pending

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def flag(site: Site, client: FlaskClient) -> Callable[..., str]:
    """Put a comment in front of the moderators; return its id."""
    def flag(**fields: Any) -> str:
        answer = client.post("/v1/comments", json=KIND | fields, headers=site.headers)
        assert 202 == answer.status_code, answer.text
        decide_pending(0.7)
        return answer.json["id"]

    return flag


def cards(page: str) -> list[str]:
    return re.findall(r'<article class="card" id="comment-([^"]+)"', page)


def token(client: FlaskClient) -> str:
    with client.session_transaction() as session:
        return session.setdefault("csrf_token", "token")


def decide(client: FlaskClient, comment_id: str, decision: str = "approve", **fields: str) -> Any:
    return client.post(f"/desk/comments/{comment_id}/decision", headers=PAGE, data={
        "csrf_token": token(client), "decision": decision, "revision": "1", "status": "flagged"} | fields)


def status(comment_id: str) -> str:
    with database.reading() as connection:
        return connection.scalar(select(comments.c.status).where(comments.c.id == comment_id))


def reviews() -> list[Any]:
    with database.reading() as connection:
        return connection.execute(select(changes).where(changes.c.phase == "review")).all()


def test_a_card_tells_what_and_why(moderator: FlaskClient, flag: Callable[..., str]) -> None:
    """The text with its marked span, who wrote it, under what, each label's score, the model, and the threshold."""
    comment_id = flag(comment="Awful. Truly awful.", website="http://ada.example")
    page = moderator.get("/desk").text

    assert [comment_id] == cards(page)
    assert re.search(r"<mark[^>]*>Awful</mark>\. Truly awful\.", page)
    for told in ("Ada", "http://ada.example", "The night bus", "toxicity", "0.70", "0.50", "a-test", "UTC"):
        assert told in page
    assert "mo@news.example" in page


def test_an_empty_desk(moderator: FlaskClient) -> None:
    """It says that nothing waits."""
    page = moderator.get("/desk").text

    assert [] == cards(page)
    assert "Nothing waits" in page


HOSTILE = """<script>alert(1)</script><img src=x onerror='alert(2)'>" onmouseover="alert(3)' onfocus='alert(4)"""


def test_nothing_that_a_reader_wrote_runs(moderator: FlaskClient, flag: Callable[..., str]) -> None:
    """Name, text, website, headline and a moderator's address are text on the page, whatever they hold."""
    flag(comment=HOSTILE, name=HOSTILE[:90], website="http://ada.example/'onmouseover='alert(5)",
         article={"id": "17", "title": HOSTILE})
    page = moderator.get("/desk").text

    assert 1 == len(cards(page))
    assert not re.search(r"<(script(?! src=\"/static)|img)", page)
    for tag in re.findall(r"<[^>]+>", page):
        assert not re.search(r"\son\w+\s*=", tag), tag
    assert "javascript:" not in page
    text = html.unescape(re.sub(r"</?mark[^>]*>", "", page))
    assert 2 <= text.count(HOSTILE)


@pytest.mark.parametrize(("text", "spans", "pieces"), [
    pytest.param("abc", [], [("abc", False)], id="no span"),
    pytest.param("abc", [(0, 3)], [("abc", True)], id="all of it"),
    pytest.param("abcdef", [(1, 2), (4, 6)], [("a", False), ("b", True), ("cd", False), ("ef", True)], id="two"),
    pytest.param("abcdef", [(0, 4), (2, 6)], [("ab", True), ("cd", True), ("ef", True)], id="two that overlap"),
    pytest.param("😀a😀b", [(1, 2), (3, 4)], [("😀", False), ("a", True), ("😀", False), ("b", True)],
                 id="counted in code points"),
    pytest.param("שלום", [(0, 2)], [("של", True), ("ום", False)], id="right to left"),
])
def test_marked(text: str, spans: list[tuple[int, int]], pieces: list[tuple[str, bool]]) -> None:
    """A text is cut at the spans of the label that was the reason, and together the pieces are the text."""
    verdict = {"scores": {"toxicity": 0.7, "spam": 0.1}, "spans": [
        *({"label": "toxicity", "begin": begin, "end": end, "weight": 1.0} for begin, end in spans),
        {"label": "spam", "begin": 0, "end": 1, "weight": 1.0}]}
    cut = marked({"comment": text, "verdict": verdict, "decision": {"label": "toxicity"}})

    assert pieces == [(piece, bool(mark)) for piece, mark in cut]


@pytest.mark.parametrize(("decision", "after", "told"), [("approve", "published", "Published."),
                                                        ("reject", "rejected", "Rejected.")])
def test_a_decision(moderator: FlaskClient, flag: Callable[..., str], decision: str, after: str, told: str) -> None:
    """It is done, told, written down with the moderator, and the comment is off the desk."""
    comment_id = flag()

    answer = decide(moderator, comment_id, decision)

    assert 302 == answer.status_code
    page = moderator.get(answer.headers["Location"]).text
    assert told in page
    assert [] == cards(page)
    assert after == status(comment_id)
    (review,) = reviews()
    assert "moderator:mo@news.example" == review.reviewer


def test_someone_was_faster(app: Flask, moderator: FlaskClient, flag: Callable[..., str]) -> None:
    """The second moderator is told and nothing changes; whoever clicks twice is not told that someone was faster."""
    comment_id, other = flag(), second_moderator(app)

    decide(moderator, comment_id)
    decide(moderator, comment_id)
    assert "Someone was faster" not in moderator.get("/desk").text
    assert "Someone was faster" in other.get(decide(other, comment_id, "reject").headers["Location"]).text

    assert "published" == status(comment_id)
    assert 1 == len(reviews())


def test_two_moderators_at_once(app: Flask, moderator: FlaskClient, flag: Callable[..., str]) -> None:
    """Exactly one decision is kept, however close they are."""
    other = second_moderator(app)
    for number in range(1, 6):
        comment_id = flag()
        at_once(app, lambda comment_id=comment_id: decide(moderator, comment_id, "approve"),
                lambda comment_id=comment_id: decide(other, comment_id, "reject"))
        assert number == len(reviews())
        assert reviews()[-1].to_status == status(comment_id)


def second_moderator(app: Flask) -> FlaskClient:
    auth.add_moderator("second@news.example", "a long password")
    client = app.test_client()
    client.get("/desk/sign-in")
    client.post("/desk/sign-in", data={"csrf_token": token(client), "email": "second@news.example",
                                       "password": "a long password"})
    client.get("/desk")
    return client


def test_what_nobody_scored_in_time(app: Flask, moderator: FlaskClient, submit: Callable[..., Any]) -> None:
    """It is on the desk, says so, and a person can decide it without the worker."""
    comment_id = submit().json["id"]
    assert [] == cards(moderator.get("/desk").text)
    with database.writing() as connection:
        connection.execute(update(comments).values(received_at=utc_now() - timedelta(seconds=60)))

    page = moderator.get("/desk").text
    assert [comment_id] == cards(page)
    assert "Not scored yet" in page
    assert 'name="status" value="pending"' in page
    decide(moderator, comment_id, status="pending")

    assert "published" == status(comment_id)
    assert {} == decide_pending()


def test_a_comment_without_a_verdict(app: Flask, moderator: FlaskClient, submit: Callable[..., Any],
                                     site: Site) -> None:
    """The card says that the classifier gave none."""
    from service import moderation

    from ..conftest import FLAGGING

    comment_id, claim_id = submit().json["id"], new_id()
    moderation.claim(claim_id, 1, 15)
    moderation.apply(claim_id, [moderation.Scored(comment_id, site.id, 1, None)], lambda _: FLAGGING)

    page = moderator.get("/desk").text
    assert [comment_id] == cards(page)
    assert "no verdict" in page


def test_the_number_is_what_there_is(moderator: FlaskClient, flag: Callable[..., str]) -> None:
    """51 flagged comments: 50 on the first page, one behind "More", and the number says 51, before and after."""
    ids = sorted(flag() for _ in range(51))
    page = moderator.get("/desk").text
    (more,) = re.findall(r'<a class="more" href="([^"]+)"', page)

    assert ids[:50] == cards(page)
    assert ids[50:] == cards(moderator.get(html.unescape(more)).text)
    assert "<b>51</b> flagged" in page
    decide(moderator, ids[0])
    page = moderator.get("/desk").text
    assert "<b>50</b> flagged" in page
    assert ids[1:] == cards(page)


@pytest.mark.parametrize("fields", [
    pytest.param({"decision": "publish"}, id="no such decision"),
    pytest.param({"decision": ""}, id="no decision"),
    pytest.param({"revision": "one"}, id="a revision that is no number"),
    pytest.param({"revision": "9" * 5000}, id="a revision of 5,000 digits"),
    pytest.param({"status": "gone"}, id="no such status"),
])
def test_a_form_that_is_wrong(moderator: FlaskClient, flag: Callable[..., str], fields: dict[str, str]) -> None:
    """A page that says what to do, and nothing is decided."""
    comment_id = flag()
    answer = decide(moderator, comment_id, **fields)

    assert 422 == answer.status_code
    assert "Reload the page" in answer.text
    assert "flagged" == status(comment_id)


def test_a_comment_that_is_not_there(moderator: FlaskClient) -> None:
    """The desk says so."""
    assert "There is no such comment." in moderator.get(decide(moderator, new_id()).headers["Location"]).text


def test_a_link_decides_nothing(moderator: FlaskClient, flag: Callable[..., str]) -> None:
    """Only a form does: a browser may fetch a link by itself."""
    comment_id = flag()

    assert 405 == moderator.get(f"/desk/comments/{comment_id}/decision?decision=approve").status_code
    assert "flagged" == status(comment_id)


@pytest.mark.parametrize("path", ["/desk/nothing", "/desk?cursor=abc", "/desk?cursor=%00"])
def test_an_error_at_the_desk_is_a_page(moderator: FlaskClient, path: str) -> None:
    """A person sees a page, a program a problem."""
    page, problem = moderator.get(path, headers=PAGE), moderator.get(path)

    assert page.status_code == problem.status_code
    assert 400 <= page.status_code < 500
    assert "text/html" == page.mimetype
    assert "application/problem+json" == problem.mimetype


def test_all_sites_are_on_one_desk(moderator: FlaskClient, flag: Callable[..., str], other_site: Site) -> None:
    """The moderators of an installation see every site's flagged comments, and nothing published or rejected."""
    mine = flag()
    theirs = moderator.post("/v1/comments", json=KIND, headers=other_site.headers).json["id"]
    decide_pending(0.7)
    moderator.post("/v1/comments", json=KIND, headers=other_site.headers)
    decide_pending(0.1)

    assert {mine, theirs} == set(cards(moderator.get("/desk").text))
    assert {Status.FLAGGED} == {status(mine), status(theirs)}
