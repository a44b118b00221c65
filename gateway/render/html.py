"""Where in HTML each value of a template is printed, told from the template's own text through all of its branches.

Escaping makes a value harmless as text and inside a quoted attribute. In other places it would be code, or could become
it, so it is refused there when the template is loaded; an address that begins with a value is checked when it is printed.
The places are those of the HTML standard's tokenizer (HTML, 13.2.5).
"""

import re
from collections.abc import Collection
from typing import Final

from jinja2 import nodes
from msgspec import Struct
from msgspec.structs import replace

from gateway.render.grammar import Refused

#: Elements whose content is not text in which an escape is read.
RAW: Final = frozenset({"script", "style", "iframe", "noembed", "noframes", "noscript", "plaintext", "xmp"})
#: Attributes that are code.
CODE: Final = frozenset({"style", "srcdoc"})
#: Attributes that are addresses.
ADDRESSES: Final = frozenset(
    ["action", "background", "cite", "codebase", "data", "formaction", "href", "longdesc", "manifest", "ping", "poster", "src", "srcset", "xlink:href"]
)  # fmt: skip

_TAG: Final = re.compile(r"<(/?)([A-Za-z][^\s/>]*)(?=[\s/>])")
_ATTRIBUTE: Final = re.compile(r"[\s/]*([^\s/>=]+)(?=[\s/>=])")
_EQUALS: Final = re.compile(r"\s*=\s*(?=\S)")
#: What begins an address that a value can no longer turn into code.
_SAFE: Final = re.compile(r"\s*(?:https?:|mailto:|tel:|[^:]*[/?#])", re.IGNORECASE)
#: Stands for a value in what was printed before.
_VALUE: Final = "\0"


class _Place(Struct, frozen=True):
    """A place in HTML: what it is, in which element and attribute, and what of it is not read yet."""

    #: text, tag, quoted, unquoted, raw, comment or declaration.
    what: str = "text"
    element: str = ""
    is_end: bool = False
    attribute: str = ""
    #: The quote that ends the attribute.
    quote: str = ""
    #: What the attribute holds so far.
    before: str = ""
    #: The beginning of something that the next text continues.
    pending: str = ""


TEXT: Final = _Place()


def check(tree: nodes.Template) -> Collection[int]:
    """Refuse every value in a place where no escape helps; the ``id`` of each one that begins an address. Raises Refused."""
    checker = _Checker()
    end = checker.body(tree.body, TEXT)
    if _named(end) != "text":
        last = max((node.lineno for node in tree.find_all(nodes.Node) if node.lineno), default=1)
        raise Refused(last, f"the file ends inside {_named(end)}", "close it")
    return checker.addresses


class _Checker:
    def __init__(self) -> None:
        self.addresses: set[int] = set()
        self._on_line: dict[int, int] = {}

    def body(self, statements: list[nodes.Node], place: _Place) -> _Place:
        for statement in statements:
            place = self._statement(statement, place)
        return place

    def _statement(self, node: nodes.Node, place: _Place) -> _Place:
        match node:
            case nodes.Output():
                for child in node.nodes:
                    place = (
                        _after(child.data, place)
                        if isinstance(child, nodes.TemplateData)
                        else self._value(child, place)
                    )
            case nodes.If():
                branches = [node.body, *(each.body for each in node.elif_), node.else_]
                ends = {_named(end): end for end in (self.body(each, place) for each in branches)}
                if len(ends) > 1:
                    raise Refused(
                        node.lineno,
                        f"the branches of this {{% if %}} do not agree: one ends inside {min(ends)}, another inside {max(ends)}",
                        "put whole tags and attributes into every branch",
                    )
                return next(iter(ends.values()))
            case nodes.For():
                if {_named(self.body(each, place)) for each in (node.body, node.else_)} != {_named(place)}:
                    hint = "put whole tags and attributes into the loop"
                    raise Refused(node.lineno, "this {% for %} begins in one place of HTML and ends in another", hint)
            case nodes.With():
                return self.body(node.body, place)
            case nodes.Macro() | nodes.AssignBlock():
                if _named(self.body(node.body, TEXT)) != "text":
                    raise Refused(node.lineno, "this block ends inside a tag, an attribute or a comment", "close it")
            case nodes.Include() if _named(place) != "text":
                raise Refused(node.lineno, f"an {{% include %}} is not supported inside {_named(place)}", "move it out")
        return place

    def _value(self, node: nodes.Expr, place: _Place) -> _Place:
        at = self._on_line[node.lineno] = self._on_line.get(node.lineno, 0) + 1
        problem = _problem(place)
        if problem is not None:
            raise Refused(node.lineno, *problem, value=at)
        if place.what != "quoted":
            return place
        if place.attribute in ADDRESSES and not place.before.strip():
            self.addresses.add(id(node))
        return replace(place, before=place.before + _VALUE)


_QUOTED: Final = 'print it as text, or in a quoted attribute such as data-value="{{ ... }}"'


