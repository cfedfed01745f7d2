"""Replay: a file of comments through a running service, counted honestly."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from werkzeug.serving import make_server

from service import auth, database, replay
from service.replay import Report
from service.tables import comments

from ..conftest import KIND, PATIENCE_SECONDS, VILE, Process, Site, decide_pending, free_port, running, wait_until


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    """The application behind a real HTTP server."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def decider(app: Flask) -> Iterator[None]:
    """Somebody who decides what arrives, all the time."""
    done = threading.Event()

    def decide() -> None:
        with app.app_context():
            while not done.wait(0.02):
                decide_pending()

    thread = threading.Thread(target=decide)
    thread.start()
    yield
    done.set()
    thread.join()


@pytest.fixture
def run(app: Flask) -> Callable[..., Any]:
    """Run a `flask` command."""
    return lambda *arguments: app.test_cli_runner().invoke(args=arguments)


def write(path: Path, *rows: Any) -> Path:
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


# ---------------------------------------------------------------------------------------------- reading files


def test_files_are_read_in_turn(tmp_path: Path) -> None:
    """Line by line from each, packed or not, up to the limit, so that a few comments are a mixture."""
    first = write(tmp_path / "a.jsonl", {"text": "a1"}, {"text": "a2"}, {"text": "a3"})
    second = write(tmp_path / "b.jsonl.gz", {"comment": "b1 😀"})

    assert ["a1", "b1 😀", "a2", "a3"] == [row["comment"] for row in replay.read([first, second])]
    assert ["a1", "b1 😀", "a2"] == [row["comment"] for row in replay.read([first, second], 3)]


def test_what_a_line_lacks_is_made_up(tmp_path: Path) -> None:
    """Corpora have texts and no addresses; what is there is used."""
    path = write(tmp_path / "a.jsonl", {"text": "a"}, KIND | {"website": "http://a.example"})

    bare, full = replay.read([path])
    assert {"comment": "a", "website": None, "article": {"id": "replay-a.jsonl"}} == {
        name: bare[name] for name in ("comment", "website", "article")}
    assert bare["name"]
    assert "@" in bare["email"]
    assert {**KIND, "website": "http://a.example"} == full | {"article": KIND["article"]}


def test_empty_lines_are_nothing(tmp_path: Path) -> None:
    """A file that ends with an empty line is a file."""
    assert 2 == len(list(replay.read([write(tmp_path / "a.jsonl", {"text": "a"}, "", {"text": "b"}, "")])))


@pytest.mark.parametrize("row", ["{", "[]", "5", '{"name": "Ada"}', '{"text": 5}', "\ud83d"])
def test_a_bad_line_is_named(tmp_path: Path, row: str) -> None:
    """File and line, so that it can be found."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + row.encode(errors="surrogatepass") + b"\n")

    with pytest.raises(ValueError, match=r"a\.jsonl, line 2"):
        list(replay.read([path]))


def test_a_packed_file_that_was_cut_off(tmp_path: Path) -> None:
    """It is named too."""
    path = write(tmp_path / "a.jsonl.gz", *[{"text": f"Number {number}"} for number in range(1000)])
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises((ValueError, OSError), match=r"a\.jsonl\.gz"):
        list(replay.read([path]))


# ---------------------------------------------------------------------------------------------- running


@pytest.mark.usefixtures("decider")
def test_all_in_all_decided(url: str, site: Site) -> None:
    """Every comment is posted once, and waited for."""
    work = [KIND | {"comment": f"Number {number}."} for number in range(60)]

    report = replay.run(work, url, site.key, connections=4)

    assert report.is_whole()
    assert (60, {"published": 60}, 0) == (report.sent, dict(report.outcomes), report.decided_twice)
    assert 60 == len(report.latencies)
    assert "60 in, 60 decided, 0 lost, 0 twice, 0 refused" in report.as_text()
    with database.reading() as connection:
        assert 60 == connection.scalar(select(func.count()).select_from(comments))


@pytest.mark.usefixtures("decider")
def test_what_is_refused_is_counted(url: str, site: Site) -> None:
    """With its reason; the others go on."""
    report = replay.run([KIND, KIND | {"comment": " "}, KIND | {"email": "ada"}], url, site.key, connections=1)

    assert not report.is_whole()
    assert (3, 1, 2) == (report.sent, report.outcomes.total(), report.refused.total())
    assert "3 in, 1 decided, 0 lost, 0 twice, 2 refused" in report.as_text()
    assert "refused: 422" in report.as_text()


def test_what_is_never_decided_is_lost(url: str, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a worker the report says so, and does not wait for ever."""
    monkeypatch.setattr(replay, "PATIENCE_SECONDS", 0.5)
    begun = time.monotonic()

    report = replay.run([KIND] * 3, url, site.key, connections=2)

    assert not report.is_whole()
    assert "3 in, 0 decided, 3 lost" in report.as_text()
    assert time.monotonic() - begun < PATIENCE_SECONDS


