"""The site's routes: what they answer, to whom, and that what was sent comes back exactly."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from service import auth, create_app, database, errors, moderation, queries
from service.tables import Status, changes, comments, new_id

from ..conftest import KIND, SECRET_KEY, Site, at_once, decide_pending, free_port, make_site, problem
from .test_queries import chain

MESSAGES = {"comment": "Please enter your comment!", "name": "Please enter your name here",
            "email": "Please enter your email address here"}


def stored() -> list[Any]:
    with database.reading() as connection:
        return connection.execute(select(comments).order_by(comments.c.id)).all()


def named(answer: Any, status: int = 422) -> dict[str, str]:
    """The fields that a problem names, with the sentence for the reader."""
    return {error["field"]: error["message"] for error in problem(answer, status)["errors"]}


# ---------------------------------------------------------------------------------------------- submit


def test_a_comment_is_accepted(submit: Callable[..., Any], client: FlaskClient, site: Site) -> None:
    """202, with where to ask what became of it; and there it is."""
    answer = submit()

    assert 202 == answer.status_code
    assert {"id", "status", "status_url"} == set(answer.json)
    assert "pending" == answer.json["status"]
    assert f"http://localhost/v1/comments/{answer.json['id']}" == answer.json["status_url"]
    assert answer.json["status_url"] == answer.headers["Location"]
    assert "no-store" == answer.headers["Cache-Control"]
    assert answer.json["id"] == client.get(answer.json["status_url"], headers=site.headers).json["id"]


def test_the_public_address_is_a_setting(app: Flask, submit: Callable[..., Any]) -> None:
    """Behind a proxy we do not know our own address; the operator does."""
    app.config["PUBLIC_URL"] = "https://comments.news.example/"

    answer = submit()

    assert f"https://comments.news.example/v1/comments/{answer.json['id']}" == answer.headers["Location"]


@pytest.mark.parametrize("kind", ["json", "urlencoded", "multipart"])
def test_json_and_forms_carry_the_same(client: FlaskClient, site: Site, kind: str) -> None:
    """Every field by JSON, by a plain form and by a multipart form is stored alike."""
    fields = {"name": "Zoë 😀", "email": "zoë@bücher.example", "comment": "One.\r\nTwo & three = 100 %",
              "website": "http://zoë.example/?a=b&c", "site_ref": "7", "author_ip": "2001:db8::1",
              "user_agent": "Lynx/2.8 (ü)", "submitted_at": "2026-11-25T10:30:00+01:00"}
    article = {"id": "17/a", "url": "https://news.example/17?x=1&y=2", "title": "Büs"}
    form = fields | {f"article[{name}]": value for name, value in article.items()}
    body = {"json": {"json": fields | {"article": article}}, "urlencoded": {"data": form},
            "multipart": {"data": form, "content_type": "multipart/form-data"}}[kind]

    answer = client.post("/v1/comments", headers=site.headers, **body)

    assert 202 == answer.status_code, answer.text
    (row,) = stored()
    assert fields | {"submitted_at": "2026-11-25T09:30:00+00:00"} == {
        **{name: getattr(row, name) for name in fields}, "submitted_at": row.submitted_at.isoformat()}
    read = client.get(f"/v1/comments/{row.id}", headers=site.headers).json
    assert [*article.values()] == [read["article"], read["article_url"], read["article_title"]]


@pytest.mark.parametrize(("fields", "expected"), [
    pytest.param({}, MESSAGES, id="an empty form gets all three sentences at once"),
    pytest.param({"comment": " ", "name": "\t", "email": "\n"}, MESSAGES, id="white space is nothing"),
    pytest.param({"name": "Ada", "email": "ada@mail.example"}, {"comment": MESSAGES["comment"]}, id="no comment"),
    pytest.param(KIND | {"name": ""}, {"name": MESSAGES["name"]}, id="no name"),
    pytest.param(KIND | {"email": ""}, {"email": MESSAGES["email"]}, id="no address"),
    pytest.param(KIND | {"email": "ada"}, {"email": "You have entered an incorrect email address!"},
                 id="an incorrect address"),
    pytest.param({"email": "ada", "comment": "Hello."},
                 {"name": MESSAGES["name"], "email": "You have entered an incorrect email address!"},
                 id="a missing and a wrong field in one answer"),
])
@pytest.mark.parametrize("kind", ["json", "form"])
def test_what_is_missing_or_wrong_is_named(client: FlaskClient, site: Site, kind: str, fields: dict[str, Any],
                                           expected: dict[str, str]) -> None:
    """In the words that a reader sees under the form's fields; and nothing is stored."""
    form = {name: value for name, value in fields.items() if name != "article"}
    body = {"json": {"json": fields}, "form": {"data": form, "content_type": "application/x-www-form-urlencoded"}}[kind]

    assert expected == named(client.post("/v1/comments", headers=site.headers, **body))
    assert [] == stored()


