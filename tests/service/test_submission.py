"""What a site may submit: every field, its limits, and the sentences that a reader sees."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from service import create_app
from service.errors import InvalidFields
from service.submission import Submission, is_blank, validate

from ..conftest import SECRET_KEY, free_port

GOOD = {"comment": "A comment.", "name": "Ada", "email": "ada@mail.example"}


@pytest.fixture(scope="module", autouse=True)
def app() -> Iterator[Flask]:
    """An application whose servers nobody asks: only its settings matter here."""
    app = create_app(DATABASE_URL="sqlite://", REDIS_URL=f"redis://127.0.0.1:{free_port()}", SECRET_KEY=SECRET_KEY)
    with app.app_context():
        yield app


def errors(**fields: Any) -> dict[str, tuple[str, str]]:
    """What is wrong, by field: code and message."""
    with pytest.raises(InvalidFields) as caught:
        validate(Submission, GOOD | fields)
    found = {error.field: (error.code, error.message) for error in caught.value.errors}
    assert len(found) == len(caught.value.errors)
    return found


MESSAGES = {"comment": ("missing", "Please enter your comment!"),
            "name": ("missing", "Please enter your name here"),
            "email": ("missing", "Please enter your email address here")}
BLANKS = [
    pytest.param("", id="empty"),
    pytest.param(" \t\r\n", id="white space"),
    pytest.param(None, id="null"),
    pytest.param("\u00a0\u2003\u3000", id="other scripts' spaces"),
    pytest.param("\u200b\u200d\ufeff", id="nothing to see: zero width"),
    pytest.param("\u202e\u2066", id="nothing to see: direction marks"),
    pytest.param("\u3164\u2800\u115f", id="letters that draw nothing"),
]


def test_everything_that_is_missing_is_named_at_once() -> None:
    """An empty form gets the three sentences, in the form's order."""
    with pytest.raises(InvalidFields) as caught:
        validate(Submission, {})

    assert [(field, *MESSAGES[field]) for field in ("comment", "name", "email")] == [*caught.value.errors]
    assert "3 fields" in caught.value.detail


@pytest.mark.parametrize("blank", BLANKS)
def test_blank_is_missing(blank: str | None) -> None:
    """What shows nothing is missing, in each of the three fields; and was left out, in the others."""
    assert errors(comment=blank, name=blank, email=blank) == MESSAGES
    optional = {"website": blank, "article": blank, "parent_id": blank, "site_ref": blank, "author_ip": blank,
                "user_agent": blank, "submitted_at": blank}
    assert validate(Submission, GOOD) == validate(Submission, GOOD | optional)


@pytest.mark.parametrize("text", [
    pytest.param(".", id="a full stop"),
    pytest.param("👍", id="one emoji"),
    pytest.param("👩‍👩‍👧‍👦", id="a family, joined by zero width joiners"),
    pytest.param("\U0001fae8", id="an emoji of 2022, younger than Python 3.11's tables"),
    pytest.param("\U0001fae9", id="an emoji of 2024, younger than Python 3.13's tables"),
    pytest.param("क्‍ष", id="a Devanagari cluster"),
])
def test_what_shows_something_is_not_blank(text: str) -> None:
    """A comment of one sign is a comment."""
    assert not is_blank(text)
    assert text == validate(Submission, GOOD | {"comment": text}).comment


WRONG_EMAIL = ("invalid_email", "You have entered an incorrect email address!")


@pytest.mark.parametrize("email", [
    pytest.param("ada", id="no at sign"),
    pytest.param("ada@", id="no domain"),
    pytest.param("@mail.example", id="nobody"),
    pytest.param("ada@mail", id="a domain of one word"),
    pytest.param("ada@mail..example", id="two dots"),
    pytest.param("ada@@mail.example", id="two at signs"),
    pytest.param("ada lovelace@mail.example", id="a space"),
    pytest.param("Ada <ada@mail.example>", id="a name around it"),
    pytest.param("ada@mail.example,bob@mail.example", id="two addresses"),
    pytest.param("ada@-mail.example", id="a domain that begins with a hyphen"),
    pytest.param("ada@[127.0.0.1]", id="a number for a domain"),
    pytest.param("a@" + "b" * 250 + ".example", id="a domain that is too long"),
])
def test_an_incorrect_address(email: str) -> None:
    """What is there but no address gets the fourth sentence."""
    assert {"email": WRONG_EMAIL} == errors(email=email)


@pytest.mark.parametrize("email", [
    pytest.param("ada+news@mail.example", id="a tag"),
    pytest.param("o'brien@mail.example", id="an apostrophe"),
    pytest.param("ADA@Mail.Example", id="capitals are kept"),
    pytest.param("josé@mail.example", id="an accent before the at sign"),
    pytest.param("ada@bücher.example", id="an international domain"),
    pytest.param("ada@xn--bcher-kva.example", id="the same in its old clothes"),
    pytest.param("用户@例子.中国", id="all of it Chinese"),
    pytest.param("ada@mail.museum", id="a long top-level domain"),
])
def test_a_correct_address(email: str) -> None:
    """International addresses are valid, nobody's name server is asked, and what was typed is kept."""
    assert email == validate(Submission, GOOD | {"email": email}).email


