"""POST /v1/comments with whatever there is: always 202 or a problem that says what is wrong, never a 500."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from service import database
from service.submission import is_blank
from service.tables import comments

from ..conftest import KIND, Site, problem

# The database and the site are the same for all examples of a test; that is what real requests meet too.
fuzz = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

FIELDS = ["comment", "name", "email", "website", "article", "parent_id", "site_ref", "author_ip", "user_agent",
          "submitted_at", "article[id]", "article.url", "article_title", "other"]
# Every code point, NUL and halves of surrogate pairs included, and texts that mean something somewhere.
TEXTS = st.text(st.characters(exclude_categories=()), max_size=60) | st.sampled_from([
    "", " ", "\0", "ada@mail.example", "http://[::1]", "http://a.example:99999", "javascript:alert(1)", "::1",
    "fe80::1%eth0", "2026-11-25T09:30:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    "019ac0de-0000-7000-8000-000000000000", "a" * 5000, "a@" + "b." * 200 + "example", "%s{}<'\">", "1" * 300])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-10**80, 10**80) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | st.sampled_from(["id", "url", "title"]), inner,
                                                                max_size=4), max_leaves=12)
JSON_TYPES = st.sampled_from(["application/json", "application/json; charset=latin-1", "text/json", "a/b+json"])
FORM_TYPES = st.sampled_from(["application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
                              "multipart/form-data", "multipart/form-data; boundary="])


def check(answer: Any) -> None:
    """Every answer is a receipt, or a problem of the one shape whose words can be shown."""
    if answer.status_code == 202:
        assert "pending" == answer.json["status"]
    else:
        assert answer.status_code in (400, 409, 413, 415, 422), answer.text
        body = problem(answer, answer.status_code)
        assert (answer.status_code == 422) == bool(body.get("errors"))


@fuzz
@given(data=st.binary(max_size=400), kind=JSON_TYPES | FORM_TYPES | st.text(st.characters(max_codepoint=255,
                                                                                         exclude_categories=["Cc"])))
@example(data=b"--x\r\n", kind="multipart/form-data; boundary=x")
@example(data=b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--", kind="multipart/form-data; boundary=x")
@example(data=b'--x\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n'
              b'+AAA-\r\n--x--', kind="multipart/form-data; boundary=x")
@example(data=b"{}", kind="application/json; charset=\"")
def test_any_bytes(client: FlaskClient, site: Site, data: bytes, kind: str) -> None:
    """Bytes of no meaning, under any content type."""
    check(client.post("/v1/comments", data=data, content_type=kind, headers=site.headers))


@fuzz
@given(body=VALUES | st.dictionaries(st.sampled_from(FIELDS), VALUES), kind=JSON_TYPES, ascii_only=st.booleans())
def test_any_json(client: FlaskClient, site: Site, body: Any, kind: str, ascii_only: bool) -> None:
    """Any JSON, and what Python writes that is none (NaN)."""
    data = json.dumps(body, ensure_ascii=ascii_only).encode(errors="surrogatepass")

    check(client.post("/v1/comments", data=data, content_type=kind, headers=site.headers))


@fuzz
@given(fields=st.dictionaries(st.sampled_from(FIELDS), VALUES))
@example(fields={"author_ip": "fe80::1%" + "e" * 60})
@example(fields={"submitted_at": "0001-01-01T00:00:00Z"})
@example(fields={"submitted_at": "9999-12-31T23:59:59Z"})
def test_a_good_comment_with_any_other_field(client: FlaskClient, site: Site, fields: dict[str, Any]) -> None:
    """What gets past the checks can be stored."""
    data = json.dumps(KIND | fields)

    check(client.post("/v1/comments", data=data, content_type="application/json", headers=site.headers))


@fuzz
@given(pairs=st.lists(st.tuples(st.sampled_from(FIELDS) | TEXTS, TEXTS | st.binary(max_size=20)), max_size=12),
       good=st.booleans())
def test_any_form(client: FlaskClient, site: Site, pairs: list[tuple[str, Any]], good: bool) -> None:
    """Any form, with a good comment in it or not."""
    start = [(name, KIND[name]) for name in ("comment", "name", "email")] if good else []
    data = urlencode([(name.encode(errors="surrogatepass"),
                       value if isinstance(value, bytes) else value.encode(errors="surrogatepass"))
                      for name, value in start + pairs])

    check(client.post("/v1/comments", data=data, content_type="application/x-www-form-urlencoded",
                      headers=site.headers))


# What HTTP lets a header hold; werkzeug's client would refuse the rest before it is sent.
HEADER = st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=300)


@fuzz
@given(headers=st.dictionaries(st.sampled_from(["Idempotency-Key", "Accept", "Content-Encoding", "If-None-Match",
                                                "X-Forwarded-For", "Origin", "Cookie", "Range"]), HEADER),
       prefer=st.none() | HEADER | st.from_regex(r'wait ?= ?"?0{1,9}', fullmatch=True))
def test_any_headers(client: FlaskClient, site: Site, headers: dict[str, str], prefer: str | None) -> None:
    """Headers of no meaning do no harm."""
    client.application.config["MAX_WAIT_SECONDS"] = 0.01
    sent = headers | site.headers | ({"Prefer": prefer} if prefer is not None else {})

    check(client.post("/v1/comments", json=KIND, headers=sent))


@fuzz
@given(header=HEADER | st.builds("Bearer {}".format, HEADER) | st.from_regex(r"Bearer cd_[0-9a-f]{16}_[\w-]{0,50}",
                                                                            fullmatch=True))
def test_any_key(client: FlaskClient, header: str) -> None:
    """A key that was never made opens nothing."""
    try:
        header.encode("latin-1")
    except UnicodeEncodeError:
        return  # No client can send it.
    problem(client.post("/v1/comments", json=KIND, headers={"Authorization": header}), 401)


@fuzz
@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200)
       .filter(lambda text: not is_blank(text)))
@pytest.mark.parametrize("ascii_only", [True, False])
def test_any_text_comes_back_exactly(client: FlaskClient, site: Site, text: str, ascii_only: bool) -> None:
    """Whatever Unicode can say: from the database and from the API, code point by code point."""
    data = json.dumps(KIND | {"comment": text}, ensure_ascii=ascii_only).encode()

    answer = client.post("/v1/comments", data=data, content_type="application/json", headers=site.headers)

    assert 202 == answer.status_code, answer.text
    with database.reading() as connection:
        assert text == connection.scalar(select(comments.c.comment).where(comments.c.id == answer.json["id"]))
    assert text == client.get(answer.json["status_url"], headers=site.headers).json["comment"]
