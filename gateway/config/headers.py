"""The fields and header fields of an event that the templates of an entry read."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from gateway.config.schema.destinations import DestinationKeys
from gateway.config.schema.entries import ChoiceKeys, EntryKeys, FetchKeys, MessageKeys
from gateway.config.text.disk import TEMPLATES
from gateway.errors import Place
from gateway.event.paths import ROOTS
from gateway.render import TemplateText, Tree
from gateway.render.reads import Reads, reads_of
from gateway.render.silent import Silent, is_worth_reading, silent_in


def headers_read(
    keys: EntryKeys, destinations: Mapping[str, DestinationKeys], files: Mapping[str, str]
) -> Iterator[tuple[str, Place]]:
    """Each field, in lower case, and the line that reads it. Every template compiles; ``files`` are those of the folder."""
    opened = list(_files(keys))
    for text in _all_texts(keys, destinations):
        found = _reads(text)
        yield from found.headers
        opened += found.files
    for name in opened:
        found = _reads(TemplateText(files.get(name, ""), Place(f"{TEMPLATES}/{name}", 1)))
        yield from found.headers
        # The list grows while it is walked: what a file includes is read after it, and once.
        opened += [other for other in found.files if other not in opened]


def fields_read(
    keys: EntryKeys, destinations: Mapping[str, DestinationKeys], files: Mapping[str, str]
) -> Iterator[tuple[str, Place]]:
    """Each path in a tag of a template, ``attrs.firstname``, and its line; files that a template includes are left out."""
    for text in texts(keys, destinations, files):
        yield from _paths(text)


def paths_in(keys: MessageKeys) -> Iterator[tuple[str, Place]]:
    """The same of one message and of those it chooses from, without the options of its destinations and without files."""
    for each in (keys, *((keys.choose or ()) if isinstance(keys, EntryKeys) else ())):
        if isinstance(each, ChoiceKeys) and each.condition is not None:
            yield from _paths(in_braces(each.condition))
        for text in _texts(each):
            yield from _paths(text)


def _paths(text: TemplateText) -> Iterator[tuple[str, Place]]:
    for tag in _TAG.finditer(text.text):
        for path in _PATH.findall(_QUOTED.sub('""', tag[0])):
            yield path, text.at(tag.start())


def half_opened(
    keys: EntryKeys, destinations: Mapping[str, DestinationKeys], files: Mapping[str, str]
) -> Iterator[tuple[str, Place]]:
    """Each ``{ attrs.firstname }}``, ``{attrs.firstname}`` and ``<%= attrs.firstname %>``, which are printed as they are, and its line."""
    for text in texts(keys, destinations, files):
        yield from ((found[0], text.at(found.start())) for found in _HALF_OPENED.finditer(text.text))


def silent_fields(
    keys: EntryKeys, destinations: Mapping[str, DestinationKeys], files: Mapping[str, str]
) -> Iterator[Silent]:
    """Each field that can be missing without an error."""
    conditions = [*_conditions(keys)]
    for text in texts(keys, destinations, files):
        is_condition = text in conditions
        if is_condition or is_worth_reading(text.text):
            yield from silent_in(text, is_condition=is_condition)


def texts(
    keys: EntryKeys, destinations: Mapping[str, DestinationKeys], files: Mapping[str, str]
) -> Iterator[TemplateText]:
    """Every template of an entry, without the files that another one includes."""
    yield from _all_texts(keys, destinations)
    yield from (TemplateText(files.get(name, ""), Place(f"{TEMPLATES}/{name}", 1)) for name in _files(keys))


_TAG: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_FIELD: Final = rf"(?:{'|'.join(sorted({*ROOTS, 'attrs'}))})\.[\w.]+"
_HALF_OPENED: Final = re.compile(
    r"(?<!\{)\{\s*[A-Za-z_]\w*\.[\w.]+\s*(?:\|[^{}\n]*)?\}\}(?!\})"
    rf"|(?<![{{$])(?:[#%]?\{{\s*{_FIELD}\s*\}}(?!\}})|<%=\s*{_FIELD}\s*%>|\[\[\s*{_FIELD}\s*\]\])"
    rf"|(?<![\w$])\${_FIELD}(?<!\.)"
)
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
#: A path that is not the end of another one, without the method that is called on it.
_PATH: Final = re.compile(r"(?<![\w.\])])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?![\w(\[])")


def _files(keys: EntryKeys) -> Iterator[str]:
    yield from (each.template.text for each in _messages(keys) if each.template is not None)


def _messages(keys: EntryKeys) -> tuple[MessageKeys, ...]:
    return (keys, *(keys.send or ()), *(keys.choose or ()))


def _all_texts(keys: EntryKeys, destinations: Mapping[str, DestinationKeys]) -> Iterator[TemplateText]:
    messages = _messages(keys)
    named = {name.text: None for each in messages for name in each.to or ()}
    yield from _conditions(keys)
    if keys.once is not None and keys.once.per is not None:
        yield keys.once.per
    for name in named:
        if name in destinations:
            yield from destinations[name].options.values()
    yield from (text for each in keys.fetch.values() for text in _texts(each))
    yield from (text for each in messages for text in _texts(each))


def _reads(text: TemplateText) -> Reads:
    # A thousand texts of which none has such a word are not parsed again.
    is_worth_it = any(word in text.text for word in ("headers", "include", "import"))
    return reads_of(text) if is_worth_it else Reads()


def _conditions(keys: EntryKeys) -> Iterator[TemplateText]:
    for condition in (keys.condition, *(each.condition for each in keys.choose or ())):
        if condition is not None:
            yield in_braces(condition)


def in_braces(condition: TemplateText) -> TemplateText:
    """An expression as the template that prints it."""
    return condition.within("{{ ", " }}")


def _texts(keys: MessageKeys | FetchKeys) -> Iterator[TemplateText]:
    yield from filter(None, (keys.path, keys.text if isinstance(keys, MessageKeys) else None))
    yield from (*keys.query.values(), *keys.headers.values())
    if isinstance(keys, MessageKeys):
        yield from (each.per for each in (*keys.recall.values(), keys.remember) if each is not None and each.per)
    for body in filter(None, (keys.body, keys.form)):
        yield from _leaves(body.tree)


def _leaves(tree: Tree) -> Iterator[TemplateText]:
    match tree:
        case TemplateText():
            yield tree
        case Mapping():
            yield from (text for each in tree.values() for text in _leaves(each))
        case list() | tuple():
            yield from (text for each in tree for text in _leaves(each))
