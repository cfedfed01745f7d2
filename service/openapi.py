"""OpenAPI 3.1, generated from the views themselves, at /openapi.json; the same for people at /docs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from flask import Blueprint, Response, current_app, json, render_template
from markupsafe import Markup, escape
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .auth import SCOPES, View, public
from .errors import PROBLEM_JSON, PROBLEMS

blueprint = Blueprint("openapi", __name__)

REF = "#/components/schemas/{model}"
PROBLEM_SCHEMA = {
    "type": "object", "required": ["type", "title", "status", "detail"],
    "description": "What went wrong (RFC 9457).",
    "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What to do about it."},
        "errors": {"type": "array", "description": "Every wrong field.", "items": {
            "type": "object", "required": ["field", "code", "message"],
            "properties": {"field": {"type": "string"}, "code": {"type": "string"},
                           "message": {"type": "string", "description": "For the reader, under the form's field."}}}},
    },
}


@dataclass(frozen=True)
class Operation:
    """What a view takes and answers, as the docs tell it."""

    summary: str
    answers: dict[int, type[BaseModel]]
    problems: tuple[int, ...]
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    form: bool = False
    headers: dict[str, str] = field(default_factory=dict)


def operation(summary: str, **facts: Any) -> Callable[[View], View]:
    """Describe a view; needs_key stands above it and adds the scope."""

    def decorate(view: View) -> View:
        view.operation = Operation(summary, **facts)
        return view

    return decorate


def spec() -> dict[str, Any]:
    """Make the OpenAPI 3.1 document of every view that has an operation."""
    rules = [rule for rule in current_app.url_map.iter_rules()
             if hasattr(current_app.view_functions[rule.endpoint], "operation")]
    operations = [current_app.view_functions[rule.endpoint].operation for rule in rules]
    models = {(model, mode) for each in operations for model, mode in
              [(each.body, "validation"), *((answer, "serialization") for answer in each.answers.values())] if model}
    references, definitions = models_json_schema(sorted(models, key=lambda m: m[0].__name__), ref_template=REF)
    paths: dict[str, Any] = {}
    for rule in rules:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            view = current_app.view_functions[rule.endpoint]
            paths.setdefault(path, {})[method.lower()] = _operation(view, rule, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Copydesk", "version": "1",
                 "description": "Comment moderation that a news site runs itself."},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": definitions.get("$defs", {}) | {"Problem": PROBLEM_SCHEMA},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer",
                                        "description": "A site's key, made with `flask keys add`."}},
        },
    }


def _operation(view: Any, rule: Any, references: dict[Any, Any]) -> dict[str, Any]:
    told: Operation = view.operation
    result = {
        "operationId": rule.endpoint.rpartition(".")[2],
        "summary": told.summary,
        "description": f"{_prose(view)}\n\nNeeds a key with the scope `{view.access.detail}`.",
        "security": [{"key": [view.access.detail]}],
        "parameters": _parameters(told, rule),
        "responses": {
            **{str(status): {"description": model.__doc__, "content": {"application/json": {
                "schema": references[model, "serialization"]}}} for status, model in told.answers.items()},
            **{str(status): {"description": _title(status), "content": {PROBLEM_JSON: {
                "schema": {"$ref": REF.format(model="Problem")}}}} for status in (401, 403, *told.problems)},
        },
    }
    if told.body:
        kinds = ("application/json", *(("application/x-www-form-urlencoded", "multipart/form-data")
                                       if told.form else ()))
        result["requestBody"] = {"required": True, "content": {
            kind: {"schema": references[told.body, "validation"]} for kind in kinds}}
    return result


def _parameters(told: Operation, rule: Any) -> list[dict[str, Any]]:
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                  for name in sorted(rule.arguments)]
    if told.query:
        for name, schema in told.query.model_json_schema()["properties"].items():
            parameters.append({"name": name, "in": "query", "description": schema.pop("description", ""),
                               "schema": schema})
    return parameters + [{"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
                         for name, text in told.headers.items()]


def _prose(view: Any) -> str:
    return re.sub(r"\s*\n\s*", " ", view.__doc__.strip())


def _title(status: int) -> str:
    return next(problem.title for problem in PROBLEMS if problem.status == status)


@blueprint.app_template_filter()
def code(text: str) -> Markup:
    """Set what stands between backquotes as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


@cache
def _document(app: Any) -> str:
    return json.dumps(spec(), indent=1)


@blueprint.get("/openapi.json")
@public("It describes the software, not anyone's comments.")
def document() -> Response:
    """Give the OpenAPI document."""
    return Response(_document(current_app._get_current_object()), content_type="application/json")


@blueprint.get("/docs")
@public("It describes the software, not anyone's comments.")
def docs() -> str:
    """Give the same to a person."""
    return render_template("docs.html", spec=spec(), scopes=SCOPES, problems=PROBLEMS)
