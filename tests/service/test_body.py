"""From bytes to one dictionary: strict JSON or a form, or a problem that says what is wrong with it."""

from __future__ import annotations

import io
import json

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from service.body import read_body
from service.errors import BadBody, WrongMediaType

FORM = "application/x-www-form-urlencoded"


def request(data: bytes | str, kind: str, **headers: str) -> Request:
    builder = EnvironBuilder(method="POST", input_stream=io.BytesIO(data.encode() if isinstance(data, str) else data),
                             content_type=kind, headers=headers)
    builder.content_length = len(data.encode() if isinstance(data, str) else data)
    return Request(builder.get_environ())


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """The parts as a browser sends them; each begins with what follows `form-data; `."""
    body = b"".join(b"--x\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + value + b"\r\n"
                    for head, value in parts)
    return body + b"--x--\r\n"


@pytest.mark.parametrize(("kind", "data", "expected"), [
    pytest.param("application/json", '{"comment": "a", "article": {"id": 1}}', {"comment": "a", "article": {"id": 1}},
                 id="JSON stays as it is"),
    pytest.param("application/json; charset=utf-8", '{"a": "ü😀"}', {"a": "ü😀"}, id="with a charset"),
    pytest.param("text/json", "{}", {}, id="an old name for JSON"),
    pytest.param("application/vnd.site+json", '{"a": null}', {"a": None}, id="a dialect of JSON"),
    pytest.param("application/json", r'{"a": "\ud83d\ude00"}', {"a": "😀"}, id="a pair of surrogates is one emoji"),
    pytest.param("application/json", '{"a": [1, -2.5e3, true, false]}', {"a": [1, -2500.0, True, False]},
                 id="numbers of an ordinary size"),
    pytest.param(FORM, "comment=a+b%0D%0Ac&name=%F0%9F%98%80", {"comment": "a b\r\nc", "name": "😀"},
                 id="a form's escapes are undone, its line ends are not"),
    pytest.param(FORM, "name=&a=1", {"name": "", "a": "1"}, id="an empty field of a form is there"),
    pytest.param(FORM, "article[id]=17&article[title]=Bus", {"article": {"id": "17", "title": "Bus"}},
                 id="brackets, as PHP and Rails write them"),
    pytest.param(FORM, "article.id=17&article.url=http://a/", {"article": {"id": "17", "url": "http://a/"}},
                 id="dots"),
    pytest.param(FORM, "article_id=17&article_title=", {"article": {"id": "17"}},
                 id="underscores; a field of the article that was left empty was left out"),
    pytest.param(FORM, "article_id=", {}, id="an article whose fields are all empty is none"),
    pytest.param(FORM, "article=17", {"article": "17"}, id="the article's bare id"),
    pytest.param(FORM, "article_idea=x", {"article_idea": "x"}, id="a name that only begins alike"),
    pytest.param(FORM, "", {}, id="an empty form"),
    pytest.param("multipart/form-data; boundary=x", multipart(('name="comment"', "ü😀\r\nb".encode()),
                                                              ('name="article[id]"', b"17")),
                 {"comment": "ü😀\r\nb", "article": {"id": "17"}}, id="a multipart form"),
])
def test_what_is_read(kind: str, data: bytes | str, expected: object) -> None:
    """JSON and forms come out alike."""
    assert expected == read_body(request(data, kind))


