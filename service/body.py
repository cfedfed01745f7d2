"""From a request's bytes to one plain dictionary: strict JSON, or a form; or a clear error. Nothing is guessed."""

from __future__ import annotations

import json
import math
import re
from typing import Any
from urllib.parse import parse_qsl

from flask import Request

from .errors import BadBody, WrongMediaType

JSON_TYPES = ("application/json", "text/json")
FORM_TYPES = URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
# Every known client sends fewer than 40 fields; a body of "a&a&a&..." should not cost a minute.
MAX_FORM_FIELDS = 200
# Twice the digits of any number that we have a use for; Python's own limit is 4,300.
MAX_NUMBER_DIGITS = 40


def read_body(request: Request) -> dict[str, Any]:
    """Read a JSON object, or a form's fields with `article[id]` and its like folded into `article`.

    Raises BadBody (400) for what cannot be read, WrongMediaType (415) for what is neither, and 413 by Flask.
    """
    kind = request.mimetype
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise WrongMediaType("The body is compressed. Send it as it is, without Content-Encoding.")
    if kind in JSON_TYPES or kind.endswith("+json"):
        return _json(_decoded(request.get_data()))
    if kind == URLENCODED:
        return _folded(_urlencoded(request.get_data()))
    if kind == MULTIPART:
        # Flask replaces broken UTF-8 in a multipart form without a word, so it is looked for first.
        _decoded(request.get_data())
        if request.files:
            raise BadBody("The form carries a file. Only text fields are accepted.")
        return _folded([(key, value) for key, values in request.form.lists() for value in values])
    raise WrongMediaType("Send application/json, application/x-www-form-urlencoded or multipart/form-data"
                         + (f", not {kind}." if kind else "; the request has no Content-Type."))


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadBody(f"The body is not valid UTF-8: byte {error.start} cannot be read. Send UTF-8.") from error


def _json(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_float=_float,
                          parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise BadBody(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from error
    except RecursionError as error:
        raise BadBody("The JSON is nested too deeply. One object with plain fields is all that is needed.") from error
    if not isinstance(body, dict):
        raise BadBody('The body must be one JSON object, such as {"comment": "..."}.')
    return body


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise BadBody(f"The JSON has the key {key[:80]!r} twice. Send each key once.")
        result[key] = value
    return result


def _integer(digits: str) -> int:
    if len(digits) > MAX_NUMBER_DIGITS:
        raise BadBody(f"The JSON has a number of {len(digits):,} digits; at most {MAX_NUMBER_DIGITS} are read.")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise BadBody("The JSON has a number that is too large to be kept.")
    return number


def _constant(name: str) -> None:
    raise BadBody(f"{name} is not JSON. Leave the field out, or send null.")


def _urlencoded(data: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(_decoded(data), keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS)
    except UnicodeDecodeError as error:
        raise BadBody("The form's %-escapes are not valid UTF-8. Send UTF-8.") from error
    except ValueError as error:
        raise BadBody(f"The form has more than {MAX_FORM_FIELDS} fields.") from error


def _folded(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Fold `article[id]`, `article.id` and `article_id`, as form builders differ, into {"article": {"id": ...}}."""
    fields: dict[str, Any] = {}
    article: dict[str, str] = {}
    for key, value in pairs:
        if key is None:
            raise BadBody("The form has a part without a name. Name every field.")
        part = re.fullmatch(r"article(?:\[(id|url|title)\]|[._](id|url|title))", key)
        target, name = (article, part[1] or part[2]) if part else (fields, key)
        if name in target:
            raise BadBody(f"The form has the field {key[:80]!r} twice. Send each field once.")
        target[name] = value
    # A form has no null: a field that was left empty was left out.
    article = {name: value for name, value in article.items() if value}
    if article and not fields.get("article"):
        fields.pop("article", None)
    if article and "article" in fields:
        raise BadBody("The form names the article twice. Send either article or article[id].")
    return fields | ({"article": article} if article else {})
