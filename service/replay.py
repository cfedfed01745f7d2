"""Replay: post a file of comments to a running service over HTTP, wait for every decision, and count what happened."""

from __future__ import annotations

import gzip
import http.client
import json
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from itertools import count, islice
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from tqdm import tqdm

# Decisions take milliseconds each; past this, what is still pending counts as lost.
PATIENCE_SECONDS = 120
LOOK_SECONDS = 0.1
REQUEST_TIMEOUT_SECONDS = 30


@dataclass
class Report:
    """What became of the comments; latencies are in seconds, from submit to decision by the service's clock."""

    sent: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    ids: list[str] = field(default_factory=list)
    decided_twice: int = 0
    latencies: list[float] = field(default_factory=list)
    accept_seconds: float = 0.0
    total_seconds: float = 0.0

    def is_whole(self) -> bool:
        """Say whether every comment was accepted once and decided once."""
        return (not self.refused and len(set(self.ids)) == self.sent and not self.decided_twice
                and sum(self.outcomes.values()) == self.sent)

    def as_text(self) -> str:
        """The report for a person."""
        decided = sum(self.outcomes.values())
        stored_twice = len(self.ids) - len(set(self.ids))
        lines = [f"{self.sent:,} in, {decided:,} decided, {len(self.ids) - decided:,} lost, "
                 f"{self.decided_twice + stored_twice:,} twice, {self.refused.total():,} refused"]
        lines += [f"  {status:<10}{count:>8,}  {count / max(decided, 1):6.1%}"
                  for status, count in self.outcomes.most_common()]
        lines += [f"  refused: {reason} ({count:,})" for reason, count in self.refused.most_common()]
        if decided:
            low, p50, p99, high = _quantiles(self.latencies)
            lines.append(f"accepted {len(self.ids) / self.accept_seconds:,.0f} a second, "
                         f"decided {decided / self.total_seconds:,.0f} a second")
            lines.append(f"from submit to decision: min {low * 1000:,.0f} ms, p50 {p50 * 1000:,.0f} ms, "
                         f"p99 {p99 * 1000:,.0f} ms, max {high * 1000:,.0f} ms")
        return "\n".join(lines)


