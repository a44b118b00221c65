"""The Markdown of Adaptive Cards in Teams, and the fields of a card.

Markdown: Microsoft's page "Text features" of Adaptive Cards. Fields: its "Schema Explorer", a page for each element and
action (``TextRun``: no Markdown), and "Format cards in Microsoft Teams" (mentions as ``<at>``).
"""

import re
from typing import Final

from msgspec.structs import replace

from gateway.destinations.dialects import markdown
from gateway.destinations.escapes import one_line, with_backslashes
from gateway.destinations.fields import Fields, table
from gateway.destinations.markup import data

_ACTIVE = "\\*_[]"
_LIST = re.compile(r"(?:[-+]|[0-9]+\.)(?=\s)")
# Each brace before another, one by one: a run of three has two pairs. A final one too: the next value may begin with one.
_FUNCTION = re.compile(r"\{(?=\{|\Z)")
_MENTION = re.compile(r"<(?=/?at\b)", re.IGNORECASE)


def escape(text: str) -> str:
    r"""``text`` as inert Markdown of an Adaptive Card on one line: no link, mention, style or list of its own.

    DATE and TIME are functions of a card.

    >>> escape("[x](https://a.example) *now* {{DATE(1)}}")
    '\\[x\\](https://a.example) \\*now\\* {\u200b{DATE(1)}}'
    """
    line = one_line(text)
    mark = _LIST.match(line)
    # Only the last character of what begins a list is escaped.
    end = mark.end() - 1 if mark else 0
    inert = line[:end] + "\\" * bool(mark) + with_backslashes(line[end:], _ACTIVE)
    return _MENTION.sub("<\N{ZERO WIDTH SPACE}", _FUNCTION.sub("{\N{ZERO WIDTH SPACE}", inert))


_LISTS = re.compile(r"^([-+]|[0-9]+(?=\.))(?=\.?\s)", re.MULTILINE)


def _begin(lines: str) -> str:
    """Lines of a value that begin no list."""
    return _LISTS.sub(lambda found: f"\\{found[0]}" if found[0] in "-+" else f"{found[0]}\\", lines)


MARKDOWN: Final = replace(
    markdown.MARKDOWN,
    escape=escape,
    begin=_begin,
    # A TextBlock shows a single line break as a space.
    line_break="\n\n",
    code=None,
)

#: Actions and inputs, whose titles and labels are no Markdown.
_ACTIONS: Final = ("Action.OpenUrl", "Action.Submit", "Action.Execute", "Action.ShowCard", "Action.ToggleVisibility")
_INPUTS: Final = ("Input.Text", "Input.Number", "Input.Date", "Input.Time", "Input.Toggle", "Input.ChoiceSet")

FIELDS: Final = Fields(
    page="https://adaptivecards.io/explorer/",
    text=MARKDOWN,
    known=table(
        addresses="url iconUrl poster contentUrl",
        names="altText placeholder tooltip choices.title",
        plain="$schema type version contentType id style color size weight verb choices.value name",
    )
    | {("TextRun", "text"): data}
    | {(action, "title"): data for action in _ACTIONS}
    | {(element, key): data for element in _INPUTS for key in ("value", "title")},
    below={"data": data, "msteams": data},
)
