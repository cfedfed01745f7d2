"""What a site submits: every field, its limits, and what a reader is told when it is missing or wrong."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email
from flask import current_app
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from .errors import FieldError, InvalidFields

# What a reader sees under the form's fields.
MISSING = {
    "comment": "Please enter your comment!",
    "name": "Please enter your name here",
    "email": "Please enter your email address here",
}
WRONG_EMAIL = "You have entered an incorrect email address!"
WRONG_WEBSITE = "Please enter a web address that starts with http:// or https://"

# Letters and symbols by their category, and yet nothing to see. Unassigned characters do not count as blank: an emoji
# that is younger than this Python's tables is one of them.
BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
BodyModel = TypeVar("BodyModel", bound=BaseModel)


def is_blank(text: str) -> bool:
    """Say whether there is nothing to see: only white space, controls and invisible characters."""
    return all(c in BLANK_LETTERS or unicodedata.category(c) in ("Zs", "Zl", "Zp", "Cc", "Cf") for c in text)


def wrong(code: str, message: str) -> PydanticCustomError:
    """A field's error, with a code for machines and a sentence for a person."""
    return PydanticCustomError(code, "{message}", {"message": message})


def _clean(value: Any) -> Any:
    """Refuse what no database can keep; take a blank text for a missing one. Otherwise leave it exactly as it is."""
    if not isinstance(value, str):
        return value
    if "\0" in value:
        raise wrong("nul", "This contains a NUL character (U+0000), which cannot be kept. Remove it.")
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise wrong("surrogate", "This contains half of a surrogate pair, which is no character. Send valid Unicode.")
    return None if is_blank(value) else value


