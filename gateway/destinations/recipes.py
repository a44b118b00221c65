"""Services without a type of destination of their own: a page of the documentation shows how to reach each over HTTP."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.wording import folded

#: The name of each, as ``folded`` has it, and its page.
_PAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "hubspot": "hubspot",
        "pipedrive": "pipedrive",
        "notion": "notion",
        "salesforce": "salesforce",
        "xobito": "xobito-as-a-destination",
        **dict.fromkeys(("googlesheets", "googlesheet", "gsheets", "sheets", "spreadsheet"), "google-sheets"),
    }
)


#: Words for any service that is sent HTTP requests.
_PLAIN: Final = frozenset(
    {"webhook", "webhooks", "https", "rest", "restapi", "api", "url", "post", "httppost", "request"}
)


def recipe(name: str) -> str:
    """What to write instead of ``name`` as a type of destination; empty if there is no page about it."""
    if folded(name) in _PLAIN:
        return "write http, or leave type out"
    page = _PAGES.get(folded(name))
    return f'use the type "http", as docs/how-to/{page}.md shows' if page else ""
