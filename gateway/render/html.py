"""Where in HTML each value of a template is printed, told from the template's own text through all of its branches.

Escaping makes a value harmless as text and inside a quoted attribute. In other places it would be code, or could become
it, so it is refused there when the template is loaded; an address that begins with a value is checked when it is printed.
The places are those of the HTML standard's tokenizer (HTML, 13.2.5).

After a branch or a loop a template can be in several places. Each statement is checked from every place that it can be
reached in, and in each of them once.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import unescape
from itertools import count
from typing import Final, Literal

from jinja2 import nodes
from msgspec import Struct
from msgspec.structs import replace

from gateway.render.grammar import Refused

#: Elements whose content is not text in which an escape is read.
RAW: Final = frozenset({"script", "style", "iframe", "noembed", "noframes", "noscript", "plaintext", "xmp"})
#: Elements whose content is text up to their end tag, whatever it looks like.
PLAIN: Final = frozenset({"title", "textarea"})
#: Attributes that are code.
CODE: Final = frozenset({"style", "srcdoc"})
#: Attributes that are addresses.
ADDRESSES: Final = frozenset(
    ["action", "background", "cite", "codebase", "data", "formaction", "href", "longdesc", "manifest", "ping", "poster", "src", "srcset", "xlink:href"]
)  # fmt: skip
#: Attributes that say what code the page loads, or from where.
LOADED: Final = frozenset(
    [("script", "src"), ("script", "href"), ("script", "xlink:href"), ("base", "href"), ("link", "href"), ("embed", "src"), ("object", "data"), ("object", "codebase")]
)  # fmt: skip
#: Elements of SVG that write another attribute, and where they say what into it.
_ANIMATED: Final = frozenset({"animate", "set"})
_WRITTEN: Final = frozenset({"to", "from", "by", "values"})
#: Places that one statement is checked from.
MAX_PLACES: Final = 1000

#: The blanks of HTML, which are fewer than those of a regular expression.
_BLANKS: Final = " \t\n\f\r"
_TAG: Final = re.compile(r"<(/?)([A-Za-z][^ \t\n\f\r/>]*)(?=[ \t\n\f\r/>])")
_TAG_END: Final = re.compile(r"[ \t\n\f\r/]*>")
_ATTRIBUTE: Final = re.compile(r"[ \t\n\f\r/]*(=?[^ \t\n\f\r/>=]+|=)(?=[ \t\n\f\r/>=])")
_EQUALS: Final = re.compile(r"[ \t\n\f\r]*=[ \t\n\f\r]*(?=[^ \t\n\f\r])")
_UNQUOTED_END: Final = re.compile(r"[ \t\n\f\r>]")
#: What begins an address that a value can no longer turn into code.
_SAFE: Final = re.compile(r"https?:|mailto:|tel:|[^:]*[/?#]", re.IGNORECASE)
_SCHEMES: Final = ("http:", "https:", "mailto:", "tel:")
#: A character reference that what follows may continue.
_REFERENCE: Final = re.compile(r"&#?\w*\Z")
#: Stands for a value in what was printed before.
_VALUE: Final = "\0"

#: How a value is printed where escaping it as text is not enough.
How = Literal["attribute", "address"]


class _Place(Struct, frozen=True):
    """A place in HTML: what it is, in which element and attribute, and what of it is not read yet."""

    #: text, plain, tag, quoted, unquoted, raw, comment or declaration.
    what: str = "text"
    element: str = ""
    is_end: bool = False
    attribute: str = ""
    #: The quote that ends the attribute.
    quote: str = ""
    #: Of an address, as much of what it holds so far as decides whether it can still become code: see _beginning.
    before: str = ""
    #: The beginning of something that the next text continues.
    pending: str = ""


TEXT: Final = _Place()


_Places = tuple[_Place, ...]


def check(tree: nodes.Template) -> Mapping[int, How]:
    """How the values are printed that need more than an escape, by their ``id``.

    Raises Refused for a value in a place where no escape helps.
    """
    checker = _Checker(tree)
    not_text = sorted({_named(end) for end in checker.body(tree.body, (TEXT,))} - {"text"})
    if not_text:
        last = max((node.lineno for node in tree.find_all(nodes.Node) if node.lineno), default=1)
        raise Refused(last, f"the file ends inside {not_text[0]}", "close it")
    return checker.hows


def _distinct(places: Iterable[_Place]) -> _Places:
    # In the order in which they are found, so that the first problem is always the same one.
    return tuple(dict.fromkeys(places))


class _Checker:
    def __init__(self, tree: nodes.Template) -> None:
        self.hows: dict[int, How] = {}
        #: Where each statement, text or value ends, by its ``id`` and where it begins.
        self._ends: dict[int, dict[_Place, _Places]] = {}
        #: Which of the values on its line each one is.
        self._number: dict[int, int] = {}
        on_line: dict[int, count[int]] = {}
        for output in tree.find_all(nodes.Output):
            for value in output.nodes:
                if not isinstance(value, nodes.TemplateData):
                    self._number[id(value)] = next(on_line.setdefault(value.lineno, count(1)))

    def body(self, statements: Sequence[nodes.Node], places: _Places) -> _Places:
        """Every place that the statements can end in, from each of the places that they can begin in."""
        for statement in statements:
            places = _distinct(end for place in places for end in self._after(statement, place))
        return places

    def _after(self, node: nodes.Node, place: _Place) -> _Places:
        known = self._ends.setdefault(id(node), {})
        if place not in known:
            if len(known) == MAX_PLACES:
                raise Refused(
                    node.lineno,
                    f"after the branches and loops before it, this can be in more than {MAX_PLACES:,} places of HTML",
                    "put whole tags and attributes into every branch and loop",
                )
            known[place] = self._followed(node, place)
        return known[place]

    def _followed(self, node: nodes.Node, place: _Place) -> _Places:
        match node:
            case nodes.Output():
                return self.body(node.nodes, (place,))
            case nodes.TemplateData():
                return (self._text(node, place),)
            case nodes.If():
                return self._if(node, place)
            case nodes.For():
                return self._for(node, place)
            case nodes.With():
                return self.body(node.body, (place,))
            case nodes.Macro() | nodes.AssignBlock():
                if {_named(end) for end in self.body(node.body, (TEXT,))} != {"text"}:
                    raise Refused(node.lineno, "this block ends inside a tag, an attribute or a comment", "close it")
            case nodes.Include() if _named(place) != "text":
                raise Refused(node.lineno, f"an {{% include %}} is not supported inside {_named(place)}", "move it out")
            case nodes.Expr():
                return (self._value(node, place),)
        return (place,)

    def _if(self, node: nodes.If, place: _Place) -> _Places:
        branches = [node.body, *(each.body for each in node.elif_), node.else_]
        ends = _distinct(end for each in branches for end in self.body(each, (place,)))
        names = sorted({_named(end) for end in ends})
        if len(names) > 1:
            raise Refused(
                node.lineno,
                f"the branches of this {{% if %}} do not agree: one ends inside {names[0]}, another inside {names[-1]}",
                "put whole tags and attributes into every branch",
            )
        return ends

    def _for(self, node: nodes.For, place: _Place) -> _Places:
        ends: _Places = self.body(node.else_, (place,))
        begins: _Places = (place,)
        begun: set[_Place] = set()
        while begins:
            # One more time around, from where no time around has begun yet.
            begun.update(begins)
            found = self.body(node.body, begins)
            begins = tuple(end for end in found if end not in begun)
            ends = _distinct((*ends, *found))
        if {_named(end) for end in ends} != {_named(place)}:
            hint = "put whole tags and attributes into the loop"
            raise Refused(node.lineno, "this {% for %} begins in one place of HTML and ends in another", hint)
        return ends

    def _text(self, node: nodes.TemplateData, place: _Place) -> _Place:
        if place.what == "quoted" and _VALUE in place.before:
            begun, _, is_closed = node.data.partition(place.quote)
            if _beginning(place.before + begun + (";" if is_closed else "")) == ":":
                raise Refused(
                    node.lineno,
                    f"the : makes the value before it the scheme of the address in {place.attribute}=, such as javascript:",
                    "begin it with https:// or /, or let one value be the whole address",
                )
        return _after(node.data, place)

    def _value(self, node: nodes.Expr, place: _Place) -> _Place:
        problem = _problem(place)
        if problem is not None:
            raise Refused(node.lineno, *problem, value=self._number[id(node)])
        if place.what != "quoted":
            return place
        is_first = place.attribute in ADDRESSES and not place.before
        if is_first or id(node) not in self.hows:
            self.hows[id(node)] = "address" if is_first else "attribute"
        return replace(place, before=_VALUE) if is_first else place


def _beginning(before: str) -> str:
    """As much of the beginning of an address as decides what a value after it could do.

    ``/``: nothing. ``:``: be a part of code. Else there is no scheme yet: the beginning of a harmless one, ``x`` for any
    other text, or one that has a value in it; then, perhaps, the beginning of a character reference.
    """
    open_reference = _REFERENCE.search(before)
    rest = open_reference[0] if open_reference else ""
    text = unescape(before.removesuffix(rest)).lstrip(_BLANKS)
    if _SAFE.match(text):
        return "/"
    if ":" in text:
        return ":"
    if _VALUE in text:
        return _VALUE + rest
    return (text.lower() if any(each.startswith(text.lower()) for each in _SCHEMES) else "x") + rest


_QUOTED: Final = 'print it as text, or in a quoted attribute such as data-value="{{ ... }}"'


def _problem(place: _Place) -> tuple[str, str] | None:
    """Why no value can be printed at a place, and what to write instead; None if one can."""
    match place.what:
        case "text" | "plain" if not place.pending:
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
    if place.pending.rstrip(_BLANKS).endswith("="):
        return _problem(_unquoted(place))
    return "a value cannot be the name of a tag or an attribute, or a part of one", _QUOTED


def _unquoted(place: _Place) -> _Place:
    """The place of a value right after ``name=``, which is not read yet."""
    found = _ATTRIBUTE.match(place.pending)
    return replace(place, what="unquoted", attribute=found[1].lower() if found else "=")


def _problem_of_attribute(place: _Place) -> tuple[str, str] | None:
    name, at = place.attribute, (place.element, place.attribute)
    is_written = place.element in _ANIMATED and name in _WRITTEN
    if name in CODE or name.startswith("on") or at in LOADED or is_written:
        return f"a value inside {name}= would be code of the sender's choice", _QUOTED
    if at == ("meta", "content"):
        return "a value inside content= of <meta> would be an address of the sender's choice", "write it out"
    if place.before not in ("", "/"):
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
        case "plain" | "raw":
            return f"<{place.element}>"
        case "quoted" | "unquoted":
            return f"the attribute {place.attribute} of <{place.element}>"
        case "tag":
            return f"a tag of <{place.element}>"
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
                is_address = place.attribute in ADDRESSES
                return -1, replace(place, before=_beginning(place.before + text[at:]) if is_address else "")
            return end + 1, _Place("tag", place.element, is_end=place.is_end)
        case "unquoted":
            found = _UNQUOTED_END.search(text, at)
            return (-1, place) if found is None else (found.start(), replace(place, what="tag", attribute=""))
        case "plain" | "raw":
            end_tag = rf"</{re.escape(place.element)}(?=[ \t\n\f\r/>])"
            found = re.compile(end_tag, re.IGNORECASE).search(text, at)
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
    if re.fullmatch(r"<(?:/?(?:[A-Za-z][^ \t\n\f\r/>]*)?|!-?)", rest):
        return -1, _Place(pending=rest)
    if re.match(r"<[!?]|</(?!>)", rest):
        return begin + 2, _Place("declaration")
    return begin + 1, TEXT


def _in_tag(text: str, at: int, place: _Place) -> tuple[int, _Place]:
    if found := _TAG_END.match(text, at):
        return found.end(), _Place() if place.is_end else _inside(place.element)
    found = _ATTRIBUTE.match(text, at)
    if found is None:
        # A name, or nothing but blanks, up to the end of the text.
        return -1, replace(place, pending=text[at:])
    named = replace(place, attribute=found[1].lower())
    equals = _EQUALS.match(text, found.end())
    if equals is None:
        rest = text[found.end() :].strip(_BLANKS)
        # The value may follow in what is printed next.
        return (-1, replace(place, pending=text[at:])) if rest in ("", "=") else (found.end(), place)
    quote = text[equals.end()]
    if quote in "\"'":
        return equals.end() + 1, replace(named, what="quoted", quote=quote)
    return equals.end(), replace(named, what="unquoted")


def _inside(element: str) -> _Place:
    """The place after the start tag of an element."""
    if element in RAW:
        return _Place("raw", element)
    return _Place("plain", element) if element in PLAIN else TEXT
