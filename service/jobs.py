"""Redis: the connection, the queue, and wake(), which reminds the workers that comments are pending.

The database is the truth and Redis a reminder: whatever fails here loses no comment. Why wake() cannot be lost is
written in docs/decisions/0002-waking-the-workers.md.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from typing import Any

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue, Worker

from .tables import utc_now

logger = logging.getLogger(__name__)

DRAIN = "service.worker.drain"
# A healthy Redis answers in under a millisecond. A submit must not wait longer than this for a sick one.
PATIENCE_SECONDS = 0.5
# After a failure nobody knocks for this long; the sweep finds what arrives meanwhile.
PAUSE_SECONDS = 1.0
# A drain stops by itself after DRAIN_SECONDS (see worker.py); past this, RQ ends it.
JOB_TIMEOUT_SECONDS = 60
# A failed drain says nothing that the log does not; its comments are found by the sweep.
FAILURE_TTL_SECONDS = 3600
# An idle worker shows a sign of life every WORKER_TTL_SECONDS - 15 (RQ's rule); a drain takes up to 20.
WORKER_TTL_SECONDS = 30
ALIVE_SECONDS = 45


def connection(url: str, patience_seconds: float | None = PATIENCE_SECONDS) -> Redis:
    """Connect to Redis or Valkey, lazily. A worker, which blocks while it waits, gives no patience."""
    return Redis.from_url(url, socket_timeout=patience_seconds, socket_connect_timeout=PATIENCE_SECONDS,
                          retry=Retry(NoBackoff(), 0 if patience_seconds else 1))


def live_workers(redis: Redis, queue_name: str) -> list[Worker]:
    """The workers of a queue that have shown a sign of life lately; RQ lists killed ones for a while longer."""
    since = utc_now() - timedelta(seconds=ALIVE_SECONDS)
    workers = Worker.all(queue=Queue(queue_name, connection=redis))
    return [worker for worker in workers if worker.last_heartbeat and worker.last_heartbeat >= since]


class Waker:
    """Wakes workers through one queue. Safe to share between threads."""

    def __init__(self, redis: Redis, queue_name: str) -> None:
        self.queue = Queue(queue_name, connection=redis)
        self._silent_until = 0.0
        self._lock = threading.Lock()

    def wake(self) -> bool:
        """Queue a drain unless one is already waiting; call it after the commit, never before.

        A waiting drain has not looked at the database yet, so it will see what was just committed; one that was
        popped may have looked already, so it does not count. Returns whether Redis was reached.
        """
        if time.monotonic() < self._silent_until:
            return False
        try:
            if self.queue.count == 0:
                self.queue.enqueue_call(DRAIN, timeout=JOB_TIMEOUT_SECONDS, result_ttl=0,
                                        failure_ttl=FAILURE_TTL_SECONDS, description="drain")
            return True
        except RedisError as error:
            with self._lock:
                self._silent_until = time.monotonic() + PAUSE_SECONDS
            logger.warning("Redis does not answer (%s); pending comments wait for the sweep", type(error).__name__)
            return False


def init_app(app: Any) -> None:
    """Give the app its connection and its waker."""
    redis = connection(app.config["REDIS_URL"])
    app.extensions["redis"] = redis
    app.extensions["waker"] = Waker(redis, app.config["QUEUE"])