@pytest.mark.parametrize(("data", "kind", "status"), [
    pytest.param(b'{"comment": "\xf0\x9f"}', "application/json", 400, id="broken UTF-8"),
    pytest.param(b"comment=%f0%9f", "application/x-www-form-urlencoded", 400, id="broken UTF-8 in a form"),
    pytest.param(b"{", "application/json", 400, id="broken JSON"),
    pytest.param(b"[" * 200_000, "application/json", 400, id="deep JSON"),
    pytest.param(b'{"site_ref": ' + b"1" * 5000 + b"}", "application/json", 400, id="a huge number"),
    pytest.param(b'{"site_ref": 1e400}', "application/json", 400, id="a number past infinity"),
    pytest.param(b'{"comment": "a", "comment": "b"}', "application/json", 400, id="a key twice"),
    pytest.param(b'["comment"]', "application/json", 400, id="a list"),
    pytest.param(b"", "application/json", 400, id="nothing"),
    pytest.param(b'{"comment": "a\\u0000b"}', "application/json", 422, id="NUL"),
    pytest.param(b'{"comment": "a\\ud800b"}', "application/json", 422, id="half a surrogate pair"),
    pytest.param(b'{"comment": {"a": 1}, "name": 5}', "application/json", 422, id="wrong types"),
    pytest.param(b'{"comment": "a"}', "text/plain", 415, id="JSON as a forged form of another site can send it"),
    pytest.param(b"comment=a", "", 415, id="no content type"),
    pytest.param(b"a" * 262_145, "application/json", 413, id="a body larger than MAX_BODY_BYTES"),
    pytest.param(b"a=" + b"a" * 262_144, "application/x-www-form-urlencoded", 413, id="a form larger than that"),
])
def test_what_cannot_be_accepted(client: FlaskClient, site: Site, data: bytes, kind: str, status: int) -> None:
    """A 4xx that says what is wrong, and nothing is stored."""
    problem(client.post("/v1/comments", data=data, content_type=kind, headers=site.headers), status)

    assert [] == stored()


def test_the_longest_comment_fits_into_the_largest_body(submit: Callable[..., Any], client: FlaskClient,
                                                        site: Site) -> None:
    """20,000 emoji are accepted, also from a client that escapes each as two surrogates."""
    body = json.dumps(KIND | {"comment": "😀" * 20_000})
    assert r"\ud83d" in body

    assert 202 == client.post("/v1/comments", data=body, content_type="application/json",
                              headers=site.headers).status_code
    assert "20,001" in named(submit(comment="😀" * 20_001))["comment"]


