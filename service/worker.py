"""The RQ worker that holds the model: it drains what is pending, in batches, and sweeps for what was forgotten."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from flask import Flask, current_app
from redis import Redis, RedisError
from rq import SimpleWorker
from rq.timeouts import BaseTimeoutException
from sqlalchemy import Row

from . import jobs, moderation
from .moderation import Scored
from .scoring import Scorer
from .tables import new_id

logger = logging.getLogger(__name__)

# A drain ends after this long, so that RQ sees the worker alive and a stop is not kept waiting; another one follows.
DRAIN_SECONDS = 20
# Scored in about a second when every character is of the dearest kind; a full batch of ordinary comments has 60,000.
CHUNK_CHARS = 200_000
# How often a worker that starts before Redis looks whether it is there.
REDIS_RETRY_SECONDS = 0.5


class Drainer:
    """Scores and decides pending comments; one a worker process, so that the model is loaded once."""

    def __init__(self, app: Flask) -> None:
        self.scorer = Scorer()
        self.waker: jobs.Waker = app.extensions["waker"]
        self.batch_size: int = app.config["BATCH_SIZE"]
        self.claim_seconds: float = app.config["CLAIM_SECONDS"]
        self.max_attempts: int = app.config["MAX_ATTEMPTS"]
        self.stopping = False

    def drain(self) -> int:
        """Decide what is pending, a batch at a time, until a batch is not full. Returns how many were decided."""
        decided, deadline = 0, time.monotonic() + DRAIN_SECONDS
        while True:
            claim_id = new_id()
            rows = moderation.claim(claim_id, self.batch_size, self.claim_seconds)
            full = len(rows) == self.batch_size
            if full:
                # There may be more: an idle worker shares it, or this one goes on after the deadline.
                self.waker.wake()
            decided += self._decide(claim_id, rows)
            if not full or self.stopping or time.monotonic() > deadline:
                return decided

    def _decide(self, claim_id: str, rows: Sequence[Row]) -> int:
        """Score and decide claimed comments, chunk by chunk. Returns how many were decided."""
        decided, chunks = 0, list(self._chunks(rows))
        if len(chunks) > 1:
            moderation.postpone(claim_id, [row.id for chunk in chunks[1:] for row in chunk])
        for number, chunk in enumerate(chunks):
            if number:
                moderation.resume(claim_id, [row.id for row in chunk], self.claim_seconds)
            decided += sum(moderation.apply(claim_id, self._scored(chunk), self.scorer.policy).values())
        return decided

    def _chunks(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """Cut a batch into what is scored and decided together: all of it, unless its texts are very long.

        A comment that was begun before and never decided stands alone, so that it takes no other down with it.
        """
        chunk: list[Row] = []
        chars = 0
        for row in rows:
            if row.attempts > 1:
                yield [row]
                continue
            if chunk and chars + len(row.comment) > CHUNK_CHARS:
                yield chunk
                chunk, chars = [], 0
            chunk.append(row)
            chars += len(row.comment)
        if chunk:
            yield chunk

    def _scored(self, rows: Sequence[Row]) -> list[Scored]:
        """Score what may be scored. A comment that was begun too often without a decision goes to a person."""
        fit = [row for row in rows if row.attempts <= self.max_attempts]
        for row in rows:
            if row.attempts > self.max_attempts:
                logger.error("comment %s was begun %d times and never decided; a person gets it",
                             row.id, row.attempts - 1)
        verdicts = {row.id: verdict for row, verdict in zip(fit, self._verdicts(fit), strict=True)}
        return [Scored(row.id, row.site_id, row.revision, verdicts.get(row.id)) for row in rows]

    def _verdicts(self, rows: Sequence[Row]) -> list[dict[str, Any] | None]:
        """Score all at once; if that fails, one by one, so that one bad comment spoils no other's verdict."""
        try:
            return self.scorer.score([row._mapping for row in rows])
        except BaseTimeoutException:
            raise
        except Exception:
            if len(rows) == 1:
                logger.exception("comment %s cannot be scored; a person gets it", rows[0].id)
                return [None]
            logger.exception("a batch of %d comments cannot be scored; trying them one by one", len(rows))
        return [verdict for row in rows for verdict in self._verdicts([row])]


def drain() -> None:
    """The job: decide what is pending. Queued by its dotted name, and run inside run()."""
    current_app.extensions["drainer"].drain()


class ModelWorker(SimpleWorker):
    """RQ's worker without its fork, so that the model and the database connection outlive a job.

    What a fork protects from, a comment that kills the process, the claims do: see decisions 1 and 2.
    """

    # RQ waits ever longer while Redis is away, up to a minute; a site should not wait a minute after it is back.
    max_connection_wait_time = 2.0

    def handle_warm_shutdown_request(self) -> None:
        """Let the drain that is under way end with its batch."""
        current_app.extensions["drainer"].stopping = True
        super().handle_warm_shutdown_request()


class Sweep(threading.Thread):
    """Looks for overdue comments every SWEEP_SECONDS and wakes a worker for them, whatever the reason was."""

    def __init__(self, app: Flask) -> None:
        super().__init__(name="sweep", daemon=True)
        self.app = app

    def run(self) -> None:
        """Sweep until the process ends; no error ends it before."""
        while True:
            time.sleep(self.app.config["SWEEP_SECONDS"])
            with self.app.app_context():
                try:
                    if moderation.has_overdue(self.app.config["OVERDUE_SECONDS"]):
                        self.app.extensions["waker"].wake()
                except Exception:
                    # Whatever it was: a sweep that ended here would leave comments waiting for ever, without a word.
                    logger.exception("the sweep failed; sweeping again in a moment")


def run(app: Flask) -> None:
    """Work until SIGTERM or SIGINT. Waits for Redis if it is not there yet."""
    redis = jobs.connection(app.config["REDIS_URL"], patience_seconds=None)
    app.extensions["drainer"] = Drainer(app)
    _wait_for(redis)
    Sweep(app).start()
    with app.app_context():
        ModelWorker([app.config["QUEUE"]], connection=redis, worker_ttl=jobs.WORKER_TTL_SECONDS).work(
            logging_level="WARNING")


def _wait_for(redis: Redis) -> None:
    told = False
    while True:
        try:
            redis.ping()
            return
        except RedisError:
            if not told:
                logger.warning("Redis does not answer; waiting for it")
                told = True
            time.sleep(REDIS_RETRY_SECONDS)
