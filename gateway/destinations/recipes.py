"""Services without a type of destination of their own: a page of the documentation shows how to reach each over HTTP."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.wording import folded

_SHEETS: Final = ("Contacts to a Google sheet", "google-sheets")
#: The name of each, as ``folded`` has it, with the title and the file of its page.
_PAGES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "hubspot": ("Contacts to HubSpot", "hubspot"),
        "pipedrive": ("Contacts to Pipedrive", "pipedrive"),
        "notion": ("Contacts to a Notion database", "notion"),
        "salesforce": ("Contacts to Salesforce", "salesforce"),
        "xobito": ("Contacts from one Xobito workspace to another", "xobito-as-a-destination"),
        **dict.fromkeys(("googlesheets", "googlesheet", "gsheets", "sheets", "spreadsheet"), _SHEETS),
    }
)


_MAIL: Final = frozenset({"smtp", "smtps", "sendmail", "emails"})
#: Words for any service that is sent HTTP requests.
_PLAIN: Final = frozenset(
    {"webhook", "webhooks", "https", "rest", "restapi", "api", "url", "post", "httppost", "request"}
)


def recipe(name: str) -> str:
    """What to write instead of ``name`` as a type of destination; empty if there is no page about it."""
    if folded(name) in _MAIL:
        return "write email"
    if folded(name) in _PLAIN:
        return "write http, or leave type out"
    title, file = _PAGES.get(folded(name), ("", ""))
    return f'use the type "http", as the page "{title}" shows: docs/how-to/{file}.md' if title else ""
