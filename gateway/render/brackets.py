"""Values inside angle brackets, where those are markup or tags: refused."""

import re

from jinja2 import nodes

from gateway.render.grammar import Refused


def check_markup(tree: nodes.Template, hint: str) -> None:
    """Refuse a value inside a chat's angle brackets: ``<{{ x }}>`` is a mention or a link of the sender's choice."""
    is_open = False
    for child in (child for output in tree.find_all(nodes.Output) for child in output.nodes):
        if isinstance(child, nodes.TemplateData):
            last = _BRACKET.findall(child.data)[-1:]
            is_open = last[0] != ">" if last else is_open
        elif is_open and not (isinstance(child, nodes.Filter) and child.name == "mrkdwn_raw"):
            raise Refused(
                child.lineno,
                "a value inside <...> is live markup of the sender's choice",
                hint,
            )


#: The end of markup, and its beginning: ``a < b`` is not one.
_BRACKET = re.compile(r">|<(?=[!@#\w]|\Z)")


def check_tags(tree: nodes.Template) -> None:
    """Refuse a value inside a tag without quotes, in a text of a chat that has HTML's tags."""
    before = ""
    for child in (child for output in tree.find_all(nodes.Output) for child in output.nodes):
        if isinstance(child, nodes.TemplateData):
            # What is before the last tag does not matter.
            written = before + child.data
            before = written[max(written.rfind("<"), 0) :]
            continue
        tag = _OPEN_TAG.search(before)
        if tag is not None and not (tag[0].count('"') % 2 or tag[0].count("'") % 2):
            raise Refused(
                child.lineno, "a value inside a tag has no quotes, so it could add attributes", 'write href="{{ ... }}"'
            )
        before = f"{before}\0"


#: A tag that a text ends in.
_OPEN_TAG = re.compile(r"<(?:[A-Za-z/][^<>]*)?\Z")