@pytest.mark.parametrize("website", [
    pytest.param("http://ada.example", id="http"),
    pytest.param("HTTPS://ada.example/~ada?q=1#me", id="https, in capitals, with all that may follow"),
    pytest.param("ada.example", id="as people type it"),
    pytest.param("ada.example:8080/me", id="as people type it, with a port"),
    pytest.param("http://bücher.example/ü", id="other letters"),
])
def test_a_website(website: str) -> None:
    """A web address is kept as it was typed."""
    assert website == validate(Submission, GOOD | {"website": website}).website


@pytest.mark.parametrize("website", [
    pytest.param("javascript:alert(1)", id="a script"),
    pytest.param("JavaScript:alert(1)", id="a script in capitals"),
    pytest.param("javascript:1;alert(1)", id="a script that looks like a host with a port"),
    pytest.param("javascript:0||alert(document.cookie)", id="a script, hidden behind a number in another way"),
    pytest.param("javascript:8080/alert(1)", id="a script behind what looks wholly like a port"),
    pytest.param("vbscript:1,msgbox", id="another script behind a number"),
    pytest.param("data:text/html,<script>", id="a page in an address"),
    pytest.param("ftp://ada.example", id="another scheme"),
    pytest.param("mailto:ada@mail.example", id="a mail address"),
    pytest.param("http://", id="nothing after the scheme"),
    pytest.param("http://[::1", id="a bracket that is not closed"),
    pytest.param("http://ada.example:port", id="a port that is no number"),
    pytest.param("my site", id="words"),
    pytest.param('http://ada.example/"onmouseover="alert(1)', id="a double quote, which ends an attribute"),
    pytest.param("//ada.example", id="no scheme but its slashes"),
])
def test_a_website_that_is_none(website: str) -> None:
    """A site puts this into a link's address; what is not http or https has no business there."""
    found = errors(website=website)

    assert {"website": ("invalid_url", "Please enter a web address that starts with http:// or https://")} == found


@pytest.mark.parametrize("field", ["comment", "name", "email", "website", "site_ref", "user_agent", "parent_id",
                                   "author_ip", "submitted_at", "article"])
@pytest.mark.parametrize(("text", "code"), [
    pytest.param("a\0b", "nul", id="NUL"), pytest.param("a\ud83d", "surrogate", id="half a surrogate pair")])
def test_what_no_database_can_keep(field: str, text: str, code: str) -> None:
    """It is refused in every field, and the message says what it is."""
    assert {field: code} == {name: error[0] for name, error in errors(**{field: text}).items()}


@pytest.mark.parametrize("field", ["comment", "name", "email", "website", "site_ref", "user_agent", "parent_id",
                                   "author_ip", "submitted_at", "article"])
@pytest.mark.parametrize("value", [True, 1.5, [], ["a"], {"a": 1}])
def test_a_wrong_type(field: str, value: Any) -> None:
    """Each field takes a text; nothing else is turned into one."""
    if (field, value) in [("article", {"a": 1})]:
        expected = "missing"  # It is an object, but names no article.
    else:
        expected = "invalid_time" if field == "submitted_at" else "wrong_type"

    assert {field: expected} == {name: error[0] for name, error in errors(**{field: value}).items()}


@pytest.mark.parametrize("field", ["name", "email", "website", "site_ref", "user_agent"])
def test_a_line_is_a_line(field: str) -> None:
    """A line break inside is refused, since it could begin a second header somewhere; at the ends it is dropped."""
    value = {"email": "ada@mail.example", "website": "http://ada.example"}.get(field, "Ada")

    assert "line_break" == errors(**{field: f"{value}\r\nBcc: all@mail.example"})[field][0]
    assert value == getattr(validate(Submission, GOOD | {field: f" {value}\r\n"}), field)


@pytest.mark.parametrize(("field", "most"), [
    ("comment", 20_000), ("name", 100), ("website", 2000), ("site_ref", 200), ("user_agent", 2000)])
def test_the_longest(field: str, most: int) -> None:
    """A text may have as many characters as the limit says, emoji counted as one each, and not one more."""
    start = "http://a.example/" if field == "website" else ""
    longest = start + "😀" * (most - len(start))

    assert longest == getattr(validate(Submission, GOOD | {field: longest}), field)
    code, message = errors(**{field: longest + "😀"})[field]
    assert "too_long" == code
    assert f"{most + 1:,}" in message
    assert f"{most:,}" in message


@pytest.mark.parametrize(("setting", "field"), [("MAX_COMMENT_CHARS", "comment"), ("MAX_NAME_CHARS", "name")])
def test_limits_are_settings(app: Flask, monkeypatch: pytest.MonkeyPatch, setting: str, field: str) -> None:
    """An operator may choose other limits."""
    monkeypatch.setitem(app.config, setting, 5)

    assert "12345" == getattr(validate(Submission, GOOD | {field: "12345"}), field)
    assert "at most 5" in errors(**{field: "123456"})[field][1]