def _problem(place: _Place) -> tuple[str, str] | None:
    """Why no value can be printed at a place, and what to write instead; None if one can."""
    match place.what:
        case "text" if not place.pending:
            return None
        case "raw":
            return f"a value inside <{place.element}> would be code of the sender's choice", _QUOTED
        case "comment":
            return "a value inside <!-- --> can end the comment", "print it outside of the comment, or remove it"
        case "declaration":
            return "a value inside <! > can end it", "write it out"
        case "unquoted":
            return (
                f"the value of {place.attribute} has no quotes, so a blank in it would begin another attribute",
                f'write {place.attribute}="{{{{ ... }}}}"',
            )
        case "quoted":
            return _problem_of_attribute(place)
    return "a value cannot be the name of a tag or an attribute, or a part of one", _QUOTED


def _problem_of_attribute(place: _Place) -> tuple[str, str] | None:
    name, before = place.attribute, place.before
    if name in CODE or name.startswith("on"):
        return f"a value inside {name}= would be code of the sender's choice", _QUOTED
    if name == "content" and place.element == "meta" and re.search(r"url\s*=", before, re.IGNORECASE):
        return "a value inside content= of <meta> would be an address of the sender's choice", "write it out"
    if name in ADDRESSES and before.strip() and not _SAFE.match(before):
        return (
            f"a value could make the address in {name}= into code, such as javascript:",
            "begin it with https:// or /, or let one value be the whole address",
        )
    return None


def _named(place: _Place) -> str:
    """A place in words that tell it from others."""
    match place.what:
        case "text":
            return "a tag" if place.pending else "text"
        case "quoted" | "unquoted":
            return f"the attribute {place.attribute} of <{place.element}>"
        case "tag":
            return f"a tag of <{place.element}>"
        case "raw":
            return f"<{place.element}>"
    return f"a {place.what}"


def _after(data: str, place: _Place) -> _Place:
    """The place after a text of the template's own."""
    text, place = place.pending + data, replace(place, pending="")
    at = 0
    while at < len(text):
        at, place = _step(text, at, place)
        if at < 0:
            break
    return place


def _step(text: str, at: int, place: _Place) -> tuple[int, _Place]:
    """One step from a position: the next one and its place; -1 at the end of the text."""
    match place.what:
        case "text":
            return _in_text(text, at)
        case "tag":
            return _in_tag(text, at, place)
        case "quoted":
            end = text.find(place.quote, at)
            if end < 0:
                return -1, replace(place, before=place.before + text[at:])
            return end + 1, replace(place, what="tag", attribute="", before="")
        case "unquoted":
            found = re.compile(r"[\s>]").search(text, at)
            return (-1, place) if found is None else (found.start(), replace(place, what="tag", attribute=""))
        case "raw":
            found = re.compile(rf"</{re.escape(place.element)}(?=[\s/>])", re.IGNORECASE).search(text, at)
            if found is None:
                return -1, replace(place, pending=_tail(text[at:], f"</{place.element}"))
            return found.end(), _Place("tag", place.element, is_end=True)
        case "comment":
            found = re.compile(r"--!?>").search(text, at)
            return (-1, replace(place, pending=text[at:][-3:])) if found is None else (found.end(), TEXT)
    end = text.find(">", at)
    return (-1, place) if end < 0 else (end + 1, TEXT)


def _tail(text: str, wanted: str) -> str:
    """The end of a text that what is wanted may begin with."""
    return next(
        (text[-n:] for n in range(min(len(text), len(wanted)), 0, -1) if wanted.startswith(text[-n:].lower())), ""
    )


def _in_text(text: str, at: int) -> tuple[int, _Place]:
    begin = text.find("<", at)
    if begin < 0:
        return -1, TEXT
    rest = text[begin:]
    if found := re.match(r"<!--(?:-?>)?", rest):
        # <!--> and <!---> are whole comments.
        return begin + found.end(), TEXT if found[0].endswith(">") else _Place("comment")
    if found := _TAG.match(rest):
        return begin + found.end(), _Place("tag", found[2].lower(), is_end=bool(found[1]))
    if re.fullmatch(r"<(?:/?(?:[A-Za-z][^\s/>]*)?|!-?)", rest):
        return -1, _Place(pending=rest)
    if re.match(r"<[!?]|</(?!>)", rest):
        return begin + 2, _Place("declaration")
    return begin + 1, TEXT


def _in_tag(text: str, at: int, place: _Place) -> tuple[int, _Place]:
    if found := re.compile(r"[\s/]*>").match(text, at):
        is_raw = not place.is_end and place.element in RAW
        return found.end(), _Place("raw", place.element) if is_raw else TEXT
    found = _ATTRIBUTE.match(text, at)
    if found is None:
        # A name, or nothing but blanks, up to the end of the text.
        return (-1, replace(place, pending=text[at:])) if text[at] != "=" else (at + 1, place)
    named = replace(place, attribute=found[1].lower())
    equals = _EQUALS.match(text, found.end())
    if equals is None:
        rest = text[found.end() :].lstrip()
        # The value may follow in what is printed next.
        is_open = not rest or rest.strip() == "="
        what = "unquoted" if rest.startswith("=") else "tag"
        return (-1, replace(named, what=what, pending=text[at:])) if is_open else (found.end(), place)
    quote = text[equals.end()]
    if quote in "\"'":
        return equals.end() + 1, replace(named, what="quoted", quote=quote)
    return equals.end(), replace(named, what="unquoted")
