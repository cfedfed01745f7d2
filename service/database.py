"""The database: one engine, and the two ways in, reading() and writing(). SQLite and PostgreSQL behave alike."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from flask import Flask, current_app
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import InterfaceError, OperationalError

from .errors import Unavailable

logger = logging.getLogger(__name__)

# How long a writer waits for another one on SQLite. A batch's commit takes some 20 ms; 10 s means trouble.
SQLITE_BUSY_MILLISECONDS = 10_000


def connect(url: str, pool_size: int = 10) -> Engine:
    """Make an engine for `url`; nothing is opened before it is used."""
    if url.startswith("sqlite"):
        engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_MILLISECONDS / 1000})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    # The ping costs 0.1 ms a transaction and spares the first request after a database restart its error.
    # In the server's own zone, the first and last hours of Python's calendar would fall off its ends.
    return create_engine(url, pool_size=pool_size, pool_pre_ping=True,
                         connect_args={"connect_timeout": 5, "options": "-c timezone=UTC"})


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions by itself, or it would begin them too late (see _begin_sqlite).
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL makes each commit wait for the disk, so that a comment that was accepted survives a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once when another one wrote in between.
    # One that says at its beginning that it will write waits for its turn instead.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def reading(engine: Engine | None = None) -> Iterator[Connection]:
    """A transaction that only reads. Raises Unavailable when the database does not answer."""
    with _transaction(engine, writes=False) as connection:
        yield connection


@contextmanager
def writing(engine: Engine | None = None) -> Iterator[Connection]:
    """A transaction that is committed at the end of the block, or rolled back whole when the block raises."""
    with _transaction(engine, writes=True) as connection:
        yield connection


@contextmanager
def _turn(engine: Engine) -> Iterator[None]:
    """Wait for one's turn to write on SQLite.

    SQLite lets one writer in at a time, and makes the others look again after pauses of up to 0.1 s: with a dozen
    threads writing, a worker can miss its chance for seconds. A lock of the system's wakes the next in line at once.
    It is released by the system when its holder dies.
    """
    if engine.dialect.name != "sqlite" or not engine.url.database:
        yield
        return
    with open(f"{engine.url.database}-turn", "w") as line:
        fcntl.flock(line, fcntl.LOCK_EX)
        yield


@contextmanager
def _transaction(engine: Engine | None, writes: bool) -> Iterator[Connection]:
    engine = engine or current_app.extensions["engine"]
    try:
        with _turn(engine) if writes else nullcontext(), engine.connect() as connection:
            connection = connection.execution_options(writes=writes)
            with connection.begin():
                yield connection
    except (OperationalError, InterfaceError) as error:
        logger.warning("the database failed: %s", " ".join(str(error.orig).split()))
        raise Unavailable("The database does not answer just now, so nothing was stored. Try again in a moment.",
                          headers={"Retry-After": "2"}) from error


def init_app(app: Flask) -> None:
    """Give the app its engine."""
    app.extensions["engine"] = connect(app.config["DATABASE_URL"], pool_size=app.config["WEB_THREADS"] + 2)
