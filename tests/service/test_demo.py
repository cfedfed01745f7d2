"""The demo's article: a reply with its four messages, waiting for moderation, and then there for everyone."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from service import auth, create_app, database, moderation
from service.demo import ARTICLE, SITE
from service.submission import Submission, validate
from service.tables import Status, comments

from ..conftest import Site, decide_pending
from .test_queries import chain

GOOD = {"comment": "A fine bus. 😀", "name": "Zoë", "email": "zoe@mail.example", "website": "http://zoe.example"}
WAITS = "Your comment is awaiting moderation."
MESSAGES = {"comment": "Please enter your comment!", "name": "Please enter your name here",
            "email": "Please enter your email address here"}


def reply(client: FlaskClient, headers: dict[str, str] | None = None, **fields: str) -> Any:
    client.get("/demo")
    with client.session_transaction() as session:
        token = session["csrf_token"]
    return client.post("/demo", data={"csrf_token": token} | GOOD | fields, headers=headers)


def shown(page: str) -> dict[str, str]:
    """The message under each field, where there is one."""
    found = dict(re.findall(r'data-error-for="(\w+)">([^<]+)<', page))
    return {field: html.unescape(message) for field, message in found.items()}


def stored() -> list[Any]:
    with database.reading() as connection:
        return connection.execute(select(comments)).all()


def test_a_reply_waits_and_is_then_there_for_everyone(app: Flask, client: FlaskClient) -> None:
    """Its author sees it wait, others do not see it; after it is published all see it, and nothing waits."""
    others = app.test_client()

    answer = reply(client)
    assert 303 == answer.status_code
    assert f"/demo#comment-{stored()[0].id}" == answer.headers["Location"]
    for path in ("/demo", "/demo/comments"):
        assert WAITS in client.get(path).text
        assert GOOD["comment"] in client.get(path).text
        assert GOOD["comment"] not in others.get(path).text
    decide_pending()

    for path in ("/demo", "/demo/comments"):
        for visitor in (client, others):
            page = visitor.get(path).text
            assert 1 == page.count(GOOD["comment"])
            assert WAITS not in page
            assert "zoe@mail.example" not in page.replace('value="zoe@mail.example"', "")


@pytest.mark.parametrize(("toxicity", "outcome", "waits"), [(0.7, "flagged", True), (0.7, "rejected", False)])
def test_a_reply_that_is_not_published(client: FlaskClient, toxicity: float, outcome: str, waits: bool) -> None:
    """A flagged one goes on waiting for its author; a rejected one is gone."""
    reply(client)
    decide_pending(toxicity)
    if outcome == "rejected":
        moderation.review(stored()[0].id, Status.REJECTED, revision=1, seen=Status.FLAGGED, reviewer="moderator:1")

    assert waits == (GOOD["comment"] in client.get("/demo").text)
    assert outcome == stored()[0].status


@pytest.mark.parametrize(("fields", "expected"), [
    pytest.param({"comment": "", "name": "", "email": ""}, MESSAGES, id="an empty form"),
    pytest.param({"comment": " \r\n"}, {"comment": MESSAGES["comment"]}, id="a comment of white space"),
    pytest.param({"email": "zoe"}, {"email": "You have entered an incorrect email address!"}, id="a wrong address"),
    pytest.param({"website": "javascript:alert(1)"},
                 {"website": "Please enter a web address that starts with http:// or https://"}, id="a wrong website"),
])
def test_messages_stand_under_their_fields(client: FlaskClient, fields: dict[str, str],
                                           expected: dict[str, str]) -> None:
    """Without JavaScript the page comes again, with what was typed; with it, the same messages as JSON."""
    answer = reply(client, **fields)
    by_script = reply(client, {"Accept": "application/json"}, **fields)

    assert 422 == answer.status_code == by_script.status_code
    assert expected == shown(answer.text)
    assert expected == {error["field"]: error["message"] for error in by_script.json["errors"]}
    for value in (GOOD | fields).values():
        assert html.escape(value.strip()) in answer.text
    assert [] == stored()


def test_a_good_form_shows_no_message(client: FlaskClient) -> None:
    """Nor does the page before anything was sent."""
    assert {} == shown(client.get("/demo").text)
    reply(client)
    assert {} == shown(client.get("/demo").text)


def test_a_reply_by_script(client: FlaskClient) -> None:
    """202, and the discussion shows it."""
    answer = reply(client, {"Accept": "application/json"})

    assert 202 == answer.status_code
    assert WAITS in client.get("/demo/comments").text


def test_a_form_of_another_site(client: FlaskClient) -> None:
    """Without the page's token nothing is stored."""
    client.get("/demo")
    for data in (GOOD, GOOD | {"csrf_token": "guessed"}):
        assert 403 == client.post("/demo", data=data).status_code
    assert 403 == client.post("/demo", json=GOOD).status_code
    assert [] == stored()


