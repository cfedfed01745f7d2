"""The docs name what the code has: settings, scopes, public routes, phases and reasons, commands, answers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask

from service import auth, config, moderation, policy
from service.submission import MISSING, WRONG_EMAIL, Submission

from .conftest import ROOT

DOCS = ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text()


def row(text: str, first_cell: str) -> str:
    """The table row that begins with this cell."""
    found = [line for line in text.splitlines() if line.startswith(f"| `{first_cell}` |")]
    assert len(found) == 1, f"{len(found)} rows for {first_cell}"
    return found[0]


@pytest.mark.parametrize("setting", config.SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_is_told_to_operators(setting: config.Setting) -> None:
    """With its help in the same words, and its default."""
    told = row(page("operators.md"), setting.name)
    default = f"{setting.default:g}" if isinstance(setting.default, float | bool) else str(setting.default)

    assert f"| `{setting.name}` | {default} | {setting.help} |" == told


def test_no_setting_is_told_that_there_is_not() -> None:
    """A setting that was renamed leaves nothing behind."""
    table = page("operators.md").partition("## Settings")[2].partition("\n## ")[0]

    assert {setting.name for setting in config.SETTINGS} == set(re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE))


def test_public_routes_are_told_to_sites(app: Flask) -> None:
    """Each with the reason why it needs no key, in the same words."""
    text = re.sub(r"\s+", " ", page("site.md"))
    for rule in app.url_map.iter_rules():
        access = app.view_functions[rule.endpoint].access
        if access.kind == "public":
            path = re.sub(r"<[^>]+>", "", rule.rule)
            assert f"`{path}" in text, rule.rule
            assert access.detail in text, (rule.rule, access.detail)


def test_scopes_are_told_to_sites() -> None:
    """A key has scopes; the docs name each."""
    assert [] == [scope for scope in auth.SCOPES if f"`{scope}`" not in page("site.md")]


def test_fields_are_told_to_sites() -> None:
    """Every field of a submission, and the sentences that a reader sees."""
    text = page("site.md")

    assert [] == [name for name in Submission.model_fields if name not in text]
    assert [] == [message for message in (*MISSING.values(), WRONG_EMAIL) if message not in text]


def test_phases_and_reasons_are_told_to_moderators() -> None:
    """Why is it here? One row a phase, with every reason that the phase can give."""
    text = page("moderators.md")
    reasons = {"no_verdict": ["not_scored"], "blatant": ["score_over_threshold"], "doubtful": ["score_over_threshold"],
               "clean": ["no_label_over_threshold"], "review": ["moderator_approved", "moderator_rejected"]}

    assert {*(phase.__name__ for phase in policy.PHASES), "review"} == set(reasons)
    for phase, given in reasons.items():
        assert [] == [reason for reason in given if f"`{reason}`" not in row(text, phase)]
    source = Path(policy.__file__).read_text() + Path(moderation.__file__).read_text()
    written = set(re.findall(r'"((?:not|no|score|moderator)_[a-z_]+)"', source)) - {"no_verdict"}
    assert {reason for given in reasons.values() for reason in given} == written


def test_commands_are_told_to_operators(app: Flask) -> None:
    """Every command and every one inside a group."""
    text = page("operators.md")
    from service import cli

    for group in (cli.sites_group, cli.keys_group, cli.moderators_group):
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `flask {group.name} ")]
        assert [] == [name for name in group.commands if name not in line]
    for command in (cli.migrate, cli.replay_command):
        assert f"`flask {command.name}" in text


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")) + sorted(DOCS.rglob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    """A file that a page links to, or shows, is there."""
    links = re.findall(r"\]\(([^)#\s]+)", path.read_text())

    assert [] == [link for link in links if "://" not in link and not (path.parent / link).exists()]
