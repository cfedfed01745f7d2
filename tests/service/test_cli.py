"""The operator's commands: what they do and say, and one clear sentence when something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, inspect

from service import auth, create_app
from service.tables import metadata

from ..conftest import KIND, ROOT, SECRET_KEY, Site, free_port

Run = Callable[..., Result]


@pytest.fixture
def run(app: Flask) -> Run:
    """Run a `flask` command."""
    runner = app.test_cli_runner()
    return lambda *arguments, **options: runner.invoke(args=arguments, **options)


def sentence(result: Result) -> str:
    """What a command said that failed: exit code 1, one line, no traceback."""
    assert 1 == result.exit_code, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert 1 == result.output.strip().count("\n") + 1
    return result.output


def test_from_nothing_to_a_comment(run: Run, client: FlaskClient) -> None:
    """A site, its key, and the key works; the desk's first moderator, who can sign in."""
    assert "Added The Harbour Post" in run("sites", "add", "The Harbour Post").output
    key = run("keys", "add", "The Harbour Post").output.strip()
    run("moderators", "add", "mo@news.example", "--password", "a long password")

    assert 202 == client.post("/v1/comments", json=KIND, headers={"Authorization": f"Bearer {key}"}).status_code
    client.get("/desk/sign-in")
    with client.session_transaction() as session:
        token = session["csrf_token"]
    assert 302 == client.post("/desk/sign-in", data={"csrf_token": token, "email": "mo@news.example",
                                                     "password": "a long password"}).status_code


def test_sites(run: Run, site: Site) -> None:
    """They are listed by name, with whether a person rejects; and that can be changed both ways."""
    run("sites", "add", "A Strict One", "--rejects-automatically")
    assert ["A Strict One\trejects automatically", "The Harbour Post\ta person rejects"
            ] == run("sites", "list").output.splitlines()

    run("sites", "set", "The Harbour Post", "--rejects-automatically")
    run("sites", "set", "A Strict One", "--a-person-rejects")
    assert ["A Strict One\ta person rejects", "The Harbour Post\trejects automatically"
            ] == run("sites", "list").output.splitlines()


def test_keys(run: Run, site: Site, client: FlaskClient) -> None:
    """A key is shown once, listed without its secret, narrowed by --scope, and worthless once it is revoked."""
    key = run("keys", "add", site_name := "The Harbour Post", "--scope", "queue:read",
              "--scope", "comments:read").output.strip()
    key_id, secret = key.split("_", 2)[1:]
    headers = {"Authorization": f"Bearer {key}"}
    assert 200 == client.get("/v1/queue", headers=headers).status_code
    assert 403 == client.post("/v1/comments", json=KIND, headers=headers).status_code
    listed = run("keys", "list").output
    assert f"{key_id}\t{site_name}\tvalid\tqueue:read comments:read" in listed
    assert secret not in listed

    assert f"Revoked {key_id}" in run("keys", "revoke", key_id).output
    assert 401 == client.get("/v1/queue", headers=headers).status_code
    assert f"{key_id}\t{site_name}\trevoked 20" in run("keys", "list").output
    assert key_id in sentence(run("keys", "revoke", key_id))


def test_a_password_is_asked_for_twice(run: Run) -> None:
    """And is not shown."""
    result = run("moderators", "add", "mo@news.example", input="a long password\na long password\n")

    assert 0 == result.exit_code
    assert "a long password" not in result.output
    with pytest.raises(ValueError, match="already"):
        auth.add_moderator("mo@news.example", "a long password")