def test_a_service_that_is_not_there(site: Site) -> None:
    """One sentence, at once."""
    with pytest.raises(OSError, match="cannot be reached"):
        replay.run([KIND] * 50, f"http://127.0.0.1:{free_port()}", site.key, connections=2)


@pytest.mark.parametrize(("scopes", "words"), [
    pytest.param(("comments:read",), "403", id="a key that may not submit"),
    pytest.param(("comments:write",), "403", id="a key that may submit, but not read what became of it"),
])
def test_a_key_that_may_not(url: str, site: Site, scopes: tuple[str, ...], words: str, tmp_path: Path,
                            run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The person is told, whichever half is not allowed."""
    monkeypatch.setattr(replay, "PATIENCE_SECONDS", 0.5)
    path = write(tmp_path / "a.jsonl", KIND)

    result = run("replay", str(path), "--url", url, "--key", auth.add_key(site.id, scopes))

    assert 1 == result.exit_code
    assert isinstance(result.exception, SystemExit), result.exception
    assert words in result.output


@pytest.mark.parametrize(("facts", "whole"), [
    pytest.param({}, True, id="two in, two decided"),
    pytest.param({"sent": 3}, False, id="one that nobody answered for"),
    pytest.param({"ids": ["a", "a"]}, False, id="two that became one"),
    pytest.param({"decided_twice": 1}, False, id="one that was decided twice"),
    pytest.param({"refused": Counter({"422": 1})}, False, id="one that was refused"),
    pytest.param({"outcomes": Counter({"published": 1})}, False, id="one that is still pending"),
])
def test_whole_or_not(facts: dict[str, Any], whole: bool) -> None:
    """Only in = decided, once each, is whole."""
    good = {"sent": 2, "ids": ["a", "b"], "outcomes": Counter({"published": 1, "flagged": 1}),
            "latencies": [0.1, 0.2], "accept_seconds": 1.0, "total_seconds": 2.0}

    assert whole == Report(**good | facts).is_whole()


def test_the_report(app: Flask) -> None:
    """Counts by outcome, rates, and the spread from submit to decision."""
    text = Report(sent=200, ids=[str(number) for number in range(200)],
                  outcomes=Counter({"published": 150, "flagged": 50}),
                  latencies=[number / 1000 for number in range(1, 201)], accept_seconds=2, total_seconds=4).as_text()

    for told in ("200 in, 200 decided, 0 lost, 0 twice, 0 refused", "75.0%", "25.0%", "accepted 100 a second",
                 "decided 50 a second", "min 1 ms", "p50 101 ms", "p99 199 ms", "max 200 ms"):
        assert told in text


def test_the_command_on_a_real_service(settings: dict[str, Any], app: Flask, site: Site, worker: Process,
                                       tmp_path: Path) -> None:
    """`flask replay` through a real web process and a real worker: kind ones published, vile ones flagged."""
    settings |= {"PORT": free_port(), "WEB_PROCESSES": 1}
    path = write(tmp_path / "a.jsonl", *[{"text": KIND["comment"]}, {"text": VILE["comment"]}] * 50)
    with running("web", settings, tmp_path):
        wait_until(lambda: _answers(settings["PORT"]))
        result = app.test_cli_runner().invoke(args=["replay", str(path), "--url",
                                                    f"http://127.0.0.1:{settings['PORT']}", "--key", site.key])

    assert 0 == result.exit_code, result.output
    assert "100 in, 100 decided, 0 lost, 0 twice, 0 refused" in result.output
    assert "published" in result.output
    assert "flagged" in result.output


def _answers(port: int) -> bool:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def test_without_an_address_this_folder_s_service_is_meant(app: Flask, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch,
                                                           run: Callable[..., Any]) -> None:
    """And where there is none, the command says what to give."""
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.jsonl", {"text": "a"})

    result = run("replay", str(path))

    assert 1 == result.exit_code
    assert "--url and --key" in result.output
