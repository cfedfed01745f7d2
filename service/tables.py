"""The database's rows, and the one list of how a comment's status may move; only `moderation` moves it."""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
)


class Status(StrEnum):
    """Where a comment stands."""

    PENDING = "pending"
    PUBLISHED = "published"
    FLAGGED = "flagged"
    REJECTED = "rejected"


# The pairs that may happen. A person may decide a pending comment, so that nobody waits for a broken worker.
MOVES = frozenset({
    (Status.PENDING, Status.PUBLISHED),
    (Status.PENDING, Status.FLAGGED),
    (Status.PENDING, Status.REJECTED),
    (Status.FLAGGED, Status.PUBLISHED),
    (Status.FLAGGED, Status.REJECTED),
    (Status.PUBLISHED, Status.REJECTED),
    (Status.REJECTED, Status.PUBLISHED),
})


class UtcDateTime(TypeDecorator):
    """An aware datetime in UTC, also on SQLite, which keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


def utc_now() -> datetime:
    """The time, aware and in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """Make an id whose order is the order of making, to the millisecond: UUID version 7, RFC 9562 section 5.7."""
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 7 << 76  # version 7
    value = value & ~(0x3 << 62) | 2 << 62  # variant 10
    return str(uuid.UUID(int=value))


# Each constraint has a name by rule, since a migration can only alter what it can name.
metadata = MetaData(naming_convention={
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
})

Id = Uuid(as_uuid=False)
# SQLite counts up by itself only in columns of the type INTEGER.
Serial = BigInteger().with_variant(Integer, "sqlite")

sites = Table(
    "sites", metadata,
    Column("id", Id, primary_key=True, default=new_id),
    Column("name", String(100), nullable=False, unique=True),
    # Off by default: without it, nothing is rejected unless a person says so.
    Column("rejects_automatically", Boolean, nullable=False, default=False),
    Column("created_at", UtcDateTime, nullable=False, default=utc_now),
)

api_keys = Table(
    "api_keys", metadata,
    Column("id", String(16), primary_key=True),
    Column("site_id", Id, ForeignKey("sites.id"), nullable=False),
    # Only a digest is kept: who reads the database cannot use the keys.
    Column("secret_sha256", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, default=utc_now),
    Column("revoked_at", UtcDateTime),
)

moderators = Table(
    "moderators", metadata,
    Column("id", Id, primary_key=True, default=new_id),
    Column("email", String(254), nullable=False, unique=True),
    Column("password_hash", String(256), nullable=False),
    # Counted per moderator and not per address: an attacker has many addresses, but wants one account.
    Column("failed_sign_ins", Integer, nullable=False, default=0),
    Column("next_sign_in_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False, default=utc_now),
)

articles = Table(
    "articles", metadata,
    Column("id", Id, primary_key=True, default=new_id),
    Column("site_id", Id, ForeignKey("sites.id"), nullable=False),
    Column("ref", String(500), nullable=False),  # the site's own name for it; indexed, so not longer
    Column("url", String(2000)),
    Column("title", String(500)),
    UniqueConstraint("site_id", "ref"),
)

comments = Table(
    "comments", metadata,
    Column("id", Id, primary_key=True),
    Column("site_id", Id, ForeignKey("sites.id"), nullable=False),
    Column("article_id", Id, ForeignKey("articles.id")),
    Column("parent_id", Id, ForeignKey("comments.id")),
    Column("site_ref", String(200)),
    Column("idempotency_key", String(255)),
    Column("submission_sha256", String(64), nullable=False),  # tells a repeat from a reused reference
    # What the reader wrote, exactly as it came.
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("website", Text),
    Column("comment", Text, nullable=False),
    Column("author_ip", String(45)),
    Column("user_agent", Text),
    Column("submitted_at", UtcDateTime),
    Column("received_at", UtcDateTime, nullable=False),
    # Where it stands.
    Column("status", String(9), nullable=False),
    Column("revision", Integer, nullable=False, default=1),
    Column("decided_at", UtcDateTime),
    # Who is scoring it: see docs/decisions/0001-the-database-is-the-truth.md.
    Column("claim", Id),
    Column("claimed_until", UtcDateTime),
    Column("attempts", Integer, nullable=False, default=0),
    UniqueConstraint("site_id", "site_ref"),
    UniqueConstraint("site_id", "idempotency_key"),
)
pending = comments.c.status == Status.PENDING.value
# A worker looks only at what is pending, so this index stays small however many comments are kept.
Index("ix_comments_pending", comments.c.id, sqlite_where=pending, postgresql_where=pending)
Index("ix_comments_site", comments.c.site_id, comments.c.status, comments.c.id)
Index("ix_comments_status", comments.c.status, comments.c.id)
Index("ix_comments_article", comments.c.article_id, comments.c.status, comments.c.id)
Index("ix_comments_parent", comments.c.parent_id)

verdicts = Table(
    "verdicts", metadata,
    Column("comment_id", Id, ForeignKey("comments.id"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("model", String(100), primary_key=True),
    Column("scores", JSON, nullable=False),  # label to probability
    Column("spans", JSON, nullable=False),  # [{label, begin, end, weight}], in code points
    Column("scored_at", UtcDateTime, nullable=False),
)

# The append-only log of every move of a status, with who moved it and why.
changes = Table(
    "changes", metadata,
    Column("id", Serial, primary_key=True),
    Column("comment_id", Id, ForeignKey("comments.id"), nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("from_status", String(9), nullable=False),
    Column("to_status", String(9), nullable=False),
    Column("phase", String(40), nullable=False),  # the policy's phase, or "review"
    Column("reason", String(40), nullable=False),  # a word for machines; docs/moderators.md lists them
    Column("label", String(40)),  # what the reason is about, where it is about a score
    Column("score", Float),
    Column("threshold", Float),
    Column("note", Text),  # a person's own words
    Column("reviewer", String(300)),  # "moderator:<address>" or "key:<id>"; empty when the policy decided
    Column("changed_at", UtcDateTime, nullable=False),
)
