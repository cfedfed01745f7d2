"""What goes to production, checked without a Docker engine: the image's steps, its commands, the compose file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from service.__main__ import COMMANDS

from .conftest import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_dockerfile_passes_its_linter() -> None:
    """hadolint has nothing to say."""
    hadolint = Path(sys.executable).parent / "hadolint"
    result = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True)

    assert "" == result.stdout + result.stderr
    assert result.returncode == 0


def test_what_the_image_copies_is_there() -> None:
    """Every file that is copied from the checkout exists, and is not kept out of the build's context."""
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text().split()

    assert copied
    assert [] == [name for name in copied if not (ROOT / name).exists() or name in ignored]


def test_the_image_holds_all_that_runs(tmp_path: Path) -> None:
    """With only what the image copies, the service can be imported and its model loaded."""
    for name in re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE):
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    program = "import service.worker, service.local, training.datasets, classifier; print(classifier.load().version)"

    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)

    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


def test_the_image_is_not_root_and_knows_its_commands() -> None:
    """The user is a number above 0, which Kubernetes can check; CMD is one of our commands."""
    assert int(re.search(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)[1]) > 0
    assert re.search(r'^CMD \["(\w+)"\]$', DOCKERFILE, re.MULTILINE)[1] in COMMANDS


def test_compose_runs_our_commands_on_what_it_starts() -> None:
    """Each of our services has a known command, waits for the migration, and gets every required setting."""
    services = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
    ours = {name: facts for name, facts in services.items() if facts.get("image") == "copydesk"}

    assert {"web", "worker", "migrate"} == set(ours)
    for name, facts in ours.items():
        assert [name] == facts["command"]
        assert {"DATABASE_URL", "REDIS_URL", "SECRET_KEY"} <= set(facts["environment"])
        waits_for = set(facts["depends_on"])
        assert waits_for == ({"postgres"} if name == "migrate" else {"migrate"})
