"""What people see, in a real browser: the form's messages, a comment that is published live, the desk."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect, sync_playwright

from service import auth

from .conftest import KIND, VILE, Process, free_port, running, wait_until

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (on Debian: apt install chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without the requests that it makes for itself."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[
            "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
            "--disable-sync"])
        yield browser
        browser.close()


@pytest.fixture
def url(worker: Process, app: Flask, settings: dict[str, Any], tmp_path: Path) -> Iterator[str]:
    """The address of a running service."""
    port = free_port()
    auth.add_moderator("mo@news.example", "a long password")
    with running("web", settings | {"PORT": port, "WEB_PROCESSES": 1}, tmp_path) as web:
        wait_until(lambda: _listens(port, web))
        yield f"http://127.0.0.1:{port}"


def _listens(port: int, web: Process) -> bool:
    assert web.process.poll() is None, web.log.read_text()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A visitor with no cookies; any error in the page's console fails the test."""
    context = browser.new_context()
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors


@pytest.fixture
def page_without_script(browser: Browser) -> Iterator[Page]:
    """A visitor whose browser runs no scripts."""
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def fill(page: Page, comment: dict[str, Any]) -> None:
    for field in ("comment", "name", "email"):
        page.locator(f"#{field}").fill(comment[field])


MESSAGES = {"comment": "Please enter your comment!", "name": "Please enter your name here",
            "email": "Please enter your email address here"}


@pytest.mark.parametrize("scripts", ["page", "page_without_script"])
def test_the_forms_four_messages(url: str, scripts: str, request: pytest.FixtureRequest) -> None:
    """Each empty field says what it needs, in place, with scripts and without; a wrong address says that."""
    page: Page = request.getfixturevalue(scripts)
    page.goto(f"{url}/demo")
    page.get_by_role("button", name="Post Comment").click()

    for field, message in MESSAGES.items():
        expect(page.locator(f"#{field}-error")).to_have_text(message)

    fill(page, KIND | {"email": "not an address"})
    page.get_by_role("button", name="Post Comment").click()

    expect(page.locator("#email-error")).to_have_text("You have entered an incorrect email address!")
    expect(page.locator("#comment-error")).to_have_text("")
    expect(page.locator("#comment")).to_have_value(KIND["comment"])


def test_a_comment_appears_live(url: str, page: Page, browser: Browser) -> None:
    """A kind comment appears under the article by itself, for its author and for another reader."""
    reader = browser.new_context().new_page()
    reader.goto(f"{url}/demo")
    page.goto(f"{url}/demo")
    fill(page, KIND)
    page.get_by_role("button", name="Post Comment").click()

    for view in (page, reader):
        expect(view.locator(".comment:not(.waits) .text")).to_have_text(KIND["comment"], timeout=15_000)
    reader.context.close()


def test_without_scripts_a_comment_appears_after_a_reload(url: str, page_without_script: Page) -> None:
    """The form works without scripts: the page comes back, and the comment is there."""
    page = page_without_script
    page.goto(f"{url}/demo")
    fill(page, KIND)
    page.get_by_role("button", name="Post Comment").click()

    expect(page).to_have_url(re.compile(r"/demo#comment-"))
    wait_until(lambda: page.reload() and page.locator(".comment:not(.waits)").count())
    expect(page.locator(".comment .text")).to_have_text(KIND["comment"])


def test_a_flagged_comment_is_approved_at_the_desk(url: str, page: Page, browser: Browser) -> None:
    """A vile comment waits, marked at the desk with the reason; approved there, it appears under the article."""
    page.goto(f"{url}/demo")
    fill(page, VILE)
    page.get_by_role("button", name="Post Comment").click()
    expect(page.locator(".waits .notice")).to_have_text("Your comment is awaiting moderation.")

    desk = browser.new_context().new_page()
    desk.goto(f"{url}/desk")
    desk.get_by_label("E-mail address").fill("mo@news.example")
    desk.get_by_label("Password").fill("a long password")
    desk.get_by_role("button", name="Sign in").click()
    expect(desk.get_by_role("button", name="Sign out")).to_be_visible()

    def card() -> Any:
        desk.reload()
        return desk.locator(".card .scores").count()

    wait_until(card)
    expect(desk.locator(".card blockquote")).to_have_text(VILE["comment"])
    expect(desk.locator(".card mark").first).to_be_visible()
    expect(desk.locator(".why")).to_contain_text("Flagged for")

    desk.keyboard.press("j")
    desk.keyboard.press("a")

    expect(desk.locator(".told")).to_have_text("Published.")
    expect(desk.locator(".empty")).to_be_visible()
    expect(page.locator(".comment:not(.waits) .text")).to_have_text(VILE["comment"], timeout=15_000)
    desk.context.close()


def test_the_form_remembers_who_asked_for_it(url: str, page: Page) -> None:
    """With the box ticked, name and address are there next time; without it they are not."""
    page.goto(f"{url}/demo")
    fill(page, KIND)
    page.get_by_role("button", name="Post Comment").click()
    expect(page.locator(".comment").first).to_be_visible()
    page.reload()
    expect(page.locator("#name")).to_have_value("")

    fill(page, KIND)
    page.get_by_label("Save my name").check()
    page.get_by_role("button", name="Post Comment").click()
    expect(page.locator(".comment")).to_have_count(2)
    page.reload()

    expect(page.locator("#name")).to_have_value(KIND["name"])
    expect(page.locator("#email")).to_have_value(KIND["email"])


def test_text_is_only_text(url: str, page: Page) -> None:
    """Markup in a comment, a name or a website is shown, and never run."""
    page.goto(f"{url}/demo")
    evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    fill(page, {"comment": f"A lovely walk, thank you. {evil}", "name": evil, "email": KIND["email"]})
    page.get_by_role("button", name="Post Comment").click()

    expect(page.locator(".comment .text").first).to_contain_text(evil)
    expect(page).to_have_title(re.compile("The night bus"))
