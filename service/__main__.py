"""The processes: `python -m service web | worker | migrate`, and `run`, which is all of them on one machine."""

from __future__ import annotations

import os
import sys

from sqlalchemy.exc import DatabaseError

from . import config
from .errors import ConfigError

# A moderator's approval or a reader's post takes milliseconds; this lets those under way end before a stop.
GRACEFUL_SECONDS = "10"


def web() -> None:
    """Serve HTTP until SIGTERM; becomes gunicorn."""
    settings = config.load()
    os.execv(sys.executable, [
        sys.executable, "-m", "gunicorn", "wsgi:app", "--worker-class", "gthread", "--no-control-socket",
        "--workers", str(settings["WEB_PROCESSES"]), "--threads", str(settings["WEB_THREADS"]),
        "--bind", f"{settings['HOST']}:{settings['PORT']}", "--graceful-timeout", GRACEFUL_SECONDS,
        "--error-logfile", "-", "--log-level", "warning"])


def worker() -> None:
    """Score and decide until SIGTERM."""
    from . import create_app, worker

    worker.run(create_app())


def migrate() -> None:
    """Bring the database's tables up to date."""
    from . import create_app, migrations

    migrations.upgrade(create_app().extensions["engine"])


def run() -> None:
    """Run everything on this machine, with its own Valkey and SQLite, until Ctrl-C."""
    from . import local

    sys.exit(local.run())


COMMANDS = {command.__name__: command for command in (web, worker, migrate, run)}


def main() -> None:
    """Run the command that is named, or say which there are."""
    command = COMMANDS.get(sys.argv[1]) if len(sys.argv) == 2 else None
    if command is None:
        sys.exit("Use: python -m service " + " | ".join(COMMANDS))
    try:
        command()
    except ConfigError as error:
        sys.exit(str(error))
    except DatabaseError as error:
        sys.exit(f"The database does not answer: {' '.join(str(error.orig).split())}")


if __name__ == "__main__":
    main()