DEEP = "[" * 100_000
REFUSED = [
    pytest.param("application/json", b'{"a": "\xff"}', "byte 7", id="broken UTF-8, with its place"),
    pytest.param("application/json", '{"a": "ü"}'.encode("utf-16"), "UTF-8", id="UTF-16"),
    pytest.param("application/json", b"\xef\xbb\xbf{}", "BOM", id="a byte order mark"),
    pytest.param("application/json", "", "not JSON", id="nothing at all"),
    pytest.param("application/json", '{"a": 1,}', "line 1, column", id="a comma too many, with its place"),
    pytest.param("application/json", "{'a': 1}", "not JSON", id="Python, not JSON"),
    pytest.param("application/json", '{"a": "b\nc"}', "not JSON", id="a raw line break in a text"),
    pytest.param("application/json", "[]", "one JSON object", id="a list"),
    pytest.param("application/json", '"a"', "one JSON object", id="a text"),
    pytest.param("application/json", "null", "one JSON object", id="null"),
    pytest.param("application/json", DEEP, "nested too deeply", id="100,000 lists"),
    pytest.param("application/json", '{"a":' * 100_000, "nested too deeply", id="100,000 objects"),
    pytest.param("application/json", '{"a": 1, "b": 2, "a": 1}', "'a' twice", id="a key twice, even with one value"),
    pytest.param("application/json", '{"x": {"b": 1, "b": 2}}', "'b' twice", id="a key twice, further in"),
    pytest.param("application/json", r'{"\ud800": 1, "\ud800": 2}', "twice", id="half a surrogate pair twice as a key"),
    pytest.param("application/json", '{"a": 1' + "0" * 40 + "}", "41 digits", id="a number of 41 digits"),
    pytest.param("application/json", '{"a": ' + "9" * 5000 + "}", "5,000 digits", id="more digits than Python reads"),
    pytest.param("application/json", '{"a": 1e999}', "too large", id="a number past infinity"),
    pytest.param("application/json", '{"a": NaN}', "NaN is not JSON", id="NaN"),
    pytest.param("application/json", '{"a": -Infinity}', "-Infinity is not JSON", id="minus infinity"),
    pytest.param(FORM, b"a=%ff", "%-escapes", id="an escape that is not UTF-8"),
    pytest.param(FORM, b"a=\xff", "byte 2", id="a form that is not UTF-8"),
    pytest.param(FORM, "a=1&a=2", "'a' twice", id="a form's field twice"),
    pytest.param(FORM, "article[id]=1&article.id=2", "twice", id="the article's id in two spellings"),
    pytest.param(FORM, "article=1&article[title]=2", "article twice", id="the article bare and in parts"),
    pytest.param(FORM, "a&" * 201, "200", id="more fields than any form has"),
    pytest.param("multipart/form-data; boundary=x", multipart(('name="a"', b"\xff")), "UTF-8", id="a broken part"),
    pytest.param("multipart/form-data; boundary=x", multipart(('name="a"', b"1"), ('name="a"', b"2")), "'a' twice",
                 id="a multipart form's field twice"),
    pytest.param("multipart/form-data; boundary=x", multipart(('name="a"; filename="b.txt"', b"1")), "file",
                 id="a file"),
]


@pytest.mark.parametrize(("kind", "data", "words"), REFUSED)
def test_what_cannot_be_read_is_refused(kind: str, data: bytes | str, words: str) -> None:
    """The problem says what is wrong, and where that helps."""
    with request(data, kind) as refused, pytest.raises(BadBody) as caught:
        read_body(refused)

    assert words in caught.value.detail
    json.dumps(caught.value.as_dict(), ensure_ascii=False).encode()


@pytest.mark.parametrize("kind", [
    pytest.param("text/plain", id="what a forged form of another site can send without asking"),
    pytest.param("", id="no type at all"),
    pytest.param("application/xml", id="XML"),
    pytest.param("application/jsonp", id="what only begins like JSON"),
])
def test_another_content_type_is_refused(kind: str) -> None:
    """Nothing is guessed: a body of another type is not looked at."""
    with pytest.raises(WrongMediaType) as caught:
        read_body(request("{}", kind))

    assert "application/json" in caught.value.detail


def test_a_compressed_body_is_refused() -> None:
    """Nobody unpacks a bomb here."""
    with pytest.raises(WrongMediaType):
        read_body(request(b"\x1f\x8b", "application/json", **{"Content-Encoding": "gzip"}))
