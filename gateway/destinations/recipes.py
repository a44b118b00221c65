"""Services without a type of destination of their own: a page of the documentation shows how to reach each over HTTP."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.wording import folded

#: The name of each, as ``folded`` has it, and the title of its page.
_PAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "hubspot": "Contacts to HubSpot",
        "pipedrive": "Contacts to Pipedrive",
        "notion": "Contacts to a Notion database",
        "salesforce": "Contacts to Salesforce",
        "xobito": "Contacts from one Xobito workspace to another",
        **dict.fromkeys(
            ("googlesheets", "googlesheet", "gsheets", "sheets", "spreadsheet"), "Contacts to a Google sheet"
        ),
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
    page = _PAGES.get(folded(name))
    return f'use the type "http", as the page "{page}" of the documentation shows' if page else ""