def read(files: Iterable[Path], limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield submissions from the files in turn, up to `limit`. Raises ValueError that names a bad line."""
    with ExitStack() as stack:
        sources = [_lines(stack.enter_context(_open(path)), path) for path in files]
        yield from islice(_in_turn(sources), limit)


def _open(path: Path) -> BinaryIO:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _lines(lines: BinaryIO, path: Path) -> Iterator[dict[str, Any]]:
    for number in count(1):
        try:
            line = lines.readline()
        except (EOFError, OSError) as error:
            raise ValueError(f"{path}, line {number}: the file cannot be read on from here ({error}).") from None
        if not line:
            return
        if not line.isspace():
            try:
                yield _submission(line, path)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from None


def _submission(line: bytes, path: Path) -> dict[str, Any]:
    try:
        row = json.loads(line)
        text = row.get("comment", row.get("text"))
    except (ValueError, AttributeError):
        raise ValueError("this is not a JSON object.") from None
    if not isinstance(text, str):
        raise ValueError("there is no `comment` and no `text`.")
    return {"comment": text, "name": row.get("name") or "A reader",
            "email": row.get("email") or "reader@news.example", "website": row.get("website"),
            "article": {"id": f"replay-{path.name}"}}


def _in_turn(sources: list[Iterator[Any]]) -> Iterator[Any]:
    while sources:
        for source in list(sources):
            try:
                yield next(source)
            except StopIteration:
                sources.remove(source)


def run(submissions: Iterable[dict[str, Any]], url: str, key: str, connections: int) -> Report:
    """Post the submissions over so many connections, then ask for each until it is decided.

    Raises OSError if the service cannot be reached.
    """
    report = Report()
    started = time.monotonic()
    # Names this run, so that a comment which is posted again after a broken connection is stored once.
    run_name = f"replay-{time.time_ns()}"
    work = ({**each, "site_ref": f"{run_name}-{number}"} for number, each in enumerate(submissions))
    with tqdm(desc="submitted", unit=" comments", disable=None) as bar:
        for status, body in _in_parallel(url, key, connections, (("POST", "/v1/comments", each) for each in work)):
            report.sent += 1
            bar.update()
            if status == HTTPStatus.ACCEPTED:
                report.ids.append(body["id"])
            else:
                report.refused[f"{status} {body.get('detail', '')}"] += 1
    report.accept_seconds = time.monotonic() - started
    _wait_for_decisions(report, url, key, connections)
    report.total_seconds = time.monotonic() - started
    return report


def _wait_for_decisions(report: Report, url: str, key: str, connections: int) -> None:
    pending, deadline = set(report.ids), time.monotonic() + PATIENCE_SECONDS
    with tqdm(desc="decided", total=len(pending), unit=" comments", disable=None) as bar:
        while pending and time.monotonic() < deadline:
            asked = [("GET", f"/v1/comments/{comment_id}", None) for comment_id in pending]
            before = len(pending)
            for status, body in _in_parallel(url, key, connections, asked):
                if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                    raise ValueError(f"What became of the comments cannot be read: {status} {body['detail']}")
                if status == HTTPStatus.OK and body["status"] != "pending":
                    pending.discard(body["id"])
                    _count(report, body)
                    bar.update()
            if len(pending) == before:
                time.sleep(LOOK_SECONDS)


def _count(report: Report, body: dict[str, Any]) -> None:
    report.outcomes[body["status"]] += 1
    first_decisions = [change for change in body["history"] if change["from_status"] == "pending"]
    report.decided_twice += len(first_decisions) != 1
    decided_at = datetime.fromisoformat(first_decisions[0]["changed_at"])
    report.latencies.append((decided_at - datetime.fromisoformat(body["received_at"])).total_seconds())


def _in_parallel(url: str, key: str, connections: int,
                 requests: Iterable[tuple[str, str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Send the requests over so many connections that stay open; yield (status, body) as they come back."""
    todo: queue.Queue[Any] = queue.Queue(maxsize=connections * 2)
    done: queue.Queue[Any] = queue.Queue()

    def work() -> None:
        with closing(Client(url, key)) as client:
            while (request := todo.get()) is not None:
                try:
                    done.put(client.send(*request))
                except (OSError, http.client.HTTPException, ValueError) as error:
                    done.put(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    under_way = 0
    try:
        for request in requests:
            todo.put(request)
            under_way += 1
            while not done.empty():
                under_way -= 1
                yield _or_raise(done.get())
        for _ in range(under_way):
            yield _or_raise(done.get())
    finally:
        for _ in threads:
            todo.put(None)
        for thread in threads:
            thread.join()


def _or_raise(result: Any) -> tuple[int, dict[str, Any]]:
    if isinstance(result, Exception):
        raise OSError(f"The service cannot be reached: {result}") from result
    return result


class Client:
    """One connection to a service that stays open."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(parts.netloc, timeout=REQUEST_TIMEOUT_SECONDS)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def close(self) -> None:
        """Close the connection; the next send() opens it again."""
        self.connection.close()

    def send(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Send a request, once more if the connection broke; return status and body. Raises OSError if it stays so."""
        data = None if body is None else json.dumps(body).encode()
        for last_try in (False, True):
            try:
                self.connection.request(method, path, data, self.headers)
                answer = self.connection.getresponse()
                return answer.status, json.loads(answer.read())
            except (OSError, http.client.HTTPException):
                # The server may close an idle connection just then; a submission's site_ref makes the repeat safe.
                self.close()
                if last_try:
                    raise
        raise AssertionError("unreachable")


def _quantiles(seconds: list[float]) -> tuple[float, float, float, float]:
    ordered = sorted(seconds)
    return ordered[0], ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], ordered[-1]
