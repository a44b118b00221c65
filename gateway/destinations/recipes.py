"""What to write for a type of destination that does not exist; for some services a page shows how to reach them over HTTP."""

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
#: Words for the output of the process, or its log: a file is the nearest.
_LOGS: Final = frozenset(
    {"log", "logs", "logger", "logging", "stdout", "stderr", "console", "print", "debug", "output", "ndjson", "jsonl"}
)
_NOWHERE: Final = frozenset({"null", "none", "noop", "void", "discard", "blackhole", "devnull", "ignore", "drop"})


def recipe(name: str) -> str:
    """What to write instead of ``name`` as a type of destination; empty if there is no page about it."""
    if folded(name) in _MAIL:
        return "write email"
    if folded(name) in _PLAIN:
        return "write http, or leave type out"
    if folded(name) in _LOGS:
        return "write file, and path: events.ndjson, to which a line is added for each delivery"
    if folded(name) in _NOWHERE:
        return "remove the destination, and write to: [] in the route"
    title, file = _PAGES.get(folded(name), ("", ""))
    return f'use the type "http", as the page "{title}" shows: docs/how-to/{file}.md' if title else ""