EXACT = [
    pytest.param("👍", id="a four-byte emoji"),
    pytest.param("👩‍👩‍👧‍👦 👋🏽 🏴󠁧󠁢󠁷󠁬󠁳󠁿", id="emoji joined, coloured and spelled in tags"),
    pytest.param("שלום! مرحبا, 123", id="right to left"),
    pytest.param("a\u202eb\u2066c\u2069", id="direction marks"),
    pytest.param("e\u0301 \u1112\u1161\u11ab", id="combining marks, not composed (NFD)"),
    pytest.param("\u00e9 \ud55c \ufb01 \u2126", id="composed, and what normal forms would change"),
    pytest.param("Z\u0351\u0352\u0353\u0354" * 50, id="zalgo"),
    pytest.param("One.\r\n\r\nTwo.\nThree.\r", id="every kind of line end"),
    pytest.param("  around \t", id="white space at the ends"),
    pytest.param("<script>alert('1')</script> &amp; \"quotes\" \\u0041 %41", id="markup and escapes"),
    pytest.param("'; DROP TABLE comments; --", id="a famous comment"),
    pytest.param("\u0001\u001b[31m\u007f\u0085\u2028", id="control characters"),
    pytest.param("a\ufffe\uffff\U0010ffff\ue000", id="noncharacters and private ones"),
    pytest.param("\ufeffbyte order mark", id="a byte order mark"),
    pytest.param("{{ 7 * 7 }} ${7} %s {0}", id="what templates would fill in"),
]


@pytest.mark.parametrize("text", EXACT)
@pytest.mark.parametrize("kind", ["json", "escaped", "form"])
def test_what_was_sent_comes_back_exactly(client: FlaskClient, site: Site, text: str, kind: str) -> None:
    """From the database, from the comment, from the article's list: every code point as it came."""
    body = {"json": {"data": json.dumps(KIND | {"comment": text}, ensure_ascii=False).encode(),
                     "content_type": "application/json"},
            "escaped": {"json": KIND | {"comment": text}},
            "form": {"data": {"comment": text, "name": "Ada", "email": "ada@mail.example", "article": "17"}}}[kind]

    answer = client.post("/v1/comments", headers=site.headers, **body)
    assert 202 == answer.status_code, answer.text
    decide_pending()

    assert [text] == [row.comment for row in stored()]
    assert text == client.get(answer.json["status_url"], headers=site.headers).json["comment"]
    assert [text] == [item["comment"] for item in client.get("/v1/articles/17/comments",
                                                             headers=site.headers).json["items"]]


# ---------------------------------------------------------------------------------------------- repeats


