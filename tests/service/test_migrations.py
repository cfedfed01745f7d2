"""The schema may be brought up to date again, and by several processes at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import inspect

from service import database
from service.tables import metadata
from tests.conftest import Process


def migrate_three_times(settings: dict[str, Any], tmp_path: Path) -> list[int]:
    """Migrate from three processes at once; return their exit codes."""
    processes = [Process("migrate", settings, tmp_path / f"{number}.log") for number in range(3)]
    return [process.process.wait(60) for process in processes]


def test_migrating_again_changes_nothing(app: Flask, settings: dict[str, Any], tmp_path: Path) -> None:
    """Also several at once, as when each host of a fleet migrates at its start."""
    before = inspect(app.extensions["engine"]).get_table_names()

    assert [0, 0, 0] == migrate_three_times(settings, tmp_path)

    assert before == inspect(app.extensions["engine"]).get_table_names()


def test_an_empty_database_is_filled_once(settings: dict[str, Any], tmp_path: Path) -> None:
    """Of three that begin at once on nothing, one makes the tables, and the others find them."""
    url = f"sqlite:///{tmp_path}/empty.sqlite3"

    assert [0, 0, 0] == migrate_three_times(settings | {"DATABASE_URL": url}, tmp_path)

    engine = database.connect(url)
    assert set(metadata.tables) <= set(inspect(engine).get_table_names())
    engine.dispose()
