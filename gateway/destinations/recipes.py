"""Services that are reached with a type of destination for any API, as a page of the documentation shows."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.wording import folded

#: The page of each, by every name that it is looked for by, in lower-case letters and digits.
_PAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "hubspot": "hubspot",
        "pipedrive": "pipedrive",
        "notion": "notion",
        "salesforce": "salesforce",
        "googlesheets": "google-sheets",
        "googlesheet": "google-sheets",
        "gsheets": "google-sheets",
        "sheets": "google-sheets",
        "spreadsheet": "google-sheets",
        "xobito": "xobito-as-a-destination",
    }
)


def recipe(name: str) -> str:
    """What to write instead of ``name`` as a type of destination; empty if there is no page about it."""
    page = _PAGES.get(folded(name))
    return f'its type is "http", and docs/how-to/{page}.md shows the rest' if page else ""
