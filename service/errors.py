"""What can go wrong, as a tree of exceptions, and the one JSON shape (RFC 9457) that every error takes.

    CopydeskError
    ├── ConfigError          a setting is missing or cannot be read: nothing starts
    └── Problem              something that the caller is told, with an HTTP status
        ├── BadBody          400  the body cannot be read at all
        ├── NotSignedIn      401  no key, or a wrong one
        ├── NotAllowed       403  the key lacks the scope, or a form lacks its token
        ├── NotFound         404
        ├── Conflict         409  someone was faster, or the same reference names something else
        ├── TooLarge         413
        ├── WrongMediaType   415
        ├── InvalidFields    422  every wrong field at once
        └── Unavailable      503  the database does not answer: nothing was promised
"""

from __future__ import annotations

from typing import Any, NamedTuple

from click import ClickException
from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException

PROBLEM_JSON = "application/problem+json"


class CopydeskError(Exception):
    """The root of everything that this project raises on purpose."""


class ConfigError(CopydeskError, ClickException):
    """A setting is missing or wrong; the message is one sentence that says what to do, and all that `flask` prints."""


class FieldError(NamedTuple):
    """What is wrong with one field: its path, a code for machines, a sentence for the reader."""

    field: str
    code: str
    message: str


class Problem(CopydeskError):
    """An error that the caller is told; `detail` says what to do about it."""

    status = 500
    code = "internal"
    title = "Something went wrong"

    def __init__(self, detail: str, *, errors: tuple[FieldError, ...] = (), headers: dict[str, str] | None = None,
                 **members: Any):
        super().__init__(detail)
        self.detail, self.errors, self.headers, self.members = detail, errors, headers or {}, members

    @property
    def type(self) -> str:
        """Where the docs tell about this kind of problem."""
        return f"/docs#error-{self.code}"

    def as_dict(self) -> dict[str, Any]:
        """The RFC 9457 body; `errors` stands in it only where fields are to blame."""
        body = {"type": self.type, "title": self.title, "status": self.status, "detail": self.detail}
        if self.errors:
            body["errors"] = [error._asdict() for error in self.errors]
        return body | self.members

    def response(self) -> Response:
        """The problem as an HTTP answer that no cache keeps."""
        body = json.dumps(self.as_dict(), ensure_ascii=False)
        headers = {"Cache-Control": "no-store"} | self.headers
        return Response(body, self.status, headers, content_type=PROBLEM_JSON)


class BadBody(Problem):
    status, code, title = 400, "bad-body", "The request cannot be read"


class NotSignedIn(Problem):
    status, code, title = 401, "unauthorized", "A valid key is needed"


class NotAllowed(Problem):
    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(Problem):
    status, code, title = 404, "not-found", "Not found"


class Conflict(Problem):
    status, code, title = 409, "conflict", "Conflict"


class TooLarge(Problem):
    status, code, title = 413, "too-large", "The request is too large"


class WrongMediaType(Problem):
    status, code, title = 415, "wrong-media-type", "This content type is not understood"


class InvalidFields(Problem):
    status, code, title = 422, "invalid-fields", "Some fields are missing or wrong"


class Unavailable(Problem):
    status, code, title = 503, "unavailable", "Not available just now"


PROBLEMS = (BadBody, NotSignedIn, NotAllowed, NotFound, Conflict, TooLarge, WrongMediaType, InvalidFields, Unavailable)


class _Http(Problem):
    """What Flask and Werkzeug raise by themselves, in our shape."""

    type = "about:blank"  # RFC 9457, section 4.2.1: no more is meant than the HTTP status says.

    def __init__(self, error: HTTPException):
        super().__init__(error.description or "")
        self.status, self.title = error.code or 500, error.name
        # Allow, WWW-Authenticate and their like stay; the body's own headers are ours.
        self.headers = {k: v for k, v in error.get_headers() if k.lower() not in ("content-type", "content-length")}


def wants_page() -> bool:
    """Say whether this request is a person's, at the desk or the demo, who should see a page and not JSON."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html" \
        and not request.path.startswith("/v1/")


def init_app(app: Flask, page) -> None:
    """Give every error of `app` the one shape; `page(problem)` renders it where a person is looking."""

    def answer(problem: Problem) -> Response:
        if wants_page():
            return Response(page(problem), problem.status, problem.headers, content_type="text/html; charset=utf-8")
        return problem.response()

    @app.errorhandler(Problem)
    def on_problem(error: Problem) -> Response:
        return answer(error)

    @app.errorhandler(413)
    def on_too_large(error: HTTPException) -> Response:
        limit = app.config["MAX_BODY_BYTES"]
        return answer(TooLarge(f"The body is larger than {limit:,} bytes (MAX_BODY_BYTES), or a form has more parts "
                               "than any needs. Send less."))

    @app.errorhandler(HTTPException)
    def on_http(error: HTTPException) -> Response:
        # A redirect is an HTTPException too, and is not an error.
        return error.get_response() if (error.code or 500) < 400 else answer(_Http(error))
