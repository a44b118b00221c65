"""A real Chromium in front of a real gateway."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.story import Story, told
from tests.needs import needs

# Only turns a hang into a failure: pages are slow on a busy machine.
expect.set_options(timeout=30_000)

OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync", "--disable-quic",
]  # fmt: skip


# Not of the session: while it is there a loop runs in this thread, and no other test can run one of its own.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    needs("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def story(chromium, tmp_path_factory) -> Iterator[Story]:
    with told(tmp_path_factory.mktemp("story")) as story:
        yield story
