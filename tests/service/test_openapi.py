"""The OpenAPI document and the docs tell what the code does: every route, every answer, nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service import errors
from service.auth import SCOPES
from service.tables import new_id

from ..conftest import KIND, Site, decide_pending


@pytest.fixture
def spec(client: FlaskClient) -> dict[str, Any]:
    """The document as a program gets it."""
    answer = client.get("/openapi.json")
    assert 200 == answer.status_code
    return json.loads(answer.data)


def operations(spec: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def everything(node: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document."""
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from everything(inner)


def test_it_tells_of_every_route_under_v1_and_of_no_other(app: Flask, spec: dict[str, Any]) -> None:
    """A route that is added is in the document, with its method."""
    routes = {(re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
              for rule in app.url_map.iter_rules() if rule.rule.startswith("/v1/")
              for method in rule.methods - {"HEAD", "OPTIONS"}}

    assert routes == {(path, method) for path, method, _ in operations(spec)}
    assert "3.1.0" == spec["openapi"]


def test_it_holds_together(spec: dict[str, Any]) -> None:
    """References lead somewhere, ids are unique, every {name} of a path is a parameter, every parameter is told."""
    schemas = {f"#/components/schemas/{name}" for name in spec["components"]["schemas"]}
    assert set() == {node["$ref"] for node in everything(spec) if "$ref" in node} - schemas
    ids = [operation["operationId"] for *_, operation in operations(spec)]
    assert sorted(set(ids)) == sorted(ids)
    for path, method, operation in operations(spec):
        in_path = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert set(re.findall(r"{(\w+)}", path)) == in_path
        assert all(each["required"] for each in operation["parameters"] if each["in"] == "path")
        assert (method == "post") == ("requestBody" in operation)
        assert {"200", "401", "403", "503"} <= set(operation["responses"])
        assert operation["summary"] and operation["description"]  # noqa: PT018
        assert [] == [each["name"] for each in operation["parameters"]
                      if each["in"] == "query" and not each["description"]]


def test_security_names_the_scope(app: Flask, spec: dict[str, Any]) -> None:
    """Each operation tells which scope its key needs, and it is the one that the view asks for."""
    told = {operation["operationId"]: operation["security"][0]["key"][0] for *_, operation in operations(spec)}
    asked = {endpoint.partition(".")[2]: view.access.detail for endpoint, view in app.view_functions.items()
             if endpoint.startswith("api.")}

    assert asked == told
    assert set(SCOPES) == set(told.values())


def test_the_fields_are_the_form_s(spec: dict[str, Any]) -> None:
    """Three fields are required, as the API says when they are missing; JSON and forms take the same."""
    body = spec["paths"]["/v1/comments"]["post"]["requestBody"]["content"]
    submission = spec["components"]["schemas"]["Submission"]

    assert {"application/json", "application/x-www-form-urlencoded", "multipart/form-data"} == set(body)
    assert {"comment", "name", "email"} == set(submission["required"])
    assert {"comment", "name", "email", "website", "article", "parent_id", "site_ref", "author_ip", "user_agent",
            "submitted_at"} == set(submission["properties"])
    assert [] == [name for name, schema in submission["properties"].items() if not schema.get("description")]


def test_every_answer_is_as_the_document_says(client: FlaskClient, site: Site, spec: dict[str, Any],
                                              submit: Callable[..., Any]) -> None:
    """Each status that we get is listed with its content type, and each body has the members of its schema."""
    comment_id = submit().json["id"]
    decide_pending(0.7)
    key, one = {"headers": site.headers}, f"/v1/comments/{comment_id}"
    approve = {"json": {"decision": "approve", "revision": 1}}
    asked = [
        ("post", "/v1/comments", "/v1/comments", {"json": KIND, **key}, 202),
        ("post", "/v1/comments", "/v1/comments", {"json": KIND}, 401),
        ("post", "/v1/comments", "/v1/comments", {"json": {}, **key}, 422),
        ("post", "/v1/comments", "/v1/comments", {"data": "{", "content_type": "application/json", **key}, 400),
        ("post", "/v1/comments", "/v1/comments", {"data": "a", "content_type": "text/plain", **key}, 415),
        ("post", "/v1/comments", "/v1/comments", {"data": "a" * 300_000, "content_type": "text/json", **key}, 413),
        ("get", "/v1/comments/{comment_id}", one, key, 200),
        ("get", "/v1/comments/{comment_id}", f"/v1/comments/{new_id()}", key, 404),
        ("get", "/v1/queue", "/v1/queue", key, 200),
        ("get", "/v1/queue", "/v1/queue?limit=0", key, 422),
        ("post", "/v1/comments/{comment_id}/decision", f"{one}/decision", approve | key, 200),
        ("post", "/v1/comments/{comment_id}/decision", f"{one}/decision",
         {"json": {"decision": "reject", "revision": 1}, **key}, 409),
        ("get", "/v1/articles/{article}/comments", "/v1/articles/17/comments", key, 200),
    ]
    for method, path, address, request, status in asked:
        answer = getattr(client, method)(address, **request)
        assert status == answer.status_code, answer.text
        content = spec["paths"][path][method]["responses"][str(status)]["content"]
        assert [answer.mimetype] == [*content]
        conforms(answer.json, content[answer.mimetype]["schema"], spec)


def conforms(value: Any, schema: dict[str, Any], spec: dict[str, Any]) -> None:
    """Compare a value with its schema, as far as we use schemas: type, members, items, alternatives."""
    if "$ref" in schema:
        schema = spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in schema:
        (schema,) = [each for each in schema["anyOf"] if (each.get("type") == "null") == (value is None)]
        return conforms(value, schema, spec)
    kinds = {"string": str, "integer": int, "number": (int, float), "array": list, "object": dict, "null": type(None)}
    assert isinstance(value, kinds[schema["type"]]), (value, schema)
    if "enum" in schema:
        assert value in schema["enum"]
    for item in value if schema["type"] == "array" else ():
        conforms(item, schema["items"], spec)
    if schema["type"] == "object" and "properties" in schema:
        # RFC 9457 lets a problem carry more members than the schema lists.
        allowed = set(value) if "detail" in schema["properties"] else set(schema["properties"])
        assert set(schema["required"]) <= set(value) <= allowed
        for name, inner in schema["properties"].items():
            if name in value:
                conforms(value[name], inner, spec)


def test_the_docs_tell_the_same_to_a_person(client: FlaskClient, spec: dict[str, Any]) -> None:
    """Every route, parameter, scope and object is on the page; every problem has the anchor that its `type` names."""
    page = client.get("/docs").text

    for path, method, operation in operations(spec):
        assert f"{method.upper()} {path}" in page
        assert [] == [each["name"] for each in operation["parameters"] if each["name"] not in page]
    assert [] == [scope for scope in SCOPES if f"<code>{scope}</code>" not in page]
    assert [] == [name for name, schema in spec["components"]["schemas"].items()
                  if schema.get("properties") and f'id="{name}"' not in page]
    assert [] == [problem.code for problem in errors.PROBLEMS if f'id="error-{problem.code}"' not in page]


def test_links_on_the_docs_page_lead_somewhere(client: FlaskClient) -> None:
    """A link to an object is a link to an anchor on the page."""
    page = client.get("/docs").text

    assert set() == set(re.findall(r'href="#([^"]+)"', page)) - set(re.findall(r'id="([^"]+)"', page))


def test_an_error_of_flask_s_own_claims_no_page_in_the_docs(client: FlaskClient, site: Site) -> None:
    """A route or a method that is not there: its type is the one that RFC 9457 keeps for plain HTTP errors."""
    for answer in (client.get("/v1/nothing"), client.delete("/v1/comments", headers=site.headers)):
        assert "about:blank" == answer.json["type"]
        assert answer.status_code == answer.json["status"]
