"""The house's shape: who may import whom, what no process may load, and names that say nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT

HEAVY = ["sklearn", "scipy", "joblib", "training"]


def test_imports_go_one_way() -> None:
    """The contracts in .importlinter hold: the rooms, the one door, and downwards only inside the service."""
    done = subprocess.run([Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True,
                          text=True, timeout=120)

    assert 0 == done.returncode, done.stdout
    assert "5 kept, 0 broken" in done.stdout


@pytest.fixture
def loaded(settings: dict[str, Any], tmp_path: Path) -> Callable[[str], set[str]]:
    """Run a few lines in a fresh process; return the packages that it has loaded at their end."""
    environment = {name: str(int(value) if isinstance(value, bool) else value) for name, value in settings.items()}

    def loaded(lines: str) -> set[str]:
        tell = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
        done = subprocess.run([sys.executable, "-c", f"{lines}\n{tell}"], cwd=ROOT, env=environment,
                              capture_output=True, text=True, timeout=120)
        assert 0 == done.returncode, done.stderr
        return set(json.loads(done.stdout))

    return loaded


def test_the_web_process_stays_light(loaded: Callable[[str], set[str]]) -> None:
    """It answers requests; it needs neither scikit-learn nor the classifier, nor numpy."""
    found = loaded("import wsgi\nwsgi.app.test_client().get('/openapi.json')\nwsgi.app.test_client().get('/demo')")

    assert {"service", "flask"} <= found
    assert set() == found & {*HEAVY, "classifier", "numpy"}


def test_the_worker_scores_without_what_trained_its_model(loaded: Callable[[str], set[str]]) -> None:
    """Loading and using the model needs numpy and no more."""
    found = loaded("from service import create_app, worker\n"
                   "drainer = worker.Drainer(create_app())\n"
                   "drainer.scorer.score([dict(comment='A bus.', name='Ada', email='a@b.example', website=None)])")

    assert {"service", "classifier", "numpy", "rq"} <= found
    assert set() == found & set(HEAVY)


def test_no_file_has_a_name_that_says_nothing() -> None:
    """What is in utils.py? Nobody knows, so it grows. And queue.py would hide the standard library's."""
    nothing = {"utils", "util", "helpers", "base", "common", "misc", "queue", "manager", "handler", "processor"}

    assert [] == [path for room in ("service", "classifier", "training", "benchmarks")
                  for path in (ROOT / room).rglob("*.py") if path.stem in nothing]


def test_only_the_settings_read_the_environment() -> None:
    """A setting that is read elsewhere is in no table. The supervisor hands its environment on, and the installation
    step runs before there are settings."""
    readers = {str(path.relative_to(ROOT)) for path in (ROOT / "service").rglob("*.py")
               if "os.environ" in path.read_text() or "getenv" in path.read_text()}

    assert readers <= {"service/config.py", "service/local.py"}


def test_every_module_says_what_it_is_for() -> None:
    """Its first line is a sentence."""
    silent = [path for room in ("service", "classifier", "training")
              for path in (ROOT / room).rglob("*.py") if not path.read_text().startswith('"""')]

    assert [] == silent
