"""Services that have a page of the documentation instead of a type of destination."""

import re
from pathlib import Path

import pytest

from gateway.destinations import KINDS
from gateway.destinations.recipes import recipe

HOW_TO = Path(__file__).parents[2] / "docs/how-to"
#: The pages about one service that has no type of its own, as the table of contents lists them.
PAGES = sorted(
    page
    for line in (HOW_TO / "index.md").read_text("utf-8").splitlines()
    if "to a certain system" in line or "spreadsheet" in line
    for page in re.findall(r"\(([a-z-]+)\.md\)", line)
)


def title(page: str) -> str:
    return (HOW_TO / f"{page}.md").read_text("utf-8").partition("\n")[0].removeprefix("# ")


@pytest.mark.parametrize("page", PAGES)
def test_a_service_with_a_page_is_known_by_its_name(page):
    assert f'"{title(page)}" shows: docs/how-to/{page}.md' in recipe(page.removesuffix("-as-a-destination"))


@pytest.mark.parametrize(
    ("name", "page"), [("HubSpot", "hubspot"), ("Google Sheets", "google-sheets"), ("google_sheet", "google-sheets")]
)
def test_spelling_does_not_matter_and_the_page_is_there(name, page):
    assert recipe(name) == f'use the type "http", as the page "{title(page)}" shows: docs/how-to/{page}.md'


@pytest.mark.parametrize("name", [*KINDS, "slak", ""])
def test_nothing_is_said_of_other_names(name):
    assert recipe(name) == ""
