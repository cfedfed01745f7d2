"""Settings: read from the environment, typed by their defaults, and refused with one sentence that says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service import config
from service.errors import ConfigError

NEEDED = {"DATABASE_URL": "sqlite:///file", "REDIS_URL": "redis://host", "SECRET_KEY": "s" * 32}


def test_what_the_environment_does_not_name_has_its_default() -> None:
    """Three settings are enough; every other one has a default."""
    settings = config.load(NEEDED)

    assert {setting.name for setting in config.SETTINGS} == set(settings)
    assert {s.name: s.default for s in config.SETTINGS if s.name not in NEEDED} | NEEDED == settings


@pytest.mark.parametrize(("name", "text", "value"), [
    pytest.param("PORT", "8080", 8080, id="a whole number stays one"),
    pytest.param("SWEEP_SECONDS", "0.5", 0.5, id="seconds may have a fraction"),
    pytest.param("SWEEP_SECONDS", "3", 3.0, id="seconds may be whole"),
    pytest.param("DEMO", "1", True, id="1 is on"),
    pytest.param("DEMO", "TRUE", True, id="case does not matter"),
    pytest.param("SECURE_COOKIES", "0", False, id="0 is off"),
    pytest.param("SECURE_COOKIES", "no", False, id="no is off"),
    pytest.param("SECURE_COOKIES", "", False, id="set to nothing is off"),
    pytest.param("QUEUE", "7", "7", id="a text stays a text"),
    pytest.param("DATABASE_URL", "postgresql://u@h/n", "postgresql+psycopg://u@h/n", id="psycopg 3 is named"),
    pytest.param("DATABASE_URL", "postgres://u@h/n", "postgresql+psycopg://u@h/n", id="also in the short spelling"),
    pytest.param("DATABASE_URL", "postgresql+psycopg://u@h/n", "postgresql+psycopg://u@h/n", id="named stays named"),
])
def test_a_setting_is_read_by_its_default_s_type(name: str, text: str, value: object) -> None:
    """The environment has only texts; each becomes what its default is."""
    read = config.load(NEEDED | {name: text})[name]

    assert value == read
    assert type(value) is type(read)


@pytest.mark.parametrize(("environment", "words"), [
    pytest.param({}, ["DATABASE_URL, REDIS_URL, SECRET_KEY", "docs/operators.md"], id="all that is missing is named"),
    pytest.param({"REDIS_URL": ""} | {k: v for k, v in NEEDED.items() if k != "REDIS_URL"}, ["REDIS_URL"],
                 id="set to nothing is missing"),
    pytest.param(NEEDED | {"SECRET_KEY": "s" * 31}, ["SECRET_KEY", "32", "openssl rand"], id="a short secret"),
    pytest.param(NEEDED | {"PORT": "many"}, ["PORT='many'", "8000"], id="not a number"),
    pytest.param(NEEDED | {"PORT": "80.5"}, ["PORT='80.5'"], id="a fraction where a whole number is needed"),
    pytest.param(NEEDED | {"BATCH_SIZE": "0"}, ["BATCH_SIZE", "above zero"], id="zero"),
    pytest.param(NEEDED | {"SWEEP_SECONDS": "-1"}, ["SWEEP_SECONDS", "above zero"], id="below zero"),
    pytest.param(NEEDED | {"SWEEP_SECONDS": "inf"}, ["SWEEP_SECONDS"], id="infinity"),
    pytest.param(NEEDED | {"SWEEP_SECONDS": "nan"}, ["SWEEP_SECONDS"], id="not a number at all"),
    pytest.param(NEEDED | {"DEMO": "maybe"}, ["DEMO='maybe'", "use 1 or 0"], id="neither on nor off"),
])
def test_a_wrong_setting_is_refused(environment: dict[str, str], words: list[str]) -> None:
    """The message names the setting and what to do, on one line."""
    with pytest.raises(ConfigError) as caught:
        config.load(environment)

    message = str(caught.value)
    assert [] == [word for word in words if word not in message]
    assert "\n" not in message


def test_overrides_win() -> None:
    """What the code says goes before the environment, and makes up for what it lacks."""
    assert 5 == config.load(NEEDED | {"PORT": "9"}, PORT=5)["PORT"]
    assert "redis://other" == config.load({}, **NEEDED | {"REDIS_URL": "redis://other"})["REDIS_URL"]


def test_every_setting_says_what_it_is_for() -> None:
    """The table has each name once, and each help is a sentence."""
    names = [setting.name for setting in config.SETTINGS]

    assert sorted(set(names)) == sorted(names)
    assert [] == [s.name for s in config.SETTINGS if not s.help.endswith(".")]


def test_this_folder_s_installation_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`flask` commands reach what `make run` started here, unless the environment names anything else: a trial's key or
    Redis must never slip into a production that lacks one setting."""
    monkeypatch.chdir(tmp_path)
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError):
        config.load()
    (tmp_path / "var").mkdir()
    (tmp_path / "var/first-run.json").write_text(json.dumps({k.lower(): v for k, v in NEEDED.items()} | {"pid": 1}))

    assert NEEDED == {name: config.load()[name] for name in NEEDED}
    (tmp_path / "var/first-run.json").write_text("[]")
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load()
    monkeypatch.setenv("REDIS_URL", "redis://other")
    with pytest.raises(ConfigError, match="Set DATABASE_URL, SECRET_KEY"):
        config.load()


@pytest.mark.parametrize(("name", "value"), [
    pytest.param("DATABASE_URL", "nonsense", id="no address at all"),
    pytest.param("DATABASE_URL", "nope://host/name", id="a database that nobody knows"),
    pytest.param("REDIS_URL", "localhost:6379", id="a host without a scheme"),
    pytest.param("REDIS_URL", "http://localhost", id="another service"),
])
def test_an_address_that_is_none(name: str, value: str) -> None:
    """It is named at the start, and not by a traceback later."""
    with pytest.raises(ConfigError, match=f"{name} is not the address"):
        config.load(NEEDED | {name: value})