@pytest.mark.parametrize(("article", "ref"), [
    pytest.param("story-17", "story-17", id="a bare id"),
    pytest.param(17, "17", id="a bare number"),
    pytest.param({"id": 17}, "17", id="a number"),
    pytest.param({"id": " 17 "}, "17", id="spaces around it are dropped"),
    pytest.param({"url": "https://news.example/17"}, "https://news.example/17", id="without an id, the url serves"),
    pytest.param({"id": "17", "url": "https://news.example/17", "title": "Bus"}, "17", id="all three"),
    pytest.param({"id": "17", "section": "city"}, "17", id="what is not known is ignored"),
])
def test_an_article(article: Any, ref: str) -> None:
    """An article is named by the site's own id, or by its url."""
    assert ref == validate(Submission, GOOD | {"article": article}).article.ref


@pytest.mark.parametrize(("article", "field", "code"), [
    pytest.param({}, "article", "missing", id="an article without a name"),
    pytest.param({"title": "Bus"}, "article", "missing", id="a title names no article"),
    pytest.param({"url": "https://news.example/" + "a" * 500}, "article", "missing", id="a url too long for an id"),
    pytest.param({"id": "a" * 501}, "article.id", "too_long", id="an id that is too long"),
    pytest.param({"id": "1", "title": "a" * 501}, "article.title", "too_long", id="a title that is too long"),
    pytest.param({"id": "1", "url": "javascript:alert(1)"}, "article.url", "invalid_url", id="a script for a url"),
    pytest.param({"id": "1", "title": "a\0"}, "article.title", "nul", id="NUL in the title"),
    pytest.param({"id": True}, "article.id", "wrong_type", id="yes is no id"),
])
def test_an_article_that_is_wrong(article: Any, field: str, code: str) -> None:
    """The field is named with the path to it."""
    assert {field: code} == {name: error[0] for name, error in errors(article=article).items()}


@pytest.mark.parametrize(("given", "kept"), [
    pytest.param("203.0.113.9", "203.0.113.9", id="IPv4"),
    pytest.param("2001:DB8::0:1", "2001:db8::1", id="IPv6 in its short form"),
])
def test_an_ip_address(given: str, kept: str) -> None:
    """Two spellings of one address are one address."""
    assert kept == validate(Submission, GOOD | {"author_ip": given}).author_ip


@pytest.mark.parametrize("given", ["203.0.113", "203.0.113.256", "203.0.113.09", "203.0.113.9:80", "localhost",
                                   "203.0.113.9/24", "fe80::1%" + "a" * 100])
def test_an_ip_address_that_is_none(given: str) -> None:
    """A range, a port, a name, or a zone longer than the column are refused."""
    assert "invalid_ip" == errors(author_ip=given)["author_ip"][0]


@pytest.mark.parametrize(("given", "kept"), [
    pytest.param("2026-11-25T09:30:00Z", datetime(2026, 11, 25, 9, 30, tzinfo=UTC), id="UTC"),
    pytest.param("2026-11-25T10:30:00+01:00", datetime(2026, 11, 25, 9, 30, tzinfo=UTC), id="another zone, turned"),
    pytest.param("2026-11-24T23:30:00.250-10:00", datetime(2026, 11, 25, 9, 30, 0, 250_000, UTC), id="a fraction"),
])
def test_a_time(given: str, kept: datetime) -> None:
    """A time is kept in UTC."""
    assert kept == validate(Submission, GOOD | {"submitted_at": given}).submitted_at


@pytest.mark.parametrize("given", ["2026-11-25T09:30:00", "2026-11-25", "yesterday", "2026-02-30T09:30:00Z", 1_790_000,
                                   "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_is_none(given: Any) -> None:
    """A time without a zone could be any of 24; one past the calendar's ends is none."""
    assert "invalid_time" == errors(submitted_at=given)["submitted_at"][0]


@pytest.mark.parametrize(("field", "value", "same"), [
    pytest.param("comment", "A comment. ", False, id="other words, if only by a space"),
    pytest.param("name", "Bob", False, id="another person"),
    pytest.param("email", "bob@mail.example", False, id="another address"),
    pytest.param("article", "18", False, id="another article"),
    pytest.param("website", "http://bob.example", False, id="another website"),
    pytest.param("user_agent", "Curl", True, id="another browser says the same"),
    pytest.param("author_ip", "203.0.113.9", True, id="the same from another address"),
    pytest.param("submitted_at", "2026-11-25T09:30:00Z", True, id="the same at another time"),
    pytest.param("article", {"id": "17", "title": "New headline"}, True, id="the same under a new headline"),
])
def test_the_digest_tells_a_repeat(field: str, value: Any, same: bool) -> None:
    """The same words by the same person in the same place are a repeat, however they were sent."""
    first = validate(Submission, GOOD | {"article": "17"})

    assert same == (first.digest() == validate(Submission, GOOD | {"article": "17", field: value}).digest())


def test_unknown_fields_are_ignored() -> None:
    """A site's form has fields that are none of our business."""
    assert validate(Submission, GOOD) == validate(Submission, GOOD | {"newsletter": ["yes", {"a": "\0"}]})