@pytest.mark.parametrize(("arguments", "words"), [
    pytest.param(["sites", "add", "The Harbour Post"], "already", id="a site twice"),
    pytest.param(["sites", "add", "a" * 101], "100", id="a name longer than there is room for"),
    pytest.param(["sites", "add", " "], "name", id="a name of nothing"),
    pytest.param(["sites", "set", "Nobody", "--a-person-rejects"], "flask sites list", id="a site that is not there"),
    pytest.param(["keys", "add", "Nobody"], "flask sites list", id="a key for a site that is not there"),
    pytest.param(["keys", "revoke", "0" * 16], "flask keys list", id="a key that is not there"),
    pytest.param(["moderators", "add", "mo@news.example", "--password", "short"], "at least 10",
                 id="a password that is too short"),
    pytest.param(["moderators", "add", "a" * 250 + "@news.example", "--password", "a long password"], "address",
                 id="an address longer than there is room for"),
    pytest.param(["moderators", "add", "mo", "--password", "a long password"], "address", id="no address"),
    pytest.param(["replay", __file__, "--url", "http://127.0.0.1:9", "--key", "k"], "line 1",
                 id="a file that is no JSONL"),
])
def test_what_is_wrong_is_said_in_one_sentence(run: Run, site: Site, arguments: list[str], words: str) -> None:
    """Exit code 1 and what to do, no traceback."""
    assert words in sentence(run(*arguments))


@pytest.mark.parametrize("arguments", [["keys", "add", "The Harbour Post", "--scope", "all"], ["sites", "set", "A"],
                                       ["replay"], ["replay", "/no/such/file"]])
def test_a_command_that_is_used_wrongly(run: Run, site: Site, arguments: list[str]) -> None:
    """Exit code 2 and how to use it."""
    result = run(*arguments)

    assert 2 == result.exit_code
    assert "Usage:" in result.output


def test_migrate_is_safe_to_repeat(settings: dict[str, Any], tmp_path: Path) -> None:
    """From an empty file to the tables that the code expects; a second time nothing happens."""
    url = f"sqlite:///{tmp_path}/new.sqlite3"
    app = create_app(**settings | {"DATABASE_URL": url})
    with app.app_context():
        for _ in range(2):
            assert "up to date" in app.test_cli_runner().invoke(args=["migrate"]).output

    engine = create_engine(url)
    found = {name: {column["name"] for column in inspect(engine).get_columns(name)}
             for name in inspect(engine).get_table_names() if name != "alembic_version"}
    assert {table.name: {column.name for column in table.columns} for table in metadata.sorted_tables} == found
    engine.dispose()
    app.extensions["engine"].dispose()
    app.extensions["redis"].close()


def test_the_migrations_make_what_the_code_says(app: Flask) -> None:
    """On this database, Alembic finds nothing that the tables in the code have and the migrations have not."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with app.extensions["engine"].connect() as connection:
        assert [] == compare_metadata(MigrationContext.configure(connection), metadata)


@pytest.fixture
def away(redis_url: str) -> Iterator[Run]:
    """Commands of an installation whose database is not there."""
    app = create_app(DATABASE_URL=f"postgresql://nobody@127.0.0.1:{free_port()}/none", REDIS_URL=redis_url,
                     SECRET_KEY=SECRET_KEY)
    with app.app_context():
        yield lambda *arguments: app.test_cli_runner().invoke(args=arguments)
    app.extensions["redis"].close()


@pytest.mark.parametrize("arguments", [["sites", "list"], ["sites", "add", "A"], ["keys", "list"], ["migrate"]])
def test_the_database_is_away(away: Run, arguments: list[str]) -> None:
    """One sentence for the operator too."""
    assert "database" in sentence(away(*arguments))


def test_without_settings_a_command_says_what_to_set(tmp_path: Path) -> None:
    """A real `flask` in a folder where nothing was ever started: one sentence, no traceback."""
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY")}
    done = subprocess.run([sys.executable, "-m", "flask", "--app", "wsgi", "sites", "list"], cwd=tmp_path,
                          env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60)

    assert 0 != done.returncode
    assert "SECRET_KEY" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_finds_this_folder_s_installation(settings: dict[str, Any], site: Site, tmp_path: Path) -> None:
    """A real `flask` in a folder where `make run` was used needs no environment."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var/first-run.json").write_text(json.dumps(
        {name.lower(): settings[name] for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY")}))
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY")}
    done = subprocess.run([sys.executable, "-m", "flask", "--app", "wsgi", "sites", "list"], cwd=tmp_path,
                          env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60)

    assert 0 == done.returncode, done.stderr
    assert "The Harbour Post" in done.stdout
