"""`make run`'s supervisor, as a process: what it prints and keeps, how it stops, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.replay import Client
from tests.conftest import KIND, ROOT, VILE, free_port, wait_until


class Local:
    """A supervisor in a folder of its own."""

    def __init__(self, folder: Path, settings: dict[str, Any], port: int) -> None:
        embedded = settings["DATABASE_URL"].startswith("sqlite")
        names = () if embedded else ("DATABASE_URL", "REDIS_URL", "QUEUE")
        environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        environment |= {name: settings[name] for name in names} | {"PORT": str(port), "PYTHONPATH": str(ROOT)}
        self.folder, self.environment = folder, environment
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> list[str]:
        """Start, and return the four lines."""
        self.process = subprocess.Popen([sys.executable, "-m", "service", "run"], cwd=self.folder, text=True,
                                        env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        lines = [self.process.stdout.readline() for _ in range(4)]
        assert all(lines), self.process.communicate()
        return lines

    def fail(self) -> str:
        """Start where it cannot, and return what it says."""
        result = subprocess.run([sys.executable, "-m", "service", "run"], cwd=self.folder, text=True, timeout=60,
                                env=self.environment, capture_output=True)
        assert result.returncode == 1
        assert "Traceback" not in result.stderr
        return result.stderr

    def facts(self) -> dict[str, Any]:
        return json.loads((self.folder / "var/first-run.json").read_text())

    def submit(self, **fields: Any) -> dict[str, Any]:
        """Submit a comment and ask until it is decided; it must be within a second."""
        client = Client(self.facts()["url"], self.facts()["site_key"])
        started = time.monotonic()
        status, body = client.send("POST", "/v1/comments", KIND | fields)
        assert status == 202
        while body["status"] == "pending":
            _, body = client.send("GET", f"/v1/comments/{body['id']}", None)
        client.close()
        assert time.monotonic() - started < 1
        return body

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            assert self.process.wait(30) == 0
        if self.process:
            self.process.communicate()


@pytest.fixture
def local(tmp_path: Path, settings: dict[str, Any]) -> Iterator[Local]:
    """A supervisor that is not started yet."""
    local = Local(tmp_path, settings, free_port())
    yield local
    local.stop()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")  # On Linux, one that has ended but was not waited for is not alive.
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_it_runs_stops_and_runs_again(local: Local) -> None:
    """The first start makes keys and works; Ctrl-C leaves nothing running; the second start keeps everything."""
    lines = local.start()
    facts = local.facts()

    assert facts["demo"] in lines[0]
    assert facts["desk"] in lines[1]
    assert facts["password"] in lines[1]
    assert "curl" in lines[2]
    assert facts["site_key"] in lines[2]
    assert "Ctrl-C" in lines[3]
    assert stat.S_IMODE((local.folder / "var/first-run.json").stat().st_mode) == 0o600
    assert [] == [path.name for path in [local.folder / "var", *(local.folder / "var").rglob("*")]
                  if stat.S_IMODE(path.stat().st_mode) & 0o077]
    first = local.submit()
    assert first["status"] == "published"
    assert local.submit(comment=VILE["comment"])["status"] == "flagged"

    local.stop()

    assert [] == [name for name, pid in facts["processes"].items() if is_alive(pid)]

    local.start()
    kept = local.facts()
    assert (facts["site_key"], facts["password"]) == (kept["site_key"], kept["password"])
    client = Client(kept["url"], kept["site_key"])
    assert client.send("GET", f"/v1/comments/{first['id']}", None)[0] == 200
    client.close()


def test_a_second_signal_changes_nothing(local: Local) -> None:
    """However often one asks, all processes are stopped, one after the other, also one that is slow."""
    local.environment["http_proxy"] = "http://127.0.0.1:9"  # What is on this machine is asked without a proxy.
    local.start()
    processes = local.facts()["processes"]
    os.kill(processes["worker"], signal.SIGSTOP)
    local.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    for again in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        local.process.send_signal(again)

    assert local.process.wait(30) == 0
    assert "Stopped.\n" == local.process.stdout.read()
    assert [] == [name for name, pid in processes.items() if is_alive(pid)]


def test_it_restarts_a_worker_that_dies(local: Local) -> None:
    """A worker that is killed is started again, and goes on working."""
    local.start()
    before = local.facts()["processes"]["worker"]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: local.facts()["processes"]["worker"] != before)

    client = Client(local.facts()["url"], local.facts()["site_key"])
    client.headers["Prefer"] = "wait=10"  # Long enough for the new worker to load.
    status, body = client.send("POST", "/v1/comments", KIND)
    client.close()
    assert (status, body["status"]) == (200, "published")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_killed_outright_it_leaves_nothing_behind(local: Local) -> None:
    """After kill -9 of the supervisor its processes end too, and the next start works: no lock is stale."""
    local.start()
    processes = local.facts()["processes"]
    local.process.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in processes.values()))
    local.process.communicate()

    local.start()

    assert local.submit()["status"] == "published"


def test_it_runs_once_in_a_folder(local: Local) -> None:
    """A second start in the same folder says which process has it."""
    local.start()

    said = local.fail()

    assert "already running in this folder" in said
    assert str(local.process.pid) in said


def test_a_port_in_use(local: Local) -> None:
    """The sentence names the port, and how to choose another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(local.environment["PORT"])))
        taken.listen()

        said = local.fail()

    assert f"port {local.environment['PORT']} is in use" in said
    assert "make run" in said


@pytest.mark.parametrize(("port", "sentence"), [
    ("eighty", "is not a number"),
    ("0", "must be above zero"),
    ("70000", "is not a port"),
])
def test_a_port_that_is_none(local: Local, port: str, sentence: str) -> None:
    """A PORT that cannot be is explained."""
    local.environment["PORT"] = port

    assert sentence in local.fail()


def test_a_folder_that_cannot_be_written(local: Local) -> None:
    """A file where the folder should be stands for every folder that cannot be written to, also for root."""
    (local.folder / "var").write_text("not a folder")

    assert "cannot be written to" in local.fail()


@pytest.mark.parametrize("url", ["postgresql+psycopg://postgres@127.0.0.1:{port}/none", "sqlite:///{folder}/no/folder.sqlite3"])
def test_a_database_that_is_not_there(local: Local, url: str) -> None:
    """The sentence names the database, and the reason."""
    url = url.format(port=free_port(), folder=local.folder)
    local.environment["DATABASE_URL"] = url

    assert f"the database {url} cannot be used" in local.fail()


def test_facts_that_cannot_be_read(local: Local) -> None:
    """A broken file of facts is named, and what to do about it."""
    (local.folder / "var").mkdir()
    (local.folder / "var/first-run.json").write_text("{")

    assert "remove it" in local.fail()