@pytest.mark.parametrize(("headers", "fields"), [
    pytest.param({"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}, {}, id="by Idempotency-Key"),
    pytest.param({}, {"site_ref": "7"}, id="by site_ref"),
])
def test_a_repeat_returns_the_first_comment(submit: Callable[..., Any], headers: dict[str, str],
                                            fields: dict[str, Any]) -> None:
    """The same answer again, marked as a repeat; with the status that holds by now."""
    first = submit(headers, **fields)
    again = submit(headers, **fields)
    decide_pending()
    later = submit(headers, **fields)

    assert [202] * 3 == [answer.status_code for answer in (first, again, later)]
    assert first.json == again.json
    assert first.json | {"status": "published"} == later.json
    assert [None, "true", "true"] == [answer.headers.get("Idempotency-Replayed") for answer in (first, again, later)]
    assert 1 == len(stored())


def test_a_key_or_reference_for_something_else(submit: Callable[..., Any]) -> None:
    """A reused Idempotency-Key is 422, as its draft standard says; a reused site_ref 409, with the comment's id."""
    first = submit({"Idempotency-Key": "k"}, site_ref="7")

    assert ["Idempotency-Key"] == [*named(submit({"Idempotency-Key": "k"}, comment="Other."))]
    assert first.json["id"] == problem(submit(site_ref="7", comment="Other."), 409)["id"]
    assert 1 == len(stored())


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_an_idempotency_key_of_the_wrong_length(submit: Callable[..., Any], key: str) -> None:
    """It is refused rather than cut, and nothing is stored."""
    assert ["Idempotency-Key"] == [*named(submit({"Idempotency-Key": key}))]
    assert [] == stored()


def test_the_longest_idempotency_key(submit: Callable[..., Any]) -> None:
    """255 characters, whatever they are."""
    key = "ü" * 255

    assert submit({"Idempotency-Key": key}).json["id"] == submit({"Idempotency-Key": key}).json["id"]


def test_eight_requests_with_one_key_at_once(app: Flask, site: Site) -> None:
    """The same Idempotency-Key eight times at once: eight times 202 with one id, one comment, seven marked."""
    def send() -> Any:
        return app.test_client().post("/v1/comments", json=KIND, headers=site.headers | {"Idempotency-Key": "k"})

    answers = at_once(app, *[send] * 8)

    assert [202] * 8 == [answer.status_code for answer in answers]
    assert 1 == len({answer.json["id"] for answer in answers}) == len(stored())
    assert 7 == sum(answer.headers.get("Idempotency-Replayed") == "true" for answer in answers)


# ---------------------------------------------------------------------------------------------- waiting


def test_a_client_may_wait_for_the_decision(app: Flask, submit: Callable[..., Any]) -> None:
    """200 with the whole comment, as soon as it is decided."""
    def decide() -> None:
        deadline = time.monotonic() + 5
        while not decide_pending() and time.monotonic() < deadline:
            time.sleep(0.01)

    begun = time.monotonic()
    answer, _ = at_once(app, lambda: submit({"Prefer": "wait=5"}), decide)

    assert 200 == answer.status_code
    assert "published" == answer.json["status"]
    assert "a-test" == answer.json["verdict"]["model"]
    assert "wait=5" == answer.headers["Preference-Applied"]
    assert answer.json["status_url"] == answer.headers["Location"]
    assert time.monotonic() - begun < 4


@pytest.mark.parametrize(("prefer", "applied"), [
    pytest.param("wait=1", "wait=0.2", id="cut to what is granted"),
    pytest.param("wait=999999", "wait=0.2", id="cut, however large"),
    pytest.param("wait=0", "wait=0", id="no time at all"),
    pytest.param("respond-async, wait=1", "wait=0.2", id="among other preferences"),
    pytest.param("Wait=1", "wait=0.2", id="a preference's case does not matter (RFC 7240, section 2)"),
    pytest.param("wait", None, id="without a number"),
    pytest.param("wait=-1", None, id="a number below zero"),
    pytest.param("wait=soon", None, id="no number"),
    pytest.param("nowait=1", None, id="another preference"),
    pytest.param(None, None, id="none"),
])
def test_without_a_decision_in_time(app: Flask, submit: Callable[..., Any], prefer: str | None,
                                    applied: str | None) -> None:
    """202 after the wait that was granted, and no earlier than it is nearly over; a preference that cannot be read is
    ignored."""
    app.config["MAX_WAIT_SECONDS"] = 0.2
    begun = time.monotonic()

    answer = submit({"Prefer": prefer} if prefer else {})
    seconds = time.monotonic() - begun

    assert 202 == answer.status_code
    assert applied == answer.headers.get("Preference-Applied")
    granted = float(applied.removeprefix("wait=")) if applied else 0.0
    assert seconds >= granted - 0.1  # The longest pause between two looks.
    assert seconds < 2


def test_a_key_that_may_only_write_learns_only_what_became_of_it(submit: Callable[..., Any], client: FlaskClient,
                                                                 site: Site) -> None:
    """Waiting is no way around the scope for reading: no scores, no notes, no history."""
    comment_id = submit(site_ref="1").json["id"]
    decide_pending()
    writer = {"Authorization": f"Bearer {auth.add_key(site.id, ('comments:write',))}", "Prefer": "wait=1"}

    answer = client.post("/v1/comments", json=KIND | {"site_ref": "1"}, headers=writer)

    assert 200 == answer.status_code
    assert {"id": comment_id, "status": "published"} == {name: answer.json[name] for name in ("id", "status")}
    assert {"id", "status", "status_url"} == set(answer.json)


def test_a_database_that_goes_away_while_one_waits(submit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The comment was stored before, so the answer is 202 all the same."""

    def away(_comment_id: str) -> Status:
        raise errors.Unavailable(database.NOT_READ)

    monkeypatch.setattr(queries, "status", away)

    assert 202 == submit({"Prefer": "wait=1"}).status_code


# ---------------------------------------------------------------------------------------------- read


def test_a_comment_as_its_site_reads_it(submit: Callable[..., Any], client: FlaskClient, site: Site) -> None:
    """With status, verdict, decision and history; times in UTC; never an e-mail or an IP address."""
    comment_id = submit(author_ip="203.0.113.9", user_agent="Lynx", site_ref="7",
                        submitted_at="2026-11-25T10:30:00+01:00").json["id"]
    decide_pending(0.7)
    answer = client.get(f"/v1/comments/{comment_id}", headers=site.headers)

    assert 200 == answer.status_code
    assert {"id", "parent_id", "name", "website", "comment", "submitted_at", "received_at", "status", "status_url",
            "revision", "site_ref", "article", "article_url", "article_title", "decided_at", "verdict", "decision",
            "history"} == set(answer.json)
    assert ("flagged", 1, "7", "17") == tuple(answer.json[name] for name in ("status", "revision", "site_ref",
                                                                            "article"))
    assert {"from_status": "pending", "to_status": "flagged", "revision": 1, "phase": "doubtful",
            "reason": "score_over_threshold", "label": "toxicity", "score": 0.7, "threshold": 0.5, "note": None,
            "reviewer": None} == {k: v for k, v in answer.json["decision"].items() if k != "changed_at"}
    assert [answer.json["decision"]] == answer.json["history"]
    assert [{"label": "toxicity", "begin": 0, "end": 5, "weight": 1.5}] == answer.json["verdict"]["spans"]
    for secret in ("ada@mail.example", "203.0.113.9", "Lynx"):
        assert secret not in answer.text
    for name in ("received_at", "decided_at", "submitted_at"):
        assert timedelta(0) == datetime.fromisoformat(answer.json[name]).utcoffset()
    assert "2026-11-25T09:30:00Z" == answer.json["submitted_at"]


@pytest.mark.parametrize("path", ["/v1/comments/" + "0" * 8, "/v1/comments/nothing", "/v1/nothing", "/v1/comments/"])
def test_what_is_not_there(client: FlaskClient, site: Site, path: str) -> None:
    """404 in the one shape."""
    problem(client.get(path, headers=site.headers), 404)
    problem(client.get(f"/v1/comments/{new_id()}", headers=site.headers), 404)


def test_a_method_that_a_route_has_not(client: FlaskClient, site: Site) -> None:
    """405 in the one shape, with the methods that there are; nothing is decided by following a link."""
    answer = client.get(f"/v1/comments/{new_id()}/decision", headers=site.headers)

    problem(answer, 405)
    assert "POST" in answer.headers["Allow"]
    problem(client.delete("/v1/comments", headers=site.headers), 405)


def test_published_comments(submit: Callable[..., Any], client: FlaskClient, site: Site) -> None:
    """Nested by default, flat if asked; only what readers may see."""
    root = submit(author_ip="203.0.113.9", website="http://ada.example").json["id"]
    reply = submit(parent_id=root).json["id"]
    decide_pending()
    submit(comment="Flagged.")
    decide_pending(0.7)
    submit(comment="Pending.")

    nested = client.get("/v1/articles/17/comments", headers=site.headers)
    flat = client.get("/v1/articles/17/comments?replies=flat&order=newest", headers=site.headers)

    assert [root] == [item["id"] for item in nested.json["items"]]
    assert [reply] == [item["id"] for item in nested.json["items"][0]["replies"]]
    assert [reply, root] == [item["id"] for item in flat.json["items"]]
    assert {"id", "parent_id", "name", "website", "comment", "submitted_at", "received_at"} == set(
        flat.json["items"][0])
    for answer in (nested, flat):
        assert "ada@mail.example" not in answer.text
        assert "203.0.113.9" not in answer.text
        assert "Flagged." not in answer.text
        assert "Pending." not in answer.text


def test_pages(submit: Callable[..., Any], client: FlaskClient, site: Site) -> None:
    """next_cursor leads through all, on the article's list and in the queue; the last page has none."""
    ids = sorted(submit().json["id"] for _ in range(5))
    for path, toxicity in (("/v1/articles/17/comments", 0.1), ("/v1/queue", 0.7)):
        if toxicity > 0.5:
            ids = sorted(submit().json["id"] for _ in range(5))
        decide_pending(toxicity)
        seen, cursor = [], None
        for _ in range(3):
            page = client.get(path, query_string={"limit": 2} | ({"cursor": cursor} if cursor else {}),
                              headers=site.headers).json
            seen += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
        assert ids == seen
        assert cursor is None


@pytest.mark.parametrize("query", [
    pytest.param("limit=0", id="an empty page"), pytest.param("limit=201", id="a page that is too long"),
    pytest.param("limit=-1", id="a page backwards"), pytest.param("limit=ten", id="no number"),
    pytest.param("limit=" + "9" * 5000, id="a number of 5,000 digits"), pytest.param("order=best", id="another order"),
    pytest.param("cursor=abc", id="a cursor that is not ours"), pytest.param("cursor=%00", id="NUL"),
    pytest.param("cursor=" + "W1tb" * 2000, id="a cursor as deep as a pit"),
])
@pytest.mark.parametrize("path", ["/v1/articles/17/comments", "/v1/queue"])
def test_a_query_that_is_wrong(client: FlaskClient, site: Site, path: str, query: str) -> None:
    """422 that names the parameter."""
    assert [query.partition("=")[0]] == [*named(client.get(f"{path}?{query}", headers=site.headers))]


def test_an_etag_spares_the_second_reading(submit: Callable[..., Any], client: FlaskClient, site: Site) -> None:
    """304 while nothing changes; a new comment, or one taken away, makes a new answer."""
    first_id = submit().json["id"]
    decide_pending()
    path = "/v1/articles/17/comments"
    first = client.get(path, headers=site.headers)

    def again(etag: str) -> Any:
        return client.get(path, headers=site.headers | {"If-None-Match": etag})

    unchanged = again(first.headers["ETag"])
    assert 304 == unchanged.status_code
    assert b"" == unchanged.data
    submit()
    assert 304 == again(first.headers["ETag"]).status_code
    decide_pending()
    second = again(first.headers["ETag"])
    assert 200 == second.status_code
    moderation.review(first_id, Status.REJECTED, revision=1, seen=Status.PUBLISHED, reviewer="moderator:1")
    assert 200 == again(second.headers["ETag"]).status_code
    assert "private" in first.headers["Cache-Control"]


@pytest.mark.parametrize("article", [
    pytest.param("2026/11/25/the-night-bus", id="slashes inside"),
    pytest.param("/2026/11/the-night-bus/", id="slashes around"),
    pytest.param("https://news.example/2026/the-night-bus?page=2", id="a url, which serves where there is no id"),
    pytest.param("a//b", id="two slashes"),
    pytest.param("a/comments", id="an id that ends like the route"),
    pytest.param("Büs 😀", id="letters and emoji"),
    pytest.param("50% off; a+b&c=d#e", id="what has a meaning in addresses"),
    pytest.param("..", id="two dots"),
])
def test_an_article_s_id_may_be_anything(submit: Callable[..., Any], client: FlaskClient, site: Site,
                                         article: str) -> None:
    """What was accepted as an article's id can be read by it, written into the path with its escapes."""
    comment_id = submit(article=article).json["id"]
    decide_pending()

    answer = client.get(f"/v1/articles/{quote(article, safe='')}/comments", headers=site.headers)

    assert 200 == answer.status_code
    assert [comment_id] == [item["id"] for item in answer.json["items"]]


def test_an_article_s_url_serves_where_there_is_no_id(submit: Callable[..., Any], client: FlaskClient,
                                                      site: Site) -> None:
    """As the docs of the field say."""
    url = "https://news.example/night-bus"
    comment_id = submit(article={"url": url}).json["id"]
    decide_pending()

    answer = client.get(f"/v1/articles/{quote(url, safe='')}/comments", headers=site.headers)

    assert 200 == answer.status_code
    assert [comment_id] == [item["id"] for item in answer.json["items"]]


@pytest.mark.parametrize("article", ["%00", "a%00b", "%ff", "%ed%a0%80"])
def test_an_article_s_id_that_cannot_be(client: FlaskClient, site: Site, article: str) -> None:
    """NUL or broken UTF-8 in a path never make a 500."""
    answer = client.get(f"/v1/articles/{article}/comments", headers=site.headers)

    assert answer.status_code in (200, 400, 404, 422)


@pytest.mark.parametrize("depth", [50, 300, 1500])
def test_a_conversation_of_any_depth_is_read(submit: Callable[..., Any], client: FlaskClient, site: Site,
                                             depth: int) -> None:
    """A reader who answers themselves 1,500 times must not take the article's comments from everyone."""
    root = submit().json["id"]
    decide_pending()
    chain(site, root, depth)

    answer = client.get("/v1/articles/17/comments", headers=site.headers)

    assert 200 == answer.status_code
    assert depth == answer.text.count("And again.")


# ---------------------------------------------------------------------------------------------- decide


@pytest.fixture
def waiting(submit: Callable[..., Any]) -> str:
    """A flagged comment's id."""
    comment_id = submit().json["id"]
    decide_pending(0.7)
    return comment_id


@pytest.fixture
def decide(client: FlaskClient, site: Site) -> Callable[..., Any]:
    """Decide a comment; fields that are given replace those of an approval."""
    return lambda comment_id, **fields: client.post(
        f"/v1/comments/{comment_id}/decision", headers=site.headers,
        json={"decision": "approve", "revision": 1} | fields)


def test_the_queue_and_its_total(client: FlaskClient, site: Site, other_site: Site, waiting: str) -> None:
    """The site's own flagged comments, and how many there are; not another site's, not what is decided."""
    client.post("/v1/comments", json=KIND, headers=other_site.headers)
    decide_pending(0.7)
    page = client.get("/v1/queue", headers=site.headers).json

    assert ([waiting], 1, None) == ([item["id"] for item in page["items"]], page["total"], page["next_cursor"])


@pytest.mark.parametrize(("decision", "status"), [("approve", "published"), ("reject", "rejected")])
def test_a_decision(client: FlaskClient, site: Site, waiting: str, decide: Callable[..., Any], decision: str,
                    status: str) -> None:
    """The comment moves, leaves the queue, and its history tells who and why; to repeat it changes nothing."""
    answer = decide(waiting, decision=decision, note="My words. 😀")

    assert 200 == answer.status_code
    assert (status, "review", "My words. 😀") == (answer.json["status"], answer.json["decision"]["phase"],
                                                 answer.json["decision"]["note"])
    assert f"key:{site.key.split('_')[1]}" == answer.json["decision"]["reviewer"]
    assert 0 == client.get("/v1/queue", headers=site.headers).json["total"]
    assert answer.json == decide(waiting, decision=decision).json


def test_a_decision_by_form(client: FlaskClient, site: Site, waiting: str) -> None:
    """The same fields as a form."""
    answer = client.post(f"/v1/comments/{waiting}/decision", headers=site.headers,
                         data={"decision": "reject", "revision": "1", "status": "flagged"})

    assert (200, "rejected") == (answer.status_code, answer.json["status"])


@pytest.mark.parametrize("fields", [
    pytest.param({"revision": 2}, id="another revision"),
    pytest.param({"status": "pending"}, id="another status"),
    pytest.param({"revision": 10**30}, id="a revision of thirty digits"),
    pytest.param({"revision": -1}, id="a revision below zero"),
])
def test_a_stale_decision(waiting: str, decide: Callable[..., Any], fields: dict[str, Any]) -> None:
    """409 with what now holds, and nothing is changed."""
    found = problem(decide(waiting, **fields), 409)

    assert {"status": "flagged", "revision": 1} == found["current"]
    assert Status.FLAGGED == stored()[0].status


@pytest.mark.parametrize(("fields", "field"), [
    pytest.param({"revision": None}, "revision", id="no revision"),
    pytest.param({"revision": "1"}, "revision", id="a text for a number"),
    pytest.param({"revision": True}, "revision", id="yes for a number"),
    pytest.param({"revision": 1.5}, "revision", id="a fraction"),
    pytest.param({"decision": "publish"}, "decision", id="another word"),
    pytest.param({"decision": None}, "decision", id="no decision"),
    pytest.param({"status": "gone"}, "status", id="no such status"),
    pytest.param({"note": "a" * 2001}, "note", id="a note that is too long"),
    pytest.param({"note": 5}, "note", id="a number for a note"),
    pytest.param({"note": "a\0"}, "note", id="NUL"),
    pytest.param({"note": "\ud800"}, "note", id="half a surrogate pair"),
])
def test_a_decision_that_is_wrong(waiting: str, decide: Callable[..., Any], fields: dict[str, Any],
                                  field: str) -> None:
    """422 that names the field, and nothing is changed."""
    assert [field] == [*named(decide(waiting, **fields))]
    assert Status.FLAGGED == stored()[0].status


@pytest.mark.parametrize("revision", ["9" * 5000, "", "one", "-1", "1.0", "\u00b9"])
def test_a_form_s_revision_that_is_none(client: FlaskClient, site: Site, waiting: str, revision: str) -> None:
    """What is no whole number is refused, and never a 500."""
    answer = client.post(f"/v1/comments/{waiting}/decision", headers=site.headers,
                         data={"decision": "reject", "revision": revision})

    assert answer.status_code in (409, 422), answer.text
    assert Status.FLAGGED == stored()[0].status


def test_two_keys_decide_at_once(app: Flask, site: Site, waiting: str) -> None:
    """Two moderation tools decide one comment together: one 200, one 409, and one change."""
    from service import auth

    keys = [site.key, auth.add_key(site.id)]

    def decide(key: str, decision: str) -> Any:
        return app.test_client().post(f"/v1/comments/{waiting}/decision", json={"decision": decision, "revision": 1},
                                      headers={"Authorization": f"Bearer {key}"})

    answers = at_once(app, lambda: decide(keys[0], "approve"), lambda: decide(keys[1], "reject"))

    assert [200, 409] == sorted(answer.status_code for answer in answers)
    with database.reading() as connection:
        assert 1 == len(connection.execute(select(changes).where(changes.c.phase == "review")).all())


# ---------------------------------------------------------------------------------------------- what is away


def test_the_database_is_away(redis_url: str) -> None:
    """503 with when to try again, and nothing is promised."""
    away = create_app(DATABASE_URL=f"postgresql://nobody@127.0.0.1:{free_port()}/none", REDIS_URL=redis_url,
                      SECRET_KEY=SECRET_KEY)
    answer = away.test_client().post("/v1/comments", json=KIND,
                                     headers={"Authorization": f"Bearer cd_{'0' * 16}_{'a' * 43}"})

    problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0


def test_redis_is_away(settings: dict[str, Any]) -> None:
    """202 all the same, at once, and the comment is kept."""
    without = create_app(**settings | {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"})
    with without.app_context():
        site = make_site("Redis is away")
        begun = time.monotonic()
        answer = without.test_client().post("/v1/comments", json=KIND, headers=site.headers)

        assert 202 == answer.status_code
        assert time.monotonic() - begun < 2
        assert [answer.json["id"]] == [row.id for row in stored()]
    without.extensions["engine"].dispose()
    without.extensions["redis"].close()
