"""/health: what a monitor learns, and that it is true."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from rq import Worker
from sqlalchemy import update

from service import create_app, database
from service.tables import comments, utc_now

from ..conftest import KIND, SECRET_KEY, Process, free_port


def test_without_a_worker_it_is_degraded(client: FlaskClient) -> None:
    """Comments are kept, so a load balancer goes on; but nobody decides them."""
    answer = client.get("/health")

    assert 200 == answer.status_code
    assert {"status": "degraded", "database": "ok", "redis": "ok", "workers": 0,
            "oldest_pending_seconds": 0.0} == answer.json
    assert "no-store" == answer.headers["Cache-Control"]


def test_with_a_worker_it_is_ok_and_without_it_again_it_is_not(client: FlaskClient, worker: Process) -> None:
    """A worker that was stopped is gone at once."""
    assert ("ok", 1) == (client.get("/health").json["status"], client.get("/health").json["workers"])
    worker.stop()

    assert ("degraded", 0) == (client.get("/health").json["status"], client.get("/health").json["workers"])


def test_a_worker_that_was_killed_does_not_count_for_ever(app: Flask, client: FlaskClient, worker: Process) -> None:
    """Redis keeps its name; without a sign of life for a while it is taken for dead."""
    os.killpg(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
    (dead,) = Worker.all(queue=app.extensions["waker"].queue)
    app.extensions["redis"].hset(dead.key, "last_heartbeat",
                                 (utc_now() - timedelta(seconds=60)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))

    assert ("degraded", 0) == (client.get("/health").json["status"], client.get("/health").json["workers"])


def test_a_backlog_shows_its_age(client: FlaskClient, submit: Callable[..., Any]) -> None:
    """How long the oldest comment has waited, and nothing about the comment."""
    comment_id = submit().json["id"]
    submit()
    with database.writing() as connection:
        connection.execute(update(comments).where(comments.c.id == comment_id)
                           .values(received_at=utc_now() - timedelta(seconds=90)))
    answer = client.get("/health")

    assert 90 <= answer.json["oldest_pending_seconds"] < 120
    for secret in (comment_id, KIND["comment"], KIND["email"]):
        assert secret not in answer.text


def test_without_redis_it_is_degraded(settings: dict[str, Any]) -> None:
    """Comments are still kept."""
    app = create_app(**settings | {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"})
    answer = app.test_client().get("/health")

    assert (200, "degraded", "down", "ok") == (answer.status_code, answer.json["status"], answer.json["redis"],
                                               answer.json["database"])
    app.extensions["engine"].dispose()
    app.extensions["redis"].close()


def test_without_the_database_it_is_down(redis_url: str) -> None:
    """503, so that a load balancer asks another one; and no address or password is told."""
    app = create_app(DATABASE_URL=f"postgresql://nobody:geheim@127.0.0.1:{free_port()}/none", REDIS_URL=redis_url,
                     SECRET_KEY=SECRET_KEY)
    answer = app.test_client().get("/health")

    assert (503, "down", "down") == (answer.status_code, answer.json["status"], answer.json["database"])
    assert "geheim" not in json.dumps(answer.json)
    app.extensions["redis"].close()