def test_the_name_is_saved_only_where_that_was_ticked(client: FlaskClient) -> None:
    """The box fills name, e-mail and website in the next time, exactly; without it they are forgotten."""
    odd = {"name": "Zoë \"Z\"; a=b, 😀", "website": "http://zoe.example/?a=1&b=ü"}
    reply(client, save="yes", **odd)
    page = client.get("/demo").text
    for value in (odd["name"], "zoe@mail.example", odd["website"]):
        assert f'value="{html.escape(value).replace("&quot;", "&#34;")}"' in page
    assert "checked" in page

    reply(client)
    page = client.get("/demo").text
    assert 'value="zoe@mail.example"' not in page
    assert "checked" not in page


def test_replies_stand_under_what_they_answer_and_are_counted(client: FlaskClient) -> None:
    """A reply is moderated like any comment; then it stands inside its parent, and the heading counts both."""
    reply(client)
    decide_pending()
    parent = stored()[0].id
    reply(client, comment="Indeed.", parent_id=parent)
    assert ["pending", "published"] == sorted(row.status for row in stored())
    assert re.search(r"<h2>\s*1 comment\s*</h2>", client.get("/demo/comments").text)
    decide_pending()

    page = client.get("/demo/comments").text
    assert re.search(r"<h2>\s*2 comments\s*</h2>", page)
    assert 1 == page.count("Indeed.")
    inside = page[page.index(f"comment-{parent}"):page.rindex("</article>")]
    assert "Indeed." in inside


def test_a_reply_to_what_is_not_there(client: FlaskClient, site: Site) -> None:
    """A parent of another site, or of none, is refused; the page still comes."""
    elsewhere = client.post("/v1/comments", json=GOOD, headers=site.headers).json["id"]
    for parent in (elsewhere, "nothing"):
        assert 422 == reply(client, parent_id=parent).status_code
    assert 1 == len(stored())


HOSTILE = """<script>alert(1)</script><img src=x onerror='alert(2)'>" onmouseover="alert(3)' onfocus='alert(4)"""


def test_nothing_that_a_reader_wrote_runs(client: FlaskClient) -> None:
    """Neither in the discussion nor in a form that comes again."""
    hostile = {"comment": HOSTILE, "name": HOSTILE[:90], "website": "http://a.example/'onmouseover='alert(5)"}
    again = reply(client, email=HOSTILE, **hostile).text
    reply(client, save="yes", **hostile)
    waiting = client.get("/demo").text
    decide_pending()

    for page in (again, waiting, client.get("/demo").text):
        assert not re.search(r"<(script(?! src=\"/static)|img)", page)
        for tag in re.findall(r"<[^>]+>", page):
            assert not re.search(r"\son\w+\s*=", re.sub(r'"[^"]*"', '""', tag)), tag
        assert HOSTILE in html.unescape(page)


def test_a_link_to_a_readers_site_gains_nothing(client: FlaskClient) -> None:
    """Search engines are told that a reader wrote it."""
    reply(client)
    decide_pending()

    assert re.search(r'<a href="http://zoe.example" rel="[^"]*nofollow[^"]*ugc', client.get("/demo/comments").text)


def test_a_conversation_of_any_depth_is_shown(client: FlaskClient) -> None:
    """1,000 replies, each to the one before, do not take the page from everyone."""
    reply(client)
    decide_pending()
    site = Site(auth.find_site(SITE), "-")
    chain(site, stored()[0].id, 1000)

    assert 200 == client.get("/demo").status_code


def test_the_newest_is_shown_however_many_there_are(client: FlaskClient) -> None:
    """The 201st comment appears as the first did."""
    site_id = auth.ensure_site(SITE)
    for number in range(200):
        moderation.submit(site_id, validate(Submission, GOOD | {"comment": f"Number {number}.", "article": ARTICLE}))
    reply(client, comment="The newest.")
    decide_pending()

    assert "The newest." in client.get("/demo/comments").text


def test_an_unchanged_discussion_is_not_sent_again(client: FlaskClient) -> None:
    """The script asks often; 304 is a cheap answer."""
    first = client.get("/demo/comments")

    assert 304 == client.get("/demo/comments", headers={"If-None-Match": first.headers["ETag"]}).status_code
    reply(client)
    assert 200 == client.get("/demo/comments", headers={"If-None-Match": first.headers["ETag"]}).status_code


def test_without_the_demo_there_is_none(settings: dict[str, Any]) -> None:
    """In production it is off."""
    app = create_app(**settings | {"DEMO": False})
    for path in ("/demo", "/demo/comments"):
        assert 404 == app.test_client().get(path).status_code
    app.extensions["redis"].close()
