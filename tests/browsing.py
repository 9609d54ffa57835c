"""Pages in Chromium."""

import shutil
from contextlib import contextmanager

import pytest

from servers import TIMEOUT

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
]
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed: apt-get install chromium")


@contextmanager
def launch_browser():
    """A browser."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def open_address(browser, address, console=(), **options):
    """The page at an address; at the end, the messages in its console must be the expected ones."""
    context = browser.new_context(**options)
    context.set_default_timeout(TIMEOUT * 1000)
    page = context.new_page()
    messages = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert len(messages) == len(console), messages
    assert all(part in text for part, text in zip(console, messages, strict=True))