def _number_as_text(value: Any) -> Any:
    """Many systems count their articles and comments: a whole number stands for its digits."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _line(value: str) -> str:
    value = value.strip()
    if any(unicodedata.category(c) == "Cc" for c in value):
        raise wrong("line_break", "This must be a single line.")
    return value


def at_most(limit: int | str) -> Callable[[str], str]:
    """Limit the characters to a number, or to what the setting of that name says."""

    def check(value: str) -> str:
        most = current_app.config[limit] if isinstance(limit, str) else limit
        if len(value) > most:
            raise wrong("too_long", f"This has {len(value):,} characters; at most {most:,} are accepted.")
        return value

    return check


def _email(value: str) -> str:
    try:
        # Internationalised addresses are valid, and nobody's name server is asked.
        validate_email(value, check_deliverability=False, allow_smtputf8=True, strict=True)
    except EmailNotValidError as error:
        raise wrong("invalid_email", WRONG_EMAIL) from error
    return value


def _web_address(value: str) -> str:
    # People type "example.org", or "example.org:8080/me", and mean http. Anything else without a scheme, such as
    # "javascript:8080/...", is none: a site may put what we hand out into a link.
    bare = re.match(r"[^\s/:?#]+\.[^\s/:?#]+(:\d{1,5})?([/?#]|$)", value)
    try:
        parts = urlsplit(f"http://{value}" if bare else value)
        fine = (parts.scheme in ("http", "https") and parts.hostname and not re.search(r"[\s<>\"]", value)
                and (parts.port is None or parts.port))
    except ValueError:
        fine = False
    if not fine:
        raise wrong("invalid_url", WRONG_WEBSITE)
    return value


def _address(value: str) -> str:
    try:
        address = ipaddress.ip_address(value)
        if "%" in value:
            raise ValueError("a zone means something only on the machine that named it")
        return str(address)
    except ValueError as error:
        raise wrong("invalid_ip", "This must be an IPv4 or IPv6 address, such as 203.0.113.9.") from error


def _instant(value: Any) -> Any:
    value = _clean(value)
    if value is None:
        return None
    try:
        instant = datetime.fromisoformat(value.strip())
        if instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except (AttributeError, ValueError, OverflowError):
        pass  # AttributeError: not a text.
    raise wrong("invalid_time", "This must be a time with its zone, such as 2026-11-25T09:30:00Z.")


def _comment_id(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value):
        raise wrong("invalid_id", "This must be the id of a comment, as this service gave it.")
    return value.lower()


def optional(*checks: Callable[[str], str], before: Callable[[Any], Any] = lambda value: value) -> Any:
    """A text that may be missing: cleaned, then passed through `checks` in order."""

    def check(value: str | None) -> str | None:
        for each in checks if value is not None else ():
            value = each(value)
        return value

    return Annotated[str | None, BeforeValidator(_clean), BeforeValidator(before), AfterValidator(check)]


def _required(field: str, *checks: Callable[[str], str]) -> Any:
    """A text that must be there; blank is missing, and so is null."""

    def clean(value: Any) -> Any:
        value = _clean(value)
        if value is None:
            raise wrong("missing", MISSING[field])
        return value

    return Annotated[str, BeforeValidator(clean), *map(AfterValidator, checks)]


class Article(BaseModel):
    """The article under which a comment stands; a bare text or number is its id."""

    model_config = ConfigDict(frozen=True)

    # The id is indexed, and PostgreSQL indexes at most 2,704 bytes.
    id: optional(_line, at_most(500), before=_number_as_text) = Field(
        None, description="The site's own id for it. Without one, its url serves.")
    url: optional(_line, at_most(2000), _web_address) = Field(None, description="Its address.")
    title: optional(_line, at_most(500)) = Field(None, description="Its headline.")

    @model_validator(mode="before")
    @classmethod
    def _from_bare_id(cls, value: Any) -> Any:
        value = _clean(_number_as_text(value))
        return {"id": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_named(self) -> Article:
        if self.id is None and (self.url is None or len(self.url) > 500):
            raise wrong("missing", "Give the article's id, or a url of at most 500 characters in its place.")
        return self

    @property
    def ref(self) -> str:
        """What the article is called in our addresses."""
        return self.id or self.url


class Submission(BaseModel):
    """A reader's comment as a site submits it. Texts are kept exactly; fields that are not listed are ignored."""

    model_config = ConfigDict(frozen=True)

    comment: _required("comment", at_most("MAX_COMMENT_CHARS")) = Field(
        description="What the reader wrote.", examples=["What a lovely walk that was."])
    name: _required("name", _line, at_most("MAX_NAME_CHARS")) = Field(
        description="The reader's name.", examples=["Zoë"])
    email: _required("email", _line, _email) = Field(
        description="The reader's e-mail address; never published.", examples=["zoe@mail.example"])
    website: optional(_line, at_most(2000), _web_address) = Field(None, description="The reader's own site.")
    article: Annotated[Article | None, BeforeValidator(lambda v: None if _clean(v) is None else v)] = Field(
        None, description="The article under which the comment stands.")
    parent_id: optional(_line, _comment_id) = Field(None, description="The comment that this one answers.")
    site_ref: optional(_line, at_most(200), before=_number_as_text) = Field(
        None, description="The site's own id of this comment, unique for the site; a repeat gets the first comment.")
    author_ip: optional(_line, _address) = Field(None, description="Where the reader wrote from; never published.")
    user_agent: optional(_line, at_most(2000)) = Field(None, description="The reader's browser; never published.")
    submitted_at: Annotated[datetime | None, BeforeValidator(_instant)] = Field(
        None, description="When the reader sent it, with the time zone.")

    def digest(self) -> str:
        """Tell whether two submissions are the same words by the same person in the same place (SHA-256, hex)."""
        words = [self.comment, self.name, self.email, self.website, self.article and self.article.ref, self.parent_id]
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def validate(model: type[BodyModel], body: dict[str, Any]) -> BodyModel:
    """Make a `model` of `body`. Raises InvalidFields (422) that names every missing or wrong field at once."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        errors = tuple(map(_field_error, error.errors()))
    count = "One field is" if len(errors) == 1 else f"{len(errors)} fields are"
    raise InvalidFields(f"{count} missing or wrong; `errors` says which and why. Nothing was stored.", errors=errors)


def _field_error(error: Any) -> FieldError:
    field = ".".join(map(str, error["loc"]))
    match error["type"]:
        case code if "message" in error.get("ctx", {}):  # one of ours
            return FieldError(field, code, error["msg"])
        case "missing":
            return FieldError(field, "missing", MISSING.get(field, "This field is needed."))
        case "string_type":
            return FieldError(field, "wrong_type", "This must be text.")
        case "model_type":
            return FieldError(field, "wrong_type", "This must be an object, or a text.")
        case code:
            return FieldError(field, code, error["msg"])
