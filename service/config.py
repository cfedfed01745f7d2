"""Every setting in one table: its name, its default, what it is for. Nothing else reads the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from .errors import ConfigError


class Setting(NamedTuple):
    """One setting; its type is its default's type."""

    name: str
    default: str | int | float | bool
    help: str


SETTINGS = (
    Setting("DATABASE_URL", "", "Where comments are kept: sqlite:////path/file.sqlite3 or postgresql://user@host/name."),
    Setting("REDIS_URL", "", "The Redis or Valkey that wakes the workers: redis://host:6379/0."),
    Setting("SECRET_KEY", "", "Signs the moderators' sessions. At least 32 characters, the same in every process."),
    Setting("PUBLIC_URL", "", "The address that readers of our links use, such as https://comments.news.example."),
    Setting("DEMO", False, "Serves /demo, an article page that posts to this service. Off in production."),
    Setting("SECURE_COOKIES", True, "Sends the desk's cookie over https only. Turn off for http on one machine."),
    # A comment of 20,000 characters that a client escapes as \uXXXX\uXXXX takes 240 kB; the rest needs little.
    Setting("MAX_BODY_BYTES", 262_144, "The largest request body that is read."),
    # Twenty times the longest of 13,000 real news comments (1,000), so that no reader who means it is cut off.
    Setting("MAX_COMMENT_CHARS", 20_000, "The longest comment, in characters (code points)."),
    Setting("MAX_NAME_CHARS", 100, "The longest name, in characters (code points)."),
    # One web thread is held meanwhile, and a verdict takes some 20 ms unless something is wrong.
    Setting("MAX_WAIT_SECONDS", 10.0, "The longest wait that `Prefer: wait=` is granted."),
    Setting("QUEUE", "comments", "The RQ queue's name. Installations that share a Redis need one each."),
    # 256 comments are scored in some 50 ms: large enough to make each commit cheap, small enough to share.
    Setting("BATCH_SIZE", 256, "How many comments a worker scores and decides at a time."),
    # A batch takes well under a second; past this its worker is taken for dead and another may claim it.
    Setting("CLAIM_SECONDS", 15.0, "How long a worker may hold comments before another may claim them."),
    Setting("MAX_ATTEMPTS", 3, "How often scoring a comment may be begun without a decision before a person gets it."),
    # Over ten times what a decision takes under load at its 99th percentile (0.1 to 0.18 s in `make replay`).
    Setting("OVERDUE_SECONDS", 2.0, "How long a comment may be pending before the sweep wakes a worker for it."),
    Setting("SWEEP_SECONDS", 2.0, "How often each worker looks for overdue comments."),
    Setting("WEB_PROCESSES", 2, "How many web processes serve. One for each core is a good number."),
    Setting("WEB_THREADS", 8, "How many requests each web process serves at a time."),
    Setting("PORT", 8000, "The port that the web server listens on."),
    Setting("HOST", "127.0.0.1", "The address that the web server listens on. 0.0.0.0 in a container."),
)

# What `make run` wrote in this folder: addresses, keys, process ids.
FIRST_RUN = Path("var/first-run.json")
REQUIRED = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY")
TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


def load(environment: Mapping[str, str] | None = None, **overrides: Any) -> dict[str, Any]:
    """Read every setting from the environment.

    Returns a dictionary by setting name. `overrides` win over the environment. Where the process's own environment
    names none of them, those of this folder's `make run` are meant, so that `flask` commands reach them.
    Raises ConfigError with one sentence for a value that cannot be read or a required one that is missing.
    """
    if environment is None:
        environment = os.environ
        if not any(environment.get(name) for name in REQUIRED):
            facts = first_run()
            environment = {name: facts[name.lower()] for name in REQUIRED if name.lower() in facts} | environment
    settings = {s.name: _read(s, environment[s.name]) if s.name in environment else s.default for s in SETTINGS}
    settings |= overrides
    missing = [name for name in REQUIRED if not settings[name]]
    if missing:
        raise ConfigError(f"Set {', '.join(missing)} in the environment (docs/operators.md says how); "
                          "`make run` sets them for you.")
    if len(settings["SECRET_KEY"]) < 32:
        raise ConfigError("SECRET_KEY is too short; use at least 32 random characters, "
                          "such as the output of `openssl rand -hex 32`.")
    settings["DATABASE_URL"] = _with_driver(settings["DATABASE_URL"])
    _check_addresses(settings)
    return settings


def first_run() -> dict[str, Any]:
    """Read what `make run` wrote in this folder; empty if it never ran. Raises ConfigError if it cannot be read."""
    try:
        facts = json.loads(FIRST_RUN.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        facts = None
    if not isinstance(facts, dict):
        raise ConfigError(f"{FIRST_RUN} cannot be read; remove it, and `make run` makes new secrets.")
    return facts


def _check_addresses(settings: dict[str, Any]) -> None:
    try:
        make_url(settings["DATABASE_URL"]).get_dialect()
    except SQLAlchemyError:
        raise ConfigError("DATABASE_URL is not the address of a database that is known here; "
                          "use sqlite:////path/file.sqlite3 or postgresql://user@host/name.") from None
    try:
        Redis.from_url(settings["REDIS_URL"]).close()
    except ValueError:
        raise ConfigError("REDIS_URL is not the address of a Redis; use redis://host:6379/0.") from None


def _read(setting: Setting, text: str) -> str | int | float | bool:
    kind = type(setting.default)
    if kind is bool:
        if text.lower() not in TRUE | FALSE:
            raise ConfigError(f"{setting.name}={text!r} is neither on nor off; use 1 or 0.")
        return text.lower() in TRUE
    try:
        value = kind(text)
    except ValueError:
        raise ConfigError(f"{setting.name}={text!r} is not a number; the default is {setting.default}.") from None
    if kind in (int, float) and not 0 < value < float("inf"):
        raise ConfigError(f"{setting.name}={text!r} must be above zero; the default is {setting.default}.")
    return value


def _with_driver(url: str) -> str:
    """Name psycopg 3 in PostgreSQL's URLs, whichever of its two usual spellings they have."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if separator and scheme in ("postgres", "postgresql") else url
