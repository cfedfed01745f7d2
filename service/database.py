"""The database: one engine, and the two ways in, reading() and writing(). SQLite and PostgreSQL behave alike."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import IO, Any

from flask import Flask, current_app
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError

from .errors import Unavailable

logger = logging.getLogger(__name__)

NOT_READ = "The database does not answer just now. Try again in a moment."
NOT_WRITTEN = ("The database does not answer just now, so this may not have been stored. Send it again in a moment, "
               "with the same Idempotency-Key or site_ref if it had one.")
NO_TABLES = "The database has no tables yet. The operator must run `flask migrate`."

# How long a writer waits for others on SQLite. A batch's commit takes some 20 ms; 10 s means trouble.
SQLITE_PATIENCE_SECONDS = 10
# A commit takes a millisecond or more, and one thread a process asks, so asking this often costs nothing.
TURN_PAUSE_SECONDS = 0.001
_this_process = threading.Lock()


def connect(url: str, pool_size: int = 10) -> Engine:
    """Make an engine for `url`; nothing is opened before it is used.

    What it says of an error never holds a parameter, since those are readers' words and addresses.
    """
    if url.startswith("sqlite"):
        engine = create_engine(url, hide_parameters=True,
                               connect_args={"timeout": SQLITE_PATIENCE_SECONDS})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    # The ping costs 0.1 ms a transaction and spares the first request after a database restart its error.
    # In the server's own zone, the first and last hours of Python's calendar would fall off its ends.
    return create_engine(url, pool_size=pool_size, pool_pre_ping=True, hide_parameters=True,
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
    threads writing, a worker can miss its chance for seconds. So the threads of a process stand in line, and only the
    first of each asks often for a lock of the system's, which is released when its holder dies.
    """
    if engine.dialect.name != "sqlite" or not engine.url.database:
        yield
        return
    deadline = time.monotonic() + SQLITE_PATIENCE_SECONDS
    if not _this_process.acquire(timeout=SQLITE_PATIENCE_SECONDS):
        raise TimeoutError("no turn to write")
    try:
        with open(f"{engine.url.database}-turn", "w") as line:
            while not _is_locked(line):
                if time.monotonic() > deadline:
                    raise TimeoutError("no turn to write")
                time.sleep(TURN_PAUSE_SECONDS)
            yield
    finally:
        _this_process.release()


def _is_locked(line: IO[str]) -> bool:
    try:
        fcntl.flock(line, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _transaction(engine: Engine | None, writes: bool) -> Iterator[Connection]:
    engine = engine or current_app.extensions["engine"]
    try:
        with _turn(engine) if writes else nullcontext(), engine.connect() as connection:
            connection = connection.execution_options(writes=writes)
            with connection.begin():
                yield connection
    except (OperationalError, InterfaceError, ProgrammingError, TimeoutError, OSError) as error:
        reason = " ".join(str(getattr(error, "orig", error)).split())
        no_tables = "no such table" in reason or type(getattr(error, "orig", None)).__name__ == "UndefinedTable"
        if isinstance(error, ProgrammingError) and not no_tables:
            raise
        logger.warning("the database failed: %s", reason)
        raise Unavailable(NO_TABLES if no_tables else NOT_WRITTEN if writes else NOT_READ,
                          headers={"Retry-After": "2"}) from error


def init_app(app: Flask) -> None:
    """Give the app its engine."""
    app.extensions["engine"] = connect(app.config["DATABASE_URL"], pool_size=app.config["WEB_THREADS"] + 2)
